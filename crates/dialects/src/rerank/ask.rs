//! Requests.
//!
//! Members: `rerank` of Cohere's SDK in both versions; Amazon's guide for Rerank on Bedrock (`api_version`); the API
//! references of Jina and Voyage.

use super::Dialect;
use super::form::{Document, Request};
use crate::canonical::DecodeError;
use crate::gemini::fields::leftover;
use crate::json::{Object, RawJson, Writer, kind_of};
use crate::loss::{Effect, Losses};

/// Bedrock takes version 2 of Cohere's API and wants to be told.
const BEDROCK_VERSION: u64 = 2;

pub(super) fn decode(dialect: Dialect, body: &str) -> Result<Request, DecodeError> {
    let mut object = Object::parse(body, "")?;
    let nulls = object.take_nulls();
    let model = object.take_string("model")?.unwrap_or_default();
    let query = object.require_string("query")?;
    let Some(list) = object.take_array("documents")? else {
        return Err(DecodeError::new("documents", "is missing; a list is required"));
    };
    let mut documents = Vec::with_capacity(list.len());
    for (i, raw) in list.into_iter().enumerate() {
        documents.push(match raw.get().as_bytes().first() {
            Some(b'"') => {
                Document::Text(serde_json::from_str(raw.get()).map_err(|error| {
                    DecodeError::new(crate::path::item("documents", i), error.to_string())
                })?)
            }
            Some(b'{') => Document::Object(RawJson::from(raw)),
            _ => {
                let problem = format!("expected a string or an object, found {}", kind_of(raw.get()));
                return Err(DecodeError::new(crate::path::item("documents", i), problem));
            }
        });
    }
    Ok(Request {
        origin: dialect,
        model,
        query,
        documents,
        top_n: object.take_number(top_n(dialect))?,
        return_documents: match dialect {
            // Unknown to version 2.
            Dialect::Cohere | Dialect::BedrockCohere => None,
            _ => object.take_bool("return_documents")?,
        },
        max_tokens: match dialect {
            Dialect::Cohere | Dialect::BedrockCohere => object.take_number("max_tokens_per_doc")?,
            _ => None,
        },
        truncate: match dialect {
            Dialect::Voyage => object.take_bool("truncation")?,
            _ => None,
        },
        ext: leftover(object, nulls),
    })
}

const fn top_n(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Voyage => "top_k",
        _ => "top_n",
    }
}

pub(super) fn encode(dialect: Dialect, request: &Request, model: &str, losses: &mut Losses) -> Vec<u8> {
    let own = dialect == request.origin;
    let mut out = Vec::with_capacity(4096);
    Writer::new(&mut out).object(|w| {
        if dialect != Dialect::BedrockCohere {
            w.key("model").string(model);
        }
        w.key("query").string(&request.query);
        w.key("documents").array(|w| {
            for (number, document) in request.documents.iter().enumerate() {
                write_document(w, dialect, number, document, losses);
            }
        });
        w.optional_raw(top_n(dialect), request.top_n.as_ref());
        write_return_documents(w, dialect, request);
        write_max_tokens(w, dialect, request, losses);
        match (dialect, request.truncate) {
            (_, None) | (Dialect::Cohere | Dialect::CohereV1 | Dialect::BedrockCohere, Some(true)) => {}
            (Dialect::Voyage, Some(cut)) => w.key("truncation").bool(cut),
            (_, Some(_)) => {
                losses.approximated(
                    "truncation",
                    "the provider decides about documents that are too long",
                );
            }
        }
        if dialect == Dialect::BedrockCohere && request.ext.get("api_version").is_none() {
            w.key("api_version").number(BEDROCK_VERSION);
        }
        if own {
            // A `null` says nothing where a value is written.
            for (name, raw) in request.ext.iter().filter(|(name, _)| *name != "model") {
                w.key(name).raw(raw);
            }
        } else {
            write_foreign(w, dialect, request, losses);
        }
    });
    out
}

/// Objects are known to version 1 and Jina; elsewhere a document is a text.
fn write_document(
    w: &mut Writer<'_>,
    dialect: Dialect,
    number: usize,
    document: &Document,
    losses: &mut Losses,
) {
    match document {
        Document::Text(text) => w.string(text),
        Document::Object(raw) if matches!(dialect, Dialect::CohereV1 | Dialect::Jina) => w.raw(raw),
        Document::Object(raw) => match only_text(raw) {
            Some(text) => w.string(&text),
            None => {
                losses.approximated(
                    crate::path::item("documents", number),
                    "the provider takes texts; the object is sent as its JSON",
                );
                w.string(raw.text());
            }
        },
    }
}

/// The text of an object that has nothing else.
pub(super) fn only_text(raw: &RawJson) -> Option<String> {
    let mut object = Object::parse(raw.text(), "").ok()?;
    let text = object.take_string("text").ok()??;
    object.into_ext().is_empty().then_some(text)
}

/// Results get their documents from the request, so they need not travel twice.
fn write_return_documents(w: &mut Writer<'_>, dialect: Dialect, request: &Request) {
    let own = dialect == request.origin;
    match dialect {
        Dialect::Cohere | Dialect::BedrockCohere => {}
        _ if own => w.optional_bool("return_documents", request.return_documents),
        // Repeats them unless told otherwise.
        Dialect::Jina => w.key("return_documents").bool(false),
        Dialect::CohereV1 | Dialect::Voyage => {}
    }
}

fn write_max_tokens(w: &mut Writer<'_>, dialect: Dialect, request: &Request, losses: &mut Losses) {
    let Some(most) = &request.max_tokens else { return };
    match dialect {
        Dialect::Cohere | Dialect::BedrockCohere => w.key("max_tokens_per_doc").raw(most),
        Dialect::CohereV1 | Dialect::Jina | Dialect::Voyage => {
            losses.approximated(
                "max_tokens_per_doc",
                "the provider reads documents as far as its model does",
            );
        }
    }
}

/// Members of another dialect: those of Cohere that its other versions know are written, the rest is reported.
fn write_foreign(w: &mut Writer<'_>, dialect: Dialect, request: &Request, losses: &mut Losses) {
    for (name, raw) in request.ext.iter().filter(|(_, raw)| !raw.is_blank()) {
        let (effect, reason) = match name {
            "api_version" => continue,
            "priority" if dialect == Dialect::Cohere && request.origin.is_cohere() => {
                w.key(name).raw(raw);
                continue;
            }
            "rank_fields" | "relevant_spans" => (Effect::Rejected, "not known to the provider"),
            "max_chunks_per_doc" => (Effect::Approximated, "the provider reads documents whole"),
            "user" => (Effect::Dropped, crate::foreign::NO_USER),
            _ => (Effect::Dropped, "not known to the provider"),
        };
        losses.push(name, effect, reason);
    }
}
