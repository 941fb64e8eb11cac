//! One `ssl` object, ready for handshakes.

use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, SupportedProtocolVersion};
use tollgate_resources::model::TlsVersion;
use tollgate_resources::objects::Ssl;

use super::clients::Demand;
use super::pem;

/// What clients of some names are shown, and what is demanded of them.
#[derive(Debug)]
pub struct Served {
    /// Id of the object, for logs.
    pub id: String,
    /// How connections are accepted. `None` when the object cannot work: its names are refused then, because a wildcard
    /// that takes them instead may demand less.
    pub config: Option<Arc<ServerConfig>>,
    /// What is demanded of clients; `None` for nothing.
    pub demand: Option<Demand>,
}

/// What a connection's handshake has settled.
#[derive(Debug)]
pub struct Handshake {
    /// The name the client asked for, or the one that stands for none.
    pub name: String,
    /// What it was shown.
    pub served: Arc<Served>,
    /// Whether the client has proved who it is.
    pub proved: bool,
}

impl Served {
    /// Compiles an object of the type `server`, whose secrets have been replaced by what they stand for, or says why that
    /// was not possible. `has_demand` tells of either whether it demands certificates of clients. `default` are the versions
    /// of an object that names none; empty for all there are.
    pub fn compile(id: &str, ssl: Result<Ssl, String>, has_demand: bool, default: &[TlsVersion]) -> Self {
        match ssl.and_then(|ssl| build(&ssl, default)) {
            Ok((config, demand)) => Served {
                id: id.to_owned(),
                config: Some(config),
                demand,
            },
            Err(problem) => {
                tracing::error!(
                    ssl = id,
                    problem,
                    "a certificate cannot be shown, its names are refused"
                );
                Served {
                    id: id.to_owned(),
                    config: None,
                    demand: has_demand.then(Demand::default),
                }
            }
        }
    }
}

fn build(ssl: &Ssl, default: &[TlsVersion]) -> Result<(Arc<ServerConfig>, Option<Demand>), String> {
    let provider = pem::provider();
    let own = ssl.cert.iter().zip(&ssl.key);
    let pairs = own
        .chain(ssl.certs.iter().zip(&ssl.keys))
        .map(|(cert, key)| pem::pair(cert, key, &provider).map(Arc::new))
        .collect::<Result<Vec<_>, _>>()?;
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions(&ssl.ssl_protocols, default)?)
        .map_err(|error| error.to_string())?;
    let demand = ssl.client.as_ref().map(Demand::patterns).transpose()?;
    let builder = match (&ssl.client, &demand) {
        (Some(client), Some(demand)) => {
            builder.with_client_cert_verifier(demand.verifier(client, &provider)?)
        }
        _ => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(Pairs(pairs)));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok((Arc::new(config), demand))
}

/// The versions of TLS that an object allows, by APISIX's names. There is no TLS 1.1 any more.
pub(super) fn versions(
    named: &[String],
    default: &[TlsVersion],
) -> Result<Vec<&'static SupportedProtocolVersion>, String> {
    let allowed = |version: TlsVersion| {
        if named.is_empty() {
            default.is_empty() || default.contains(&version)
        } else {
            named.iter().any(|name| name == version.as_str())
        }
    };
    let mut versions = Vec::new();
    if allowed(TlsVersion::V1_2) {
        versions.push(&rustls::version::TLS12);
    }
    if allowed(TlsVersion::V1_3) {
        versions.push(&rustls::version::TLS13);
    }
    if versions.is_empty() {
        return Err("ssl_protocols: TLSv1.1 is not served; add TLSv1.2 or TLSv1.3".to_owned());
    }
    Ok(versions)
}

/// Several certificates for the same names, such as ECDSA beside RSA.
#[derive(Debug)]
struct Pairs(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for Pairs {
    /// The client's favourite among those it understands.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        hello.signature_schemes().iter().find_map(|scheme| {
            self.0
                .iter()
                .find(|pair| pair.key.choose_scheme(&[*scheme]).is_some())
                .cloned()
        })
    }
}
