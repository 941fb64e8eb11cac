//! Answers.
//!
//! Members: `V2RerankResponse` and `RerankResponse` of Cohere's SDK; the API references of Jina (`results`, documents as
//! objects) and Voyage (`data`, documents as texts).

use crate::json::Raw;

use super::Dialect;
use super::ask::only_text;
use super::form::{Document, Ranked, Request, Response};
use crate::canonical::{DecodeError, Usage};
use crate::gemini::fields::{count, leftover};
use crate::json::{Object, RawJson, Writer, kind_of};
use crate::loss::Losses;

const fn list_of(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Voyage => "data",
        _ => "results",
    }
}

pub(super) fn decode(dialect: Dialect, body: &str) -> Result<Response, DecodeError> {
    let mut object = Object::parse(body, "")?;
    let nulls = object.take_nulls();
    let name = list_of(dialect);
    let Some(list) = object.take_array(name)? else {
        return Err(DecodeError::new(
            name,
            "is missing; a list of results is required",
        ));
    };
    let mut results = Vec::with_capacity(list.len());
    for (i, raw) in list.into_iter().enumerate() {
        results.push(decode_result(raw, crate::path::item(name, i))?);
    }
    let (usage, search_units) = if dialect.is_cohere() {
        object
            .peek("meta")
            .map_or((None, None), |meta| billed(meta.get()))
    } else {
        (object.peek("usage").and_then(|usage| used(usage.get())), None)
    };
    Ok(Response {
        origin: dialect,
        id: object.take_string("id")?,
        model: if dialect.is_cohere() {
            String::new()
        } else {
            object.take_string("model")?.unwrap_or_default()
        },
        results,
        usage,
        search_units,
        ext: leftover(object, nulls),
    })
}

fn decode_result(raw: Raw<'_>, path: String) -> Result<Ranked, DecodeError> {
    let mut object = Object::parse(raw.get(), path)?;
    let nulls = object.take_nulls();
    let missing = |object: &Object<'_>, name: &str| {
        DecodeError::new(object.path_of(name), "is missing; a number is required")
    };
    let index = object
        .take_u64("index")?
        .ok_or_else(|| missing(&object, "index"))?;
    let score = object
        .take_number("relevance_score")?
        .ok_or_else(|| missing(&object, "relevance_score"))?;
    let document = match object.take("document") {
        None => None,
        Some(raw) if raw.get().starts_with('{') => Some(Document::Object(RawJson::from(raw))),
        Some(raw) => Some(Document::Text(serde_json::from_str(raw.get()).map_err(|_| {
            let problem = format!("expected a string or an object, found {}", kind_of(raw.get()));
            DecodeError::new(object.path_of("document"), problem)
        })?)),
    };
    Ok(Ranked {
        index,
        score,
        document,
        ext: leftover(object, nulls),
    })
}

/// Cohere's `meta`: tokens, and the searches it bills.
fn billed(meta: &str) -> (Option<Usage>, Option<u64>) {
    let member = |name: &str, inside: &str| {
        let mut meta = Object::parse(meta, "").ok()?;
        let object = meta.take_object(name).ok()??;
        count(object.peek(inside)?.get())
    };
    let input = member("tokens", "input_tokens").or_else(|| member("billed_units", "input_tokens"));
    let usage = input.map(|input| Usage {
        input,
        output: member("tokens", "output_tokens").unwrap_or(0),
        ..Usage::default()
    });
    (usage, member("billed_units", "search_units"))
}

/// `usage` of Jina and Voyage, which counts what was read.
fn used(usage: &str) -> Option<Usage> {
    let usage = Object::parse(usage, "").ok()?;
    let tokens = |name: &str| count(usage.peek(name)?.get());
    let total = tokens("total_tokens");
    // Some write a `prompt_tokens` of 0 beside the total.
    let input = tokens("prompt_tokens").filter(|tokens| *tokens > 0).or(total)?;
    Some(Usage {
        input,
        total: total.filter(|total| *total != input),
        ..Usage::default()
    })
}

pub(super) fn encode(
    dialect: Dialect,
    response: &Response,
    request: &Request,
    losses: &mut Losses,
) -> Result<Vec<u8>, DecodeError> {
    let own = dialect.is_kin(response.origin);
    for (i, result) in response.results.iter().enumerate() {
        if document(request, result.index).is_none() {
            let problem = format!("document {} was not sent", result.index);
            return Err(DecodeError::new(format!("results[{i}].index"), problem));
        }
    }
    let mut out = Vec::with_capacity(1024);
    Writer::new(&mut out).object(|w| {
        w.optional_string("id", response.id.as_deref());
        if !dialect.is_cohere() {
            w.key("object").string("list");
            let answered = !response.model.is_empty();
            w.key("model")
                .string(if answered { &response.model } else { &request.model });
        }
        w.key(list_of(dialect)).array(|w| {
            for result in &response.results {
                write_result(w, dialect, result, request, own);
            }
        });
        if own {
            for (name, raw) in response.ext.iter() {
                if dialect.is_cohere() || !matches!(name, "object" | "model") {
                    w.key(name).raw(raw);
                }
            }
        } else {
            write_used(w, dialect, response, losses);
            report(response, losses);
        }
    });
    Ok(out)
}

fn document(request: &Request, index: u64) -> Option<&Document> {
    request.documents.get(usize::try_from(index).ok()?)
}

fn write_result(w: &mut Writer<'_>, dialect: Dialect, result: &Ranked, request: &Request, own: bool) {
    w.object(|w| {
        w.key("index").number(result.index);
        w.key("relevance_score").raw(&result.score);
        let repeats = !matches!(dialect, Dialect::Cohere | Dialect::BedrockCohere);
        let repeated = result.document.as_ref();
        let found = if own && repeated.is_some() {
            repeated
        } else if repeats && request.wants_documents() {
            repeated.or_else(|| document(request, result.index))
        } else {
            None
        };
        if let Some(found) = found {
            w.key("document");
            write_document(w, dialect, found);
        }
        if own {
            // A `null` says nothing where a document is written.
            for (name, raw) in result.ext.iter() {
                if found.is_none() || name != "document" {
                    w.key(name).raw(raw);
                }
            }
        }
    });
}

/// Voyage repeats texts, the others objects.
fn write_document(w: &mut Writer<'_>, dialect: Dialect, document: &Document) {
    match (dialect, document) {
        (Dialect::Voyage, Document::Text(text)) => w.string(text),
        (Dialect::Voyage, Document::Object(raw)) => match only_text(raw) {
            Some(text) => w.string(&text),
            None => w.string(raw.text()),
        },
        (_, Document::Text(text)) => w.object(|w| w.key("text").string(text)),
        (_, Document::Object(raw)) => w.raw(raw),
    }
}

fn write_used(w: &mut Writer<'_>, dialect: Dialect, response: &Response, losses: &mut Losses) {
    let usage = response.usage.as_ref();
    match dialect {
        Dialect::Cohere | Dialect::CohereV1 => w.key("meta").object(|w| {
            w.key("api_version").object(|w| {
                w.key("version")
                    .string(if dialect == Dialect::Cohere { "2" } else { "1" });
            });
            if let Some(units) = response.search_units {
                w.key("billed_units")
                    .object(|w| w.key("search_units").number(units));
            }
            if let Some(usage) = usage {
                w.key("tokens").object(|w| {
                    w.key("input_tokens").number(usage.input_total());
                    w.key("output_tokens").number(usage.output);
                });
            }
        }),
        Dialect::BedrockCohere => {
            if usage.is_some() {
                losses.dropped("usage", "the answer has no place for it");
            }
        }
        Dialect::Jina | Dialect::Voyage => {
            if response.search_units.is_some() {
                losses.dropped("meta.billed_units.search_units", "the answer counts tokens");
            }
            // Clients of these dialects expect the member.
            if usage.is_none() {
                losses.approximated("usage", "the provider did not say how many tokens were used");
            }
            let total = usage.map_or(0, Usage::total);
            w.key("usage").object(|w| {
                if dialect == Dialect::Jina {
                    w.key("prompt_tokens").number(usage.map_or(0, Usage::input_total));
                }
                w.key("total_tokens").number(total);
            });
        }
    }
}

/// Reports what the provider told beside the ranking.
fn report(response: &Response, losses: &mut Losses) {
    let results = response.results.iter().flat_map(|result| result.ext.iter());
    for (name, raw) in response.ext.iter().chain(results) {
        if !raw.is_blank() && !matches!(name, "object" | "meta" | "usage") {
            losses.dropped(name, "the answer has no place for it");
        }
    }
}
