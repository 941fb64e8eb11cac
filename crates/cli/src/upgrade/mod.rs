//! Exchanging the binary while it runs: `SIGUSR2` and `tollgate upgrade`.
//!
//! ```text
//! old                                       new
//! starts the binary that is on the disk ->  reads the configuration
//! hands over its listening sockets      ->  takes them
//!                                       <-  "store": needs what only one may have
//! closes the Admin API and the store
//! "released"                            ->  opens them
//!                                       <-  "ready"
//! "go"                                  ->  serves
//! answers what is open, ends
//! ```
//!
//! Until `go` the old process serves calls, and the new one accepts none: they would be lost with it. If the new one ends, says
//! why it cannot, or says nothing in time, it is killed, and the old one takes the Admin API and the store back as the file is
//! then: what the new one has acknowledged is in it.

mod channel;
mod control;
mod exclusive;
mod pid_file;
mod predecessor;
mod sockets;
mod systemd;

use std::env;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use channel::{VARIABLE, Word};
pub use control::{Control, Listener, upgrade};
pub use exclusive::{AdminSettings, Exclusive};
pub use pid_file::PidFile;
pub use predecessor::Predecessor;
pub use sockets::{Role, Sockets};
pub use systemd::{notify_ready, notify_stopping, notify_successor};

/// How often a process that seems to have ended is asked for its status, and the time between.
const LOOKS: u32 = 40;
const LOOK: Duration = Duration::from_millis(50);

/// How this process was started, so that it can be started again.
pub struct Invocation {
    program: PathBuf,
    arguments: Vec<OsString>,
}

impl Invocation {
    /// Of this process. Called at its start: later its file may have another name.
    pub fn of_this_process() -> Invocation {
        let mut arguments = env::args_os();
        let first = arguments.next().map(PathBuf::from).unwrap_or_default();
        Invocation {
            program: program(&first).unwrap_or(first),
            arguments: arguments.collect(),
        }
    }
}

/// The file that a name on a command line means. Links are not followed: they may lead to another version by the next start.
fn program(name: &Path) -> Option<PathBuf> {
    if name.components().count() > 1 {
        return Some(env::current_dir().ok()?.join(name));
    }
    let folders = env::var_os("PATH")?;
    env::split_paths(&folders)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
        .or_else(|| env::current_exe().ok())
}

/// Why no other process may take over now; `None` if one may.
pub fn obstacle(exclusive: &Exclusive) -> Option<&'static str> {
    if std::process::id() == 1 {
        return Some(
            "this is the first process of its container, which ends with it; start another container instead",
        );
    }
    if exclusive.is_in_memory_only() {
        return Some(
            "the configuration is kept in memory only and would be gone (config_provider: yaml with the Admin API)",
        );
    }
    None
}

/// The process that has taken over. While this is there, it knows that this process is.
pub struct HandedOver {
    /// Its id.
    pub process: u32,
    _channel: tokio::net::UnixStream,
}

/// Starts the binary that is on the disk now and hands over to it. Returns when it serves. If this is not waited for to its
/// end, the new process is killed.
///
/// # Errors
/// The new process could not take over; the text says why, and this one has everything back.
pub async fn hand_over(
    invocation: &Invocation,
    sockets: &Sockets,
    exclusive: &mut Exclusive,
    patience: Duration,
    control: &mut Control,
) -> Result<HandedOver, String> {
    control
        .say(&format!("starting {}", invocation.program.display()))
        .await;
    let outcome = match Successor::start(invocation, sockets) {
        Ok(mut successor) => {
            let taken_over = successor.take_over(exclusive, patience, control).await;
            taken_over.and_then(|process| successor.keep(process))
        }
        Err(error) => Err(format!("cannot start {}: {error}", invocation.program.display())),
    };
    // The new process is dead by now if it has not taken over.
    if outcome.is_err() {
        exclusive.take_back(sockets).await;
    }
    outcome
}

/// A process that is to take over. Killed when dropped, unless it has.
struct Successor {
    child: Child,
    /// `None` when it is kept.
    stream: Option<tokio::net::UnixStream>,
}

impl Successor {
    fn start(invocation: &Invocation, sockets: &Sockets) -> io::Result<Successor> {
        let (here, there) = UnixStream::pair()?;
        let child = Command::new(&invocation.program)
            .args(&invocation.arguments)
            .env(VARIABLE, "1")
            .stdin(Stdio::from(OwnedFd::from(there)))
            .spawn()?;
        here.set_nonblocking(true)?;
        // From here on the process is killed if anything fails.
        let sent = channel::send(&here, sockets.all());
        let successor = Successor {
            child,
            stream: Some(tokio::net::UnixStream::from_std(here)?),
        };
        // One that has ended already says why below.
        match sent {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(successor),
        }
    }

    /// Lets it live.
    fn keep(&mut self, process: u32) -> Result<HandedOver, String> {
        match self.stream.take() {
            Some(channel) => Ok(HandedOver {
                process,
                _channel: channel,
            }),
            None => Err("it was kept before".to_owned()),
        }
    }

    async fn take_over(
        &mut self,
        exclusive: &mut Exclusive,
        patience: Duration,
        control: &mut Control,
    ) -> Result<u32, String> {
        match tokio::time::timeout(patience, self.converse(exclusive, control)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!(
                "the new process was not ready within {} ms (server.upgrade_timeout)",
                patience.as_millis()
            )),
        }
    }

    async fn converse(&mut self, exclusive: &mut Exclusive, control: &mut Control) -> Result<u32, String> {
        let id = self.child.id();
        let Some(stream) = &mut self.stream else {
            return Ok(id);
        };
        let (read, mut write) = stream.split();
        let mut lines = BufReader::new(read).lines();
        let mut reasons = Vec::new();
        // An unreadable line is the end, as far as taking over goes.
        while let Ok(Some(line)) = lines.next_line().await {
            match Word::of(&line) {
                Some(Word::Store) => {
                    control
                        .say(&format!(
                            "the configuration is good for process {id}, it takes over"
                        ))
                        .await;
                    exclusive.release().await?;
                    let _ = write.write_all(Word::Released.line().as_bytes()).await;
                }
                Some(Word::Ready) => {
                    // If it dies now, nobody is left: as if it had died a moment later.
                    let _ = write.write_all(Word::Go.line().as_bytes()).await;
                    return Ok(id);
                }
                Some(Word::Failed(told)) => reasons = told,
                _ => return Err(format!("the new process says what is not understood: {line}")),
            }
        }
        if !reasons.is_empty() {
            return Err(reasons.join("; "));
        }
        Err(match self.status().await {
            Some(status) => format!("the new process ended before it served ({status})"),
            None => "the new process closed its standard input before it served".to_owned(),
        })
    }

    /// How the process has ended. Its files are closed a moment before the system tells.
    async fn status(&mut self) -> Option<ExitStatus> {
        for _ in 0..LOOKS {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            tokio::time::sleep(LOOK).await;
        }
        None
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if self.stream.is_some() {
            // Fails only if it has ended already.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
