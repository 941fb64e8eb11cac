//! Where a request goes: scheme, host, port, path and query.
//!
//! Knows addresses of vendors and how configured ones replace them. Refuses to know connections.

use std::fmt;

use thiserror::Error;

use super::config::InstanceConf;
use super::protocol::Protocol;

/// Where a request goes.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// Whether the connection is encrypted.
    pub https: bool,
    /// Name or address, without port and brackets; the name that a certificate must show.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path, percent-encoded.
    pub path: String,
    /// Query without question mark. May hold a credential.
    pub query: Option<String>,
    /// The value of the `host` header.
    pub host_header: String,
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The API that the vendor is spoken to in.
    pub protocol: Protocol,
    /// The effective model, if one is known.
    pub model: Option<&'a str>,
    /// Whether the client asks for a stream.
    pub streaming: bool,
    /// The path of the client's request.
    pub path: &'a str,
    /// The query of the client's request, without question mark.
    pub query: Option<&'a str>,
}

/// A request that has nowhere to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum TargetError {
    /// Neither the configuration nor the request says what the path is made of.
    #[error(
        "could not resolve upstream path: ensure the route or request body specifies a model, or that override.endpoint \
         includes a path"
    )]
    NoPath,
    /// The vendor has no address of its own and none is configured.
    #[error("no address is configured for the provider: set override.endpoint")]
    NoHost,
}

impl Target {
    /// Finds where a request goes. `strict`: an endpoint that ends with `/` right behind the host replaces the path, as in
    /// APISIX; otherwise the vendor's path is used.
    ///
    /// # Errors
    /// See [`TargetError`].
    pub fn resolve(conf: &InstanceConf, asked: &Asked<'_>, strict: bool) -> Result<Target, TargetError> {
        let _ = (conf, asked, strict);
        Err(TargetError::NoPath)
    }
}

// A query may carry a key.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.host_header, self.path)
    }
}
