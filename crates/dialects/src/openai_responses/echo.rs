//! What an answer repeats of its request.

use std::sync::{Arc, LazyLock};

use super::input::INSTRUCTIONS;
use super::{ORIGIN, options, tools, write_input};
use crate::canonical::{Ext, Request, ToolChoice};
use crate::json::{Object, RawJson, Writer};
use crate::openai_chat::ext::{inner, is_marked};

/// The members of an answer that repeat those of its request (`instructions`, `tools`, `temperature`, …), with OpenAI's
/// defaults for what the client left out. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Echo(Arc<Ext>);

static DEFAULT: LazyLock<Echo> = LazyLock::new(|| Echo::from_written(&Ext::default(), None));

impl Default for Echo {
    /// What is repeated of a request that says nothing.
    fn default() -> Self {
        DEFAULT.clone()
    }
}

impl Echo {
    /// What is repeated of this request of this dialect; of another dialect's request, the defaults.
    pub fn of(request: &Request) -> Self {
        if request.origin != ORIGIN {
            return Echo::default();
        }
        let mut out = Vec::new();
        Writer::new(&mut out).object(|w| {
            tools::write_tools(w, &request.tools.iter().collect::<Vec<_>>(), true);
            tools::write_choice(w, request.tool_choice.as_ref().unwrap_or(&ToolChoice::Auto), true);
            w.optional_bool("parallel_tool_calls", request.parallel_tool_calls);
            w.optional_number("max_output_tokens", request.max_output_tokens);
            w.optional_raw("temperature", request.temperature.as_ref());
            w.optional_raw("top_p", request.top_p.as_ref());
            w.optional_number("top_logprobs", request.top_logprobs);
            options::write_own(w, request);
        });
        let mut said = Object::parse(std::str::from_utf8(&out).unwrap_or("{}"), "")
            .map(Object::into_ext)
            .unwrap_or_default();
        let rest = request.ext.iter().filter(|(_, raw)| raw.text() != "null");
        said.0
            .extend(rest.map(|(name, raw)| (name.to_owned(), raw.clone())));
        let instructions = request
            .messages
            .first()
            .filter(|first| is_marked(&first.ext, INSTRUCTIONS))
            .map(write_input::text_of);
        Echo::from_written(&said, instructions)
    }

    fn from_written(said: &Ext, instructions: Option<String>) -> Self {
        let mut members = Ext(vec![(
            INSTRUCTIONS.to_owned(),
            instructions.map_or_else(RawJson::null, |text| RawJson::string(&text)),
        )]);
        for (name, usual) in USUAL {
            let raw = said.get(name).cloned();
            let usual = RawJson::parse(usual).unwrap_or_else(|_| RawJson::null());
            let raw = match (name, raw) {
                ("reasoning" | "text", Some(raw)) => with_usual(&raw, &usual),
                (_, raw) => raw.unwrap_or(usual),
            };
            members.0.push((name.to_owned(), raw));
        }
        Echo(Arc::new(members))
    }

    /// The members to write into an answer.
    pub(super) fn members(&self) -> &Ext {
        &self.0
    }
}

/// The members of an object, and those of the usual one that it lacks.
fn with_usual(raw: &RawJson, usual: &RawJson) -> RawJson {
    let wrapped = |raw: &RawJson| inner(&Ext(vec![("x".to_owned(), raw.clone())]), "x");
    let mut members = wrapped(raw);
    for (name, value) in wrapped(usual).0 {
        if members.get(&name).is_none() {
            members.0.push((name, value));
        }
    }
    RawJson::object(&members)
}

/// What an answer repeats, and what OpenAI writes there if the request did not say.
const USUAL: [(&str, &str); 19] = [
    ("background", "false"),
    ("max_output_tokens", "null"),
    ("max_tool_calls", "null"),
    ("metadata", "{}"),
    ("parallel_tool_calls", "true"),
    ("previous_response_id", "null"),
    ("prompt_cache_key", "null"),
    ("reasoning", r#"{"effort":null,"summary":null}"#),
    ("safety_identifier", "null"),
    ("store", "true"),
    ("temperature", "1.0"),
    ("text", r#"{"format":{"type":"text"}}"#),
    ("tool_choice", "\"auto\""),
    ("tools", "[]"),
    ("top_logprobs", "0"),
    ("top_p", "1.0"),
    ("truncation", "\"disabled\""),
    ("user", "null"),
    ("prompt_cache_retention", "null"),
];
