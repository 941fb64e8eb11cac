//! Turns the bytes of a provider's stream into the bytes of the client's stream, and notes what they say.

mod array;
mod passing;
mod understood;

use bytes::Bytes;
use tollgate_dialects::canonical::{DecodeError, ProviderError, Usage};
use tollgate_dialects::codec::AnswerStyle;
use tollgate_dialects::{Dialect, Losses};

use crate::ai::protocol::Protocol;
use crate::ai::reading::Framing;
use crate::error::CallError;
use passing::Passing;
use understood::Understood;

/// Largest single event of a stream, in bytes. Images arrive as one event.
const MAX_EVENT_BYTES: usize = 16 * 1024 * 1024;

/// What the events so far have said.
#[derive(Debug, Default)]
pub struct Seen {
    /// Whether there was any content for the client.
    pub content: bool,
    /// Whether a reason was given why the answer ended.
    pub finished: bool,
    /// Whether the dialect's own end mark came.
    pub ended: bool,
    /// The error the provider told inside the stream.
    pub failed: Option<ProviderError>,
    /// The last usage told.
    pub usage: Option<Usage>,
    /// The model that answers, as the provider names it.
    pub model: Option<String>,
    /// The provider's id of the answer.
    pub id: Option<Box<str>>,
    /// Why the answer ended, by the provider's word.
    pub stop: Option<Box<str>>,
    /// The tier at which the answer is served, by the provider's word.
    pub service_tier: Option<String>,
    /// Whether tools are called.
    pub tool_calls: bool,
    /// Whether there was an event that could not be read, which is told once.
    pub unreadable: bool,
    /// Our estimate of the output tokens so far, for streams that end without usage.
    pub estimated_output: u64,
}

/// A stream on its way from a provider to a client.
pub enum Transform {
    /// Every event is understood.
    Understood(Box<Understood>),
    /// Passed on whatever it says.
    Passing(Box<Passing>),
}

impl Transform {
    /// A stream of a dialect, at its beginning.
    pub fn new(provider: Dialect, client: Dialect, hide_usage: bool, style: &AnswerStyle) -> Self {
        Transform::Understood(Box::new(Understood::new(provider, client, hide_usage, style)))
    }

    /// A stream that is passed on as it is, at its beginning. `unread`: whatever it says, byte by byte, so that a failure is
    /// told by nothing but the end. Else half events are held back, so that an error of ours can be told behind them.
    pub fn passing(protocol: Protocol, framing: Framing, unread: bool, hide_usage: bool) -> Self {
        Transform::Passing(Box::new(Passing::new(protocol, framing, unread, hide_usage)))
    }

    /// What the stream has said so far.
    pub fn seen(&self) -> &Seen {
        match self {
            Transform::Understood(understood) => understood.seen(),
            Transform::Passing(passing) => passing.seen(),
        }
    }

    /// Takes the provider's next bytes and gives the client's next bytes.
    ///
    /// # Errors
    /// The bytes are not what the provider's dialect says. Once content has passed in the same dialect the client may
    /// understand more than we do, so then it is not an error and the bytes pass.
    pub fn feed(&mut self, bytes: &Bytes) -> Result<Bytes, DecodeError> {
        match self {
            Transform::Understood(understood) => understood.feed(bytes),
            Transform::Passing(passing) => passing.feed(bytes),
        }
    }

    /// The provider's bytes have ended.
    ///
    /// # Errors
    /// The answer is not complete.
    pub fn finish(&mut self) -> Result<Bytes, DecodeError> {
        match self {
            Transform::Understood(understood) => understood.finish(),
            Transform::Passing(passing) => passing.finish(),
        }
    }

    /// Tells the client in its own dialect that the stream has failed.
    pub fn fail(&mut self, error: &CallError) -> Bytes {
        match self {
            Transform::Understood(understood) => understood.fail(error),
            Transform::Passing(passing) => passing.fail(error),
        }
    }

    /// Whether what the provider did not tell of the usage is estimated. An answer that is passed on tells its own usage, or
    /// it stays unknown; only one that was cut had no chance to.
    pub fn is_estimated(&self) -> bool {
        let seen = self.seen();
        match self {
            Transform::Understood(_) => !seen.finished || seen.usage.is_none(),
            Transform::Passing(passing) => !seen.finished && passing.is_estimated(),
        }
    }

    /// Whether whole events are passed on whatever they say, so that an error among them is only known by its text.
    pub fn passes_events(&self) -> bool {
        matches!(self, Transform::Passing(passing) if passing.passes_events())
    }

    /// Whether the client's dialect could not express a part that must not be left out.
    pub fn is_not_translatable(&self) -> Option<&'static str> {
        match self {
            Transform::Understood(understood) => {
                understood.losses.rejections().next().map(|loss| loss.reason)
            }
            Transform::Passing(_) => None,
        }
    }

    /// What the client's dialect could not express.
    pub fn take_losses(&mut self) -> Losses {
        match self {
            Transform::Understood(understood) => std::mem::take(&mut understood.losses),
            Transform::Passing(_) => Losses::new(),
        }
    }
}
