//! `tollgate upgrade`: asks a running process to hand over, and tells what came of it.
//!
//! Each process listens on a name that is made of its id, in the system's own namespace for such names, which needs no file.
//! Only its own user and root are heard there.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

use rustix::process::geteuid;
use tokio::io::AsyncWriteExt as _;

use super::pid_file;
use crate::cli::{Failure, UpgradeArguments};

/// What a line to the one who asked begins with, if the upgrade goes on.
const SAYS: &str = "says ";
/// If it is done.
const DONE: &str = "done ";
/// If it failed.
const FAILED: &str = "failed ";

fn address(process: u32) -> io::Result<SocketAddr> {
    SocketAddr::from_abstract_name(format!("tollgate-upgrade-{process}"))
}

/// Where somebody may ask for an upgrade.
pub struct Listener(Option<tokio::net::UnixListener>);

impl Listener {
    /// Of this process. A system that has no such names is no reason not to serve: `SIGUSR2` is left.
    pub fn open() -> Listener {
        let listener = address(std::process::id())
            .and_then(|address| UnixListener::bind_addr(&address))
            .and_then(|listener| {
                listener.set_nonblocking(true)?;
                tokio::net::UnixListener::from_std(listener)
            });
        if let Err(error) = &listener {
            tracing::warn!(%error, "`tollgate upgrade` cannot reach this process, SIGUSR2 can");
        }
        Listener(listener.ok())
    }

    /// Waits until somebody asks who may.
    pub async fn asked(&self) -> Control {
        let Some(listener) = &self.0 else {
            return std::future::pending().await;
        };
        loop {
            match listener.accept().await {
                Ok((stream, _)) if is_allowed(&stream) => return Control(Some(stream)),
                // Whoever else it is gets no answer.
                Ok(_) => {}
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
            }
        }
    }
}

fn is_allowed(stream: &tokio::net::UnixStream) -> bool {
    let own = geteuid().as_raw();
    stream
        .peer_cred()
        .is_ok_and(|peer| peer.uid() == own || peer.uid() == 0)
}

/// Who has asked for an upgrade, if it was not a signal. It may have left.
pub struct Control(Option<tokio::net::UnixStream>);

impl Control {
    /// Nobody who listens.
    pub fn nobody() -> Control {
        Control(None)
    }

    /// Tells how it goes.
    pub async fn say(&mut self, text: &str) {
        tracing::info!("upgrade: {text}");
        self.line(SAYS, text).await;
    }

    /// Tells that it is done.
    pub async fn done(mut self, text: &str) {
        tracing::info!("upgrade: {text}");
        self.line(DONE, text).await;
    }

    /// Tells why nothing has changed.
    pub async fn failed(mut self, reason: &str) {
        tracing::error!("upgrade failed, this process goes on serving: {reason}");
        self.line(FAILED, reason).await;
    }

    async fn line(&mut self, kind: &str, text: &str) {
        if let Some(stream) = &mut self.0 {
            let line = format!("{kind}{}\n", text.replace('\n', "; "));
            if stream.write_all(line.as_bytes()).await.is_err() {
                self.0 = None;
            }
        }
    }
}

/// `tollgate upgrade`.
///
/// # Errors
/// There is no such process, or it goes on serving; the text says why.
pub fn upgrade(arguments: &UpgradeArguments) -> Result<(), Failure> {
    let process = match arguments.pid {
        Some(process) => process,
        None => pid_file::read(&arguments.pid_file)?,
    };
    let unreachable = |error: io::Error| {
        Failure::new(format!(
            "no tollgate of this user with process id {process} answers: {error}"
        ))
    };
    let stream = address(process)
        .and_then(|address| UnixStream::connect_addr(&address))
        .map_err(unreachable)?;
    let mut out = io::stdout().lock();
    for line in BufReader::new(stream).lines() {
        let line = line.map_err(unreachable)?;
        if let Some(text) = line.strip_prefix(FAILED) {
            return Err(Failure::new(format!("process {process} goes on serving: {text}")));
        }
        let is_done = line.starts_with(DONE);
        let text = line.strip_prefix(SAYS).or_else(|| line.strip_prefix(DONE));
        // Whoever does not read on wants it done all the same.
        let _ = writeln!(out, "{}", text.unwrap_or(&line));
        if is_done {
            return Ok(());
        }
    }
    Err(Failure::new(format!(
        "process {process} ended, or may not be asked by this user; its log says what became of the upgrade"
    )))
}
