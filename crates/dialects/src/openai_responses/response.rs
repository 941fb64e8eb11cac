//! Whole answers, read and written.

use std::borrow::Cow;

use super::echo::Echo;
use super::options::TIERS;
use super::stop::{self, Contains};
use super::write_item::{
    split_message, write_call, write_message, write_output_text, write_own, write_reasoning, write_refusal,
};
use super::{ORIGIN, ids, item, usage};
use crate::canonical::{Choice, DecodeError, Ext, Part, Reasoning, Response, ToolCall, Usage};
use crate::envelope;
use crate::foreign::{self, Place};
use crate::json::{Object, RawJson, Writer};
use crate::loss::Losses;
use crate::openai_chat::ext::{leftover, open, without};

/// How an answer is written where the canonical form leaves a choice.
#[derive(Clone, Debug, Default)]
pub struct ResponseStyle {
    /// Seconds since 1970, used when the answer does not say when it was made.
    pub created_s: u64,
    /// What an answer of another dialect repeats of its request.
    pub echo: Echo,
}

/// Reads a whole answer.
///
/// # Errors
/// The document is not an answer of this dialect. One that tells of a failure is told as such;
/// [`decode_error_inside`](super::decode_error_inside) reads it.
pub fn decode_response(body: &str) -> Result<Response, DecodeError> {
    let (mut object, nulls) = open(body, "")?;
    if object.has("error") {
        return Err(DecodeError::new("error", "the provider answered with an error"));
    }
    let Some(output) = object.take_array("output")? else {
        return Err(DecodeError::new("output", "is missing; an array is required"));
    };
    let mut parts = Vec::new();
    for (i, raw) in output.into_iter().enumerate() {
        parts.extend(item::decode(raw, &crate::path::item("output", i))?);
    }
    let id = object.take_string("id")?.unwrap_or_default();
    let model = object.take_string("model")?.unwrap_or_default();
    let created = take_created(&mut object);
    let usage = take_usage(&mut object);
    let service_tier = object.take_string("service_tier")?;
    let ext = leftover(object, nulls);
    let stop = stop::decode(
        ext.get("status"),
        ext.get("incomplete_details"),
        Contains::of(&parts),
    );
    Ok(Response {
        origin: ORIGIN,
        id,
        model,
        created,
        choices: vec![Choice {
            index: 0,
            logprobs: logprobs_of(&parts),
            parts,
            stop,
            ext: Ext::default(),
            message_ext: Ext::default(),
        }],
        usage,
        service_tier,
        ext,
    })
}

/// Takes `created_at`, unless it is no whole number of seconds.
pub(super) fn take_created(object: &mut Object<'_>) -> Option<u64> {
    let created = serde_json::from_str(object.peek("created_at")?.get()).ok()?;
    object.take("created_at");
    Some(created)
}

/// Takes `usage`, unless it is no object.
pub(super) fn take_usage(object: &mut Object<'_>) -> Option<Usage> {
    let raw = object.peek("usage").filter(|raw| raw.get().starts_with('{'))?;
    object.take("usage");
    Some(usage::decode(&RawJson::from(raw)))
}

/// The log probabilities of all texts, in the form of the canonical model.
fn logprobs_of(parts: &[Part]) -> Option<RawJson> {
    let lists = parts.iter().filter_map(|part| match part {
        Part::Text(text) => text.ext.get("logprobs").filter(|raw| !raw.is_blank()),
        _ => None,
    });
    let tokens: Vec<crate::json::Raw<'_>> = lists
        .filter_map(|raw| serde_json::from_str::<Vec<_>>(raw.text()).ok())
        .flatten()
        .collect();
    (!tokens.is_empty()).then(|| wrap_logprobs(&RawJson::array(tokens.into_iter().map(|raw| raw.get()))))
}

/// A list of tokens in the form of the canonical model.
pub(super) fn wrap_logprobs(tokens: &RawJson) -> RawJson {
    RawJson::object(&Ext(vec![("content".to_owned(), tokens.clone())]))
}

/// The list of tokens in log probabilities of the canonical model.
pub(super) fn unwrap_logprobs(raw: &RawJson) -> Option<RawJson> {
    let mut object = Object::parse(raw.text(), "").ok()?;
    object
        .take_some("content")
        .filter(|tokens| tokens.get().starts_with('['))
        .map(RawJson::from)
}

/// Writes a whole answer.
///
/// An answer that came in this dialect is written as it came. What came from another dialect and cannot be said here is
/// reported in `losses`, as dropped: an answer can no longer be refused.
pub fn encode_response(response: &Response, style: &ResponseStyle, losses: &mut Losses) -> Vec<u8> {
    let mut out = Vec::with_capacity(2048);
    if response.origin == ORIGIN {
        write_own_response(&mut out, response);
    } else {
        write_foreign_response(&mut out, response, style, losses);
    }
    out
}

fn write_own_response(out: &mut Vec<u8>, response: &Response) {
    Writer::new(out).object(|w| {
        w.key("id").string(&response.id);
        w.optional_number("created_at", response.created);
        if !response.model.is_empty() {
            w.key("model").string(&response.model);
        }
        w.key("output").array(|w| {
            for choice in &response.choices {
                write_own(w, &with_logprobs(choice));
            }
        });
        if let Some(counts) = &response.usage {
            w.key("usage");
            usage::encode(w, counts, response.origin);
        }
        w.optional_string("service_tier", response.service_tier.as_deref());
        // A stream begins with `null` for what is not known yet.
        let mut above = Vec::new();
        if response.usage.is_some() {
            above.push("usage");
        }
        if response.service_tier.is_some() {
            above.push("service_tier");
        }
        w.ext(&without(&response.ext, &above));
    });
}

/// The parts of an answer. The log probabilities of a stream are told apart from its text and put back into it.
fn with_logprobs(choice: &Choice) -> Cow<'_, [Part]> {
    let kept = |part: &Part| matches!(part, Part::Text(text) if text.ext.get("logprobs").is_some_and(|raw| !raw.is_blank()));
    let tokens = choice.logprobs.as_ref().and_then(unwrap_logprobs);
    let Some(tokens) = tokens.filter(|_| !choice.parts.iter().any(kept)) else {
        return Cow::Borrowed(&choice.parts);
    };
    let mut parts = choice.parts.clone();
    let first = parts.iter_mut().find_map(|part| match part {
        Part::Text(text) => Some(text),
        _ => None,
    });
    if let Some(text) = first {
        text.ext = without(&text.ext, &["logprobs"]);
        text.ext.0.push(("logprobs".to_owned(), tokens));
    }
    Cow::Owned(parts)
}

/// The members of an answer of another dialect, but for what it contains.
pub(super) struct Head<'a> {
    pub(super) id: &'a str,
    pub(super) model: &'a str,
    pub(super) created: u64,
    pub(super) service_tier: Option<&'a str>,
    pub(super) echo: &'a Echo,
}

impl Head<'_> {
    /// Writes the members of an answer with this status; `rest` writes `output`, `usage` and `error`.
    pub(super) fn write(
        &self,
        w: &mut Writer<'_>,
        status: &str,
        reason: Option<&str>,
        rest: impl FnOnce(&mut Writer<'_>),
    ) {
        w.object(|w| {
            w.key("id").string(&ids::answer(self.id));
            w.key("object").string("response");
            w.key("created_at").number(self.created);
            w.key("status").string(status);
            w.key("incomplete_details");
            match reason {
                Some(reason) => w.object(|w| w.key("reason").string(reason)),
                None => w.null(),
            }
            w.key("model").string(self.model);
            rest(w);
            w.key("service_tier");
            // What the tiers of other providers are called is reported where the answer begins.
            let known = self.service_tier.filter(|tier| TIERS.contains(tier));
            w.string(known.unwrap_or("default"));
            w.ext(self.echo.members());
        });
    }
}

/// Reports a tier that clients of this dialect do not know.
pub(super) fn report_tier(tier: Option<&str>, losses: &mut Losses) {
    if tier.is_some_and(|tier| !matches!(tier, "" | "standard") && !TIERS.contains(&tier)) {
        losses.dropped("service_tier", "the dialect has no such tier");
    }
}

fn write_foreign_response(
    out: &mut Vec<u8>,
    response: &Response,
    style: &ResponseStyle,
    losses: &mut Losses,
) {
    foreign::report(&response.ext, Place::Answer, response.origin, "", losses);
    report_tier(response.service_tier.as_deref(), losses);
    let head = Head {
        id: &response.id,
        model: &response.model,
        created: response.created.unwrap_or(style.created_s),
        service_tier: response.service_tier.as_deref(),
        echo: &style.echo,
    };
    if response.choices.len() > 1 {
        losses.dropped("choices", "an answer of this dialect is one answer");
    }
    let nothing = Vec::new();
    let (parts, stop, logprobs) = match response.choices.first() {
        Some(choice) => {
            for ext in [&choice.ext, &choice.message_ext] {
                foreign::report(ext, Place::Answer, response.origin, "", losses);
            }
            let logprobs = choice.logprobs.as_ref().and_then(unwrap_logprobs);
            (&choice.parts, choice.stop.clone(), logprobs)
        }
        None => (&nothing, crate::canonical::Stop::default(), None),
    };
    let ending = stop::encode(&stop, Contains::of(parts).refusal, losses);
    {
        let w = &mut Writer::new(out);
        head.write(w, ending.status, ending.reason, |w| {
            w.key("error").null();
            w.key("output").array(|w| {
                let mut items = Items {
                    response,
                    status: ending.status,
                    logprobs,
                    index: 0,
                    losses,
                };
                items.write(w, parts);
            });
            w.key("usage");
            match &response.usage {
                Some(counts) => usage::encode(w, counts, response.origin),
                None => w.null(),
            }
        });
    }
}

/// The items of an answer of another dialect.
struct Items<'a, 'l> {
    response: &'a Response,
    status: &'static str,
    /// What is told with the first text.
    logprobs: Option<RawJson>,
    index: usize,
    losses: &'l mut Losses,
}

impl Items<'_, '_> {
    fn write(&mut self, w: &mut Writer<'_>, parts: &[Part]) {
        let mut rest = parts;
        while let Some((first, behind)) = rest.split_first() {
            let path = format!("content[{}]", parts.len() - rest.len());
            let whole = rest;
            rest = behind;
            match first {
                Part::Text(_) | Part::Refusal(_) => {
                    let (message, behind) = split_message(whole);
                    rest = behind;
                    self.message(w, message, behind.is_empty(), &path);
                }
                Part::Reasoning(reasoning) => self.reasoning(w, reasoning, &path),
                Part::ToolCall(call) => self.call(w, call, behind.is_empty(), &path),
                Part::Media(_) => self
                    .losses
                    .dropped(path, "answers of this dialect hold text only"),
                Part::ToolResult(_) => self
                    .losses
                    .dropped(path, "answers of this dialect hold no tool results"),
                Part::Opaque { kind, .. } => self
                    .losses
                    .dropped(format!("{path}.{kind}"), "belongs to another API"),
            }
        }
    }

    fn id(&mut self, prefix: &str) -> String {
        self.index += 1;
        ids::item(prefix, &self.response.id, self.index - 1)
    }

    /// The status of an item; only the last one can be cut.
    fn status_of(&self, is_last: bool) -> &'static str {
        if is_last { self.status } else { "completed" }
    }

    fn message(&mut self, w: &mut Writer<'_>, parts: &[Part], is_last: bool, path: &str) {
        let id = self.id(ids::MESSAGE);
        let status = self.status_of(is_last);
        for part in parts {
            if let Part::Text(text) | Part::Refusal(text) = part {
                foreign::report(&text.ext, Place::Answer, self.response.origin, path, self.losses);
            }
        }
        write_message(w, &id, status, |w| {
            for part in parts {
                match part {
                    Part::Text(text) => write_output_text(w, &text.text, self.logprobs.take().as_ref()),
                    Part::Refusal(text) => write_refusal(w, &text.text),
                    _ => {}
                }
            }
        });
    }

    fn reasoning(&mut self, w: &mut Writer<'_>, reasoning: &Reasoning, path: &str) {
        foreign::report(
            &without(&reasoning.ext, &["reasoning_details"]),
            Place::Answer,
            self.response.origin,
            path,
            self.losses,
        );
        let id = self.id(ids::REASONING);
        let origin = reasoning.origin.unwrap_or(self.response.origin);
        let envelope = envelope::seal(reasoning, origin, &self.response.model);
        write_reasoning(w, &id, &reasoning.text, Some(&envelope));
    }

    fn call(&mut self, w: &mut Writer<'_>, call: &ToolCall, is_last: bool, path: &str) {
        foreign::report(
            &call.ext,
            Place::ToolCall,
            self.response.origin,
            path,
            self.losses,
        );
        let position = self.index;
        let id = self.id(if call.kind == crate::canonical::ToolCallKind::Custom {
            ids::CUSTOM_CALL
        } else {
            ids::FUNCTION_CALL
        });
        let call = ToolCall {
            id: ids::call(&call.id, &self.response.id, position).into_owned(),
            ext: Ext::default(),
            ..call.clone()
        };
        write_call(w, &id, self.status_of(is_last), &call);
    }
}
