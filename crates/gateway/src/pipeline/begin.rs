//! Reads a stream until it begins to answer. Until then nothing of it is given to the client, so that one that fails at once
//! can still be tried elsewhere; what comes before the first content (roles, keep-alives, comments) is kept and given with it.

use bytes::Bytes;
use http::StatusCode;
use tokio::time::{Instant, timeout_at};

use super::answer::error_inside_200;
use super::choose::Candidate;
use super::mask::masked_error;
use super::record::Attempt;
use super::send::UpstreamAnswer;
use super::transform::Transform;
use crate::error::AttemptError;
use crate::snapshot::Timeouts;

/// Most bytes of a stream that are kept while its first content is waited for. Real providers send one event and some
/// comments before it.
const MAX_BEFORE_CONTENT: usize = 1024 * 1024;

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Content, or the end of a proper answer.
    Content,
    /// Anything to pass on.
    Anything,
}

/// The beginning of a stream.
#[derive(Default)]
pub struct Begun {
    /// What goes to the client first; no piece is empty.
    pub ready: Vec<Bytes>,
    /// Bytes that the provider has sent.
    pub received: u64,
    /// What came together with it and was not looked at yet.
    pub rest: Bytes,
}

/// Reads a stream until it answers. At most `limit` bytes are taken from the provider.
///
/// # Errors
/// The stream is late, cut, empty, garbled, too large or tells an error before that.
pub async fn begin(
    upstream: &mut UpstreamAnswer,
    transform: &mut Transform,
    candidate: &Candidate,
    attempt: &mut Attempt,
    until: Until,
    limit: Option<u64>,
) -> Result<Begun, AttemptError> {
    let garbled = |outcome, detail: String| AttemptError::garbled(outcome, StatusCode::OK, detail);
    let mut patience = Patience::new(upstream, candidate);
    let mut begun = Begun::default();
    let mut kept = 0;
    loop {
        let mut ended = false;
        if begun.rest.is_empty() {
            match patience.data(upstream).await? {
                Some(Err(detail)) => return Err(AttemptError::broken("cut", detail)),
                Some(Ok(data)) => begun.rest = data,
                None => ended = true,
            }
        }
        // An error behind the first content is one of a stream that has begun, also where both have come together.
        let data = (!ended).then(|| begun.rest.split_to(piece(&begun.rest)));
        let out = match data {
            Some(data) => {
                attempt.first_byte();
                begun.received += data.len() as u64;
                if limit.is_some_and(|limit| begun.received > limit) {
                    return Err(garbled(
                        "too_large",
                        format!("more than {} bytes", begun.received),
                    ));
                }
                transform
                    .feed(&data)
                    .map_err(|error| garbled("garbled", error.to_string()))?
            }
            None => transform.finish().map_err(|error| {
                let is_empty = begun.received == 0 || transform.seen().ended;
                garbled(if is_empty { "empty" } else { "cut" }, error.to_string())
            })?,
        };
        let seen = transform.seen();
        if let Some(error) = &seen.failed {
            return Err(error_inside_200(masked_error(error, &candidate.instance)));
        }
        kept += out.len();
        if !out.is_empty() {
            begun.ready.push(out);
        }
        let begins = seen.content || seen.finished || (until == Until::Anything && kept > 0);
        if ended || begins {
            return Ok(begun);
        }
        if kept > MAX_BEFORE_CONTENT {
            return Err(garbled(
                "too_large",
                format!("no content within {MAX_BEFORE_CONTENT} bytes"),
            ));
        }
    }
}

/// How many bytes are looked at together: those of a line, and fewer than two of Amazon's frames have. So no two events end in
/// them.
fn piece(bytes: &[u8]) -> usize {
    let some = bytes.get(..MAX_PIECE).unwrap_or(bytes);
    memchr::memchr(b'\n', some).map_or(some.len(), |end| end + 1)
}

/// Bytes that are looked at together at most.
const MAX_PIECE: usize = 64;

/// How long the bytes of a body are waited for: the first as long as an answer may take to begin, the others as long as
/// it may be silent.
pub struct Patience {
    limits: Timeouts,
    sent: Instant,
    begun: bool,
}

impl Patience {
    /// Waits for the body of an answer whose head has come.
    pub fn new(upstream: &UpstreamAnswer, candidate: &Candidate) -> Self {
        Patience {
            limits: candidate.model.timeouts,
            sent: upstream.sent,
            begun: false,
        }
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// They did not come in time.
    pub async fn data(
        &mut self,
        upstream: &mut UpstreamAnswer,
    ) -> Result<Option<Result<Bytes, String>>, AttemptError> {
        let (outcome, limit, until) = if self.begun {
            let limit = self.limits.between_chunks;
            ("between_chunks_timeout", limit, Instant::now() + limit)
        } else {
            (
                "first_byte_timeout",
                self.limits.first_byte,
                self.sent + self.limits.first_byte,
            )
        };
        let data = timeout_at(until, upstream.body.data())
            .await
            .map_err(|_| AttemptError::timeout(outcome, limit))?;
        self.begun = true;
        Ok(data)
    }
}
