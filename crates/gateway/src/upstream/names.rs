//! Looks up the addresses of names, as the machine does it (`/etc/hosts`, `/etc/resolv.conf`).
//!
//! Each new connection asks anew, so that a name may point elsewhere at any time. Calls of a worker that ask for a name at
//! the same time wait for one lookup: it occupies a thread, and while nobody answers there would be one for each call.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::sync::watch;

/// What came of a lookup; `None` while it is under way.
type Found = Option<Result<Arc<[IpAddr]>, Arc<str>>>;

thread_local! {
    /// The lookups that are under way on this thread.
    static UNDER_WAY: RefCell<HashMap<Box<str>, watch::Receiver<Found>>> = RefCell::default();
}

/// The addresses of a host, in the order in which they are to be tried.
///
/// Must be called within a `LocalSet`. Cancel-safe: the lookup goes on for others.
///
/// # Errors
/// The name is not known, or nobody who knows it could be asked.
pub(super) async fn lookup(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let under_way = UNDER_WAY.with_borrow(|under_way| under_way.get(host).cloned());
    let mut found = under_way.unwrap_or_else(|| begin(host));
    let lost = || io::Error::other("the lookup was given up");
    match found.wait_for(Option::is_some).await.as_deref() {
        Ok(Some(Ok(addresses))) => Ok(addresses
            .iter()
            .map(|address| SocketAddr::new(*address, port))
            .collect()),
        Ok(Some(Err(reason))) => Err(io::Error::other(reason.to_string())),
        Ok(None) | Err(_) => Err(lost()),
    }
}

/// Begins to look a name up.
fn begin(host: &str) -> watch::Receiver<Found> {
    let (tell, found) = watch::channel(None);
    UNDER_WAY.with_borrow_mut(|under_way| under_way.insert(host.into(), found.clone()));
    let name = UnderWay(host.into());
    tokio::task::spawn_local(async move {
        let addresses = tokio::net::lookup_host((&*name.0, 0)).await;
        let addresses = addresses
            .map(|addresses| addresses.map(|address| address.ip()).collect())
            .map_err(|error| error.to_string().into());
        // Whoever comes now asks anew.
        drop(name);
        // All who waited may be gone.
        let _ = tell.send(Some(addresses));
    });
    found
}

/// A lookup that is under way until this is dropped, however its task ends.
struct UnderWay(Box<str>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        // The thread may be ending.
        let _ = UNDER_WAY.try_with(|under_way| under_way.borrow_mut().remove(&self.0));
    }
}
