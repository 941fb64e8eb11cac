//! Puts a streamed answer together into a whole one.
//!
//! Knows the order of [`Event`]s and how pieces join; refuses to know wire formats, with one exception: pieces that only
//! the origin dialect knows are JSON, and lists inside them are joined.

use std::collections::BTreeMap;

use crate::json::Raw;

use super::{
    Choice, Delta, Event, Ext, Part, PartKind, ProviderError, Reasoning, Response, Stop, Text, ToolCall,
    Usage,
};
use crate::Dialect;
use crate::json::{Object, RawJson};
use crate::openai_responses::PROGRESS;

/// Collects the [`Event`]s of one answer.
///
/// It is forgiving: events in a wrong order lose nothing that can be kept, and an answer that was cut is as far as it came.
#[derive(Debug, Default)]
pub struct Collector {
    origin: Option<Dialect>,
    id: String,
    model: String,
    created: Option<u64>,
    service_tier: Option<String>,
    ext: Ext,
    usage: Option<Usage>,
    choices: BTreeMap<u64, CollectedChoice>,
    error: Option<ProviderError>,
    ended: bool,
}

#[derive(Debug, Default)]
struct CollectedChoice {
    parts: BTreeMap<usize, CollectedPart>,
    stop: Option<Stop>,
    logprobs: Option<RawJson>,
    ext: Ext,
    message_ext: Ext,
}

#[derive(Debug)]
struct CollectedPart {
    part: Part,
    /// Pieces of the arguments of an opaque part (a hosted tool call).
    input: String,
}

impl Collector {
    /// An empty collector.
    pub fn new() -> Self {
        Collector::default()
    }

    /// The error the provider reported in the middle of the stream, if any.
    pub fn error(&self) -> Option<&ProviderError> {
        self.error.as_ref()
    }

    /// Whether the dialect's own end mark was seen.
    pub fn ended(&self) -> bool {
        self.ended
    }

    /// Whether every choice that was begun has told why it ended, and there was at least one.
    pub fn stopped(&self) -> bool {
        !self.choices.is_empty() && self.choices.values().all(|choice| choice.stop.is_some())
    }

    /// Takes the next event.
    pub fn push(&mut self, event: &Event<'_>) {
        match event {
            Event::Start {
                origin,
                id,
                model,
                created,
                service_tier,
                ext,
            } => {
                self.origin = Some(*origin);
                self.id.clone_from(id);
                self.model.clone_from(model);
                self.created = *created;
                self.service_tier.clone_from(service_tier);
                self.ext = ext.clone();
            }
            Event::PartStart { choice, part, kind } => {
                let origin = self.origin;
                let part_value = CollectedPart {
                    part: begin(kind, origin),
                    input: String::new(),
                };
                self.choice(*choice).parts.insert(*part, part_value);
            }
            Event::PartDelta { choice, part, delta } => {
                if let Some(collected) = self.choice(*choice).parts.get_mut(part) {
                    collected.append(delta);
                }
            }
            Event::PartStop { .. } | Event::Ping => {}
            Event::Stop { choice, stop } => self.choice(*choice).stop = Some(stop.clone()),
            Event::Usage(usage) => self.usage = Some(usage.clone()),
            Event::Error(error) => self.error = Some(error.clone()),
            // How far something is, is no part of the answer.
            Event::Opaque { field, .. } if field == PROGRESS => {}
            Event::Opaque { field, raw } => self.keep(field, raw),
            Event::End => self.ended = true,
        }
    }

    /// The answer as far as it was received. Choices come in the order of their numbers.
    pub fn finish(self) -> Response {
        let choices = self.choices.into_iter().map(|(index, choice)| Choice {
            index,
            parts: choice.parts.into_values().map(CollectedPart::finish).collect(),
            stop: choice.stop.unwrap_or_default(),
            logprobs: choice.logprobs,
            ext: choice.ext,
            message_ext: choice.message_ext,
        });
        Response {
            origin: self.origin.unwrap_or(Dialect::OpenaiChat),
            id: self.id,
            model: self.model,
            created: self.created,
            choices: choices.collect(),
            usage: self.usage,
            service_tier: self.service_tier,
            ext: self.ext,
        }
    }

    fn choice(&mut self, index: u64) -> &mut CollectedChoice {
        self.choices.entry(index).or_default()
    }

    /// Keeps a member by its place: `choices[0].delta.x` with the message, `choices[0].x` with the choice, `x` with the
    /// answer. Members of a delta are increments, so lists are joined; elsewhere the last value counts.
    fn keep(&mut self, field: &str, raw: &RawJson) {
        let Some((index, rest)) = split_choice(field) else {
            if field == "service_tier" {
                self.service_tier = raw.as_string();
            } else {
                set(&mut self.ext, field, raw.clone());
            }
            return;
        };
        let choice = self.choice(index);
        if let Some(member) = rest.strip_prefix("delta.") {
            add(&mut choice.message_ext, member, raw);
        } else if rest == "logprobs" {
            choice.logprobs = Some(match &choice.logprobs {
                Some(earlier) => join_members(earlier, raw),
                None => raw.clone(),
            });
        } else {
            set(&mut choice.ext, rest, raw.clone());
        }
    }
}

impl CollectedPart {
    fn append(&mut self, delta: &Delta<'_>) {
        match (&mut self.part, delta) {
            (Part::Text(text) | Part::Refusal(text), Delta::Text(piece)) => text.text.push_str(piece),
            (Part::Text(text) | Part::Refusal(text), Delta::Opaque(raw)) => add_members(&mut text.ext, raw),
            (Part::Reasoning(reasoning), Delta::Reasoning(piece) | Delta::Text(piece)) => {
                reasoning.text.push_str(piece)
            }
            (Part::Reasoning(reasoning), Delta::Signature(piece)) => {
                reasoning.signature.get_or_insert_default().push_str(piece);
            }
            (Part::Reasoning(reasoning), Delta::Opaque(raw)) => add_members(&mut reasoning.ext, raw),
            (Part::ToolCall(call), Delta::Arguments(piece)) => call.arguments.push_str(piece),
            (Part::ToolCall(call), Delta::Opaque(raw)) => add_members(&mut call.ext, raw),
            (Part::Opaque { .. }, Delta::Arguments(piece)) => self.input.push_str(piece),
            (Part::Opaque { raw: whole, .. }, Delta::Opaque(raw)) => match member_string(raw, "partial_json")
            {
                Some(piece) => self.input.push_str(&piece),
                None => *whole = with_members_of(whole, raw),
            },
            _ => {}
        }
    }

    fn finish(self) -> Part {
        let CollectedPart { mut part, input } = self;
        if let Part::Opaque { raw, .. } = &mut part
            && let Ok(input) = RawJson::parse(&input)
        {
            *raw = with_member(raw, "input", &input);
        }
        part
    }
}

/// `choices[3].rest` as `(3, "rest")`.
pub(crate) fn split_choice(field: &str) -> Option<(u64, &str)> {
    let (index, rest) = field.strip_prefix("choices[")?.split_once("].")?;
    Some((index.parse().ok()?, rest))
}

fn begin(kind: &PartKind, origin: Option<Dialect>) -> Part {
    match kind {
        PartKind::Text => Part::Text(Text::default()),
        PartKind::Refusal => Part::Refusal(Text::default()),
        PartKind::Reasoning { member, of_call } => Part::Reasoning(Reasoning {
            origin,
            member: member.clone(),
            of_call: of_call.clone(),
            ..Reasoning::default()
        }),
        PartKind::RedactedReasoning { data } => Part::Reasoning(Reasoning {
            redacted: Some(data.clone()),
            origin,
            ..Reasoning::default()
        }),
        PartKind::ToolCall { id, name, kind, ext } => Part::ToolCall(ToolCall {
            id: id.clone(),
            name: name.clone(),
            kind: *kind,
            ext: ext.clone(),
            ..ToolCall::default()
        }),
        PartKind::Opaque { kind, raw } => Part::Opaque {
            dialect: origin.unwrap_or(Dialect::OpenaiChat),
            kind: kind.clone(),
            raw: raw.clone(),
        },
    }
}

fn set(ext: &mut Ext, name: &str, raw: RawJson) {
    match ext.0.iter_mut().find(|(key, _)| key == name) {
        Some((_, value)) => *value = raw,
        None => ext.0.push((name.to_owned(), raw)),
    }
}

/// Sets a member; if both the old and the new value are lists, they are joined.
fn add(ext: &mut Ext, name: &str, raw: &RawJson) {
    let joined = ext.get(name).and_then(|earlier| join_lists(earlier, raw));
    set(ext, name, joined.unwrap_or_else(|| raw.clone()));
}

/// Adds the members of an opaque piece to a bag. Anthropic's `citations_delta` holds one element of the list `citations`.
fn add_members(ext: &mut Ext, raw: &RawJson) {
    let Ok(mut object) = Object::parse(raw.text(), "") else {
        return;
    };
    if let Some(citation) = object.take("citation") {
        add(ext, "citations", &RawJson::array([citation.get()]));
        object.take("type");
    }
    for (name, value) in object.into_ext().0 {
        add(ext, &name, &value);
    }
}

/// Joins two objects member by member; lists are joined, otherwise the later value counts unless it is `null`.
fn join_members(earlier: &RawJson, later: &RawJson) -> RawJson {
    let (Ok(first), Ok(second)) = (Object::parse(earlier.text(), ""), Object::parse(later.text(), "")) else {
        return later.clone();
    };
    let mut ext = first.into_ext();
    for (name, value) in second.into_ext().0 {
        if value.text() != "null" || ext.get(&name).is_none() {
            add(&mut ext, &name, &value);
        }
    }
    RawJson::object(&ext)
}

fn join_lists(earlier: &RawJson, later: &RawJson) -> Option<RawJson> {
    let mut elements: Vec<Raw<'_>> = serde_json::from_str(earlier.text()).ok()?;
    let more: Vec<Raw<'_>> = serde_json::from_str(later.text()).ok()?;
    elements.extend(more);
    Some(RawJson::array(elements.into_iter().map(Raw::get)))
}

fn with_member(raw: &RawJson, name: &str, value: &RawJson) -> RawJson {
    let Ok(object) = Object::parse(raw.text(), "") else {
        return raw.clone();
    };
    let mut ext = object.into_ext();
    set(&mut ext, name, value.clone());
    RawJson::object(&ext)
}

/// Sets the members that a delta of an opaque part tells (Anthropic's `compaction_delta`), except for its `type`.
fn with_members_of(raw: &RawJson, delta: &RawJson) -> RawJson {
    let (Ok(whole), Ok(mut delta)) = (Object::parse(raw.text(), ""), Object::parse(delta.text(), "")) else {
        return raw.clone();
    };
    delta.take("type");
    let mut ext = whole.into_ext();
    for (name, value) in delta.into_ext().0 {
        set(&mut ext, &name, value);
    }
    RawJson::object(&ext)
}

fn member_string(raw: &RawJson, name: &str) -> Option<String> {
    Object::parse(raw.text(), "").ok()?.take_string(name).ok()?
}
