//! One check of one address.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use http::header::{CONTENT_LENGTH, HOST, USER_AGENT};
use http::{HeaderValue, Request, Uri};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tollgate_policy::health::Found;
use tollgate_resources::egress::{self, Origin};

use super::check::Check;
use crate::ai::config::CheckKind;
use crate::upstream::{RequestBody, TlsSettings, client_config};

/// Largest head of an answer, in bytes.
const MAX_HEAD: usize = 64 * 1024;

/// What is needed to ask, made once for all addresses of an instance.
pub(super) struct Prober {
    check: Arc<Check>,
    uri: Uri,
    tls: Option<(ServerName<'static>, Arc<ClientConfig>)>,
}

impl Prober {
    /// Prepares a check.
    ///
    /// # Errors
    /// Nothing can be asked; the text says why.
    pub(super) fn new(check: &Arc<Check>) -> Result<Self, String> {
        let tls = match check.kind {
            CheckKind::Https => {
                let settings = TlsSettings {
                    ca_file: None,
                    verify: check.verify,
                };
                let name =
                    ServerName::try_from(check.server_name.clone()).map_err(|error| error.to_string())?;
                Some((
                    name,
                    client_config(&settings, None).map_err(|error| error.to_string())?,
                ))
            }
            CheckKind::Http | CheckKind::Tcp => None,
        };
        Ok(Prober {
            check: check.clone(),
            uri: check
                .path
                .parse()
                .map_err(|error: http::uri::InvalidUri| error.to_string())?,
            tls,
        })
    }

    /// Asks an address, on a connection of its own. Takes no longer than the check's time limit.
    pub(super) async fn ask(&self, address: SocketAddr) -> Found {
        match tokio::time::timeout(self.check.timeout, self.exchange(address)).await {
            Ok(found) => found.unwrap_or(Found::Broken),
            Err(_) => Found::Late,
        }
    }

    /// `None`: the connection failed or broke.
    async fn exchange(&self, address: SocketAddr) -> Option<Found> {
        egress::check(Origin::Object, &self.check.target.host, address.ip()).ok()?;
        let tcp = TcpStream::connect(address).await.ok()?;
        // Nothing depends on it but speed.
        let _ = tcp.set_nodelay(true);
        match (&self.tls, self.check.kind) {
            (_, CheckKind::Tcp) => Some(Found::Connected),
            (Some((name, config)), _) => {
                let tls = TlsConnector::from(config.clone())
                    .connect(name.clone(), tcp)
                    .await
                    .ok()?;
                self.request(tls).await
            }
            (None, _) => self.request(tcp).await,
        }
    }

    async fn request(&self, stream: impl AsyncRead + AsyncWrite + Unpin + 'static) -> Option<Found> {
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_HEAD)
            .handshake(TokioIo::new(stream))
            .await
            .ok()?;
        let mut request = Request::new(RequestBody::from(self.check.body.clone()));
        *request.method_mut() = self.check.method.clone();
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static("tollgate-health-check"));
        if !self.check.body.is_empty() {
            headers.insert(CONTENT_LENGTH, self.check.body.len().into());
        }
        headers.extend(self.check.headers.clone());
        headers.insert(HOST, self.check.authority.clone());
        // The body is not read: the status says it all, and the connection closes with the future.
        tokio::select! {
            biased;
            answer = sender.send_request(request) => answer.ok().map(|answer| Found::Status(answer.status().as_u16())),
            () = until_closed(connection) => None,
        }
    }
}

async fn until_closed<E>(connection: impl Future<Output = Result<(), E>>) {
    // An answer may be there already: whoever waits for it is told before.
    let _ = connection.await;
    tokio::task::yield_now().await;
}
