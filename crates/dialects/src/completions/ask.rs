//! Requests.

use crate::json::Raw;

use super::Style;
use crate::canonical::{DecodeError, Request};
use crate::json::{Object, RawJson, Writer, kind_of};
use crate::loss::Losses;
use crate::openai_chat;

/// A request for a completion.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// The same as a chat.
    pub chat: Request,
    /// The prompt, if the client wants it before the answer.
    pub echo: Option<String>,
}

impl Asked {
    /// How the answer is written; `created_s` is the time now, in seconds since 1970.
    pub fn style(&self, created_s: u64) -> Style {
        Style {
            created_s,
            echo: self.echo.clone(),
            include_usage: self.chat.include_usage == Some(true),
        }
    }
}

/// Reads a request. What no chat can do (`suffix`, `logprobs`, …) is added to `losses`.
///
/// # Errors
/// The document is not such a request, or its prompt is not one text: only the model's own provider reads token numbers,
/// and several prompts are several calls.
pub fn decode_request(body: &str, losses: &mut Losses) -> Result<Asked, DecodeError> {
    let mut object = Object::parse(body, "")?;
    let prompt = take_prompt(&mut object)?;
    let echo = object.take_bool("echo")?.unwrap_or(false);
    if object.take_some("suffix").is_some_and(|raw| raw.get() != "\"\"") {
        losses.rejected("suffix", "a chat model cannot fill in the middle of a text");
    }
    if object.take_some("logprobs").is_some() {
        losses.rejected("logprobs", "the answer of a chat has them in another form");
    }
    let choices = object
        .peek("n")
        .and_then(|raw| raw.get().parse().ok())
        .unwrap_or(1);
    if object
        .take_u64("best_of")?
        .is_some_and(|best_of| best_of > choices)
    {
        losses.approximated("best_of", "the provider does not choose among several answers");
    }
    let mut chat = Vec::with_capacity(body.len() + 64);
    Writer::new(&mut chat).object(|w| {
        w.key("messages").array(|w| {
            w.object(|w| {
                w.key("role").string("user");
                w.key("content").string(&prompt);
            });
        });
        // All other members are those of a chat.
        for (name, raw) in object.into_ext().iter().filter(|(name, _)| *name != "messages") {
            w.key(name).raw(raw);
        }
    });
    let chat = openai_chat::decode_request(&String::from_utf8_lossy(&chat))?;
    Ok(Asked {
        chat,
        echo: echo.then_some(prompt),
    })
}

/// One text, or a list of one text.
fn take_prompt(object: &mut Object<'_>) -> Result<String, DecodeError> {
    let wrong = |problem: String| DecodeError::new("prompt", problem);
    let Some(raw) = object.take_some("prompt") else {
        return Err(wrong("is missing; a string is required".to_owned()));
    };
    if let Ok(text) = serde_json::from_str(raw.get()) {
        return Ok(text);
    }
    let Ok(list) = serde_json::from_str::<Vec<Raw<'_>>>(raw.get()) else {
        let found = kind_of(raw.get());
        return Err(wrong(format!("expected a string, found {found}")));
    };
    match list.as_slice() {
        [only] if only.get().starts_with('"') => Ok(RawJson::from(*only).as_string().unwrap_or_default()),
        [] => Err(wrong("is empty; a string is required".to_owned())),
        [first, ..] if first.get().starts_with('"') => Err(wrong(
            "has several texts; a chat model answers one in a call".to_owned(),
        )),
        _ => Err(wrong(
            "has token numbers, which mean something to their own model only; send text".to_owned(),
        )),
    }
}

/// Losses of the chat under the names of this dialect: the only message is the `prompt`.
#[must_use]
pub fn respelled(losses: &Losses) -> Losses {
    let mut out = Losses::new();
    for loss in losses.iter() {
        let field = match loss.field.as_str() {
            "messages" => "prompt",
            field if field.starts_with("messages[") => "prompt",
            field => field,
        };
        out.push(field, loss.effect, loss.reason);
    }
    out
}
