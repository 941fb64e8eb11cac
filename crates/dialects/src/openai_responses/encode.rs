//! Requests, written.

use std::borrow::Cow;

use super::{options, tools, write_input};
use crate::canonical::{Ext, Request};
use crate::foreign::{self, Place};
use crate::json::{RawJson, Writer};
use crate::loss::Losses;
use crate::names::Names;
use crate::openai_chat::ext::{inner, is_marked, without};
use crate::target::Target;
use crate::{Dialect, Renames, tool_names};

/// Writes a request for a model.
///
/// A request that came in this dialect is written as it came, but for the model and reasoning of other makers. What came
/// from another dialect and cannot be said here is reported in `losses`. Such a request asks the provider to store nothing
/// unless its own dialect said otherwise.
pub fn encode_request(request: &Request, target: &Target<'_>, losses: &mut Losses) -> Vec<u8> {
    let mut out = Vec::with_capacity(4096);
    Writer::new(&mut out).object(|w| {
        w.key("model").string(target.model);
        if options::is_own(request) {
            write_own_members(w, request, losses);
        } else {
            let fitting = fit(request, losses);
            write_foreign_members(w, &fitting, target, losses);
        }
    });
    out
}

/// The tools that [`encode_request`] sends under another name, because this dialect's providers refuse theirs.
pub fn renames(request: &Request) -> Renames {
    if options::is_own(request) {
        return Renames::default();
    }
    tool_names::fit(request, &tool_names::OPENAI, &mut Losses::new()).1
}

fn fit<'a>(request: &'a Request, losses: &mut Losses) -> Cow<'a, Request> {
    tool_names::fit(request, &tool_names::OPENAI, losses).0
}

/// Writes the members beside the model, as they came.
pub(super) fn write_own_members(w: &mut Writer<'_>, request: &Request, losses: &mut Losses) {
    write_input::write_own_members(w, request, losses);
    tools::write(w, request, losses);
    w.optional_number("max_output_tokens", request.max_output_tokens);
    for (name, value) in [
        ("temperature", &request.temperature),
        ("top_p", &request.top_p),
        ("top_k", &request.top_k),
        ("presence_penalty", &request.presence_penalty),
        ("frequency_penalty", &request.frequency_penalty),
    ] {
        w.optional_raw(name, value.as_ref());
    }
    w.optional_number("top_logprobs", request.top_logprobs);
    w.optional_bool("stream", request.stream);
    options::write_own(w, request);
    let mut written = Vec::new();
    let object = |name| {
        request
            .ext
            .get(name)
            .is_some_and(|raw| raw.text().starts_with('{'))
    };
    let marks = [
        ("reasoning", object("reasoning")),
        ("text", object("text")),
        ("user", request.user.is_some() && is_marked(&request.ext, "user")),
        (
            "input",
            !request.messages.is_empty() && is_marked(&request.ext, "input"),
        ),
    ];
    written.extend(marks.iter().filter(|(_, said)| *said).map(|(name, _)| *name));
    w.ext(&without(&request.ext, &written));
}

fn write_foreign_members(w: &mut Writer<'_>, request: &Request, target: &Target<'_>, losses: &mut Losses) {
    write_input::write_foreign_members(w, request, losses);
    tools::write(w, request, losses);
    write_limits(w, request, target, losses);
    w.optional_bool("stream", request.stream);
    options::write_foreign(w, request, target, losses);
    write_shared(w, request, losses);
}

fn write_limits(w: &mut Writer<'_>, request: &Request, target: &Target<'_>, losses: &mut Losses) {
    let names = Names::new(request);
    match request.max_output_tokens {
        Some(0) => losses.rejected(
            names.option("max_tokens"),
            "the provider cannot warm its cache without an answer",
        ),
        tokens => w.optional_number("max_output_tokens", tokens),
    }
    for (name, value) in [("temperature", &request.temperature), ("top_p", &request.top_p)] {
        let Some(value) = value else { continue };
        if target.capabilities.sampling {
            w.key(name).raw(value);
        } else {
            losses.approximated(names.option(name), "the model chooses its own sampling");
        }
    }
    let mut left_out = |name: &'static str, said: bool, reason: &'static str| {
        if said {
            losses.approximated(names.option(name), reason);
        }
    };
    left_out(
        "top_k",
        request.top_k.is_some(),
        "the provider does not sample from the most likely tokens only",
    );
    let is_zero = |value: &Option<RawJson>| value.as_ref().is_none_or(|raw| raw.as_f64() == Some(0.0));
    left_out(
        "presence_penalty",
        !is_zero(&request.presence_penalty),
        "the provider knows no penalties",
    );
    left_out(
        "frequency_penalty",
        !is_zero(&request.frequency_penalty),
        "the provider knows no penalties",
    );
    if request.seed.is_some() {
        losses.dropped(names.option("seed"), "the provider knows no seed");
    }
    if request.choices.is_some_and(|choices| choices != 1) {
        losses.rejected(names.option("n"), "the provider gives one answer per call");
    }
    if !request.stop.is_empty() {
        losses.rejected(
            names.option("stop"),
            "the provider knows no texts that end the answer",
        );
    }
}

/// Members that OpenAI's two dialects have in common.
const SHARED: [&str; 6] = [
    "metadata",
    "prompt_cache_key",
    "prompt_cache_retention",
    "prompt_cache_options",
    "moderation",
    "store",
];

/// Writes what the two dialects of OpenAI share, and reports the rest of the bag.
fn write_shared(w: &mut Writer<'_>, request: &Request, losses: &mut Losses) {
    if request.origin != Dialect::OpenaiChat {
        w.key("store").bool(false);
        foreign::report(&request.ext, Place::Request, request.origin, "", losses);
        return;
    }
    let said = |name: &str| request.ext.get(name).filter(|raw| raw.text() != "null");
    for name in SHARED {
        match said(name) {
            Some(raw) => w.key(name).raw(raw),
            // Left out, it would mean true here, and false where the request comes from.
            None if name == "store" => w.key(name).bool(false),
            None => {}
        }
    }
    let options = inner(&request.ext, "stream_options");
    if let Some(obfuscation) = options.get("include_obfuscation") {
        w.key("stream_options")
            .object(|w| w.key("include_obfuscation").raw(obfuscation));
    }
    let mut rest: Ext = without(&request.ext, &SHARED);
    let verbosity = said("verbosity").is_some_and(|raw| raw.as_string().is_some());
    let known = [
        ("verbosity", verbosity),
        (
            "stream_options",
            options.iter().all(|(name, _)| name == "include_obfuscation"),
        ),
    ];
    for (name, is_known) in known {
        if is_known {
            rest = without(&rest, &[name]);
        }
    }
    foreign::report(&rest, Place::Request, request.origin, "", losses);
}
