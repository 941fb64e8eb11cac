//! Google's three: Gemini's `:embedContent` and `:batchEmbedContents`, Vertex's `:predict`.
//!
//! Members: `EmbedContentConfig` and how the google-genai SDK writes it for either API; `TextEmbeddingPredictionParams` of
//! Vertex's reference.

use crate::json::Raw;

use super::form::{Form, Input, Item, Kind, Piece, Request, Response, Task, Truncate, Wanted};
use super::part::{Answer, Part};
use super::pieces::{self, write_bag};
use super::vector::Vector;
use super::{Dialect, extra, named};
use crate::canonical::{DecodeError, Ext, Usage};
use crate::gemini::fields::{count, inner, leftover, open, take_count, take_list, take_number, take_object};
use crate::json::{Object, RawJson, Writer};
use crate::loss::Losses;

/// Options that stand beside a content, or beside all of them.
#[derive(Default)]
struct Options {
    dimensions: Option<RawJson>,
    truncate: Option<Truncate>,
}

pub(super) fn decode_request(dialect: Dialect, body: &str) -> Result<Request, DecodeError> {
    let (mut object, nulls) = open(body, "")?;
    let mut request = Request {
        origin: dialect,
        model: String::new(),
        inputs: Vec::new(),
        form: Form::List,
        dimensions: None,
        wanted: Vec::new(),
        truncate: None,
        user: None,
        ext: Ext::default(),
    };
    if dialect == Dialect::GeminiSingle {
        let (model, options, input) = decode_content(object, nulls)?;
        request.inputs.push(input);
        request.model = model;
        request.dimensions = options.dimensions;
        request.truncate = options.truncate;
        return Ok(request);
    }
    let Some(list) = take_list(&mut object, "requests")? else {
        return Err(DecodeError::new("requests", "is missing; a list is required"));
    };
    for (i, raw) in list.into_iter().enumerate() {
        let path = crate::path::item("requests", i);
        let (one, nulls) = open(raw.get(), path.as_str())?;
        let (model, options, input) = decode_content(one, nulls)?;
        if i == 0 {
            request.model = model;
            request.dimensions = options.dimensions;
            request.truncate = options.truncate;
        } else if model != request.model {
            return Err(DecodeError::new(
                format!("{path}.model"),
                "is another one than before",
            ));
        } else if options.dimensions != request.dimensions || options.truncate != request.truncate {
            let problem = "differs from the ones before in its length of vectors or in its truncation";
            return Err(DecodeError::new(path, problem));
        }
        request.inputs.push(input);
    }
    request.ext = leftover(object, nulls);
    Ok(request)
}

/// One content, the model it names (empty if it names none) and what stands beside it.
fn decode_content(mut object: Object<'_>, nulls: Ext) -> Result<(String, Options, Input), DecodeError> {
    let mut input = Input::default();
    let mut options = Options::default();
    let Some((mut content, content_nulls)) = take_object(&mut object, "content")? else {
        let path = object.path_of("content");
        return Err(DecodeError::new(path, "is missing; a content is required"));
    };
    for raw in take_list(&mut content, "parts")?.unwrap_or_default() {
        input.pieces.push(decode_piece(raw)?);
    }
    // Newer clients write the options of Vertex one level deeper.
    let mut rest = Ext::default();
    if let Some((mut config, nulls)) = take_object(&mut object, "embedContentConfig")? {
        take_options(&mut config, &mut options, &mut input)?;
        rest = leftover(config, nulls);
    }
    take_options(&mut object, &mut options, &mut input)?;
    let model = object.take_string("model")?.unwrap_or_default();
    let model = model.strip_prefix("models/").unwrap_or(&model).to_owned();
    input.ext = leftover(object, nulls);
    // What is written there is not written twice.
    rest.0.retain(|(name, raw)| {
        !(raw.is_blank() || input.ext.get(name).is_some() || matches!(name.as_str(), "model" | "content"))
    });
    input.ext.0.extend(rest.0);
    let content = leftover(content, content_nulls);
    if !content.is_empty() {
        input
            .ext
            .0
            .push(("content".to_owned(), RawJson::object(&content)));
    }
    Ok((model, options, input))
}

fn take_options(
    object: &mut Object<'_>,
    options: &mut Options,
    input: &mut Input,
) -> Result<(), DecodeError> {
    if let Some(number) = take_number(object, "outputDimensionality")? {
        options.dimensions = Some(number);
    }
    if let Some(cut) = object.take_bool("autoTruncate")? {
        options.truncate = Some(truncate_of(cut));
    }
    if let Some(word) = object.take_string("taskType")? {
        input.task = task_of(word);
    }
    if let Some(title) = object.take_string("title")? {
        input.title = Some(title);
    }
    Ok(())
}

const fn truncate_of(cut: bool) -> Truncate {
    if cut { Truncate::End } else { Truncate::Never }
}

fn decode_piece(raw: Raw<'_>) -> Result<Piece, DecodeError> {
    let (mut object, _) = open(raw.get(), "content.parts[]")?;
    if object.has("text") {
        return Ok(Piece::Text(object.take_string("text")?.unwrap_or_default()));
    }
    if let Some((mut blob, _)) = take_object(&mut object, "inlineData")? {
        let media_type = blob.take_string("mimeType")?.unwrap_or_default();
        if media_type.is_empty() || media_type.starts_with("image/") {
            let data = blob.require_string("data")?;
            return Ok(Piece::Image { media_type, data });
        }
    }
    Ok(Piece::Opaque(RawJson::from(raw)))
}

/// `TASK_TYPE_UNSPECIFIED` says nothing.
fn task_of(word: String) -> Option<Task> {
    Some(match word.to_ascii_uppercase().as_str() {
        "RETRIEVAL_QUERY" => Task::Query,
        "RETRIEVAL_DOCUMENT" => Task::Document,
        "CLASSIFICATION" => Task::Classification,
        "CLUSTERING" => Task::Clustering,
        "SEMANTIC_SIMILARITY" => Task::Similarity,
        "QUESTION_ANSWERING" => Task::Question,
        "FACT_VERIFICATION" => Task::Fact,
        "CODE_RETRIEVAL_QUERY" => Task::CodeQuery,
        "TASK_TYPE_UNSPECIFIED" => return None,
        _ => Task::Other(word),
    })
}

fn word_of<'a>(task: &'a Task, request: &Request, losses: &mut Losses) -> Option<&'a str> {
    Some(match task {
        Task::Query => "RETRIEVAL_QUERY",
        Task::Document => "RETRIEVAL_DOCUMENT",
        Task::Classification => "CLASSIFICATION",
        Task::Clustering => "CLUSTERING",
        Task::Similarity => "SEMANTIC_SIMILARITY",
        Task::Question => "QUESTION_ANSWERING",
        Task::Fact => "FACT_VERIFICATION",
        Task::CodeQuery => "CODE_RETRIEVAL_QUERY",
        // A picture is seen to be one.
        Task::Image => return None,
        Task::Other(word) if is_google(request.origin) => word,
        Task::Other(_) => {
            losses.approximated(named::task(request), "the provider has no such task");
            return None;
        }
    })
}

fn is_google(origin: Dialect) -> bool {
    matches!(
        origin,
        Dialect::GeminiSingle | Dialect::GeminiBatch | Dialect::VertexPredict
    )
}

pub(super) fn write_request(w: &mut Writer<'_>, dialect: Dialect, part: &Part<'_>, losses: &mut Losses) {
    let request = part.request;
    let own = matches!(request.origin, Dialect::GeminiSingle | Dialect::GeminiBatch);
    if !own {
        pieces::floats_only(request, losses);
        pieces::no_user(request, losses);
        if matches!(request.truncate, Some(Truncate::Never | Truncate::Start)) {
            losses.approximated(named::truncate(request), "texts that are too long lose their end");
        }
    }
    if dialect == Dialect::GeminiSingle {
        if let [input] = part.inputs {
            let named_there = own && !request.model.is_empty();
            let model = named_there.then_some(part.model);
            write_content(w, part, part.first, input, model, losses);
        }
    } else {
        w.key("requests").array(|w| {
            for (number, input) in part.numbered() {
                w.object(|w| write_content(w, part, number, input, Some(part.model), losses));
            }
        });
    }
    if request.origin == dialect {
        w.ext(&request.ext);
    } else if own {
        extra::report(&request.ext, "", losses);
    }
}

fn write_content(
    w: &mut Writer<'_>,
    part: &Part<'_>,
    number: usize,
    input: &Input,
    model: Option<&str>,
    losses: &mut Losses,
) {
    let request = part.request;
    let own = matches!(request.origin, Dialect::GeminiSingle | Dialect::GeminiBatch);
    if let Some(model) = model {
        w.key("model").string(&format!("models/{model}"));
    }
    w.key("content").object(|w| {
        w.key("parts").array(|w| {
            for piece in &input.pieces {
                write_piece(w, request, number, piece, losses);
            }
        });
        if own {
            write_bag(w, &inner(&input.ext, "content"), &["parts"]);
        }
    });
    if let Some(task) = &input.task {
        w.optional_string("taskType", word_of(task, request, losses));
    }
    w.optional_string("title", input.title.as_deref());
    w.optional_raw("outputDimensionality", request.dimensions.as_ref());
    if own {
        if let Some(truncate) = &request.truncate {
            w.key("autoTruncate").bool(*truncate != Truncate::Never);
        }
        write_bag(w, &input.ext, &["content", "model"]);
    }
}

fn write_piece(w: &mut Writer<'_>, request: &Request, number: usize, piece: &Piece, losses: &mut Losses) {
    match piece {
        Piece::Text(text) => w.object(|w| w.key("text").string(text)),
        Piece::Image { media_type, data } => w.object(|w| {
            w.key("inlineData").object(|w| {
                w.key("mimeType").string(pieces::media_type_of(media_type, data));
                w.key("data").string(data);
            });
        }),
        Piece::Opaque(raw) if is_google(request.origin) => w.raw(raw),
        Piece::Tokens(_) => pieces::no_tokens(request, number, losses),
        Piece::ImageUrl(_) | Piece::Opaque(_) => losses.rejected(
            named::input(request, number),
            "the provider takes text, and pictures that are sent along",
        ),
    }
}

pub(super) fn decode_predict(body: &str) -> Result<Request, DecodeError> {
    // Only the names of Google are spelled in two ways; an instance belongs to the model.
    let (mut object, nulls) = open(body, "")?;
    let Some(list) = object.take_array("instances")? else {
        return Err(DecodeError::new("instances", "is missing; a list is required"));
    };
    let mut inputs = Vec::with_capacity(list.len());
    for (i, raw) in list.into_iter().enumerate() {
        let (mut one, nulls) = open(raw.get(), crate::path::item("instances", i))?;
        inputs.push(Input {
            pieces: vec![Piece::Text(one.require_string("content")?)],
            task: one.take_string("taskType")?.and_then(task_of),
            title: one.take_string("title")?,
            ext: leftover(one, nulls),
        });
    }
    let (mut dimensions, mut truncate, mut rest) = (None, None, Ext::default());
    if let Some((mut parameters, nulls)) = take_object(&mut object, "parameters")? {
        dimensions = take_number(&mut parameters, "outputDimensionality")?;
        truncate = parameters.take_bool("autoTruncate")?.map(truncate_of);
        rest = leftover(parameters, nulls);
    }
    let mut ext = leftover(object, nulls);
    if !rest.is_empty() {
        ext.0.push(("parameters".to_owned(), RawJson::object(&rest)));
    }
    Ok(Request {
        origin: Dialect::VertexPredict,
        model: String::new(),
        inputs,
        form: Form::List,
        dimensions,
        wanted: Vec::new(),
        truncate,
        user: None,
        ext,
    })
}

pub(super) fn write_predict(w: &mut Writer<'_>, part: &Part<'_>, losses: &mut Losses) {
    let request = part.request;
    let own = request.origin == Dialect::VertexPredict;
    if !own {
        pieces::floats_only(request, losses);
        pieces::no_user(request, losses);
    }
    w.key("instances").array(|w| {
        for (number, input) in part.numbered() {
            w.object(|w| {
                w.key("content")
                    .string(&pieces::text(request, number, input, losses));
                if let Some(task) = &input.task {
                    w.optional_string("task_type", word_of(task, request, losses));
                }
                w.optional_string("title", input.title.as_deref());
                if own {
                    w.ext(&input.ext);
                }
            });
        }
    });
    let cut = request.truncate.as_ref().map(|truncate| {
        if matches!(truncate, Truncate::Start | Truncate::Other(_)) {
            losses.approximated(named::truncate(request), "texts that are too long lose their end");
        }
        *truncate != Truncate::Never
    });
    let rest = if own {
        inner(&request.ext, "parameters")
    } else {
        Ext::default()
    };
    if request.dimensions.is_some() || cut.is_some() || !rest.is_empty() {
        w.key("parameters").object(|w| {
            w.optional_raw("outputDimensionality", request.dimensions.as_ref());
            w.optional_bool("autoTruncate", cut);
            w.ext(&rest);
        });
    }
    if own {
        write_bag(w, &request.ext, &["parameters"]);
    }
}

pub(super) fn decode_response(dialect: Dialect, body: &str) -> Result<Response, DecodeError> {
    let (mut object, nulls) = open(body, "")?;
    let list = match object.take("embedding") {
        Some(one) => vec![one],
        None => object
            .take_array("embeddings")?
            .ok_or_else(|| DecodeError::new("embeddings", "is missing; a list of vectors is required"))?,
    };
    let mut items = Vec::with_capacity(list.len());
    for (i, raw) in list.into_iter().enumerate() {
        items.push(decode_item(raw, crate::path::item("embeddings", i))?);
    }
    let usage = object
        .peek("usageMetadata")
        .and_then(|raw| usage_of(raw.get()))
        .or_else(|| sum(&items));
    Ok(Response {
        origin: dialect,
        id: None,
        model: String::new(),
        items,
        usage,
        ext: leftover(object, nulls),
    })
}

/// A vector within `values`, and how many tokens its text has.
fn decode_item(raw: Raw<'_>, path: String) -> Result<Item, DecodeError> {
    let (mut object, nulls) = open(raw.get(), path)?;
    let path = object.path_of("values");
    let Some(values) = object.take("values") else {
        return Err(DecodeError::new(
            path,
            "is missing; a list of numbers is required",
        ));
    };
    let mut item = Item {
        vectors: vec![Vector::decode(Kind::Float, values, &path)?],
        ..Item::default()
    };
    if let Some(raw) = object.peek("statistics") {
        let (mut statistics, _) = open(raw.get(), object.path_of("statistics"))?;
        item.tokens = take_count(&mut statistics, "tokenCount").ok().flatten();
        item.truncated = statistics.take_bool("truncated").ok().flatten();
    }
    item.ext = leftover(object, nulls);
    Ok(item)
}

fn usage_of(text: &str) -> Option<Usage> {
    let (object, _) = open(text, "").ok()?;
    let members = object.into_ext();
    let tokens = |name: &str| count(members.get(name)?.text());
    let input = tokens("promptTokenCount").or_else(|| tokens("totalTokenCount"))?;
    Some(Usage {
        input,
        total: tokens("totalTokenCount").filter(|total| *total != input),
        ..Usage::default()
    })
}

fn sum(items: &[Item]) -> Option<Usage> {
    let tokens: Option<Vec<u64>> = items.iter().map(|item| item.tokens).collect();
    let input = tokens?.into_iter().fold(0, u64::saturating_add);
    (!items.is_empty()).then_some(Usage {
        input,
        ..Usage::default()
    })
}

pub(super) fn write_response(
    w: &mut Writer<'_>,
    dialect: Dialect,
    answer: &mut Answer<'_>,
) -> Result<(), DecodeError> {
    let response = answer.response;
    let mut result = Ok(());
    w.object(|w| {
        match (dialect, response.items.as_slice()) {
            (Dialect::GeminiSingle, [item]) => {
                w.key("embedding");
                result = write_item(w, answer, item);
            }
            (_, items) => w.key("embeddings").array(|w| {
                for item in items {
                    let written = write_item(w, answer, item);
                    if result.is_ok() {
                        result = written;
                    }
                }
            }),
        }
        if answer.own {
            write_bag(w, &response.ext, &["embedding", "embeddings"]);
        }
        // Newer models tell it; in Vertex's statistics it stands beside each vector.
        let told = answer.own
            && (response.ext.get("usageMetadata").is_some()
                || response.items.iter().all(|item| item.tokens.is_some()));
        if let Some(usage) = response.usage.as_ref().filter(|_| !told) {
            w.key("usageMetadata").object(|w| {
                w.key("promptTokenCount").number(usage.input_total());
                w.key("totalTokenCount").number(usage.total());
            });
        }
    });
    result
}

fn write_item(w: &mut Writer<'_>, answer: &mut Answer<'_>, item: &Item) -> Result<(), DecodeError> {
    let mut result = Ok(());
    w.object(|w| {
        w.key("values");
        result = answer.write_vector(w, item, &Wanted::FLOATS);
        if result.is_err() {
            w.null();
        }
        if answer.own {
            w.ext(&item.ext);
        }
    });
    result
}

pub(super) fn decode_predictions(body: &str) -> Result<Response, DecodeError> {
    let (mut object, nulls) = open(body, "")?;
    let Some(list) = object.take_array("predictions")? else {
        return Err(DecodeError::new("predictions", "is missing; a list is required"));
    };
    let mut items = Vec::with_capacity(list.len());
    for (i, raw) in list.into_iter().enumerate() {
        let (mut prediction, nulls) = open(raw.get(), crate::path::item("predictions", i))?;
        let path = prediction.path_of("embeddings");
        let Some(embeddings) = prediction.take("embeddings") else {
            return Err(DecodeError::new(path, "is missing; a vector is required"));
        };
        let mut item = decode_item(embeddings, path)?;
        let rest = std::mem::replace(&mut item.ext, leftover(prediction, nulls));
        item.ext.0.push(("embeddings".to_owned(), RawJson::object(&rest)));
        items.push(item);
    }
    Ok(Response {
        origin: Dialect::VertexPredict,
        id: None,
        model: String::new(),
        usage: sum(&items),
        items,
        ext: leftover(object, nulls),
    })
}

pub(super) fn write_predictions(
    w: &mut Writer<'_>,
    answer: &mut Answer<'_>,
    losses: &mut Losses,
) -> Result<(), DecodeError> {
    let response = answer.response;
    let counted = response.items.iter().all(|item| item.tokens.is_some());
    if !counted && response.items.len() > 1 && response.usage.is_some() {
        losses.dropped(
            "usage",
            "the answer counts tokens per text, and the provider told the sum only",
        );
    }
    // The only text has all the tokens.
    let only = match (response.items.as_slice(), &response.usage) {
        ([_], Some(usage)) => Some(usage.input_total()),
        _ => None,
    };
    let mut result = Ok(());
    w.object(|w| {
        w.key("predictions").array(|w| {
            for item in &response.items {
                w.object(|w| {
                    w.key("embeddings").object(|w| {
                        w.key("values");
                        let written = answer.write_vector(w, item, &Wanted::FLOATS);
                        if written.is_err() {
                            w.null();
                            result = written;
                        }
                        if answer.own {
                            w.ext(&inner(&item.ext, "embeddings"));
                        } else {
                            w.key("statistics").object(|w| {
                                w.optional_number("token_count", item.tokens.or(only));
                                w.key("truncated").bool(item.truncated.unwrap_or(false));
                            });
                        }
                    });
                    if answer.own {
                        write_bag(w, &item.ext, &["embeddings"]);
                    }
                });
            }
        });
        if answer.own {
            w.ext(&response.ext);
        }
    });
    result
}
