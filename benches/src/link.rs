//! Connections with and without TLS, to what is measured and at the provider.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use rcgen::CertifiedKey;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// A connection, whatever it is made of.
pub type Link = Box<dyn Duplex>;

/// What bytes can be read from and written to.
pub trait Duplex: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

/// How clients connect.
#[derive(Clone, Default)]
pub struct Dialer(Option<TlsConnector>);

impl Dialer {
    /// Over TLS if there is a certificate to trust.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn new(trusted: Option<&Path>) -> io::Result<Dialer> {
        let Some(path) = trusted else {
            return Ok(Dialer(None));
        };
        let mut roots = RootCertStore::empty();
        for certificate in certificates(path)? {
            roots.add(certificate).map_err(io::Error::other)?;
        }
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Dialer(Some(TlsConnector::from(Arc::new(config)))))
    }

    /// Connects, handshake included.
    ///
    /// # Errors
    /// Nobody listens, or the certificate is another one.
    pub async fn connect(&self, address: &str) -> io::Result<Link> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let Some(connector) = &self.0 else {
            return Ok(Box::new(stream));
        };
        let name = ServerName::from(stream.peer_addr()?.ip());
        Ok(Box::new(connector.connect(name, stream).await?))
    }
}

/// How the provider takes connections over TLS.
///
/// # Errors
/// The files cannot be read, or do not belong together.
pub fn acceptor(certificate: &Path, key: &Path) -> io::Result<TlsAcceptor> {
    let key = PrivateKeyDer::from_pem_file(key).map_err(io::Error::other)?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(certificates(certificate)?, key)
        .map_err(io::Error::other)?;
    // For those who ask for it.
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Makes a certificate for servers at these addresses, which clients trust as it is: `certificate.pem` and `key.pem`.
///
/// # Errors
/// The folder cannot be written.
pub fn make_certificate(folder: &Path, addresses: &[IpAddr]) -> io::Result<()> {
    let mut names = vec!["localhost".to_owned()];
    names.extend(addresses.iter().map(IpAddr::to_string));
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(names).map_err(io::Error::other)?;
    fs::write(folder.join("certificate.pem"), cert.pem())?;
    fs::write(folder.join("key.pem"), signing_key.serialize_pem())
}

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| io::Error::other(format!("{}: {error}", path.display())))
}
