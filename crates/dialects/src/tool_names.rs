//! Tool names that a provider takes, and the way back to the client's own.
//!
//! OpenAI refuses a name that is longer than 64 characters or holds anything but letters, digits, `_` and `-`; Gemini also
//! takes `.` and `:`, but no digit or `-` in front; Anthropic takes 128 characters, and MCP servers name tools as they like. The name that is sent is a pure function of the client's,
//! so definitions, the choice among them and earlier calls agree without a table that is shared between calls.

use std::borrow::Cow;

use aws_lc_rs::digest::{SHA256, digest};

use crate::canonical::{Event, Part, PartKind, Request, Response, ToolChoice, ToolKind};
use crate::loss::Losses;
use crate::names::{Member, Names};

/// The tool names of one call that were sent under another name. Answers name tools as the provider knows them, so whoever
/// writes the answer needs it; see [`crate::codec::AnswerStyle`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Renames(Vec<Rename>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rename {
    sent: String,
    original: String,
}

impl Renames {
    /// Whether every tool has its own name.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The client's name for a tool that the provider knows as `sent`.
    pub fn original<'a>(&'a self, sent: &'a str) -> &'a str {
        self.0
            .iter()
            .find(|rename| rename.sent == sent)
            .map_or(sent, |rename| &rename.original)
    }

    /// The name to send for `name`; notes it if it is another one.
    pub(crate) fn send<'a>(&mut self, name: &'a str, rule: &Rule) -> Cow<'a, str> {
        let sent = sendable(name, rule);
        if let Cow::Owned(sent) = &sent
            && !self.0.iter().any(|rename| rename.original == name)
        {
            self.0.push(Rename {
                sent: sent.clone(),
                original: name.to_owned(),
            });
        }
        sent
    }

    /// An answer with the client's names.
    pub(crate) fn restore<'a>(&self, response: &'a Response) -> Cow<'a, Response> {
        if self.is_empty() {
            return Cow::Borrowed(response);
        }
        let mut response = response.clone();
        for part in response.choices.iter_mut().flat_map(|choice| &mut choice.parts) {
            if let Part::ToolCall(call) = part {
                call.name = self.original(&call.name).to_owned();
            }
        }
        Cow::Owned(response)
    }

    /// An event of a stream with the client's names; `None` if it may stay as it is.
    pub(crate) fn restore_event(&self, event: &Event<'_>) -> Option<Event<'static>> {
        let Event::PartStart {
            choice,
            part,
            kind: PartKind::ToolCall { id, name, kind, ext },
        } = event
        else {
            return None;
        };
        let original = self.original(name);
        (original != name).then(|| Event::PartStart {
            choice: *choice,
            part: *part,
            kind: PartKind::ToolCall {
                id: id.clone(),
                name: original.to_owned(),
                kind: *kind,
                ext: ext.clone(),
            },
        })
    }
}

/// Which names a provider takes.
pub(crate) struct Rule {
    /// Characters beside letters, digits and `_`.
    signs: &'static [u8],
    /// Whether the first character must be a letter or `_`.
    letter_first: bool,
    max_bytes: usize,
}

/// Names that OpenAI takes.
pub(crate) const OPENAI: Rule = Rule {
    signs: b"-",
    letter_first: false,
    max_bytes: 64,
};

/// Names that Bedrock takes.
pub(crate) const BEDROCK: Rule = OPENAI;

/// Names that Anthropic takes.
pub(crate) const ANTHROPIC: Rule = Rule {
    signs: b"-",
    letter_first: false,
    max_bytes: 128,
};

/// Names that Gemini takes.
pub(crate) const GEMINI: Rule = Rule {
    signs: b"-.:",
    letter_first: true,
    max_bytes: 64,
};

/// The request with names that a provider takes, and what was renamed. Borrowed if nothing was.
pub(crate) fn fit<'a>(request: &'a Request, rule: &Rule, losses: &mut Losses) -> (Cow<'a, Request>, Renames) {
    let mut renames = Renames::default();
    let names = Names::new(request);
    let mut fitting = Cow::Borrowed(request);
    for (i, tool) in request.tools.iter().enumerate() {
        if let ToolKind::Function { name, .. } = &tool.kind
            && let Cow::Owned(sent) = renames.send(name, rule)
        {
            losses.approximated(names.within(&names.tool(i), Member::ToolName), RENAMED);
            if let Some(tool) = fitting.to_mut().tools.get_mut(i)
                && let ToolKind::Function { name, .. } = &mut tool.kind
            {
                *name = sent;
            }
        }
    }
    if let Some(ToolChoice::Function(name)) = &request.tool_choice
        && let Cow::Owned(sent) = renames.send(name, rule)
    {
        fitting.to_mut().tool_choice = Some(ToolChoice::Function(sent));
    }
    if let Some(ToolChoice::Allowed {
        names: allowed,
        required,
    }) = &request.tool_choice
    {
        let sent: Vec<String> = allowed
            .iter()
            .map(|name| renames.send(name, rule).into_owned())
            .collect();
        if sent != *allowed {
            fitting.to_mut().tool_choice = Some(ToolChoice::Allowed {
                names: sent,
                required: *required,
            });
        }
    }
    for (i, message) in request.messages.iter().enumerate() {
        for (j, part) in message.parts.iter().enumerate() {
            if let Part::ToolCall(call) = part
                && let Cow::Owned(sent) = renames.send(&call.name, rule)
            {
                losses.approximated(names.call_names(), RENAMED);
                let messages = &mut fitting.to_mut().messages;
                if let Some(Part::ToolCall(call)) =
                    messages.get_mut(i).and_then(|message| message.parts.get_mut(j))
                {
                    call.name = sent;
                }
            }
        }
    }
    (fitting, renames)
}

/// A name the provider takes. One that fits stays; any other becomes its beginning, with `_` for what is not allowed, `_`, and
/// the first 8 hex digits of the SHA-256 of the whole name, so that two names that look alike stay apart.
fn sendable<'a>(name: &'a str, rule: &Rule) -> Cow<'a, str> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || rule.signs.contains(&byte);
    let begins_well = |name: &str| {
        let first = name.bytes().next();
        !rule.letter_first || first.is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_')
    };
    if name.len() <= rule.max_bytes && name.bytes().all(is_allowed) && begins_well(name) {
        return Cow::Borrowed(name);
    }
    let mut sent = String::new();
    if !begins_well(name) {
        sent.push('_');
    }
    sent.extend(
        name.bytes()
            .map(|byte| if is_allowed(byte) { char::from(byte) } else { '_' }),
    );
    sent.truncate(rule.max_bytes - 1 - 2 * HASH_BYTES);
    sent.push('_');
    for byte in digest(&SHA256, name.as_bytes()).as_ref().iter().take(HASH_BYTES) {
        sent.push_str(&format!("{byte:02x}"));
    }
    Cow::Owned(sent)
}

/// The field of every renamed call in an Anthropic client's history, told once.
pub(crate) const CALL_NAME: &str = "messages[].content[].name";

pub(crate) const RENAMED: &str = "sent under a name the provider takes; answers have the original";

/// How much of a hash a name gets.
const HASH_BYTES: usize = 4;
