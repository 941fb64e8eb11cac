//! What the built-in provider sends, and when.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Sleep, sleep};

use super::profile::{Fault, Profile};

/// The chunks of an answer with the waits before them, and how it ends.
pub struct Script {
    steps: VecDeque<(Duration, Bytes)>,
    end: End,
    wait: Option<Pin<Box<Sleep>>>,
}

enum End {
    Complete,
    Cut,
    Stall,
}

impl Script {
    /// An answer of one chunk without any wait.
    pub fn at_once(body: Vec<u8>) -> Self {
        Script {
            steps: VecDeque::from([(Duration::ZERO, body.into())]),
            end: End::Complete,
            wait: None,
        }
    }

    /// Chunks at the pace of a profile, with its fault.
    pub fn new(profile: &Profile, mut chunks: Vec<Vec<u8>>) -> Self {
        let half = chunks.len() / 2;
        let end = match profile.fault_now() {
            Some(Fault::Cut) => {
                cut_in_half(&mut chunks, half);
                End::Cut
            }
            Some(Fault::CutStart) => {
                chunks.clear();
                End::Cut
            }
            Some(Fault::Stall) => {
                cut_in_half(&mut chunks, half);
                End::Stall
            }
            Some(Fault::StallStart) => {
                chunks.clear();
                End::Stall
            }
            Some(Fault::Garbage) => {
                chunks = vec![b"data: <html>Bad gateway</html>\n\n".to_vec()];
                End::Complete
            }
            Some(Fault::Empty) => {
                chunks.clear();
                End::Complete
            }
            _ => End::Complete,
        };
        let mut delay = profile.latency;
        let steps = chunks
            .into_iter()
            .map(|chunk| (std::mem::replace(&mut delay, profile.pace), chunk.into()))
            .collect();
        Script {
            steps,
            end,
            wait: None,
        }
    }

    /// The next bytes; `None` at the end.
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, String>>> {
        let Some((delay, _)) = self.steps.front() else {
            return match self.end {
                End::Complete => Poll::Ready(None),
                End::Cut => Poll::Ready(Some(Err("simulated cut of the connection".to_owned()))),
                End::Stall => Poll::Pending,
            };
        };
        if !delay.is_zero() {
            let wait = self.wait.get_or_insert_with(|| Box::pin(sleep(*delay)));
            if wait.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.wait = None;
        }
        Poll::Ready(self.steps.pop_front().map(|(_, bytes)| Ok(bytes)))
    }
}

/// Keeps the first half: of the chunks, or of the only chunk.
fn cut_in_half(chunks: &mut Vec<Vec<u8>>, half: usize) {
    match chunks.as_mut_slice() {
        [only] => only.truncate(only.len() / 2),
        _ => chunks.truncate(half),
    }
}
