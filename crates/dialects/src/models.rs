//! Lists of models, as the dialects write them: OpenAI's and Anthropic's `GET /v1/models`, Gemini's `GET /v1beta/models`,
//! Cohere's `GET /v1/models`, and one model of each.
//!
//! Knows the documents only; which models there are and who may see them is told. All models stand on one page. Members:
//! `Model` of OpenAI's SDK, `ModelInfo` of Anthropic's, `Model` of google-genai, `GetModelResponse` of Cohere's.

use crate::json::Writer;

/// A dialect that lists models. Bedrock lists them at another host and in another way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// OpenAI.
    Openai,
    /// Anthropic.
    Anthropic,
    /// Gemini.
    Gemini,
    /// Cohere.
    Cohere,
}

impl Dialect {
    /// The list that clients of a chat dialect read; `None` where there is none.
    pub const fn of(chat: crate::Dialect) -> Option<Self> {
        match chat {
            crate::Dialect::OpenaiChat | crate::Dialect::OpenaiResponses => Some(Dialect::Openai),
            crate::Dialect::AnthropicMessages => Some(Dialect::Anthropic),
            crate::Dialect::Gemini => Some(Dialect::Gemini),
            crate::Dialect::CohereChat => Some(Dialect::Cohere),
            crate::Dialect::BedrockConverse => None,
        }
    }
}

/// What a model does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Use {
    /// It answers.
    #[default]
    Chat,
    /// It makes vectors.
    Embeddings,
    /// It orders documents.
    Rerank,
}

/// A model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model<'a> {
    /// Its name in requests.
    pub name: &'a str,
    /// Its name for people; empty for its name in requests.
    pub title: &'a str,
    /// Who offers it.
    pub owner: &'a str,
    /// When it was made, in seconds since 1970; 0 if unknown, which clients know to be unknown.
    pub created_s: u64,
    /// What it does.
    pub used_for: Use,
    /// Most tokens it reads; `None` if unknown.
    pub max_input_tokens: Option<u64>,
    /// Most tokens it writes; `None` if unknown.
    pub max_output_tokens: Option<u64>,
}

/// Writes a list of models.
pub fn write_list(dialect: Dialect, models: &[Model<'_>]) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + 160 * models.len());
    Writer::new(&mut out).object(|w| match dialect {
        Dialect::Openai => {
            w.key("object").string("list");
            write_models(w, "data", dialect, models);
        }
        Dialect::Anthropic => {
            write_models(w, "data", dialect, models);
            w.key("has_more").bool(false);
            write_or_null(w, "first_id", models.first().map(|model| model.name));
            write_or_null(w, "last_id", models.last().map(|model| model.name));
        }
        Dialect::Gemini | Dialect::Cohere => write_models(w, "models", dialect, models),
    });
    out
}

/// Writes one model.
pub fn write_model(dialect: Dialect, model: &Model<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(160);
    write(&mut Writer::new(&mut out), dialect, model);
    out
}

fn write_models(w: &mut Writer<'_>, key: &str, dialect: Dialect, models: &[Model<'_>]) {
    w.key(key)
        .array(|w| models.iter().for_each(|model| write(w, dialect, model)));
}

fn write(w: &mut Writer<'_>, dialect: Dialect, model: &Model<'_>) {
    let title = if model.title.is_empty() {
        model.name
    } else {
        model.title
    };
    w.object(|w| match dialect {
        Dialect::Openai => {
            w.key("id").string(model.name);
            w.key("object").string("model");
            w.key("created").number(model.created_s);
            w.key("owned_by").string(model.owner);
        }
        Dialect::Anthropic => {
            w.key("type").string("model");
            w.key("id").string(model.name);
            w.key("display_name").string(title);
            w.key("created_at").string(&date(model.created_s));
            w.key("lifecycle").string("active");
            w.optional_number("max_input_tokens", model.max_input_tokens);
            w.optional_number("max_tokens", model.max_output_tokens);
        }
        Dialect::Gemini => {
            w.key("name").string(&format!("models/{}", model.name));
            w.key("displayName").string(title);
            w.optional_number("inputTokenLimit", model.max_input_tokens);
            w.optional_number("outputTokenLimit", model.max_output_tokens);
            let methods: &[&str] = match model.used_for {
                Use::Chat => &["generateContent", "countTokens"],
                Use::Embeddings => &["embedContent"],
                Use::Rerank => &[],
            };
            w.key("supportedGenerationMethods")
                .array(|w| methods.iter().for_each(|method| w.string(method)));
        }
        Dialect::Cohere => {
            w.key("name").string(model.name);
            w.key("endpoints").array(|w| {
                w.string(match model.used_for {
                    Use::Chat => "chat",
                    Use::Embeddings => "embed",
                    Use::Rerank => "rerank",
                });
            });
            w.key("finetuned").bool(false);
            w.optional_number("context_length", model.max_input_tokens);
        }
    });
}

fn write_or_null(w: &mut Writer<'_>, key: &str, value: Option<&str>) {
    w.key(key);
    match value {
        Some(value) => w.string(value),
        None => w.null(),
    }
}

/// A second as RFC 3339 tells it, in UTC.
fn date(seconds: u64) -> String {
    /// Days of 400 years, after which the calendar repeats.
    const ERA: u64 = 146_097;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Counted from March 1 of the year 0, so that leap days come last.
    let days = days.saturating_add(719_468);
    let (era, day) = (days / ERA, days % ERA);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day_of_month = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day_of_month:02}T{hour:02}:{minute:02}:{second:02}Z")
}
