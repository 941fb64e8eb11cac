//! TLS for clients: from files, one certificate for all, or from objects, by the name a client asks for.

use std::fs;
use std::io;
use std::sync::Arc;

use rustls::server::{Acceptor, ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::certificates::{Certificates, Handshake};

/// A certificate or key that cannot be used.
#[derive(Debug, Error)]
pub enum ServerTlsError {
    /// The file cannot be read or holds nothing useful.
    #[error("cannot read `{path}`: {reason}")]
    File {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// Certificate and key do not fit.
    #[error("the certificate is refused: {0}")]
    Tls(#[from] rustls::Error),
    /// The library refuses the authorities that vouch for clients.
    #[error("the authorities for clients are refused: {0}")]
    Clients(#[from] rustls::server::VerifierBuilderError),
}

/// Which protocols a listener offers inside TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// HTTP/2 and HTTP/1.1.
    Both,
    /// HTTP/1.1 only.
    Http1,
}

/// Reads a certificate chain and its key from PEM files. With `client_ca_file`, clients must show a certificate that one of
/// its authorities vouches for.
///
/// # Errors
/// A file cannot be read, or certificate and key do not fit.
pub fn server_config(
    certificate_file: &str,
    key_file: &str,
    client_ca_file: Option<&str>,
    offer: Offer,
) -> Result<Arc<ServerConfig>, ServerTlsError> {
    let chain = certificates(certificate_file)?;
    let key =
        PrivateKeyDer::from_pem_file(key_file).map_err(|error| unreadable(key_file, error.to_string()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let builder = match client_ca_file {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(file)? {
                roots
                    .add(authority)
                    .map_err(|error| unreadable(file, error.to_string()))?;
            }
            builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?,
            )
        }
    };
    let mut config = builder.with_single_cert(chain, key)?;
    config.alpn_protocols = match offer {
        Offer::Both => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        Offer::Http1 => vec![b"http/1.1".to_vec()],
    };
    Ok(Arc::new(config))
}

fn certificates(file: &str) -> Result<Vec<CertificateDer<'static>>, ServerTlsError> {
    let pem = fs::read(file).map_err(|error| unreadable(file, error.to_string()))?;
    let chain = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| unreadable(file, error.to_string()))?;
    if chain.is_empty() {
        return Err(unreadable(file, "it holds no certificate".to_owned()));
    }
    Ok(chain)
}

fn unreadable(path: &str, reason: String) -> ServerTlsError {
    ServerTlsError::File {
        path: path.to_owned(),
        reason,
    }
}

/// What a socket speaks.
#[derive(Clone)]
pub enum Tls {
    /// Plain HTTP.
    Off,
    /// TLS with one certificate for all.
    Fixed(Arc<ServerConfig>),
    /// TLS with the certificates of the current snapshot.
    ByName(ByName),
}

/// TLS with certificates by the name a client asks for.
#[derive(Clone)]
pub struct ByName {
    fallback: Option<Arc<str>>,
    /// What tells clients in TLS's own words that there is nothing for them.
    refusal: Arc<ServerConfig>,
}

impl ByName {
    /// `fallback` is the name that stands for none.
    ///
    /// # Errors
    /// The library refuses its own defaults.
    pub fn new(fallback: Option<&str>) -> Result<Self, ServerTlsError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let refusal = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Nothing));
        Ok(ByName {
            fallback: fallback.map(Arc::from),
            refusal: Arc::new(refusal),
        })
    }

    /// Finds out whom a client wants, and shows it that certificate. `current` is asked when the name is known, so that a
    /// client that is slow to say it gets what is served by then.
    pub(super) async fn accept(
        &self,
        tcp: TcpStream,
        current: impl FnOnce() -> Arc<Certificates>,
    ) -> io::Result<(TlsStream<TcpStream>, Handshake)> {
        let started = LazyConfigAcceptor::new(Acceptor::default(), tcp).await?;
        let asked = started.client_hello().server_name().map(str::to_ascii_lowercase);
        let name = asked.or_else(|| self.fallback.as_deref().map(str::to_owned));
        let found = name.and_then(|name| {
            let served = current().find(&name)?.clone();
            Some((served.config.clone()?, served, name))
        });
        let Some((config, served, name)) = found else {
            started.into_stream(self.refusal.clone()).await?;
            return Err(io::Error::other("there is no certificate for the name"));
        };
        let stream = started.into_stream(config).await?;
        let proved = stream
            .get_ref()
            .1
            .peer_certificates()
            .is_some_and(|chain| !chain.is_empty());
        Ok((stream, Handshake { name, served, proved }))
    }
}

/// No certificate for anybody.
#[derive(Debug)]
struct Nothing;

impl ResolvesServerCert for Nothing {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        None
    }
}
