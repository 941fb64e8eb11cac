//! Where an HTTP server is, as it is configured: `https://collector.example:4318/v1/traces`.

use std::fmt;
use std::sync::Arc;

use http::Uri;
use http::uri::{Authority, PathAndQuery};

use tollgate_resources::egress::Origin;

use super::connect::{Place, Tls};
use super::error::AddressError;
use super::{ClientConfig, Version};

/// An absolute `http` or `https` address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    authority: Authority,
    host: String,
    port: u16,
    is_https: bool,
    path: PathAndQuery,
    origin: Origin,
}

impl Address {
    /// Parses an address that the operator has named; the port is 80 or 443 where none is written.
    ///
    /// # Errors
    /// It is not an address, or holds a password.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let not_an_address = || AddressError::NotAnAddress(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| not_an_address())?;
        let (is_https, usual_port) = match uri.scheme_str() {
            Some("http") => (false, 80),
            Some("https") => (true, 443),
            _ => return Err(not_an_address()),
        };
        let authority = uri.authority().ok_or_else(not_an_address)?.clone();
        if authority.as_str().contains('@') {
            return Err(AddressError::Credentials);
        }
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        if host.is_empty() {
            return Err(not_an_address());
        }
        let path = uri.path_and_query().cloned();
        Ok(Address {
            port: authority.port_u16().unwrap_or(usual_port),
            path: path.unwrap_or_else(|| PathAndQuery::from_static("/")),
            authority,
            host,
            is_https,
            origin: Origin::Operator,
        })
    }

    /// The same address, named by `origin`.
    #[must_use]
    pub fn named_by(self, origin: Origin) -> Self {
        Address { origin, ..self }
    }

    /// Whether it is reached over TLS.
    pub fn is_https(&self) -> bool {
        self.is_https
    }

    /// Path and query, at least `/`.
    pub fn path(&self) -> &PathAndQuery {
        &self.path
    }

    /// Host and port as they were written, for the `host` header.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// Where to connect. `tls` is trust for `https`; it is not used for `http`.
    ///
    /// # Errors
    /// The host cannot stand in a certificate.
    pub fn place(&self, tls: &Arc<ClientConfig>, version: Version) -> Result<Place, AddressError> {
        let protocol: &[u8] = match version {
            Version::Http1 => b"http/1.1",
            Version::Http2 => b"h2",
        };
        let tls = match self.is_https {
            true => Some(Tls::new(tls, &self.host, &[protocol])?),
            false => None,
        };
        Ok(Place {
            host: self.host.clone(),
            port: self.port,
            tls,
            origin: self.origin,
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.path.path())
    }
}
