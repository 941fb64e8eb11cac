//! One worker's connection to one server: made when it is needed, shared by everything the worker asks, made anew when it broke.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, RedisConnectionInfo, RedisError, Value};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tollgate_resources::egress::{self, Origin};

use super::circuit::Circuit;
use super::script::{Argument, Script};
use super::settings::{Address, Servers};
use super::{Shared, sentinel};

/// Commands that wait to be written on one connection.
const WRITE_QUEUE: usize = 256;

/// One worker's connection to one server.
pub(super) struct Link {
    /// The server; of the master of sentinels it is only known when it is connected to.
    address: Option<Address>,
    pub(super) circuit: Arc<Circuit>,
    ready: Mutex<Option<Ready>>,
    connecting: tokio::sync::Mutex<()>,
}

/// A connection that works, as far as is known.
#[derive(Clone)]
pub(super) struct Ready {
    number: u64,
    connection: MultiplexedConnection,
    driver: Arc<Driver>,
}

/// What reads and writes a connection. It ends with the last who holds it.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Something to be asked of the node that has the keys.
pub(super) struct Question<'a> {
    /// All of one slot.
    pub(super) keys: &'a [String],
    pub(super) what: What<'a>,
}

/// How something is asked.
pub(super) enum What<'a> {
    /// By a script with these arguments.
    Script(&'static Script, &'a [Argument]),
    /// By a command, which names the keys itself.
    Command(&'a Cmd),
}

/// Why an exchange with a server failed.
#[derive(Debug)]
pub(super) enum Trouble {
    /// There is no connection, or it broke.
    Lost(String),
    /// Another node has the key: for good, or while it moves.
    Elsewhere { address: Address, is_moving: bool },
    /// The server cannot do it now: it starts, is no master any more, or its cluster is not whole.
    NotNow(String),
    /// Some of the keys have moved to another node, and some have not yet.
    Moving(String),
    /// The server refuses to do it.
    Refused(String),
}

impl Link {
    pub(super) fn new(address: Option<Address>, circuit: Arc<Circuit>) -> Self {
        Link {
            address,
            circuit,
            ready: Mutex::new(None),
            connecting: tokio::sync::Mutex::new(()),
        }
    }

    /// The connection, made now if there is none.
    pub(super) async fn connection(&self, shared: &Shared) -> Result<Ready, Trouble> {
        if let Some(ready) = self.known() {
            return Ok(ready);
        }
        let _alone = self.connecting.lock().await;
        if let Some(ready) = self.known() {
            return Ok(ready);
        }
        if self.circuit.is_open() {
            // Those who waited their turn meanwhile need not all find out for themselves.
            return Err(Trouble::Lost("not reachable".to_owned()));
        }
        self.connect(shared).await
    }

    /// A new connection, in place of the one there was.
    pub(super) async fn connect(&self, shared: &Shared) -> Result<Ready, Trouble> {
        let ready = match (&self.address, &shared.settings.servers) {
            (Some(address), _) => open(shared, address, &shared.login()).await?,
            (None, Servers::Sentinel { sentinels, master }) => {
                sentinel::master(shared, sentinels, master).await?
            }
            (None, _) => return Err(Trouble::Lost("no address".to_owned())),
        };
        *self.ready.lock().unwrap_or_else(PoisonError::into_inner) = Some(ready.clone());
        Ok(ready)
    }

    fn known(&self) -> Option<Ready> {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        // The server has closed it.
        if ready.as_ref().is_some_and(|ready| ready.driver.0.is_finished()) {
            *ready = None;
        }
        ready.clone()
    }

    /// The address another node has named; one that does not know its name is reached as this one.
    pub(super) fn completed(&self, mut named: Address) -> Address {
        if let (true, Some(own)) = (named.host.is_empty(), &self.address) {
            named.host.clone_from(&own.host);
        }
        named
    }

    /// Closes a connection that broke, unless there is a newer one.
    pub(super) fn discard(&self, broken: &Ready) {
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if ready.as_ref().is_some_and(|ready| ready.number == broken.number) {
            *ready = None;
        }
    }

    /// Closes the connection, whichever it is.
    pub(super) fn close(&self) {
        *self.ready.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Ready {
    /// Sends a command and waits for its answer.
    pub(super) async fn ask(&self, command: &Cmd) -> Result<Value, Trouble> {
        let answer = self.connection.clone().send_packed_command(command).await;
        match answer {
            Ok(Value::ServerError(error)) => Err(trouble(&RedisError::from(error))),
            Ok(value) => Ok(value),
            Err(error) => Err(trouble(&error)),
        }
    }

    /// Sends a command to a node that takes it only if it is told that the key is moving to it.
    async fn ask_moving(&self, command: Cmd) -> Result<Value, Trouble> {
        // It holds for the next command of the connection. Only this worker uses it, and nothing comes between.
        let mut pipeline = redis::pipe();
        pipeline.cmd("ASKING").add_command(command);
        let answers = self
            .connection
            .clone()
            .send_packed_commands(&pipeline, 1, 1)
            .await;
        match answers.map(|mut values| values.pop().unwrap_or_default()) {
            Ok(Value::ServerError(error)) => Err(trouble(&RedisError::from(error))),
            Ok(value) => Ok(value),
            Err(error) => Err(trouble(&error)),
        }
    }

    /// Puts a question. The text of a script is sent only to servers that do not know it.
    pub(super) async fn put(&self, question: &Question<'_>, is_asking: bool) -> Result<Value, Trouble> {
        let (script, arguments) = match question.what {
            What::Command(command) if is_asking => return self.ask_moving(command.clone()).await,
            What::Command(command) => return self.ask(command).await,
            What::Script(script, arguments) => (script, arguments),
        };
        for command in [
            script.by_hash(question.keys, arguments),
            script.in_full(question.keys, arguments),
        ] {
            let answer = if is_asking {
                self.ask_moving(command).await
            } else {
                self.ask(&command).await
            };
            match answer {
                Err(Trouble::Refused(error)) if error.starts_with("NOSCRIPT") => {}
                answer => return answer,
            }
        }
        Err(Trouble::Refused("NOSCRIPT".to_owned()))
    }
}

/// What a connection is, whatever carries it.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Connects to the first of the addresses that may be connected to and that answers.
async fn connect(origin: Origin, address: &Address) -> io::Result<TcpStream> {
    let mut last = io::Error::other("the name has no addresses");
    for found in lookup_host((address.host.as_str(), address.port)).await? {
        if let Err(refused) = egress::check(origin, &address.host, found.ip()) {
            last = io::Error::other(refused);
            continue;
        }
        match TcpStream::connect(found).await {
            Ok(tcp) => return Ok(tcp),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Connects and signs in.
pub(super) async fn open(
    shared: &Shared,
    address: &Address,
    login: &RedisConnectionInfo,
) -> Result<Ready, Trouble> {
    let lost = |error: &dyn std::fmt::Display| Trouble::Lost(format!("{address}: {error}"));
    let tcp = connect(shared.purpose.origin(), address)
        .await
        .map_err(|error| lost(&error))?;
    // Decisions are small and waited for. It fails only on a socket that is already gone.
    let _ = tcp.set_nodelay(true);
    let stream: Box<dyn Stream> = match &shared.tls {
        None => Box::new(tcp),
        Some(config) => {
            let name = ServerName::try_from(address.host.clone()).map_err(|error| lost(&error))?;
            let connector = TlsConnector::from(config.clone());
            Box::new(connector.connect(name, tcp).await.map_err(|error| lost(&error))?)
        }
    };
    // The time limits are those of whoever waits.
    let config = AsyncConnectionConfig::new()
        .set_response_timeout(None)
        .set_pipeline_buffer_size(WRITE_QUEUE);
    let (connection, driver) = MultiplexedConnection::new_with_config(login, stream, config)
        .await
        .map_err(|error| lost(&error))?;
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    #[expect(
        clippy::disallowed_methods,
        reason = "it belongs to the connection, and ends with it"
    )]
    let driver = tokio::spawn(driver);
    Ok(Ready {
        number: NUMBER.fetch_add(1, Ordering::Relaxed),
        connection,
        driver: Arc::new(Driver(driver)),
    })
}

fn trouble(error: &RedisError) -> Trouble {
    match error.code() {
        Some(code @ ("MOVED" | "ASK")) => {
            if let Some((address, _slot)) = error.redirect_node()
                && let Some((host, port)) = address.rsplit_once(':')
                && let Ok(port) = port.parse()
            {
                let host = host.to_owned();
                return Trouble::Elsewhere {
                    address: Address { host, port },
                    is_moving: code == "ASK",
                };
            }
            Trouble::NotNow(text(error))
        }
        Some("READONLY" | "LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "BUSY" | "NOREPLICAS") => {
            Trouble::NotNow(text(error))
        }
        Some("TRYAGAIN") => Trouble::Moving(text(error)),
        Some(_) => Trouble::Refused(text(error)),
        None => Trouble::Lost(error.to_string()),
    }
}

/// The error as the server wrote it.
fn text(error: &RedisError) -> String {
    let code = error.code().unwrap_or_default();
    match error.detail() {
        Some(detail) => format!("{code} {detail}"),
        None => code.to_owned(),
    }
}
