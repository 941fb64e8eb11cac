//! Options of requests that are objects of their own: `reasoning`, `text`, the user, log probabilities.

use super::ORIGIN;
use crate::canonical::{DecodeError, Effort, Ext, ReasoningRequest, Request, ResponseFormat, Thinking};
use crate::foreign::{self, Place};
use crate::json::{Object, RawJson, Writer};
use crate::loss::Losses;
use crate::names::Names;
use crate::openai_chat::ext::{inner, is_marked, keep_inner, leftover, mark, unmark, without};
use crate::openai_chat::{effort_for, service_tier};
use crate::target::{Capabilities, Target};

/// Takes `reasoning`; what is left of it stays in the bag under that name.
pub(super) fn take_reasoning(
    object: &mut Object<'_>,
    ext: &mut Ext,
) -> Result<Option<ReasoningRequest>, DecodeError> {
    let Some(mut reasoning) = object.take_object("reasoning")? else {
        return Ok(None);
    };
    let nulls = reasoning.take_nulls();
    let effort = reasoning
        .take_string("effort")?
        .map(|word| Effort::from_name(&word));
    let visible = ["summary", "generate_summary"]
        .into_iter()
        .any(|name| reasoning.has(name));
    let rest = leftover(reasoning, nulls);
    if effort.is_none() {
        ext.0.push(("reasoning".to_owned(), RawJson::object(&rest)));
    } else {
        keep_inner(ext, "reasoning", &rest);
    }
    Ok((effort.is_some() || visible).then_some(ReasoningRequest {
        effort,
        thinking: None,
        visible: visible.then_some(true),
    }))
}

/// Takes `text`: the form of the answer; what is left of it (`verbosity`) stays in the bag under that name.
pub(super) fn take_text(
    object: &mut Object<'_>,
    ext: &mut Ext,
) -> Result<Option<ResponseFormat>, DecodeError> {
    let Some(mut text) = object.take_object("text")? else {
        return Ok(None);
    };
    let nulls = text.take_nulls();
    let format = text.take("format");
    let rest = leftover(text, nulls);
    let Some(raw) = format else {
        ext.0.push(("text".to_owned(), RawJson::object(&rest)));
        return Ok(None);
    };
    keep_inner(ext, "text", &rest);
    let mut format = Object::parse(raw.get(), "text.format")?;
    let nulls = format.take_nulls();
    let kind = format.require_string("type")?;
    let decoded = match kind.as_str() {
        "text" => ResponseFormat::Text,
        "json_object" => ResponseFormat::JsonObject,
        "json_schema" => {
            return Ok(Some(ResponseFormat::JsonSchema {
                name: format.take_string("name")?,
                description: format.take_string("description")?,
                schema: format.take("schema").map(RawJson::from),
                strict: format.take_bool("strict")?,
                ext: leftover(format, nulls),
            }));
        }
        _ => return Ok(Some(ResponseFormat::Opaque(RawJson::from(raw)))),
    };
    Ok(Some(if leftover(format, nulls).is_empty() {
        decoded
    } else {
        ResponseFormat::Opaque(RawJson::from(raw))
    }))
}

/// Takes the id of the end user: `safety_identifier`, or else `user`, which is its older name.
pub(super) fn take_user(object: &mut Object<'_>, ext: &mut Ext) -> Result<Option<String>, DecodeError> {
    for name in ["safety_identifier", "user"] {
        if let Some(user) = object.take_string(name)? {
            unmark(ext, "user");
            if name == "user" {
                mark(ext, name);
            }
            return Ok(Some(user));
        }
    }
    Ok(None)
}

/// What `include` asks for, so that log probabilities are told.
pub(super) const LOGPROBS: &str = "message.output_text.logprobs";
/// What `include` asks for, so that reasoning can be sent back.
pub(super) const ENCRYPTED: &str = "reasoning.encrypted_content";

/// Whether the answer is to tell log probabilities.
pub(super) fn wants_logprobs(object: &Object<'_>, top: Option<u64>) -> bool {
    let include = object
        .peek("include")
        .and_then(|raw| serde_json::from_str::<Vec<String>>(raw.get()).ok())
        .unwrap_or_default();
    top.is_some_and(|top| top > 0) || include.iter().any(|wanted| wanted == LOGPROBS)
}

/// Writes `reasoning`, `text` and the user as they came.
pub(super) fn write_own(w: &mut Writer<'_>, request: &Request) {
    let effort = request
        .reasoning
        .as_ref()
        .and_then(|reasoning| reasoning.effort.as_ref());
    if effort.is_some() || request.ext.get("reasoning").is_some_and(is_object) {
        w.key("reasoning").object(|w| {
            w.optional_string("effort", effort.map(Effort::name));
            w.ext(&inner(&request.ext, "reasoning"));
        });
    }
    if request.response_format.is_some() || request.ext.get("text").is_some_and(is_object) {
        w.key("text").object(|w| {
            if let Some(format) = &request.response_format {
                w.key("format");
                write_format(w, format, true);
            }
            w.ext(&inner(&request.ext, "text"));
        });
    }
    let user_member = if is_marked(&request.ext, "user") {
        "user"
    } else {
        "safety_identifier"
    };
    w.optional_string(user_member, request.user.as_deref());
    w.optional_string("service_tier", request.service_tier.as_deref());
}

fn is_object(raw: &RawJson) -> bool {
    raw.text().starts_with('{')
}

/// Writes the value of `text.format`.
fn write_format(w: &mut Writer<'_>, format: &ResponseFormat, own: bool) {
    match format {
        ResponseFormat::Text => w.object(|w| w.key("type").string("text")),
        ResponseFormat::JsonObject => w.object(|w| w.key("type").string("json_object")),
        ResponseFormat::JsonSchema {
            name,
            description,
            schema,
            strict,
            ext,
        } => w.object(|w| {
            w.key("type").string("json_schema");
            let needed = if own { None } else { Some("response") };
            w.optional_string("name", name.as_deref().or(needed));
            w.optional_string("description", description.as_deref());
            w.optional_raw("schema", schema.as_ref());
            w.optional_bool("strict", *strict);
            if own {
                w.ext(ext);
            }
        }),
        ResponseFormat::Opaque(raw) => w.raw(raw),
    }
}

/// The tiers of OpenAI; vendors compatible with Chat Completions have others.
pub(super) const TIERS: [&str; 7] = [
    "auto",
    "default",
    "flex",
    "scale",
    "priority",
    "fast",
    "ultrafast",
];

/// Writes `reasoning`, `text`, the user, the tier and `include` for a request of another dialect.
pub(super) fn write_foreign(w: &mut Writer<'_>, request: &Request, target: &Target<'_>, losses: &mut Losses) {
    write_foreign_reasoning(w, request, target.capabilities, losses);
    write_foreign_text(w, request, losses);
    let user_member = if request.origin == crate::Dialect::OpenaiChat && is_marked(&request.ext, "user") {
        "user"
    } else {
        "safety_identifier"
    };
    w.optional_string(user_member, request.user.as_deref());
    match service_tier(request, losses) {
        Some(tier) if TIERS.contains(&tier) => w.key("service_tier").string(tier),
        Some(_) => losses.dropped("service_tier", "the provider has no such tier"),
        None => {}
    }
    let mut include = Vec::new();
    if request.logprobs == Some(true) {
        include.push(LOGPROBS);
    }
    w.optional_number("top_logprobs", request.top_logprobs);
    if reasons(target.capabilities) {
        include.push(ENCRYPTED);
    }
    if !include.is_empty() {
        w.key("include")
            .array(|w| include.into_iter().for_each(|wanted| w.string(wanted)));
    }
}

/// Whether the model is known to reason. Models that do not reason refuse to be asked for it.
fn reasons(capabilities: &Capabilities) -> bool {
    capabilities.reasoning && *capabilities != Capabilities::default()
}

fn write_foreign_reasoning(
    w: &mut Writer<'_>,
    request: &Request,
    capabilities: &Capabilities,
    losses: &mut Losses,
) {
    let Some(reasoning) = &request.reasoning else {
        return;
    };
    report_thinking(request, reasoning, losses);
    let effort = effort_for(reasoning, capabilities, Names::new(request), losses);
    let summary = capabilities.reasoning && is_visible(reasoning);
    if effort.is_none() && !summary {
        return;
    }
    w.key("reasoning").object(|w| {
        w.optional_string("effort", effort.as_ref().map(Effort::name));
        if summary {
            w.key("summary").string("auto");
        }
    });
}

/// Whether the client is to read the reasoning.
fn is_visible(reasoning: &ReasoningRequest) -> bool {
    let shown = |ext: &Ext| ext.get("display").is_none_or(|raw| raw.text() != "\"omitted\"");
    reasoning.visible.unwrap_or(match &reasoning.thinking {
        Some(Thinking::Enabled { ext, .. } | Thinking::Adaptive { ext }) => shown(ext),
        Some(Thinking::Disabled { .. } | Thinking::Other(_)) | None => false,
    })
}

fn report_thinking(request: &Request, reasoning: &ReasoningRequest, losses: &mut Losses) {
    let ext = match &reasoning.thinking {
        Some(Thinking::Enabled { ext, .. } | Thinking::Adaptive { ext } | Thinking::Disabled { ext }) => ext,
        Some(Thinking::Other(_)) | None => return,
    };
    let field = Names::new(request).option("thinking");
    let rest = without(ext, &["display"]);
    foreign::report(&rest, Place::Thinking, request.origin, field, losses);
}

fn write_foreign_text(w: &mut Writer<'_>, request: &Request, losses: &mut Losses) {
    let verbosity = request
        .ext
        .get("verbosity")
        .filter(|raw| request.origin == crate::Dialect::OpenaiChat && raw.as_string().is_some());
    let names = Names::new(request);
    let mut format = request.response_format.as_ref();
    if let Some(ResponseFormat::Opaque(_)) = format {
        losses.rejected(
            names.option("response_format"),
            "this form of the answer is unknown",
        );
        format = None;
    }
    if let Some(ResponseFormat::JsonSchema { ext, strict, .. }) = format {
        let path = names.option("response_format.json_schema.schema");
        let parent = path.trim_end_matches(".schema");
        foreign::report(ext, Place::Format, request.origin, parent, losses);
        if strict.is_none() && request.origin != crate::Dialect::OpenaiChat {
            losses.approximated(
                names.option("response_format"),
                "the schema is followed, not enforced",
            );
        }
    }
    if format.is_none() && verbosity.is_none() {
        return;
    }
    w.key("text").object(|w| {
        if let Some(format) = format {
            w.key("format");
            write_format(w, format, false);
        }
        w.optional_raw("verbosity", verbosity);
    });
}

/// Whether the dialect of a request is this one.
pub(super) fn is_own(request: &Request) -> bool {
    request.origin == ORIGIN
}
