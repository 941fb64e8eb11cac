//! How this machine reaches hosts elsewhere, where it differs from what DNS and the built-in authorities say: private
//! endpoints of vendors, and peers that stand in for them.
//!
//! It belongs to the process, as the machine's own resolver does, and is settled before the first call.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::OnceLock;

use rustls_pki_types::CertificateDer;

use super::endpoint::{EndpointError, read_authorities};

static REACH: OnceLock<Reach> = OnceLock::new();

/// What differs from DNS and the built-in authorities.
#[derive(Debug, Default)]
pub struct Reach {
    /// `host:port`, in lower case, to where connections to it go.
    addresses: BTreeMap<String, SocketAddr>,
    /// Authorities trusted beside the built-in ones.
    authorities: Vec<CertificateDer<'static>>,
}

impl Reach {
    /// `addresses` maps `host:port` to where connections to it go.
    pub fn new(addresses: &BTreeMap<String, SocketAddr>) -> Self {
        Reach {
            addresses: addresses
                .iter()
                .map(|(name, address)| (name.to_ascii_lowercase(), *address))
                .collect(),
            authorities: Vec::new(),
        }
    }

    /// Trusts the authorities of a PEM file beside the built-in ones, for all upstreams that do not name a file of their own.
    ///
    /// # Errors
    /// The file cannot be read or holds no certificate.
    pub fn trust(&mut self, ca_file: &str) -> Result<(), EndpointError> {
        self.authorities.extend(read_authorities(ca_file)?);
        Ok(())
    }

    /// Makes it the process's. Only the first one counts, because connections may be open by then.
    pub fn establish(self) {
        // Another one is there already, which is what the contract says.
        let _ = REACH.set(self);
    }

    /// Where connections to a host go, if not where DNS says.
    fn address(&self, host: &str, port: u16) -> Option<SocketAddr> {
        if self.addresses.is_empty() {
            return None;
        }
        let name = format!("{}:{port}", host.to_ascii_lowercase());
        self.addresses.get(&name).copied()
    }
}

/// Where connections to a host go, if not where DNS says.
pub(crate) fn address(host: &str, port: u16) -> Option<SocketAddr> {
    REACH.get()?.address(host, port)
}

/// Authorities trusted beside the built-in ones.
pub(super) fn authorities() -> &'static [CertificateDer<'static>] {
    REACH.get().map_or(&[], |reach| &reach.authorities)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_found_by_name_and_port_whatever_its_case() {
        let there: SocketAddr = ([127, 0, 0, 1], 4443).into();
        let addresses = BTreeMap::from([("API.openai.com:443".to_owned(), there)]);
        let reach = Reach::new(&addresses);
        assert_eq!(reach.address("api.OpenAI.com", 443), Some(there));
        assert_eq!(reach.address("api.openai.com", 80), None);
        assert_eq!(reach.address("openai.com", 443), None);
    }

    #[test]
    fn a_file_that_holds_no_certificate_is_refused() {
        let error = Reach::default().trust("/nowhere.pem").unwrap_err();
        assert!(error.to_string().contains("/nowhere.pem"), "{error}");
    }
}
