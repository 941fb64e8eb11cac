//! OpenAI's `/v1/embeddings`, and what Mistral and Voyage made of it.
//!
//! Members: `CreateEmbeddingResponse` and its parameters in OpenAI's SDK; `voyageai`'s and Mistral's API references.

use crate::json::Raw;

use super::form::{Form, Input, Item, Kind, Piece, Request, Response, Task, Truncate, Wanted};
use super::part::{Answer, Part};
use super::vector::Vector;
use super::{Dialect, named, pieces, usage};
use crate::canonical::DecodeError;
use crate::gemini::fields::leftover;
use crate::json::{Object, RawJson, Writer, kind_of};
use crate::loss::Losses;

pub(super) fn decode_request(dialect: Dialect, body: &str) -> Result<Request, DecodeError> {
    let mut object = Object::parse(body, "")?;
    let nulls = object.take_nulls();
    let model = object.require_string("model")?;
    let Some(raw) = object.take("input") else {
        return Err(DecodeError::new(
            "input",
            "is missing; a string or a list is required",
        ));
    };
    let (form, mut inputs) = decode_inputs(raw)?;
    let (mut wanted, mut truncate) = (Vec::new(), None);
    let dimensions = object.take_number(dimensions_of(dialect))?;
    if dialect != Dialect::Openai {
        wanted.extend(object.take_string("output_dtype")?.map(|name| Wanted {
            kind: Kind::from_name(&name),
            base64: false,
        }));
    }
    if let Some(format) = object.take_string("encoding_format")? {
        match (format.as_str(), wanted.first_mut()) {
            ("base64", Some(first)) => first.base64 = true,
            ("base64", None) => wanted.push(Wanted {
                kind: Kind::Float,
                base64: true,
            }),
            (_, Some(_)) => {}
            (other, None) => wanted.push(Wanted {
                kind: Kind::from_name(other),
                base64: false,
            }),
        }
    }
    if dialect == Dialect::Voyage {
        let task = object.take_string("input_type")?.map(|name| match name.as_str() {
            "query" => Task::Query,
            "document" => Task::Document,
            _ => Task::Other(name),
        });
        inputs.iter_mut().for_each(|input| input.task.clone_from(&task));
        truncate = object
            .take_bool("truncation")?
            .map(|cut| if cut { Truncate::End } else { Truncate::Never });
    }
    Ok(Request {
        origin: dialect,
        model,
        inputs,
        form,
        dimensions,
        wanted,
        truncate,
        user: object.take_string("user")?,
        ext: leftover(object, nulls),
    })
}

const fn dimensions_of(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Openai => "dimensions",
        _ => "output_dimension",
    }
}

fn decode_inputs(raw: Raw<'_>) -> Result<(Form, Vec<Input>), DecodeError> {
    if let Some(input) = decode_input(raw, "input")? {
        return Ok((Form::Single, vec![input]));
    }
    let list: Vec<Raw<'_>> = serde_json::from_str(raw.get()).map_err(|_| {
        let problem = format!("expected a string or a list, found {}", kind_of(raw.get()));
        DecodeError::new("input", problem)
    })?;
    let mut inputs = Vec::with_capacity(list.len());
    for (i, raw) in list.into_iter().enumerate() {
        let path = crate::path::item("input", i);
        let Some(input) = decode_input(raw, &path)? else {
            let problem = format!("expected a string or token numbers, found {}", kind_of(raw.get()));
            return Err(DecodeError::new(path, problem));
        };
        inputs.push(input);
    }
    Ok((Form::List, inputs))
}

/// A text or a list of numbers; `None` for anything else.
fn decode_input(raw: Raw<'_>, path: &str) -> Result<Option<Input>, DecodeError> {
    let piece = match raw.get().as_bytes().first() {
        Some(b'"') => Piece::Text(
            serde_json::from_str(raw.get())
                .map_err(|error| DecodeError::new(path, format!("is no text: {error}")))?,
        ),
        Some(b'[') => match serde_json::from_str::<Vec<u64>>(raw.get()) {
            Ok(tokens) if !tokens.is_empty() => Piece::Tokens(RawJson::from(raw)),
            _ => return Ok(None),
        },
        _ => return Ok(None),
    };
    Ok(Some(Input {
        pieces: vec![piece],
        ..Input::default()
    }))
}

pub(super) fn write_request(w: &mut Writer<'_>, dialect: Dialect, part: &Part<'_>, losses: &mut Losses) {
    let request = part.request;
    let own = request.origin == dialect;
    w.key("model").string(part.model);
    w.key("input");
    if let (Form::Single, [input]) = (request.form, part.inputs) {
        write_input(w, dialect, part, part.first, input, losses);
    } else {
        w.array(|w| {
            for (number, input) in part.numbered() {
                write_input(w, dialect, part, number, input, losses);
            }
        });
    }
    pieces::no_titles(part, losses);
    w.optional_raw(dimensions_of(dialect), request.dimensions.as_ref());
    match dialect {
        Dialect::Openai => {
            w.optional_string("user", request.user.as_deref());
            pieces::no_task(part, losses);
            pieces::no_truncation(request, losses);
            write_format(w, request, own, losses);
        }
        Dialect::Mistral => {
            pieces::no_task(part, losses);
            pieces::no_truncation(request, losses);
            write_kind(w, request, losses);
        }
        _ => {
            w.optional_string(
                "input_type",
                pieces::task(part, losses).and_then(|task| voyage_task(task, request, losses)),
            );
            write_kind(w, request, losses);
            write_truncation(w, request, losses);
        }
    }
    if dialect != Dialect::Openai {
        if own {
            w.optional_string("user", request.user.as_deref());
        } else {
            pieces::no_user(request, losses);
        }
    }
    if own {
        w.ext(&request.ext);
    }
}

fn write_input(
    w: &mut Writer<'_>,
    dialect: Dialect,
    part: &Part<'_>,
    number: usize,
    input: &Input,
    losses: &mut Losses,
) {
    match input.pieces.as_slice() {
        [Piece::Tokens(list)] if dialect == Dialect::Openai || dialect == part.request.origin => w.raw(list),
        _ => w.string(&pieces::text(part.request, number, input, losses)),
    }
}

/// OpenAI's `encoding_format`. Its vectors are floats.
fn write_format(w: &mut Writer<'_>, request: &Request, own: bool, losses: &mut Losses) {
    let Some(first) = request.wanted.first() else {
        return;
    };
    if first.base64 {
        w.key("encoding_format").string("base64");
    } else if own {
        w.key("encoding_format").string(first.kind.name());
    }
    if !own {
        pieces::floats_only(request, losses);
    }
}

/// `output_dtype` and `encoding_format` of Mistral and Voyage.
fn write_kind(w: &mut Writer<'_>, request: &Request, losses: &mut Losses) {
    match pieces::kinds(&request.wanted).as_slice() {
        [] => {}
        [Kind::Bits] => losses.rejected(named::wanted(request), "the provider has no such kind of vectors"),
        [kind] => {
            // All notations can be made from base64, which is the shorter one.
            let base64 = request.wanted.iter().any(|wanted| wanted.base64);
            if !(base64 && **kind == Kind::Float) {
                w.key("output_dtype").string(kind.name());
            }
            if base64 {
                w.key("encoding_format").string("base64");
            }
        }
        _ => losses.rejected(
            named::wanted(request),
            "the provider makes one kind of vectors in a call",
        ),
    }
}

fn voyage_task<'a>(task: &'a Task, request: &Request, losses: &mut Losses) -> Option<&'a str> {
    let (word, exact) = match task {
        Task::Query => (Some("query"), true),
        Task::Document => (Some("document"), true),
        Task::Question | Task::Fact | Task::CodeQuery => (Some("query"), false),
        Task::Image => (None, true),
        Task::Classification | Task::Clustering | Task::Similarity => (None, false),
        Task::Other(word) if request.origin == Dialect::Voyage => (Some(word.as_str()), true),
        Task::Other(_) => (None, false),
    };
    if !exact {
        losses.approximated(
            named::task(request),
            "the provider knows queries and documents only",
        );
    }
    word
}

fn write_truncation(w: &mut Writer<'_>, request: &Request, losses: &mut Losses) {
    match &request.truncate {
        None => {}
        Some(Truncate::Never) => w.key("truncation").bool(false),
        Some(Truncate::End) => w.key("truncation").bool(true),
        Some(Truncate::Start | Truncate::Other(_)) => {
            w.key("truncation").bool(true);
            losses.approximated(named::truncate(request), "texts that are too long lose their end");
        }
    }
}

pub(super) fn decode_response(dialect: Dialect, body: &str) -> Result<Response, DecodeError> {
    let mut object = Object::parse(body, "")?;
    let nulls = object.take_nulls();
    let Some(list) = object.take_array("data")? else {
        return Err(DecodeError::new(
            "data",
            "is missing; a list of vectors is required",
        ));
    };
    let mut items = Vec::with_capacity(list.len());
    for (position, raw) in (0..).zip(list) {
        items.push(decode_item(raw, position)?);
    }
    items.sort_by_key(|(index, _)| *index);
    let usage = object.peek("usage").map(RawJson::from);
    let usage = usage.as_ref().and_then(usage::decode);
    if usage.is_some() {
        object.take("usage");
    }
    object.take("object");
    Ok(Response {
        origin: dialect,
        id: object.take_string("id")?,
        model: object.take_string("model")?.unwrap_or_default(),
        items: items.into_iter().map(|(_, item)| item).collect(),
        usage,
        ext: leftover(object, nulls),
    })
}

/// An item and its place among the inputs.
fn decode_item(raw: Raw<'_>, position: u64) -> Result<(u64, Item), DecodeError> {
    let mut object = Object::parse(raw.get(), crate::path::item("data", position))?;
    let nulls = object.take_nulls();
    let path = object.path_of("embedding");
    let Some(vector) = object.take("embedding") else {
        return Err(DecodeError::new(path, "is missing; a vector is required"));
    };
    let index = object.take_u64("index")?.unwrap_or(position);
    object.take("object");
    Ok((
        index,
        Item {
            // The answer does not say what the numbers are; whoever asked knows.
            vectors: vec![Vector::decode(Kind::Float, vector, &path)?],
            ext: leftover(object, nulls),
            ..Item::default()
        },
    ))
}

pub(super) fn write_response(
    w: &mut Writer<'_>,
    dialect: Dialect,
    answer: &mut Answer<'_>,
    losses: &mut Losses,
) -> Result<(), DecodeError> {
    let wanted = answer.wanted().into_iter().next().unwrap_or(Wanted::FLOATS);
    let mut result = Ok(());
    w.object(|w| {
        w.key("object").string("list");
        w.key("data").array(|w| {
            for (index, item) in (0..).zip(&answer.response.items) {
                w.object(|w| {
                    w.key("object").string("embedding");
                    w.key("index").number(index);
                    w.key("embedding");
                    result = answer.write_vector(w, item, &wanted);
                    if result.is_err() {
                        w.null();
                    }
                    if answer.own {
                        pieces::write_bag(w, &item.ext, &["object", "index"]);
                    }
                });
                if result.is_err() {
                    break;
                }
            }
        });
        w.key("model").string(answer.model());
        w.optional_string("id", answer.response.id.as_deref());
        write_usage(w, dialect, answer, losses);
        if answer.own {
            pieces::write_bag(w, &answer.response.ext, &["object", "model"]);
        }
    });
    result
}

fn write_usage(w: &mut Writer<'_>, dialect: Dialect, answer: &Answer<'_>, losses: &mut Losses) {
    match &answer.response.usage {
        Some(found) => {
            w.key("usage");
            usage::write(w, dialect, found, answer.own);
        }
        // Clients of these dialects expect the member.
        None if !answer.own => {
            losses.approximated("usage", "the provider did not say what was used");
            w.key("usage").object(|w| {
                w.key("prompt_tokens").number(0);
                w.key("total_tokens").number(0);
            });
        }
        None => {}
    }
}
