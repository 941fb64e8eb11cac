//! The side of the process that takes over.

use std::env;
use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;

use super::channel::{self, VARIABLE, Word};
use super::sockets::Sockets;
use crate::cli::Failure;

/// The process that this one takes over from. Should it die meanwhile, nothing is in the way of taking over.
pub struct Predecessor(UnixStream);

impl Predecessor {
    /// The process that has started this one to take over, with its sockets; `None` where nobody has.
    ///
    /// # Errors
    /// It cannot be understood.
    pub fn find() -> Result<Option<(Predecessor, Sockets)>, Failure> {
        if env::var_os(VARIABLE).is_none() {
            return Ok(None);
        }
        let failed = |error: io::Error| Failure::new(format!("cannot take over: {error}"));
        let stream = channel::of_standard_input().map_err(failed)?;
        let sockets = channel::receive(&stream).map_err(failed)?;
        Ok(Some((Predecessor(stream), Sockets::inheriting(sockets))))
    }

    /// Waits until the old process has let go of what only one may have.
    ///
    /// # Errors
    /// It says something else.
    pub fn wait_for_store(&mut self) -> Result<(), Failure> {
        self.say_and_wait(&Word::Store, Word::Released)
    }

    /// Tells that this process serves, and waits until the old one leaves.
    ///
    /// # Errors
    /// It says something else.
    pub fn take_over(&mut self) -> Result<(), Failure> {
        self.say_and_wait(&Word::Ready, Word::Go)
    }

    /// Tells why this process gives up.
    pub fn tell(&mut self, failure: &Failure) {
        self.say(&Word::Failed(failure.reasons().to_vec()));
    }

    /// What ends when the old process has.
    ///
    /// # Errors
    /// The socket cannot be waited for.
    pub fn into_end(self) -> io::Result<tokio::net::UnixStream> {
        self.0.set_nonblocking(true)?;
        tokio::net::UnixStream::from_std(self.0)
    }

    fn say(&mut self, word: &Word) {
        // Fails only if the old process is dead, which is seen when it is listened to.
        let _ = self.0.write_all(word.line().as_bytes());
    }

    fn say_and_wait(&mut self, word: &Word, answer: Word) -> Result<(), Failure> {
        self.say(word);
        match channel::read_line(&self.0) {
            Ok(Some(line)) if Word::of(&line) == Some(answer) => Ok(()),
            Ok(None) => {
                tracing::warn!("the process before has died, this one serves alone");
                Ok(())
            }
            Ok(Some(line)) => Err(Failure::new(format!("cannot take over: not understood: {line}"))),
            Err(error) => Err(Failure::new(format!("cannot take over: {error}"))),
        }
    }
}
