//! Writing a request.
//!
//! A request of this dialect is written as it came. A request of another dialect is first brought into this dialect's
//! shape, and everything that does not fit is reported. The model and whether to stream stand in the address, which is the
//! business of whoever sends the request.

use super::fields::{inner, without};
use super::{options, tools, turns, write_part};
use crate::Dialect;
use crate::canonical::{
    ContentForm, Effort, Ext, Part, ReasoningRequest, Request, ResponseFormat, Role, Thinking,
};
use crate::foreign::{self, Place};
use crate::json::{Object, RawJson, Writer};
use crate::loss::Losses;
use crate::names::Names;
use crate::target::Target;
use crate::tool_names::{self, Renames};

/// Writes a request for `target`.
///
/// A request of this dialect is written as it came, without the model that the body may have named; reasoning that another
/// maker wrote is left out. A request of another dialect is translated; what could not be carried over is in `losses`, and
/// as long as that holds no rejection the result is a valid request.
pub fn encode_request(request: &Request, target: &Target<'_>, losses: &mut Losses) -> Vec<u8> {
    let mut out = Vec::with_capacity(4096);
    let mut w = Writer::new(&mut out);
    w.object(|w| write_members(w, request, target, losses));
    out
}

/// The tools of a request of another dialect that [`encode_request`] sends under another name, because Gemini refuses theirs.
pub fn renames(request: &Request) -> Renames {
    if request.origin == Dialect::Gemini {
        return Renames::default();
    }
    tool_names::fit(request, &tool_names::GEMINI, &mut Losses::new()).1
}

/// Writes the members of a request into the open object.
pub(super) fn write_members(w: &mut Writer<'_>, request: &Request, target: &Target<'_>, losses: &mut Losses) {
    if request.origin == Dialect::Gemini {
        write_own(w, request, losses);
    } else {
        let (fitting, _) = tool_names::fit(request, &tool_names::GEMINI, losses);
        write_foreign(w, &fitting, target, losses);
    }
}

fn write_own(w: &mut Writer<'_>, request: &Request, losses: &mut Losses) {
    let leading_system = request
        .messages
        .first()
        .is_some_and(|message| message.role == Role::System);
    w.key("contents").array(|w| {
        for (i, message) in request
            .messages
            .iter()
            .enumerate()
            .skip(usize::from(leading_system))
        {
            write_own_content(w, message, Names::new(request).message(i).as_str(), losses);
        }
    });
    if let Some(message) = request.messages.first().filter(|_| leading_system) {
        w.key("systemInstruction");
        write_own_content(w, message, "systemInstruction", losses);
    }
    tools::write_own(w, &request.tools);
    tools::write_config(w, request.tool_choice.as_ref(), false, Some(&request.ext));
    write_own_config(w, request);
    w.optional_string("serviceTier", request.service_tier.as_deref());
    for (name, raw) in request.ext.iter() {
        if !(matches!(name, "generationConfig" | "toolConfig") && raw.text().starts_with('{')) {
            w.key(name).raw(raw);
        }
    }
}

fn write_own_content(
    w: &mut Writer<'_>,
    message: &crate::canonical::Message,
    path: &str,
    losses: &mut Losses,
) {
    let parts = write_part::own_parts(&message.parts, |i| {
        losses.dropped(format!("{path}.parts[{i}]"), turns::FOREIGN_REASONING);
    });
    w.object(|w| {
        let has_role = message.ext.get("role").is_some_and(|raw| raw.text() != "null");
        if message.role != Role::System && !has_role {
            w.key("role").string(role_name(message.role));
        }
        if message.form != ContentForm::Absent {
            write_parts(w, &parts);
        }
        w.ext(&message.ext);
    });
}

fn write_parts(w: &mut Writer<'_>, parts: &[Part]) {
    w.key("parts").array(|w| {
        for signed in write_part::sign(parts) {
            write_part::write(w, &signed);
        }
    });
}

/// The word for who speaks.
pub(super) const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Assistant => "model",
        Role::User | Role::Tool | Role::System | Role::Developer => "user",
    }
}

fn write_own_config(w: &mut Writer<'_>, request: &Request) {
    let rest = inner(&request.ext, "generationConfig");
    write_config(w, |w| {
        write_plain(w, request);
        let thinking_rest = inner(&rest, "thinkingConfig");
        if let Some(reasoning) = &request.reasoning {
            write_thinking(w, reasoning, &thinking_rest);
        }
        write_own_format(w, request.response_format.as_ref());
        let written: &[&str] = if request.reasoning.is_some() {
            &["thinkingConfig"]
        } else {
            &[]
        };
        w.ext(&without(&rest, written));
    });
}

/// Writes `generationConfig` unless it has no members.
fn write_config(w: &mut Writer<'_>, members: impl FnOnce(&mut Writer<'_>)) {
    let mut config = Vec::new();
    Writer::new(&mut config).object(members);
    let config = std::str::from_utf8(&config)
        .ok()
        .and_then(|text| RawJson::parse(text).ok());
    if let Some(config) = config.filter(|config| !config.is_blank()) {
        w.key("generationConfig").raw(&config);
    }
}

/// Members of `generationConfig` that are the same in the canonical form.
fn write_plain(w: &mut Writer<'_>, request: &Request) {
    w.optional_raw("temperature", request.temperature.as_ref());
    w.optional_raw("topP", request.top_p.as_ref());
    w.optional_raw("topK", request.top_k.as_ref());
    w.optional_number("candidateCount", request.choices);
    w.optional_number("maxOutputTokens", request.max_output_tokens);
    if !request.stop.is_empty() {
        w.key("stopSequences")
            .array(|w| request.stop.iter().for_each(|text| w.string(text)));
    }
    w.optional_raw("presencePenalty", request.presence_penalty.as_ref());
    w.optional_raw("frequencyPenalty", request.frequency_penalty.as_ref());
    w.optional_raw("seed", request.seed.as_ref());
    w.optional_bool("responseLogprobs", request.logprobs);
    w.optional_number("logprobs", request.top_logprobs);
}

fn write_thinking(w: &mut Writer<'_>, reasoning: &ReasoningRequest, rest: &Ext) {
    w.key("thinkingConfig").object(|w| {
        w.optional_bool("includeThoughts", reasoning.visible);
        let budget = match &reasoning.thinking {
            Some(Thinking::Enabled { budget_tokens, .. }) => Some(budget_tokens.to_string()),
            Some(Thinking::Disabled { .. }) => Some("0".to_owned()),
            Some(Thinking::Adaptive { .. }) => Some("-1".to_owned()),
            Some(Thinking::Other(_)) | None => None,
        };
        w.optional_raw(
            "thinkingBudget",
            budget.and_then(|text| RawJson::parse(&text).ok()).as_ref(),
        );
        let level = reasoning
            .effort
            .as_ref()
            .map(|effort| effort.name().to_ascii_uppercase());
        w.optional_string("thinkingLevel", level.as_deref());
        w.ext(rest);
    });
}

fn write_own_format(w: &mut Writer<'_>, format: Option<&ResponseFormat>) {
    match format {
        None => {}
        Some(ResponseFormat::Text) => w.key("responseMimeType").string("text/plain"),
        Some(ResponseFormat::JsonObject) => w.key("responseMimeType").string("application/json"),
        Some(ResponseFormat::JsonSchema { schema, ext, .. }) => {
            w.key("responseMimeType").string("application/json");
            match ext.get("responseSchema") {
                Some(own) => w.key("responseSchema").raw(own),
                None => w.optional_raw("responseJsonSchema", schema.as_ref()),
            }
        }
        Some(ResponseFormat::Opaque(raw)) => {
            if let Ok(object) = Object::parse(raw.text(), "") {
                w.ext(&object.into_ext());
            }
        }
    }
}

fn write_foreign(w: &mut Writer<'_>, request: &Request, target: &Target<'_>, losses: &mut Losses) {
    let names = Names::new(request);
    foreign::report(&request.ext, Place::Request, request.origin, "", losses);
    let conversation = turns::build(request, target.capabilities, losses);
    w.key("contents").array(|w| {
        for turn in &conversation.turns {
            w.object(|w| {
                w.key("role").string(role_name(turn.role));
                w.key("parts").array(|w| {
                    for part in &turn.parts {
                        part.write(w);
                    }
                });
            });
        }
    });
    if !conversation.system.is_empty() {
        w.key("systemInstruction").object(|w| {
            w.key("parts").array(|w| {
                for text in &conversation.system {
                    w.object(|w| w.key("text").string(text));
                }
            });
        });
    }
    let fitted = super::fit_tools::build(request, target.capabilities, losses);
    tools::write_own(w, &fitted.tools);
    tools::write_config(w, fitted.choice.as_ref(), fitted.validated, None);
    let fitted = options::fit(request, target, names, losses);
    write_config(w, |w| {
        write_plain(w, &fitted.request);
        if let Some(reasoning) = &fitted.request.reasoning {
            write_thinking(w, reasoning, &Ext::default());
        }
        write_own_format(w, fitted.request.response_format.as_ref());
    });
    w.optional_string("serviceTier", fitted.service_tier);
}

/// Effort as a level.
pub(super) fn is_level(effort: &Effort) -> bool {
    matches!(
        effort,
        Effort::Minimal | Effort::Low | Effort::Medium | Effort::High | Effort::Xhigh
    )
}
