//! Certificates and keys as text. What is wrong with them is told in APISIX's words, and never repeats them.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error, InconsistentKeys, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// The cryptography all TLS of the gateway uses.
pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Reads a certificate with those above it.
pub(super) fn chain(text: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| bad_cert(&error.to_string()))?;
    if chain.is_empty() {
        return Err(bad_cert("it holds no PEM certificate"));
    }
    Ok(chain)
}

/// Reads a certificate with those above it, and the key that belongs to it.
pub(super) fn pair(chain_text: &str, key: &str, provider: &CryptoProvider) -> Result<CertifiedKey, String> {
    let chain = chain(chain_text)?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
        .map_err(|_| bad_key("it holds no PEM key, or an encrypted one"))?;
    let key = provider
        .key_provider
        .load_private_key(key)
        .map_err(|_| bad_key("its kind or size is not supported"))?;
    let pair = CertifiedKey::new(chain, key);
    match pair.keys_match() {
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err(bad_key("it does not belong to the certificate"))
        }
        Err(Error::InvalidCertificate(CertificateError::BadEncoding)) => {
            Err(bad_cert("it is no X.509 certificate"))
        }
        // Certificates may be of forms that only their reader has to understand, such as those of version 1.
        _ => Ok(pair),
    }
}

/// Reads authorities.
pub(super) fn authorities(text: &str) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(text)? {
        roots
            .add(certificate)
            .map_err(|_| bad_cert("it is no X.509 certificate"))?;
    }
    Ok(roots)
}

fn bad_cert(reason: &str) -> String {
    format!("failed to parse cert: {reason}")
}

fn bad_key(reason: &str) -> String {
    format!("failed to parse key: {reason}")
}
