//! A run of load as a process of its own, on its own processor.

use std::io::{self, Read as _};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::link::Dialer;
use crate::load::{self, Ask, Outcome, Pace};
use crate::profile::Profile;
use crate::targets::{Running, Target};

/// What such a process is told.
#[derive(Clone, Serialize, Deserialize)]
pub struct Job {
    /// What is asked.
    pub ask: Ask,
    /// How much.
    pub pace: Pace,
    /// Unmeasured, in milliseconds.
    pub warm_up_ms: u64,
    /// Measured, in milliseconds.
    pub duration_ms: u64,
    /// Processes to measure.
    pub pids: Vec<u32>,
}

impl Job {
    /// Small chats over these connections, for so long.
    pub fn new(target: &Target, pace: Pace, duration: Duration) -> Job {
        Job {
            ask: chat(target),
            pace,
            warm_up_ms: 500,
            duration_ms: milliseconds(duration),
            pids: target.pid.into_iter().collect(),
        }
    }

    /// Runs it here.
    ///
    /// # Errors
    /// As [`load::run`].
    pub async fn run(self) -> io::Result<Outcome> {
        let (warm_up, duration) = (self.warm_up_ms, self.duration_ms);
        load::run(
            self.ask,
            self.pace,
            Duration::from_millis(warm_up),
            Duration::from_millis(duration),
            &self.pids,
        )
        .await
    }

    /// Runs it in a process on these processors.
    ///
    /// # Errors
    /// It cannot be started, or fails.
    pub async fn start(&self, cpus: &str) -> io::Result<Outcome> {
        let child = Command::new("taskset")
            .args(["-c", cpus])
            .arg(std::env::current_exe()?)
            .arg("job")
            .arg(serde_json::to_string(self)?)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut load = Load(child);
        // What it says fits into the pipe, so it ends before that is read.
        let status = loop {
            match load.0.try_wait()? {
                Some(status) => break status,
                None => tokio::time::sleep(LOOK).await,
            }
        };
        if !status.success() {
            return Err(io::Error::other(format!("the load has failed: {status}")));
        }
        let mut said = Vec::new();
        if let Some(stdout) = &mut load.0.stdout {
            stdout.read_to_end(&mut said)?;
        }
        Ok(serde_json::from_slice(&said)?)
    }
}

/// A process that ends with this.
struct Load(Child);

impl Drop for Load {
    fn drop(&mut self) {
        // One that has ended cannot be killed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A small chat with a target.
pub fn chat(target: &Target) -> Ask {
    Ask {
        addresses: vec![target.address.clone()],
        certificate: target.certificate.clone(),
        path: "/v1/chat/completions".to_owned(),
        model: "bench".to_owned(),
        headers: target.headers.clone(),
        spread: 0,
        anthropic: false,
        pieces: None,
        padding: 100,
    }
}

/// Tells a provider how to answer from now on.
///
/// # Errors
/// It does not listen.
pub async fn set_profile(running: &Running, profile: &Profile) -> io::Result<()> {
    let body = serde_json::to_string(profile)?;
    put(&running.provider, "/profile", "", &body).await.map(drop)
}

/// Puts a document; gives the answer as it came.
///
/// # Errors
/// Nobody listens, or the connection breaks.
pub async fn put(address: &str, path: &str, headers: &str, body: &str) -> io::Result<Vec<u8>> {
    let mut stream = Dialer::default().connect(address).await?;
    let request = format!(
        "PUT {path} HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

/// In milliseconds.
pub fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Time between two looks at whether the load has ended.
const LOOK: Duration = Duration::from_millis(10);
