//! Writing a request.
//!
//! A request of this dialect is written as it came. A request of another dialect is first brought into this dialect's shape, a
//! [`Draft`], and everything that does not fit is reported. The model and whether to stream stand in the address, which is
//! the business of whoever sends the request.

use std::borrow::Cow;

use super::part::{LEADING_POINT, ORIGIN};
use super::request::ROLE;
use super::response::{write_inner, write_without};
use super::write_part::{write_blocks, write_cache_point, write_raw_cache_point};
use super::{additional, options, tools, turns};
use crate::anthropic_messages;
use crate::canonical::{
    Effort, Ext, Message, Part, Request, ResponseFormat, Role, Text, Thinking, Tool, ToolChoice, ToolKind,
};
use crate::foreign::{self, Place};
use crate::json::{Object, RawJson, Writer};
use crate::loss::Losses;
use crate::names::Names;
use crate::target::Target;
use crate::tool_names::{self, Renames};

/// What a request is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To be answered.
    Answer,
    /// To have its tokens counted: without limits, sampling and other members that only an answer needs.
    Count,
}

/// Members of a request that the count of its tokens takes.
const COUNTED: [&str; 4] = ["messages", "system", "toolConfig", additional::NAME];

/// A request of another dialect in the shape of this one, borrowed as far as it fits.
#[derive(Default)]
pub(super) struct Draft<'a> {
    pub(super) system: Vec<Cow<'a, Part>>,
    pub(super) turns: Vec<turns::Turn<'a>>,
    pub(super) tools: Vec<Cow<'a, Tool>>,
    pub(super) tool_choice: Option<ToolChoice>,
    pub(super) max_tokens: Option<u64>,
    pub(super) temperature: Option<Cow<'a, RawJson>>,
    pub(super) top_p: Option<&'a RawJson>,
    pub(super) top_k: Option<&'a RawJson>,
    pub(super) stop: Vec<&'a str>,
    pub(super) thinking: Option<Thinking>,
    pub(super) effort: Option<Effort>,
    pub(super) format: Option<ResponseFormat>,
    pub(super) service_tier: Option<&'static str>,
    /// Whether the fast variant of the model is asked for.
    pub(super) optimized_latency: bool,
    /// `requestMetadata`.
    pub(super) metadata: Vec<(String, String)>,
    /// Whether at most one tool may be called at once, for a model that takes Claude's switch for it.
    pub(super) one_call: bool,
}

/// Writes a request for `target`.
///
/// A request of this dialect is written as it came; reasoning that another maker wrote is left out. A request of another
/// dialect is translated; what could not be carried over is in `losses`, and as long as that holds no rejection the result is
/// a valid request.
pub fn encode_request(request: &Request, target: &Target<'_>, losses: &mut Losses) -> Vec<u8> {
    let mut out = Vec::with_capacity(4096);
    Writer::new(&mut out).object(|w| write_members(w, request, target, Purpose::Answer, losses));
    out
}

/// The tools of a request of another dialect that [`encode_request`] sends under another name, because Bedrock refuses theirs.
pub fn renames(request: &Request) -> Renames {
    if request.origin == ORIGIN {
        return Renames::default();
    }
    tool_names::fit(request, &tool_names::BEDROCK, &mut Losses::new()).1
}

/// Writes the members of a request into the open object.
pub(super) fn write_members(
    w: &mut Writer<'_>,
    request: &Request,
    target: &Target<'_>,
    purpose: Purpose,
    losses: &mut Losses,
) {
    if request.origin == ORIGIN {
        return write_own(w, request, purpose, losses);
    }
    let (fitting, _) = tool_names::fit(request, &tool_names::BEDROCK, losses);
    let draft = draft(&fitting, target, losses);
    draft.write(w, purpose);
}

fn write_own(w: &mut Writer<'_>, request: &Request, purpose: Purpose, losses: &mut Losses) {
    let leading_system = request
        .messages
        .first()
        .is_some_and(|message| message.role == Role::System && message.ext.get(ROLE).is_none());
    let (system, messages) = request.messages.split_at(usize::from(leading_system));
    let names = Names::new(request);
    if !messages.is_empty() || request.ext.get("promptVariables").is_none() {
        w.key("messages").array(|w| {
            for (i, message) in messages.iter().enumerate() {
                write_own_message(w, message, &names.message(i + system.len()), losses);
            }
        });
    }
    if let [message] = system {
        w.key("system")
            .array(|w| write_content(w, message, message.parts.iter()));
    }
    let ext = &request.ext;
    if purpose == Purpose::Answer {
        write_inference(
            w,
            request.max_output_tokens,
            request.temperature.as_ref(),
            request.top_p.as_ref(),
            request.stop.iter().map(String::as_str),
            ext,
        );
    }
    let rest = ext.get("toolConfig");
    if !request.tools.is_empty() || request.tool_choice.is_some() || rest.is_some() {
        w.key("toolConfig").object(|w| {
            write_tools(w, request.tools.iter());
            write_choice(w, request.tool_choice.as_ref());
            write_inner(w, ext, "toolConfig");
        });
    }
    additional::write_own(w, request);
    const INSIDE: [&str; 5] = [
        "inferenceConfig",
        "toolConfig",
        "outputConfig",
        "serviceTier",
        additional::NAME,
    ];
    if purpose == Purpose::Answer {
        write_output(
            w,
            additional::untold_effort(request),
            request.response_format.as_ref(),
            ext,
        );
        if request.service_tier.is_some() || ext.get("serviceTier").is_some() {
            w.key("serviceTier").object(|w| {
                w.optional_string("type", request.service_tier.as_deref());
                write_inner(w, ext, "serviceTier");
            });
        }
        write_without(w, ext, &INSIDE);
    } else {
        for (name, raw) in ext.iter() {
            if COUNTED.contains(&name) && !INSIDE.contains(&name) {
                w.key(name).raw(raw);
            }
        }
    }
}

fn write_own_message(w: &mut Writer<'_>, message: &Message, path: &str, losses: &mut Losses) {
    let parts: Vec<&Part> = message
        .parts
        .iter()
        .enumerate()
        .filter(|(i, part)| match part {
            Part::Reasoning(reasoning) if reasoning.origin != Some(ORIGIN) => {
                losses.dropped(format!("{path}.content[{i}]"), turns::FOREIGN_REASONING);
                false
            }
            _ => true,
        })
        .map(|(_, part)| part)
        .collect();
    if parts.is_empty() && !message.parts.is_empty() {
        // A message of foreign reasoning only; the provider takes no empty ones.
        return;
    }
    w.object(|w| {
        w.key("role").string(role_name(message.role));
        w.key("content")
            .array(|w| write_content(w, message, parts.into_iter()));
        write_without(w, &message.ext, &[ROLE, LEADING_POINT]);
    });
}

fn write_content<'p>(w: &mut Writer<'_>, message: &Message, parts: impl Iterator<Item = &'p Part>) {
    if let Some(point) = message.ext.get(LEADING_POINT) {
        write_raw_cache_point(w, point);
    }
    write_blocks(w, parts);
}

const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Assistant => "assistant",
        Role::System | Role::Developer => "system",
        Role::User | Role::Tool => "user",
    }
}

/// Writes `inferenceConfig` unless it has no members.
fn write_inference<'s>(
    w: &mut Writer<'_>,
    max_tokens: Option<u64>,
    temperature: Option<&RawJson>,
    top_p: Option<&RawJson>,
    stop: impl Iterator<Item = &'s str>,
    ext: &Ext,
) {
    const NAME: &str = "inferenceConfig";
    let mut stop = stop.peekable();
    let stops = stop.peek().is_some();
    if max_tokens.is_none() && temperature.is_none() && top_p.is_none() && !stops && ext.get(NAME).is_none() {
        return;
    }
    w.key(NAME).object(|w| {
        w.optional_number("maxTokens", max_tokens);
        w.optional_raw("temperature", temperature);
        w.optional_raw("topP", top_p);
        if stops {
            w.key("stopSequences")
                .array(|w| stop.for_each(|text| w.string(text)));
        }
        write_inner(w, ext, NAME);
    });
}

fn write_tools<'t>(w: &mut Writer<'_>, tools: impl ExactSizeIterator<Item = &'t Tool>) {
    if tools.len() == 0 {
        return;
    }
    w.key("tools").array(|w| {
        for tool in tools {
            write_tool(w, tool);
            write_cache_point(w, tool.cache.as_ref());
        }
    });
}

fn write_tool(w: &mut Writer<'_>, tool: &Tool) {
    let (name, description, parameters, strict) = match &tool.kind {
        ToolKind::Hosted { raw, .. } => return w.raw(raw),
        ToolKind::Function {
            name,
            description,
            parameters,
            strict,
        } => (name, description, parameters.as_ref(), *strict),
        // Reported as rejected; written as a tool that takes nothing so that the document stays valid.
        ToolKind::Custom {
            name, description, ..
        } => (name, description, None, None),
    };
    w.object(|w| {
        w.key("toolSpec").object(|w| {
            w.key("name").string(name);
            w.optional_string("description", description.as_deref());
            w.key("inputSchema").object(|w| {
                match parameters {
                    Some(schema) => w.key("json").raw(schema),
                    None if tool.ext.get("inputSchema").is_some() => {}
                    None => w.key("json").object(|w| {
                        w.key("type").string("object");
                        w.key("properties").object(|_| {});
                    }),
                }
                write_inner(w, &tool.ext, "inputSchema");
            });
            w.optional_bool("strict", strict);
            write_without(w, &tool.ext, &["inputSchema"]);
        });
    });
}

fn write_choice(w: &mut Writer<'_>, choice: Option<&ToolChoice>) {
    const NAME: &str = "toolChoice";
    let kind = match choice {
        None => return,
        Some(ToolChoice::Auto | ToolChoice::Allowed { required: false, .. }) => "auto",
        Some(ToolChoice::Required | ToolChoice::Allowed { required: true, .. }) => "any",
        Some(ToolChoice::Function(name)) => {
            return w.key(NAME).object(|w| {
                w.key("tool").object(|w| w.key("name").string(name));
            });
        }
        Some(ToolChoice::Opaque(raw)) => return w.key(NAME).raw(raw),
        // This dialect has no word for it; see `tools`.
        Some(ToolChoice::None) => return,
    };
    w.key(NAME).object(|w| w.key(kind).object(|_| {}));
}

/// Writes `outputConfig` unless it has no members.
fn write_output(w: &mut Writer<'_>, effort: Option<&Effort>, format: Option<&ResponseFormat>, ext: &Ext) {
    const NAME: &str = "outputConfig";
    let format = format.filter(|format| !matches!(format, ResponseFormat::Text | ResponseFormat::JsonObject));
    if effort.is_none() && format.is_none() && ext.get(NAME).is_none() {
        return;
    }
    w.key(NAME).object(|w| {
        match format {
            Some(ResponseFormat::Opaque(raw)) => w.key("textFormat").raw(raw),
            Some(ResponseFormat::JsonSchema {
                name,
                description,
                schema,
                ext,
                strict: _,
            }) => w.key("textFormat").object(|w| {
                w.key("type").string("json_schema");
                w.key("structure").object(|w| {
                    w.key("jsonSchema").object(|w| {
                        w.optional_string("schema", schema.as_ref().map(RawJson::text));
                        w.optional_string("name", name.as_deref());
                        w.optional_string("description", description.as_deref());
                        w.ext(ext);
                    });
                });
            }),
            Some(ResponseFormat::Text | ResponseFormat::JsonObject) | None => {}
        }
        w.optional_string("effort", effort.map(Effort::name));
        write_inner(w, ext, NAME);
    });
}

fn draft<'a>(request: &'a Request, target: &Target<'a>, losses: &mut Losses) -> Draft<'a> {
    let names = Names::new(request);
    let taken = options::take_from_bag(request, losses);
    foreign::report(&taken.rest, Place::Request, request.origin, "", losses);
    let conversation = turns::build(request, target.capabilities, losses);
    let tools::Tools { tools, choice } = tools::build(request, names, losses);
    let mut draft = Draft {
        system: conversation.system,
        turns: conversation.turns,
        tools,
        tool_choice: choice,
        max_tokens: options::max_tokens(request, names, losses),
        temperature: request.temperature.as_ref().map(Cow::Borrowed),
        top_p: request.top_p.as_ref(),
        top_k: request.top_k.as_ref(),
        stop: anthropic_messages::stop(request, losses),
        service_tier: options::service_tier(request, names, losses),
        optimized_latency: taken.fast,
        metadata: taken.metadata,
        ..Draft::default()
    };
    options::reasoning(&mut draft, request, target, names, losses);
    options::tool_use(&mut draft, request, target.capabilities, names, losses);
    options::sampling(&mut draft, target.capabilities, names, losses);
    anthropic_messages::unknown_here(request, losses);
    options::response_format(&mut draft, request, target.capabilities, names, losses);
    draft
}

impl Draft<'_> {
    fn write(&self, w: &mut Writer<'_>, purpose: Purpose) {
        let none = Ext::default();
        w.key("messages").array(|w| {
            for turn in &self.turns {
                w.object(|w| {
                    w.key("role").string(role_name(turn.role));
                    w.key("content")
                        .array(|w| write_blocks(w, turn.parts.iter().map(AsRef::as_ref)));
                });
            }
        });
        if !self.system.is_empty() {
            w.key("system")
                .array(|w| write_blocks(w, self.system.iter().map(AsRef::as_ref)));
        }
        let answer = purpose == Purpose::Answer;
        if answer {
            write_inference(
                w,
                self.max_tokens,
                self.temperature.as_deref(),
                self.top_p,
                self.stop.iter().copied(),
                &none,
            );
        }
        if !self.tools.is_empty() {
            w.key("toolConfig").object(|w| {
                write_tools(w, self.tools.iter().map(AsRef::as_ref));
                write_choice(w, self.tool_choice.as_ref());
            });
        }
        additional::write(w, self.thinking.as_ref(), self.top_k, &self.one_call());
        if answer {
            write_output(w, self.effort.as_ref(), self.format.as_ref(), &none);
            if let Some(tier) = self.service_tier {
                w.key("serviceTier").object(|w| w.key("type").string(tier));
            }
            if self.optimized_latency {
                w.key("performanceConfig")
                    .object(|w| w.key("latency").string("optimized"));
            }
            if !self.metadata.is_empty() {
                w.key("requestMetadata").object(|w| {
                    for (name, value) in &self.metadata {
                        w.key(name).string(value);
                    }
                });
            }
        }
    }

    /// Claude's switch, which stands in its own choice of a tool.
    fn one_call(&self) -> Ext {
        if !self.one_call {
            return Ext::default();
        }
        let mut choice = Vec::new();
        Writer::new(&mut choice).object(|w| {
            let (kind, name) = match &self.tool_choice {
                Some(ToolChoice::Function(name)) => ("tool", Some(name.as_str())),
                Some(ToolChoice::Required) => ("any", None),
                _ => ("auto", None),
            };
            w.key("type").string(kind);
            w.optional_string("name", name);
            w.key("disable_parallel_tool_use").bool(true);
        });
        let choice = std::str::from_utf8(&choice)
            .ok()
            .and_then(|text| RawJson::parse(text).ok());
        Ext(choice
            .map(|choice| ("tool_choice".to_owned(), choice))
            .into_iter()
            .collect())
    }

    /// Puts an instruction behind the system prompt, as a block of its own so that a cached prompt stays as it is.
    pub(super) fn add_instruction(&mut self, instruction: &str) {
        self.system.push(Cow::Owned(Part::Text(Text {
            text: instruction.to_owned(),
            ..Text::default()
        })));
    }
}

/// Whether a schema describes an object.
pub(super) fn describes_object(schema: &RawJson) -> bool {
    Object::parse(schema.text(), "")
        .is_ok_and(|object| object.peek("type").is_some_and(|kind| kind.get() == "\"object\""))
}
