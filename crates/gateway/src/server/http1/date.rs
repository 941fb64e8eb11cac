//! The time of day, as answers say it (RFC 9110, section 6.6.1).

use std::cell::RefCell;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use httpdate::HttpDate;

thread_local! {
    /// What is said in this second.
    static SAID: RefCell<(Duration, String)> = const { RefCell::new((Duration::MAX, String::new())) };
}

/// Gives the date to `with`.
pub(super) fn with(with: impl FnOnce(&[u8])) {
    let now = SystemTime::now();
    let second = Duration::from_secs(now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs());
    SAID.with_borrow_mut(|(said, text)| {
        if *said != second {
            *said = second;
            text.clear();
            // Writing to a string does not fail.
            let _ = write!(text, "{}", HttpDate::from(now));
        }
        with(text.as_bytes());
    });
}
