//! What is believed of requests that other proxies have passed on to us.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName};
use tollgate_policy::{InvalidNetwork, Networks};

/// Whose word is taken about the client of a request.
#[derive(Default)]
pub struct Forwarding {
    real_ip: Option<RealIp>,
    trusted: Option<Networks>,
}

struct RealIp {
    header: HeaderName,
    from: Networks,
    recursive: bool,
}

/// A setting that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ForwardingError {
    /// Not the name of a header.
    #[error("real_ip_header: `{0}` is no header name")]
    Header(String),
    /// Not a network.
    #[error(transparent)]
    Network(#[from] InvalidNetwork),
}

impl Forwarding {
    /// Takes the client's address from `header` if the request comes from one of the networks `from`; `recursive` looks for
    /// the last address in it that is not one of theirs. `trusted`: networks whose `X-Forwarded-*` headers are passed on.
    ///
    /// # Errors
    /// A text that is no header or no network.
    pub fn new(
        header: &str,
        from: &[String],
        recursive: bool,
        trusted: &[String],
    ) -> Result<Self, ForwardingError> {
        let real_ip = if from.is_empty() {
            None
        } else {
            Some(RealIp {
                header: header
                    .parse()
                    .map_err(|_| ForwardingError::Header(header.to_owned()))?,
                from: Networks::parse(from)?,
                recursive,
            })
        };
        let trusted = if trusted.is_empty() {
            None
        } else {
            Some(Networks::parse(trusted)?)
        };
        Ok(Forwarding { real_ip, trusted })
    }

    /// Whether `X-Forwarded-*` headers from this address are believed.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.trusted
            .as_ref()
            .is_some_and(|trusted| trusted.contains(peer))
    }

    /// The client's address, where somebody who may say so has said another one than the connection's.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> Option<IpAddr> {
        let real_ip = self.real_ip.as_ref()?;
        if !real_ip.from.contains(peer) {
            return None;
        }
        let mut told: Vec<IpAddr> = Vec::new();
        for value in headers.get_all(&real_ip.header) {
            for text in value.to_str().ok()?.split(',') {
                told.push(address(text.trim())?);
            }
        }
        if real_ip.recursive {
            let theirs = |address: &IpAddr| real_ip.from.contains(*address);
            if let Some(client) = told.iter().rev().find(|address| !theirs(address)) {
                return Some(*client);
            }
            return told.first().copied();
        }
        told.last().copied()
    }
}

/// An address, with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    text.parse()
        .ok()
        .or_else(|| text.parse().ok().map(|socket: std::net::SocketAddr| socket.ip()))
        .or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use http::{HeaderMap, HeaderValue};

    use super::Forwarding;

    fn client(forwarding: &Forwarding, peer: &str, header: &'static str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", HeaderValue::from_static(header));
        forwarding
            .client(peer.parse().unwrap(), &headers)
            .map(|address: IpAddr| address.to_string())
    }

    fn forwarding(recursive: bool) -> Forwarding {
        Forwarding::new("x-forwarded-for", &["10.0.0.0/8".to_owned()], recursive, &[]).unwrap()
    }

    #[test]
    fn only_a_trusted_proxy_may_say_who_the_client_is() {
        let last = forwarding(false);
        assert_eq!(client(&last, "10.0.0.1", "1.2.3.4").as_deref(), Some("1.2.3.4"));
        assert_eq!(client(&last, "11.0.0.1", "1.2.3.4"), None);
        assert_eq!(client(&last, "10.0.0.1", "nonsense"), None);
        assert_eq!(
            client(&last, "10.0.0.1", "1.2.3.4:80").as_deref(),
            Some("1.2.3.4")
        );
    }

    #[test]
    fn what_clients_put_before_the_trusted_part_of_a_list_is_not_believed() {
        let header = "6.6.6.6, 1.2.3.4, 10.0.0.9";
        assert_eq!(
            client(&forwarding(true), "10.0.0.1", header).as_deref(),
            Some("1.2.3.4")
        );
        assert_eq!(
            client(&forwarding(false), "10.0.0.1", header).as_deref(),
            Some("10.0.0.9")
        );
        assert_eq!(
            client(&forwarding(true), "10.0.0.1", "10.0.0.9").as_deref(),
            Some("10.0.0.9")
        );
    }
}
