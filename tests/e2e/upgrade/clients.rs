//! Clients that count what goes wrong. None of them tries anything a second time.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::harness::{PATIENCE, Request, post};

/// How clients reach the gateway.
#[derive(Clone)]
pub struct Way {
    address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
}

trait Both: Read + Write + Send {}
impl<T: Read + Write + Send> Both for T {}

impl Way {
    /// Without encryption, or trusting this certificate.
    pub fn new(address: SocketAddr, trusted: Option<&CertificateDer<'static>>) -> Way {
        let tls = trusted.map(|certificate| {
            let mut roots = RootCertStore::empty();
            roots.add(certificate.clone()).expect("a certificate");
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let config = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .expect("versions")
                .with_root_certificates(roots)
                .with_no_client_auth();
            Arc::new(config)
        });
        Way { address, tls }
    }

    fn connect(&self) -> Result<Link, String> {
        let failed = |error: std::io::Error| format!("connect: {error}");
        let socket = TcpStream::connect(self.address).map_err(failed)?;
        socket.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        socket.set_nodelay(true).map_err(failed)?;
        let stream: Box<dyn Both> = match &self.tls {
            None => Box::new(socket),
            Some(config) => {
                let name = ServerName::try_from("localhost").expect("a name");
                let connection =
                    ClientConnection::new(config.clone(), name).map_err(|error| error.to_string())?;
                Box::new(StreamOwned::new(connection, socket))
            }
        };
        Ok(Link {
            stream,
            read: Vec::new(),
        })
    }
}

/// A connection.
struct Link {
    stream: Box<dyn Both>,
    read: Vec<u8>,
}

impl Link {
    /// Sends a request and reads the answer, which must be a good one. Tells whether the connection goes on.
    fn call(&mut self, request: &[u8]) -> Result<bool, String> {
        self.stream
            .write_all(request)
            .map_err(|error| format!("write: {error}"))?;
        let end = loop {
            if let Some(at) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            self.fill("head")?;
        };
        let head = String::from_utf8_lossy(&self.read[..end]).to_lowercase();
        self.read.drain(..end);
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ")?.trim().parse().ok())
            .ok_or_else(|| format!("no length: {head}"))?;
        while self.read.len() < length {
            self.fill("body")?;
        }
        let body: Vec<u8> = self.read.drain(..length).collect();
        if !head.starts_with("http/1.1 200") {
            return Err(format!("{head}{}", String::from_utf8_lossy(&body)));
        }
        Ok(!head.contains("connection: close"))
    }

    fn fill(&mut self, what: &str) -> Result<(), String> {
        let mut part = [0; 16 * 1024];
        match self.stream.read(&mut part) {
            Ok(0) => Err(format!(
                "closed within the {what}, after {} bytes",
                self.read.len()
            )),
            Ok(length) => {
                self.read.extend_from_slice(&part[..length]);
                Ok(())
            }
            Err(error) => Err(format!("{what}: {error}")),
        }
    }
}

/// Clients that call until they are stopped.
pub struct Clients {
    stop: Arc<AtomicBool>,
    good: Arc<AtomicUsize>,
    bad: Arc<Mutex<Vec<String>>>,
    threads: Vec<JoinHandle<()>>,
}

/// What they have seen.
pub struct Seen {
    /// Good answers.
    pub good: usize,
    /// Everything else.
    pub bad: Vec<String>,
}

/// A call of a simulated model.
fn request(close: bool) -> Request {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"Hello"}]}"#;
    let request = post("/v1/chat/completions", body);
    if close {
        request.header("connection", "close")
    } else {
        request
    }
}

impl Clients {
    /// So many clients that open a connection for each call, and as many that keep theirs as long as they may.
    pub fn start(way: &Way, number: usize) -> Clients {
        let mut clients = Clients {
            stop: Arc::default(),
            good: Arc::default(),
            bad: Arc::default(),
            threads: Vec::new(),
        };
        for client in 0..number * 2 {
            let keeps = client % 2 == 0;
            let (way, stop) = (way.clone(), clients.stop.clone());
            let (good, bad) = (clients.good.clone(), clients.bad.clone());
            clients.threads.push(std::thread::spawn(move || {
                let bytes = request(!keeps).bytes();
                let mut kept: Option<Link> = None;
                while !stop.load(Ordering::Relaxed) {
                    let outcome = kept
                        .take()
                        .map_or_else(|| way.connect(), Ok)
                        .and_then(|mut link| link.call(&bytes).map(|goes_on| (link, goes_on)));
                    match outcome {
                        Ok((link, goes_on)) => {
                            good.fetch_add(1, Ordering::Relaxed);
                            kept = (keeps && goes_on).then_some(link);
                        }
                        Err(error) => bad.lock().expect("no test has failed").push(error),
                    }
                }
            }));
        }
        clients
    }

    /// Waits until there are so many further good answers.
    #[track_caller]
    pub fn go_on(&self, further: usize) {
        let target = self.good.load(Ordering::Relaxed) + further;
        let deadline = std::time::Instant::now() + PATIENCE;
        while self.good.load(Ordering::Relaxed) < target {
            let bad = self.bad.lock().expect("no test has failed").clone();
            assert!(
                std::time::Instant::now() < deadline,
                "nothing is answered any more: {bad:?}"
            );
            std::thread::yield_now();
        }
    }

    /// Stops them.
    pub fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("a client does not panic");
        }
        let bad = self.bad.lock().expect("no test has failed").clone();
        Seen {
            good: self.good.load(Ordering::Relaxed),
            bad,
        }
    }
}
