//! Certificates that are demanded of clients.

use std::sync::Arc;

use regex::Regex;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};
use tollgate_resources::objects::SslClient;

use super::pem;

/// What is demanded of clients of a name: a certificate, but for calls of some paths.
#[derive(Debug, Default)]
pub struct Demand {
    /// Paths whose calls need none.
    exempt: Vec<Regex>,
}

impl Demand {
    /// Whether calls of a path, normalised, need no certificate.
    pub fn exempts(&self, path: &str) -> bool {
        self.exempt.iter().any(|pattern| pattern.is_match(path))
    }

    /// Reads the patterns of the paths that need none.
    pub(super) fn patterns(client: &SslClient) -> Result<Self, String> {
        let pattern = |text: &String| {
            Regex::new(text).map_err(|_| format!("client.skip_mtls_uri_regex: `{text}` is no pattern"))
        };
        Ok(Demand {
            exempt: client
                .skip_mtls_uri_regex
                .iter()
                .map(pattern)
                .collect::<Result<_, _>>()?,
        })
    }

    /// What checks the certificates of clients. Where paths are exempt, a client may show none: which path it calls is not
    /// known yet.
    pub(super) fn verifier(
        &self,
        client: &SslClient,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, String> {
        let told = |error: String| format!("failed to validate client_cert: {error}");
        let authorities = pem::chain(&client.ca).map_err(told)?;
        let roots = Arc::new(pem::authorities(&client.ca).map_err(told)?);
        let mut builder = WebPkiClientVerifier::builder_with_provider(roots, provider.clone());
        if !self.exempt.is_empty() {
            builder = builder.allow_unauthenticated();
        }
        let verifier = builder.build().map_err(|error| told(error.to_string()))?;
        Ok(Arc::new(Shallow {
            verifier,
            authorities,
            depth: usize::try_from(client.depth.unwrap_or(DEFAULT_DEPTH)).unwrap_or(usize::MAX),
        }))
    }
}

/// APISIX's: how many certificates may stand between a client's and that of an authority.
const DEFAULT_DEPTH: u64 = 1;

/// Limits how far a client's certificate may be from an authority.
#[derive(Debug)]
struct Shallow {
    verifier: Arc<dyn ClientCertVerifier>,
    authorities: Vec<CertificateDer<'static>>,
    depth: usize,
}

impl ClientCertVerifier for Shallow {
    fn offer_client_auth(&self) -> bool {
        self.verifier.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.verifier.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }

    /// Clients send their chain in order, so what is too far away is what comes last; an authority that is sent along does
    /// not count.
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let near: Vec<CertificateDer<'_>> = intermediates
            .iter()
            .filter(|certificate| !self.authorities.contains(certificate))
            .take(self.depth)
            .cloned()
            .collect();
        self.verifier.verify_client_cert(end_entity, &near, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verifier
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.verifier.supported_verify_schemes()
    }
}
