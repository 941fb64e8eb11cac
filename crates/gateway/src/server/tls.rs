//! TLS for clients.

use std::fs;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

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
}

/// Reads a certificate chain and its key from PEM files. Offers HTTP/2 and HTTP/1.1.
///
/// # Errors
/// A file cannot be read, or certificate and key do not fit.
pub fn server_config(certificate_file: &str, key_file: &str) -> Result<Arc<ServerConfig>, ServerTlsError> {
    let failed = |path: &str, reason: String| ServerTlsError::File {
        path: path.to_owned(),
        reason,
    };
    let pem = fs::read(certificate_file).map_err(|error| failed(certificate_file, error.to_string()))?;
    let chain = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| failed(certificate_file, error.to_string()))?;
    if chain.is_empty() {
        return Err(failed(certificate_file, "it holds no certificate".to_owned()));
    }
    let key = PrivateKeyDer::from_pem_file(key_file).map_err(|error| failed(key_file, error.to_string()))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
