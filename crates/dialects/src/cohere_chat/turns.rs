//! Brings the messages of another dialect into the order this one demands: the results of a turn's calls right behind it,
//! each in a message of its own, in the order of the calls; media in them move to the user's message, because tool messages
//! hold text and documents only.

use crate::json::Raw;

use super::content::{self, is_content, plain};
use super::messages::{FOREIGN_REASONING, role_name, write_plan_and_calls};
use super::{THINKING, TOOL_PLAN};
use crate::Dialect;
use crate::canonical::{
    ContentForm, Ext, Media, MediaKind, MediaSource, Message, Part, Reasoning, Request, Role, ToolCall,
    ToolCallKind, ToolResult,
};
use crate::foreign::{self, Place};
use crate::json::{Object, Writer};
use crate::loss::Losses;
use crate::names::{Member, Names};

/// One message.
pub(super) struct Turn {
    role: Role,
    /// The call that a tool message answers.
    call_id: Option<String>,
    parts: Vec<Part>,
}

impl Turn {
    pub(super) fn write(&self, w: &mut Writer<'_>) {
        w.object(|w| {
            w.key("role").string(role_name(self.role));
            w.optional_string("tool_call_id", self.call_id.as_deref());
            let has_content = self.parts.iter().any(is_content);
            let form = match self.role {
                Role::Assistant if !has_content => ContentForm::Absent,
                _ => ContentForm::String,
            };
            content::write(w, self.parts.iter(), form);
            write_plan_and_calls(w, self.parts.iter(), false);
        });
    }
}

/// Brings the messages into this dialect's order and reports what does not fit.
pub(super) fn build(request: &Request, losses: &mut Losses) -> Vec<Turn> {
    let mut builder = Builder {
        request,
        names: Names::new(request),
        turns: Vec::new(),
        open: None,
        losses,
    };
    for (i, message) in request.messages.iter().enumerate() {
        builder.message(i, message);
    }
    builder.close_calls();
    builder.check_end();
    builder.turns
}

struct Builder<'a, 'l> {
    request: &'a Request,
    names: Names<'a>,
    turns: Vec<Turn>,
    /// The calls of the last turn of the model, until all their results are in.
    open: Option<OpenCalls<'a>>,
    losses: &'l mut Losses,
}

struct OpenCalls<'a> {
    calls: Vec<OpenCall<'a>>,
    /// Media of results, which follow in a user message.
    media: Vec<Part>,
}

struct OpenCall<'a> {
    call: &'a ToolCall,
    path: String,
    result: Option<Vec<Part>>,
}

impl<'a> Builder<'a, '_> {
    fn message(&mut self, i: usize, message: &'a Message) {
        let path = self.names.message(i);
        if message.name.is_some() && message.role != Role::Tool {
            self.losses.dropped(
                format!("{path}.name"),
                "the provider knows no names of participants",
            );
        }
        foreign::report(
            &message.ext,
            Place::Message,
            self.request.origin,
            &path,
            self.losses,
        );
        for (j, part) in message.parts.iter().enumerate() {
            if let Part::ToolResult(result) = part {
                self.tool_result(i, j, result);
            }
        }
        let has_results = message
            .parts
            .iter()
            .any(|part| matches!(part, Part::ToolResult(_)));
        if message.role == Role::Tool && has_results {
            return;
        }
        self.close_calls();
        let mut parts = Vec::new();
        for (j, part) in message.parts.iter().enumerate() {
            if !matches!(part, Part::ToolResult(_)) {
                parts.extend(self.part(part, message.role, &self.names.part(i, j)));
            }
        }
        if parts.is_empty() {
            // Anthropic's `system` may be an empty list, which says nothing.
            if !has_results && message.role != Role::System {
                self.losses
                    .approximated(path, "a message without content is left out");
            }
            return;
        }
        if message.role == Role::Assistant {
            self.assistant(i, message, &path, parts);
        } else {
            self.push(message.role, parts);
        }
    }

    fn assistant(&mut self, i: usize, message: &'a Message, path: &str, parts: Vec<Part>) {
        let first_call = parts.iter().position(|part| matches!(part, Part::ToolCall(_)));
        let is_said = |part: &Part| matches!(part, Part::Text(_));
        if first_call.is_some_and(|call| parts.iter().skip(call).any(is_said)) {
            self.losses
                .approximated(path, "text after a tool call moves before it");
        }
        let calls: Vec<OpenCall<'a>> = message
            .parts
            .iter()
            .enumerate()
            .filter_map(|(j, part)| match part {
                Part::ToolCall(call) => Some(OpenCall {
                    call,
                    path: self.names.part(i, j),
                    result: None,
                }),
                _ => None,
            })
            .collect();
        self.push(Role::Assistant, parts);
        if !calls.is_empty() {
            self.open = Some(OpenCalls {
                calls,
                media: Vec::new(),
            });
        }
    }

    /// Converts one part of a message.
    fn part(&mut self, part: &Part, role: Role, path: &str) -> Option<Part> {
        match part {
            Part::Text(text) | Part::Refusal(text) => {
                foreign::report_cache(text.cache.as_ref(), path, self.losses);
                foreign::report(&text.ext, Place::Text, self.request.origin, path, self.losses);
                (!text.text.is_empty()).then(|| plain(text.text.clone()))
            }
            Part::Media(media) => {
                let converted = self.media(media, path)?;
                if role != Role::User && matches!(converted, Part::Media(_)) {
                    self.losses
                        .rejected(path, "only messages of the user hold images");
                    return None;
                }
                Some(converted)
            }
            Part::ToolCall(call) => Some(Part::ToolCall(self.call(call, path))),
            Part::Reasoning(reasoning) if reasoning.origin == Some(Dialect::CohereChat) => {
                Some(own_reasoning(reasoning))
            }
            Part::Reasoning(_) => {
                self.losses.dropped(path, FOREIGN_REASONING);
                None
            }
            Part::Opaque { .. } | Part::ToolResult(_) => {
                self.losses
                    .rejected(path, "only the client's own dialect has this kind of content");
                None
            }
        }
    }

    fn media(&mut self, media: &Media, path: &str) -> Option<Part> {
        foreign::report_cache(media.cache.as_ref(), path, self.losses);
        foreign::report(&media.ext, Place::Media, self.request.origin, path, self.losses);
        let problem = match (media.kind, &media.source) {
            (_, MediaSource::Text { data, .. }) => {
                self.losses
                    .approximated(path, "a document of plain text becomes text");
                if media.name.is_some() {
                    let field = self.names.within_media(path, Member::MediaName, media);
                    self.losses.dropped(field, "text has no title");
                }
                return Some(plain(data.clone()));
            }
            (MediaKind::Image, MediaSource::Base64 { .. } | MediaSource::Url(_)) => {
                if media.name.is_some() {
                    let field = self.names.within_media(path, Member::MediaName, media);
                    self.losses.dropped(field, "images have no name");
                }
                return Some(Part::Media(Media {
                    name: None,
                    cache: None,
                    ext: Ext::default(),
                    ..media.clone()
                }));
            }
            (_, MediaSource::FileId(_)) => "an uploaded file belongs to one provider",
            (_, MediaSource::Opaque(_)) => "only the client's own dialect has this source",
            _ => "the provider takes images and texts only",
        };
        self.losses.rejected(path, problem);
        None
    }

    fn call(&mut self, call: &ToolCall, path: &str) -> ToolCall {
        foreign::report_cache(call.cache.as_ref(), path, self.losses);
        foreign::report(&call.ext, Place::ToolCall, self.request.origin, path, self.losses);
        if call.kind == ToolCallKind::Custom {
            self.losses
                .rejected(path, "calls of free-text tools cannot be expressed");
        }
        let arguments = match call.arguments.trim() {
            // Some models write `null` when a tool takes nothing.
            "" | "null" => "{}",
            text if Object::parse(text, "").is_ok() => call.arguments.as_str(),
            _ => {
                self.losses.rejected(
                    self.names.within(path, Member::CallArguments),
                    "the arguments are not a JSON object",
                );
                "{}"
            }
        };
        ToolCall {
            id: call.id.clone(),
            name: call.name.clone(),
            arguments: arguments.to_owned(),
            ..ToolCall::default()
        }
    }

    /// Gives a result to its call. Results of OpenAI's old `function` role go by name, or by order.
    fn tool_result(&mut self, i: usize, j: usize, result: &ToolResult) {
        let path = &self.names.part(i, j);
        let calls = self
            .open
            .as_ref()
            .map(|open| open.calls.as_slice())
            .unwrap_or_default();
        let fits = |fits: &dyn Fn(&ToolCall) -> bool| {
            calls
                .iter()
                .position(|call| call.result.is_none() && fits(call.call))
        };
        let position = fits(&|call| call.id == result.call_id)
            .or_else(|| fits(&|call| call.id.is_empty() && call.name == result.call_id))
            .or_else(|| result.call_id.is_empty().then(|| fits(&|_| true)).flatten());
        let Some((position, call)) = position.and_then(|at| calls.get(at).map(|call| (at, call.call))) else {
            self.losses.rejected(
                self.names.within(path, Member::ResultId),
                "no call of the message before has this id",
            );
            return;
        };
        foreign::report_cache(result.cache.as_ref(), path, self.losses);
        foreign::report(
            &result.ext,
            Place::ToolResult,
            self.request.origin,
            path,
            self.losses,
        );
        if result.is_error == Some(true) {
            self.losses.approximated(
                self.names.within(path, Member::ResultFailed),
                "tool messages cannot say that the tool failed",
            );
        }
        let (mut texts, mut media) = (Vec::new(), Vec::new());
        for (k, part) in result.content.iter().enumerate() {
            let path = &self.names.result_part(i, j, k);
            match self.part(part, Role::User, path) {
                Some(part @ Part::Media(_)) => {
                    self.losses
                        .approximated(path, "tool messages hold text only; moved to the user's message");
                    media.push(part);
                }
                Some(part) => texts.push(part),
                None => {}
            }
        }
        if !media.is_empty() {
            media.insert(0, plain(format!("Result of {}:", call.name)));
        }
        if let Some(open) = &mut self.open {
            open.media.append(&mut media);
            if let Some(call) = open.calls.get_mut(position) {
                call.result = Some(texts);
            }
        }
    }

    /// The turn after the calls begins: writes their results, in the order of the calls, and reports missing ones.
    fn close_calls(&mut self) {
        let Some(open) = self.open.take() else { return };
        for call in open.calls {
            match call.result {
                Some(parts) => self.turns.push(Turn {
                    role: Role::Tool,
                    call_id: Some(call.call.id.clone()),
                    parts,
                }),
                None => self
                    .losses
                    .rejected(call.path, "the call has no result in the messages right after it"),
            }
        }
        if !open.media.is_empty() {
            self.push(Role::User, open.media);
        }
    }

    fn push(&mut self, role: Role, parts: Vec<Part>) {
        self.turns.push(Turn {
            role,
            call_id: None,
            parts,
        });
    }

    /// That there is a message, and what becomes of an answer that was begun.
    fn check_end(&mut self) {
        match self.turns.last() {
            None => self.losses.rejected(self.names.messages(), "there is no message"),
            Some(last) if last.role == Role::Assistant => {
                let path = self.names.message(self.request.messages.len().saturating_sub(1));
                self.losses
                    .approximated(path, "a begun answer is taken as an earlier turn");
            }
            Some(_) => {}
        }
    }
}

/// Reasoning of this dialect that came through a client of another one: a plan for tools, or thinking. Clients of OpenAI's
/// dialect tell which by the `id` of its entry.
fn own_reasoning(reasoning: &Reasoning) -> Part {
    let entries = reasoning
        .ext
        .get("reasoning_details")
        .and_then(|raw| serde_json::from_str::<Vec<Raw<'_>>>(raw.text()).ok());
    let is_plan = reasoning.member.as_deref() == Some(TOOL_PLAN)
        || entries.into_iter().flatten().any(|entry| {
            Object::parse(entry.get(), "")
                .is_ok_and(|entry| entry.peek("id").is_some_and(|id| id.get() == "\"tool_plan\""))
        });
    Part::Reasoning(Reasoning {
        text: reasoning.text.clone(),
        origin: Some(Dialect::CohereChat),
        member: Some(if is_plan { TOOL_PLAN } else { THINKING }.to_owned()),
        ..Reasoning::default()
    })
}
