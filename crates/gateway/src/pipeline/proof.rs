//! Whether a client has proved who it is as the certificates of the host it calls demand.
//!
//! The handshake has seen to the name it was made for. A call on that connection may name another host, whose certificate
//! demands more; and a demand may leave some paths out, which only a call can tell.

use http::StatusCode;
use tollgate_dialects::canonical::ErrorKind;

use super::objects::{host, normalised};
use super::record::Record;
use crate::certificates::{Certificates, Handshake};
use crate::error::CallError;

/// Checks a call on an encrypted connection whose certificate went by a name.
///
/// # Errors
/// 400, as in APISIX: the host demands a certificate that this connection has not shown for it.
pub fn check(certificates: &Certificates, record: &Record) -> Result<(), CallError> {
    let Some(handshake) = record.handshake() else {
        return Ok(());
    };
    let host = host(record);
    let path = normalised(record.request.uri.path())?;
    if is_enough(certificates, handshake, &host, &path) {
        return Ok(());
    }
    Err(CallError::client(
        StatusCode::BAD_REQUEST,
        ErrorKind::BadRequest,
        "client_certificate_required",
        "this host asks for a client certificate, on a connection of its own",
    ))
}

fn is_enough(certificates: &Certificates, handshake: &Handshake, host: &str, path: &str) -> bool {
    // What the handshake left open for the sake of some paths.
    if let Some(demand) = &handshake.served.demand
        && !handshake.proved
        && !demand.exempts(path)
    {
        return false;
    }
    let Some(demand) = certificates.find(host).and_then(|served| served.demand.as_ref()) else {
        return true;
    };
    if demand.exempts(path) {
        return true;
    }
    // Who vouches for the clients of one name may not do so for those of another.
    handshake.proved && handshake.name.trim_end_matches('.') == host.trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::is_enough;
    use crate::certificates::{Certificates, Demand, Handshake, Served};

    fn served(demand: Option<Demand>) -> Arc<Served> {
        Arc::new(Served {
            id: "1".to_owned(),
            config: None,
            demand,
        })
    }

    fn handshake(name: &str, served: &Arc<Served>, proved: bool) -> Handshake {
        Handshake {
            name: name.to_owned(),
            served: served.clone(),
            proved,
        }
    }

    #[test]
    fn a_connection_made_for_one_name_does_not_open_a_host_that_demands_a_certificate() {
        let (open, closed) = (served(None), served(Some(Demand::default())));
        let mut certificates = Certificates::default();
        certificates.add("open.com", &open);
        certificates.add("*.closed.com", &closed);
        let enough = |handshake: &Handshake, host: &str| is_enough(&certificates, handshake, host, "/");
        let from_open = handshake("open.com", &open, false);
        assert!(enough(&from_open, "open.com"));
        assert!(enough(&from_open, "unknown.com"));
        assert!(!enough(&from_open, "a.closed.com"));
        let from_closed = handshake("a.closed.com", &closed, true);
        assert!(enough(&from_closed, "a.closed.com"));
        assert!(enough(&from_closed, "open.com"));
        assert!(!enough(&from_closed, "b.closed.com"));
    }

    #[test]
    fn a_demand_that_came_after_the_handshake_counts() {
        let before = handshake("a.com", &served(None), false);
        let mut certificates = Certificates::default();
        certificates.add("a.com", &served(Some(Demand::default())));
        assert!(!is_enough(&certificates, &before, "a.com", "/"));
    }
}
