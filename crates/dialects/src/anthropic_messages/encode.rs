//! Writing a request.
//!
//! A request of this dialect is written as it came. A request of another dialect is first brought into this dialect's
//! shape, a [`Draft`], and everything that does not fit is reported.

use std::borrow::Cow;

use super::part::{encode_cache, encode_content};
use super::{options, tools, turns};
use crate::Dialect;
use crate::canonical::{
    ContentForm, Effort, Ext, Part, Request, ResponseFormat, Role, Thinking, Tool, ToolChoice, ToolKind,
};
use crate::foreign::{self, Place};
use crate::json::{Object, RawJson, Writer};
use crate::loss::Losses;
use crate::names::Names;
use crate::target::Target;
use crate::tool_names::{self, Renames};

/// `max_tokens` where neither the client nor the route nor the capability table names one.
const LAST_RESORT_MAX_TOKENS: u64 = 8192;

/// A request in the shape of this dialect, borrowed from the canonical one as far as it fits.
pub(super) struct Draft<'a> {
    pub(super) model: &'a str,
    pub(super) max_tokens: u64,
    /// The top-level `system`.
    pub(super) system: Option<Turn<'a>>,
    pub(super) turns: Vec<Turn<'a>>,
    pub(super) tools: Vec<Cow<'a, Tool>>,
    pub(super) tool_choice: Option<Cow<'a, ToolChoice>>,
    /// `disable_parallel_tool_use`.
    pub(super) disable_parallel: Option<bool>,
    pub(super) temperature: Option<Cow<'a, RawJson>>,
    pub(super) top_p: Option<&'a RawJson>,
    pub(super) top_k: Option<&'a RawJson>,
    pub(super) stop: Vec<&'a str>,
    pub(super) stream: Option<bool>,
    pub(super) thinking: Option<Cow<'a, Thinking>>,
    pub(super) effort: Option<Effort>,
    pub(super) format: Option<Cow<'a, ResponseFormat>>,
    pub(super) user: Option<&'a str>,
    pub(super) service_tier: Option<&'a str>,
    /// The bag of the request, if it is of this dialect.
    pub(super) ext: Option<&'a Ext>,
}

/// One message in the shape of this dialect.
pub(super) struct Turn<'a> {
    pub(super) role: Role,
    pub(super) parts: Vec<Cow<'a, Part>>,
    pub(super) form: ContentForm,
    /// The bag of the message, if it is of this dialect.
    pub(super) ext: Option<&'a Ext>,
}

/// The tools of a Gemini client that [`encode_request`] sends under another name, because this dialect refuses theirs.
pub fn renames(request: &Request) -> Renames {
    if request.origin != Dialect::Gemini {
        return Renames::default();
    }
    tool_names::fit(request, &tool_names::ANTHROPIC, &mut Losses::new()).1
}

/// Writes a request for `target`.
///
/// A request of this dialect is written as it came, except for the model; a `max_tokens` is added where it is missing, and
/// reasoning that another maker wrote is left out. A request of another dialect is translated; what could not be carried
/// over is in `losses`, and as long as that holds no rejection the result is a valid request.
pub fn encode_request(request: &Request, target: &Target<'_>, losses: &mut Losses) -> Vec<u8> {
    encode(request, target, Purpose::Answer, losses)
}

/// What a request is written for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To be answered.
    Answer,
    /// To have its tokens counted: without limits, sampling and other members that only an answer needs.
    Count,
}

pub(super) fn encode(
    request: &Request,
    target: &Target<'_>,
    purpose: Purpose,
    losses: &mut Losses,
) -> Vec<u8> {
    // Gemini takes names that this dialect does not; those of OpenAI fit.
    let fitting = if request.origin == Dialect::Gemini {
        tool_names::fit(request, &tool_names::ANTHROPIC, losses).0
    } else {
        Cow::Borrowed(request)
    };
    let request = &*fitting;
    let draft = if request.origin == Dialect::AnthropicMessages {
        native_draft(request, target, losses)
    } else {
        foreign_draft(request, target, losses)
    };
    let mut out = Vec::with_capacity(4096);
    draft.write(&mut Writer::new(&mut out), purpose);
    out
}

fn native_draft<'a>(request: &'a Request, target: &Target<'a>, losses: &mut Losses) -> Draft<'a> {
    let mut turns: Vec<Turn<'a>> = Vec::with_capacity(request.messages.len());
    let leading_system = request
        .messages
        .first()
        .is_some_and(|message| message.role == Role::System);
    for (i, message) in request.messages.iter().enumerate() {
        let number = i.saturating_sub(usize::from(leading_system));
        let parts = turns::keep_own_parts(&message.parts, number, losses);
        if parts.is_empty() && !message.parts.is_empty() {
            // A message of foreign reasoning only; the provider takes no empty ones.
            continue;
        }
        turns.push(Turn {
            role: message.role,
            parts,
            form: message.form,
            ext: Some(&message.ext),
        });
    }
    let system = leading_system.then(|| turns.remove(0));
    let reasoning = request.reasoning.as_ref();
    Draft {
        model: target.model,
        max_tokens: max_tokens(request, target, losses),
        system,
        turns,
        tools: request.tools.iter().map(Cow::Borrowed).collect(),
        tool_choice: request.tool_choice.as_ref().map(Cow::Borrowed),
        disable_parallel: request.parallel_tool_calls.map(|parallel| !parallel),
        temperature: request.temperature.as_ref().map(Cow::Borrowed),
        top_p: request.top_p.as_ref(),
        top_k: request.top_k.as_ref(),
        stop: request.stop.iter().map(String::as_str).collect(),
        stream: request.stream,
        thinking: reasoning
            .and_then(|reasoning| reasoning.thinking.as_ref())
            .map(Cow::Borrowed),
        effort: reasoning.and_then(|reasoning| reasoning.effort.clone()),
        format: request.response_format.as_ref().map(Cow::Borrowed),
        user: request.user.as_deref(),
        service_tier: request.service_tier.as_deref(),
        ext: Some(&request.ext),
    }
}

fn foreign_draft<'a>(request: &'a Request, target: &Target<'a>, losses: &mut Losses) -> Draft<'a> {
    let names = Names::new(request);
    foreign::report(&request.ext, Place::Request, request.origin, "", losses);
    let conversation = turns::build(request, target.capabilities, losses);
    let tools::Tools {
        tools,
        choice,
        disable_parallel,
    } = tools::build(request, losses);
    let mut draft = Draft {
        model: target.model,
        max_tokens: max_tokens(request, target, losses),
        system: conversation.system,
        turns: conversation.turns,
        tools,
        tool_choice: choice,
        disable_parallel,
        temperature: request.temperature.as_ref().map(Cow::Borrowed),
        top_p: request.top_p.as_ref(),
        top_k: request.top_k.as_ref(),
        stop: options::stop(request, losses),
        stream: request.stream,
        thinking: None,
        effort: None,
        format: None,
        user: options::user(request, losses),
        service_tier: options::service_tier(request, losses),
        ext: None,
    };
    options::reasoning(&mut draft, request, target.capabilities, losses);
    options::forced_choice(&draft, target.capabilities, names, losses);
    options::sampling(&mut draft, target.capabilities, names, losses);
    options::unknown_here(request, losses);
    options::response_format(&mut draft, request, target.capabilities, losses);
    draft
}

fn max_tokens(request: &Request, target: &Target<'_>, losses: &mut Losses) -> u64 {
    request
        .max_output_tokens
        .or(target.default_max_output_tokens)
        .or(target.capabilities.max_output_tokens)
        .unwrap_or_else(|| {
            losses.approximated(
                Names::new(request).option("max_tokens"),
                "required by the provider; neither the request nor the route sets it",
            );
            LAST_RESORT_MAX_TOKENS
        })
}

impl Draft<'_> {
    fn write(&self, w: &mut Writer<'_>, purpose: Purpose) {
        let bag = |name: &str| {
            self.ext
                .and_then(|ext| ext.get(name))
                .filter(|raw| raw.text().starts_with('{'))
        };
        w.object(|w| {
            w.key("model").string(self.model);
            if purpose == Purpose::Answer {
                w.key("max_tokens").number(self.max_tokens);
            }
            if let Some(system) = &self.system {
                w.key("system");
                encode_content(w, system.parts.iter().map(AsRef::as_ref), system.form);
            }
            w.key("messages")
                .array(|w| self.turns.iter().for_each(|turn| turn.write(w)));
            if !self.tools.is_empty() {
                w.key("tools")
                    .array(|w| self.tools.iter().for_each(|tool| write_tool(w, tool)));
            }
            self.write_tool_choice(w);
            w.optional_raw("temperature", self.temperature.as_deref());
            w.optional_raw("top_p", self.top_p);
            w.optional_raw("top_k", self.top_k);
            if !self.stop.is_empty() {
                w.key("stop_sequences")
                    .array(|w| self.stop.iter().for_each(|text| w.string(text)));
            }
            w.optional_bool("stream", self.stream);
            if let Some(thinking) = &self.thinking {
                w.key("thinking");
                write_thinking(w, thinking);
            }
            let rest = bag("output_config");
            if self.effort.is_some() || self.format.is_some() || rest.is_some() {
                w.key("output_config").object(|w| {
                    w.optional_string("effort", self.effort.as_ref().map(Effort::name));
                    if let Some(format) = &self.format {
                        write_format(w, format);
                    }
                    write_members(w, rest);
                });
            }
            let rest = bag("metadata");
            if self.user.is_some() || rest.is_some() {
                w.key("metadata").object(|w| {
                    w.optional_string("user_id", self.user);
                    write_members(w, rest);
                });
            }
            w.optional_string("service_tier", self.service_tier);
            for (key, raw) in self.ext.into_iter().flat_map(Ext::iter) {
                if !(matches!(key, "output_config" | "metadata") && raw.text().starts_with('{')) {
                    w.key(key).raw(raw);
                }
            }
        });
    }

    fn write_tool_choice(&self, w: &mut Writer<'_>) {
        let choice = match (&self.tool_choice, self.disable_parallel) {
            (Some(choice), _) => choice.as_ref(),
            // Only a choice can carry the switch.
            (None, Some(true)) if !self.tools.is_empty() => &ToolChoice::Auto,
            (None, _) => return,
        };
        let (kind, name) = match choice {
            ToolChoice::Auto => ("auto", None),
            ToolChoice::Required => ("any", None),
            ToolChoice::None => ("none", None),
            ToolChoice::Function(name) => ("tool", Some(name.as_str())),
            // Brought down to the tools that are allowed, see `tools`.
            ToolChoice::Allowed { required: true, .. } => ("any", None),
            ToolChoice::Allowed { required: false, .. } => ("auto", None),
            ToolChoice::Opaque(raw) => return w.key("tool_choice").raw(raw),
        };
        w.key("tool_choice").object(|w| {
            w.key("type").string(kind);
            w.optional_string("name", name);
            w.optional_bool("disable_parallel_tool_use", self.disable_parallel);
        });
    }
}

impl Turn<'_> {
    fn write(&self, w: &mut Writer<'_>) {
        w.object(|w| {
            w.key("role").string(match self.role {
                Role::Assistant => "assistant",
                Role::System | Role::Developer => "system",
                Role::User | Role::Tool => "user",
            });
            w.key("content");
            encode_content(w, self.parts.iter().map(AsRef::as_ref), self.form);
            if let Some(ext) = self.ext {
                w.ext(ext);
            }
        });
    }
}

fn write_tool(w: &mut Writer<'_>, tool: &Tool) {
    match &tool.kind {
        ToolKind::Hosted { raw, .. } => w.raw(raw),
        ToolKind::Function {
            name,
            description,
            parameters,
            strict,
        } => w.object(|w| {
            w.key("name").string(name);
            w.optional_string("description", description.as_deref());
            w.key("input_schema");
            match parameters {
                Some(schema) => w.raw(schema),
                None => write_empty_schema(w),
            }
            w.optional_bool("strict", *strict);
            encode_cache(w, tool.cache.as_ref());
            w.ext(&tool.ext);
        }),
        // Reported as rejected; written as a tool of one text so that the document stays valid.
        ToolKind::Custom {
            name, description, ..
        } => w.object(|w| {
            w.key("name").string(name);
            w.optional_string("description", description.as_deref());
            w.key("input_schema");
            write_empty_schema(w);
        }),
    }
}

fn write_empty_schema(w: &mut Writer<'_>) {
    w.object(|w| {
        w.key("type").string("object");
        w.key("properties").object(|_| {});
    });
}

pub(crate) fn write_thinking(w: &mut Writer<'_>, thinking: &Thinking) {
    let (kind, budget, ext) = match thinking {
        Thinking::Enabled { budget_tokens, ext } => ("enabled", Some(*budget_tokens), ext),
        Thinking::Adaptive { ext } => ("adaptive", None, ext),
        Thinking::Disabled { ext } => ("disabled", None, ext),
        Thinking::Other(raw) => return w.raw(raw),
    };
    w.object(|w| {
        w.key("type").string(kind);
        w.optional_number("budget_tokens", budget);
        w.ext(ext);
    });
}

fn write_format(w: &mut Writer<'_>, format: &ResponseFormat) {
    match format {
        ResponseFormat::Text | ResponseFormat::JsonObject => {}
        ResponseFormat::Opaque(raw) => w.key("format").raw(raw),
        ResponseFormat::JsonSchema { schema, ext, .. } => w.key("format").object(|w| {
            w.key("type").string("json_schema");
            w.optional_raw("schema", schema.as_ref());
            w.ext(ext);
        }),
    }
}

/// Writes the members of a raw object into the open one.
fn write_members(w: &mut Writer<'_>, raw: Option<&RawJson>) {
    if let Some(object) = raw.and_then(|raw| Object::parse(raw.text(), "").ok()) {
        w.ext(&object.into_ext());
    }
}
