//! The headers of a request to a vendor.

use http::HeaderMap;
use thiserror::Error;

use super::catalogue::Served;
use super::config::InstanceConf;
use super::protocol::Protocol;

/// A configured header cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("auth.header: `{name}` cannot be sent")]
pub struct UnusableHeader {
    /// Its name.
    pub name: String,
}

/// Makes the headers of a request to a vendor from those of the client. `host`, `content-length` and what signs or
/// authorises by other means than `auth.header` is left to the caller. `protocol` is the one the vendor is spoken to in.
///
/// `strict` forwards the client's credentials as APISIX does.
///
/// # Errors
/// A configured header cannot be sent.
pub fn headers(
    client: &HeaderMap,
    conf: &InstanceConf,
    protocol: Protocol,
    served: Served,
    strict: bool,
) -> Result<HeaderMap, UnusableHeader> {
    let _ = (client, conf, protocol, served, strict);
    Ok(HeaderMap::new())
}
