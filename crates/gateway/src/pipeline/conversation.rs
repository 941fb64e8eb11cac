//! Conversations of the Responses API on a call's way: put into the request before it is sent, kept when it has been answered.

use bytes::Bytes;
use http::{Method, StatusCode};
use tollgate_dialects::Dialect;
use tollgate_dialects::canonical::ErrorKind;

use super::Worker;
use super::answer::{Answer, Content};
use super::ask::Asked;
use super::head::{Endpoint, Head};
use super::identify::Caller;
use super::record::Record;
use crate::error::CallError;
use crate::responses::serve::Question;
use crate::responses::{self, Expanded, Purpose, serve};
use crate::snapshot::Native;

/// What must be known to keep the answer of a call; nothing for calls that have none to keep.
#[derive(Default)]
pub struct Kept(Option<Box<responses::Asked>>);

/// Puts the conversation into a request that refers to one.
///
/// # Errors
/// There is no such conversation, or it cannot be read.
pub async fn expand(
    worker: &Worker,
    native: &Native,
    caller: &Caller,
    head: &Head,
    asked: &mut Asked,
    record: &mut Record,
) -> Result<Kept, CallError> {
    let purpose = match head.endpoint {
        Endpoint::Chat(Dialect::OpenaiResponses) => Purpose::Answer,
        Endpoint::CountTokens(Dialect::OpenaiResponses) => Purpose::Count,
        _ => return Ok(Kept::default()),
    };
    // Boxed: calls of other dialects shall not pay for its size.
    Box::pin(expand_for(purpose, worker, native, caller, head, asked, record)).await
}

async fn expand_for(
    purpose: Purpose,
    worker: &Worker,
    native: &Native,
    caller: &Caller,
    head: &Head,
    asked: &mut Asked,
    record: &mut Record,
) -> Result<Kept, CallError> {
    let owner = owner(caller);
    let id = format!("resp_{}", record.request_id);
    let responses = worker.gateway.responses();
    let expanded = responses
        .expand(
            &owner,
            id,
            purpose,
            (&asked.body, &asked.members),
            native.max_body_bytes,
        )
        .await?;
    let Some(Expanded { body, asked: turn }) = expanded else {
        return Ok(Kept::default());
    };
    asked.replace(body)?;
    // What is estimated is the whole conversation.
    record.asked(asked, &head.endpoint);
    if purpose == Purpose::Count {
        return Ok(Kept::default());
    }
    asked.is_kept = turn.store;
    Ok(Kept(Some(Box::new(turn))))
}

impl Kept {
    /// Keeps the answer, and gives it as the client is to see it.
    pub fn answer(self, worker: &Worker, mut answer: Answer) -> Answer {
        let Some(turn) = self.0 else {
            return answer;
        };
        let responses = worker.gateway.responses();
        if answer.status != StatusCode::OK {
            return answer;
        }
        match &mut answer.content {
            Content::Whole(body) | Content::Json(body) => *body = responses.whole(body, &turn),
            Content::Stream(streaming) => {
                if let Some(tap) = responses.tap(&turn) {
                    streaming.look_with(tap);
                }
            }
            Content::Passed(_) | Content::Tunnel(_) => {}
        }
        answer
    }
}

/// Answers what is asked of a kept response.
///
/// # Errors
/// There is no such response of this caller, or it cannot be read.
pub async fn serve(
    worker: &Worker,
    caller: &Caller,
    question: &Question,
    record: &Record,
) -> Result<Answer, CallError> {
    let Some(store) = worker.gateway.responses().store() else {
        return Err(CallError::client(
            StatusCode::NOT_FOUND,
            ErrorKind::NotFound,
            "responses_not_kept",
            "this gateway keeps no responses",
        ));
    };
    let request = &record.request;
    let arguments = request.uri.query().unwrap_or_default();
    let method: &Method = &request.method;
    let owner = owner(caller);
    // Boxed, as above.
    let answer = serve::answer(store, &owner, question, method, arguments);
    let body: Bytes = Box::pin(answer).await?;
    Ok(Answer::json(StatusCode::OK, body))
}

fn owner(caller: &Caller) -> String {
    responses::owner(caller.owner().as_deref())
}
