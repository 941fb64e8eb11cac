//! Messages and the parts they are made of; used in requests and in answers.

use crate::Dialect;
use crate::json::RawJson;

/// Members of an object that the canonical form has no field for, in their original order and spelling.
///
/// Only the encoder of the same dialect may write them; all others report them as lost.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ext(pub Vec<(String, RawJson)>);

impl Ext {
    /// Whether there is nothing in the bag.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The raw JSON of a member.
    pub fn get(&self, name: &str) -> Option<&RawJson> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value)
    }

    /// The members in their original order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &RawJson)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Instructions of the operator.
    System,
    /// OpenAI's newer name for instructions; kept apart so that it goes back as it came.
    Developer,
    /// The person or application asking.
    User,
    /// The model.
    Assistant,
    /// The answer of a tool. Such a message holds [`Part::ToolResult`] parts only.
    ///
    /// Anthropic writes tool results into user messages; decoded from there they stay parts of a [`Role::User`] message.
    Tool,
}

/// How the content was written, so that the same dialect can write it the same way again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContentForm {
    /// A plain string.
    #[default]
    String,
    /// A list of parts.
    List,
    /// An explicit `null`.
    Null,
    /// The member was missing.
    Absent,
}

/// One turn of the conversation.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// The name of the participant (OpenAI's `name`).
    pub name: Option<String>,
    /// The content in order. Empty for content `""`, `null` or `[]`; see [`Message::form`].
    pub parts: Vec<Part>,
    /// How the content was written.
    pub form: ContentForm,
    /// Members that only the origin dialect knows.
    pub ext: Ext,
}

/// One piece of content.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// Text.
    Text(Text),
    /// An image, document, audio or video.
    Media(Media),
    /// The model asks for a tool to be run by the caller.
    ToolCall(ToolCall),
    /// What a tool answered.
    ToolResult(ToolResult),
    /// Visible or sealed reasoning of the model.
    Reasoning(Reasoning),
    /// The model declines to answer.
    Refusal(Text),
    /// A part only its origin dialect knows (hosted tool calls and their results, compaction, …), whole.
    Opaque {
        /// The dialect that understands it.
        dialect: Dialect,
        /// Its `type`, for reports.
        kind: String,
        /// The part as it was written.
        raw: RawJson,
    },
}

/// Text with its annotations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Text {
    /// The text itself.
    pub text: String,
    /// A cache breakpoint after this part.
    pub cache: Option<CacheHint>,
    /// Members that only the origin dialect knows (citations, annotations, …).
    pub ext: Ext,
}

/// Asks the provider to cache the prompt up to and including this point.
#[derive(Clone, Debug, PartialEq)]
pub struct CacheHint {
    /// How long to keep it, as written (`5m`, `1h`, `30m`); `None` is the provider's default.
    pub ttl: Option<String>,
    /// The dialect that wrote the hint.
    pub dialect: Dialect,
    /// The hint as it was written.
    pub raw: RawJson,
}

/// An image, document, audio or video.
#[derive(Clone, Debug, PartialEq)]
pub struct Media {
    /// What it is.
    pub kind: MediaKind,
    /// Where its bytes are.
    pub source: MediaSource,
    /// The file name (OpenAI) or title (Anthropic).
    pub name: Option<String>,
    /// OpenAI's `detail` of an image: `auto`, `low`, `high`.
    pub detail: Option<String>,
    /// A cache breakpoint after this part.
    pub cache: Option<CacheHint>,
    /// Members that only the origin dialect knows.
    pub ext: Ext,
}

/// The kind of a [`Media`] part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaKind {
    /// A picture.
    Image,
    /// A document, mostly PDF or plain text.
    Document,
    /// Sound.
    Audio,
    /// A film.
    Video,
}

/// Where the bytes of a [`Media`] part are.
#[derive(Clone, Debug, PartialEq)]
pub enum MediaSource {
    /// In the request, as base64. `data` is never decoded here.
    Base64 {
        /// Such as `image/png`. For OpenAI's `input_audio` it is `audio/` and the format.
        media_type: String,
        /// Base64 text.
        data: String,
    },
    /// At an address.
    Url(String),
    /// At the provider, uploaded before; an id never crosses providers.
    FileId(String),
    /// Plain text (Anthropic's `text` source).
    Text {
        /// Such as `text/plain`.
        media_type: String,
        /// The text.
        data: String,
    },
    /// A source only the origin dialect knows.
    Opaque(RawJson),
}

/// A request of the model to run a tool of the caller.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToolCall {
    /// The id that the result refers to. Empty if the provider gave none.
    pub id: String,
    /// The name of the tool.
    pub name: String,
    /// The arguments exactly as they were written: JSON text for functions (OpenAI may deliver invalid or empty text),
    /// free text for custom tools. Never parsed and written again, so numbers and key order survive.
    pub arguments: String,
    /// Function or free text.
    pub kind: ToolCallKind,
    /// A cache breakpoint after this part.
    pub cache: Option<CacheHint>,
    /// Members that only the origin dialect knows.
    pub ext: Ext,
}

/// How the arguments of a [`ToolCall`] are to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ToolCallKind {
    /// JSON arguments.
    #[default]
    Function,
    /// OpenAI's `custom` tools: free text.
    Custom,
    /// OpenAI's `function_call` member from before tools existed.
    LegacyFunction,
}

/// What a tool answered.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolResult {
    /// The id of the call.
    pub call_id: String,
    /// The content in order: text, media, or opaque parts.
    pub content: Vec<Part>,
    /// How the content was written.
    pub form: ContentForm,
    /// Whether the tool failed; `None` if not said.
    pub is_error: Option<bool>,
    /// A cache breakpoint after this part.
    pub cache: Option<CacheHint>,
    /// Members that only the origin dialect knows.
    pub ext: Ext,
}

/// Reasoning of the model, readable or sealed.
///
/// A signature or sealed text is valid only for the maker that issued it, and must go back byte-identical.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reasoning {
    /// The readable text; empty if there is none.
    pub text: String,
    /// The maker's proof (Anthropic's `signature`).
    pub signature: Option<String>,
    /// Sealed reasoning without readable text (Anthropic's `redacted_thinking.data`).
    pub redacted: Option<String>,
    /// The dialect whose maker issued `signature` and `redacted`.
    pub origin: Option<Dialect>,
    /// The name of the member that held it (`reasoning_content`, `reasoning`, `thinking`), for writing it back alike.
    pub member: Option<String>,
    /// The id of the tool call that `signature` stands beside, where makers sign calls (Gemini).
    pub of_call: Option<String>,
    /// Members that only the origin dialect knows.
    pub ext: Ext,
}
