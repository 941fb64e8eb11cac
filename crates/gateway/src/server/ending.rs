//! Why connections of clients ended before their time, for the numbers that operators see.

use std::error::Error as StdError;

use tollgate_telemetry::metrics::{Ending, Limit, Limits};

use super::activity::Activity;
use super::http1::{self, Refused};
use super::spoken::Broken;

/// Counts a connection that was given up. `max_header` is the limit of a head in bytes.
pub(super) fn count(error: &Broken, activity: &Activity, max_header: usize, limits: &Limits) {
    if let Some(limit) = activity.was_cut_by() {
        return limits.reached(limit);
    }
    let found = match error {
        Broken::Http1(http1::Broken::Refused(refused)) => Some(match refused {
            Refused::TooManyHeaders => Found::TooManyHeaders,
            Refused::TooLarge => Found::HeadTooLarge,
            Refused::Malformed(_) | Refused::Version | Refused::TargetTooLong => {
                Found::Broke(Ending::Malformed)
            }
        }),
        Broken::Http1(_) => None,
        Broken::Http2(error) => of_http2(error),
    };
    match found {
        Some(Found::TooManyHeaders) => limits.reached(Limit::MaxHeaders),
        Some(Found::HeadTooLarge) if activity.head_bytes() < max_header => limits.reached(Limit::MaxHeaders),
        Some(Found::HeadTooLarge) => limits.reached(Limit::MaxHeader),
        Some(Found::Broke(ending)) => limits.broke(ending),
        None => limits.broke(Ending::Lost),
    }
}

enum Found {
    TooManyHeaders,
    HeadTooLarge,
    Broke(Ending),
}

/// What the HTTP library says; `None` if it only says that the connection is gone.
fn of_http2(error: &(dyn StdError + 'static)) -> Option<Found> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(http) = error.downcast_ref::<hyper::Error>() {
            if http.is_parse_too_large() {
                return Some(Found::HeadTooLarge);
            }
            if http.is_parse() {
                return Some(Found::Broke(Ending::Malformed));
            }
        }
        if let Some(http2) = error.downcast_ref::<h2::Error>() {
            return match http2.reason() {
                Some(h2::Reason::ENHANCE_YOUR_CALM) => Some(Found::Broke(Ending::Flood)),
                Some(h2::Reason::NO_ERROR | h2::Reason::CANCEL) | None => None,
                Some(_) => Some(Found::Broke(Ending::Http2)),
            };
        }
        cause = error.source();
    }
    None
}
