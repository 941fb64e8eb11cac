//! Where a provider is: a parsed base address with its TLS settings, and the identity under which connections are pooled.

use std::fs;
use std::sync::Arc;

use http::HeaderValue;
use http::uri::{Authority, Uri};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use thiserror::Error;
use tollgate_resources::egress::Origin;

use super::{Keep, reach};

/// How bytes travel to the provider.
#[derive(Clone, Debug)]
pub enum Scheme {
    /// The provider built into this binary; the query of the address configures it.
    Simulated {
        /// Such as `latency_ms=100&fail=500`.
        query: String,
    },
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https {
        /// Trust and protocol settings.
        config: Arc<ClientConfig>,
        /// The name that the certificate must show.
        server_name: ServerName<'static>,
    },
}

/// A provider's base address, ready for use.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// How bytes travel.
    pub scheme: Scheme,
    /// Name or address without port.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The value of the `host` header.
    pub authority: HeaderValue,
    /// Path without trailing slash, such as `/v1`.
    pub base_path: String,
    /// Query of the base address, appended to every request, such as `api-version=2024-06-01`.
    pub query: Option<String>,
    /// Connections are shared by endpoints with the same key: scheme, host, port and TLS settings.
    pub pool_key: Arc<str>,
    /// How long and how many connections are kept for later calls.
    pub keep: Keep,
    /// Who has named it.
    pub origin: Origin,
    /// Whether calls go over HTTP/2 if the server speaks it.
    pub offers_http2: bool,
}

/// TLS settings of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// PEM file with the authorities to trust instead of the built-in ones.
    pub ca_file: Option<String>,
    /// Whether certificates are checked at all.
    pub verify: bool,
}

/// Our own certificate, for servers that ask for one.
pub struct ClientIdentity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl ClientIdentity {
    /// Reads a certificate with those above it, and its key, both as PEM.
    ///
    /// # Errors
    /// They cannot be read; the text never repeats them.
    pub fn from_pem(chain: &str, key: &str) -> Result<Self, EndpointError> {
        let chain = CertificateDer::pem_slice_iter(chain.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .ok()
            .filter(|chain| !chain.is_empty())
            .ok_or(EndpointError::ClientIdentity("certificate"))?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|_| EndpointError::ClientIdentity("key"))?;
        Ok(ClientIdentity { chain, key })
    }
}

/// An address that cannot be used.
#[derive(Debug, Error)]
pub enum EndpointError {
    /// Not an absolute `http`, `https` or `simulated` address.
    #[error("`{0}` is not an address; write https://host/path, http://host/path or simulated:")]
    NotAnAddress(String),
    /// The host cannot stand in a certificate.
    #[error("`{0}` is not a host name")]
    BadHost(String),
    /// The file of authorities cannot be read.
    #[error("cannot read the certificate authorities from `{path}`: {reason}")]
    CaFile {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
    /// Our own certificate or its key is not PEM.
    #[error("the client {0} cannot be read as PEM")]
    ClientIdentity(&'static str),
    /// The TLS library refuses the settings.
    #[error("TLS settings are refused: {0}")]
    Tls(#[from] rustls::Error),
}

impl Endpoint {
    /// Where it is: scheme, host and port.
    pub fn place(&self) -> String {
        let scheme = match self.scheme {
            Scheme::Https { .. } => "https",
            Scheme::Http => "http",
            Scheme::Simulated { .. } => "simulated",
        };
        format!("{scheme}://{}:{}", self.host, self.port)
    }

    /// Parses a base address that an object has named.
    ///
    /// # Errors
    /// The address or its TLS settings cannot be used.
    pub fn parse(address: &str, tls: &TlsSettings) -> Result<Self, EndpointError> {
        if let Some(rest) = address.strip_prefix("simulated:") {
            return Ok(Self::simulated(
                rest.trim_start_matches('/').trim_start_matches('?'),
            ));
        }
        let not_an_address = || EndpointError::NotAnAddress(address.to_owned());
        let uri: Uri = address.parse().map_err(|_| not_an_address())?;
        let authority: &Authority = uri.authority().ok_or_else(not_an_address)?;
        if authority.as_str().contains('@') {
            return Err(not_an_address());
        }
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let (scheme, default_port) = match uri.scheme_str() {
            Some("http") => (Scheme::Http, 80),
            Some("https") => {
                let server_name =
                    ServerName::try_from(host.clone()).map_err(|_| EndpointError::BadHost(host.clone()))?;
                (
                    Scheme::Https {
                        config: client_config(tls, None)?,
                        server_name,
                    },
                    443,
                )
            }
            _ => return Err(not_an_address()),
        };
        let port = authority.port_u16().unwrap_or(default_port);
        let pool_key = format!(
            "{}|{host}|{port}|{:?}|{}",
            uri.scheme_str().unwrap_or_default(),
            tls.ca_file,
            tls.verify
        );
        Ok(Endpoint {
            scheme,
            host,
            port,
            authority: HeaderValue::from_str(authority.as_str()).map_err(|_| not_an_address())?,
            base_path: uri.path().trim_end_matches('/').to_owned(),
            query: uri.query().map(str::to_owned),
            pool_key: pool_key.into(),
            keep: Keep::default(),
            origin: Origin::Object,
            offers_http2: false,
        })
    }

    /// The same endpoint, asked over HTTP/2: where the server agrees to it in the TLS handshake, or without TLS in any case. It shares
    /// no connections with those that are asked over HTTP/1.1.
    #[must_use]
    pub fn over_http2(mut self) -> Self {
        if let Scheme::Https { config, .. } = &mut self.scheme {
            let mut offering = (**config).clone();
            offering.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            *config = offering.into();
        }
        Endpoint {
            pool_key: format!("http2|{}", self.pool_key).into(),
            offers_http2: true,
            ..self
        }
    }

    /// The same endpoint, named by the operator. It shares no connections with those that objects name, for which other rules
    /// hold.
    #[must_use]
    pub fn of_operator(self) -> Self {
        Endpoint {
            pool_key: format!("operator|{}", self.pool_key).into(),
            origin: Origin::Operator,
            ..self
        }
    }

    fn simulated(query: &str) -> Self {
        Endpoint {
            scheme: Scheme::Simulated {
                query: query.to_owned(),
            },
            host: "simulated".to_owned(),
            port: 0,
            authority: HeaderValue::from_static("simulated"),
            base_path: "/v1".to_owned(),
            query: None,
            pool_key: "simulated".into(),
            keep: Keep::default(),
            origin: Origin::Operator,
            offers_http2: false,
        }
    }
}

/// TLS settings as connections use them.
///
/// # Errors
/// The authorities cannot be read, or the library refuses the settings.
pub fn client_config(
    tls: &TlsSettings,
    identity: Option<ClientIdentity>,
) -> Result<Arc<ClientConfig>, EndpointError> {
    let mut roots = RootCertStore::empty();
    match &tls.ca_file {
        None if !tls.verify => {}
        None => {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            for certificate in reach::authorities() {
                roots.add(certificate.clone())?;
            }
        }
        Some(path) => {
            for certificate in read_authorities(path)? {
                roots.add(certificate)?;
            }
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
    let builder = if tls.verify {
        builder.with_root_certificates(roots)
    } else {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Unverified(provider)))
    };
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(ClientIdentity { chain, key }) => builder.with_client_auth_cert(chain, key)?,
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The certificates of a PEM file, each of which can be an authority.
pub(super) fn read_authorities(path: &str) -> Result<Vec<CertificateDer<'static>>, EndpointError> {
    let failed = |reason: String| EndpointError::CaFile {
        path: path.to_owned(),
        reason,
    };
    let pem = fs::read(path).map_err(|error| failed(error.to_string()))?;
    let mut certificates = Vec::new();
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| failed(error.to_string()))?;
        roots
            .add(certificate.clone())
            .map_err(|error| failed(error.to_string()))?;
        certificates.push(certificate);
    }
    if certificates.is_empty() {
        return Err(failed("it holds no certificate".to_owned()));
    }
    Ok(certificates)
}

/// Accepts every certificate: only where the operator switched verification off for a provider. Signatures are still
/// checked, so the connection is encrypted, but anyone on the way may be at its other end.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
