//! Cohere's `/v1/embed` and `/v2/embed`, and the same on Bedrock.
//!
//! Members: `embed` and `EmbedByTypeResponse` of Cohere's SDK; "Cohere Embed v3" and "v4" in Amazon's guide.

use crate::json::Raw;

use super::form::{Form, Input, Item, Kind, Piece, Request, Response, Task, Truncate, Wanted};
use super::part::{Answer, Part};
use super::pieces;
use super::vector::Vector;
use super::{Dialect, named};
use crate::canonical::{DecodeError, Usage};
use crate::gemini::fields::{count, leftover};
use crate::json::{Object, RawJson, Writer, kind_of};
use crate::loss::Losses;

/// In `embedding_types`, floats as base64.
const BASE64: &str = "base64";

pub(super) fn decode_request(dialect: Dialect, body: &str) -> Result<Request, DecodeError> {
    let mut object = Object::parse(body, "")?;
    let nulls = object.take_nulls();
    let model = object.take_string("model")?.unwrap_or_default();
    let (form, mut inputs) = take_inputs(&mut object)?;
    if let Some(word) = object.take_string("input_type")? {
        let task = task_of(word);
        inputs
            .iter_mut()
            .for_each(|input| input.task = Some(task.clone()));
    }
    let wanted = pieces::take_wanted(&mut object, "embedding_types", wanted_of)?;
    Ok(Request {
        origin: dialect,
        model,
        inputs,
        form,
        dimensions: object.take_number("output_dimension")?,
        wanted,
        truncate: object.take_string("truncate")?.map(truncate_of),
        user: None,
        ext: leftover(object, nulls),
    })
}

/// One of three lists. Empty ones beside it say nothing.
fn take_inputs(object: &mut Object<'_>) -> Result<(Form, Vec<Input>), DecodeError> {
    let one = |piece| Input {
        pieces: vec![piece],
        ..Input::default()
    };
    let mut found = Vec::new();
    for (name, form) in [
        ("texts", Form::List),
        ("images", Form::Images),
        ("inputs", Form::Mixed),
    ] {
        let filled = object
            .peek(name)
            .is_some_and(|raw| !RawJson::from(raw).is_blank());
        if filled || name == "texts" && object.has(name) {
            let list = object.take_array(name)?.unwrap_or_default();
            let mut inputs = Vec::with_capacity(list.len());
            for (i, raw) in list.into_iter().enumerate() {
                let path = crate::path::item(name, i);
                inputs.push(match form {
                    Form::Mixed => decode_mixed(raw, path)?,
                    Form::Images => one(pieces::picture(string(raw, path)?)),
                    _ => one(Piece::Text(string(raw, path)?)),
                });
            }
            found.push((form, inputs));
        }
    }
    if found.iter().filter(|(_, inputs)| !inputs.is_empty()).count() > 1 {
        return Err(DecodeError::new(
            "",
            "only one of `texts`, `images` and `inputs` can be embedded in a call",
        ));
    }
    let filled = found.iter().position(|(_, inputs)| !inputs.is_empty());
    if found.is_empty() {
        return Err(DecodeError::new(
            "texts",
            "is missing; a list of strings is required",
        ));
    }
    Ok(found.swap_remove(filled.unwrap_or(0)))
}

fn string(raw: Raw<'_>, path: String) -> Result<String, DecodeError> {
    serde_json::from_str(raw.get())
        .map_err(|_| DecodeError::new(path, format!("expected a string, found {}", kind_of(raw.get()))))
}

fn decode_mixed(raw: Raw<'_>, path: String) -> Result<Input, DecodeError> {
    let mut object = Object::parse(raw.get(), path)?;
    let path = object.path_of("content");
    let Some(list) = object.take_array("content")? else {
        return Err(DecodeError::new(path, "is missing; a list is required"));
    };
    let mut pieces = Vec::with_capacity(list.len());
    for (i, raw) in list.into_iter().enumerate() {
        let mut piece = Object::parse(raw.get(), crate::path::item(&path, i))?;
        let text = piece.peek("text").map(Raw::get);
        pieces.push(match (piece.take_string("type")?.as_deref(), text) {
            (Some("text"), Some(text)) if text.starts_with('"') => {
                Piece::Text(piece.take_string("text")?.unwrap_or_default())
            }
            (Some("image_url"), _) => match address(&mut piece)? {
                Some(address) => pieces::picture(address),
                None => Piece::Opaque(RawJson::from(raw)),
            },
            _ => Piece::Opaque(RawJson::from(raw)),
        });
    }
    Ok(Input {
        pieces,
        ext: object.into_ext(),
        ..Input::default()
    })
}

/// `{"url": …}`, or on Bedrock the address itself. Nothing that says more than the address.
fn address(piece: &mut Object<'_>) -> Result<Option<String>, DecodeError> {
    let Some(raw) = piece.take("image_url") else {
        return Ok(None);
    };
    if raw.get().starts_with('"') {
        return string(raw, piece.path_of("image_url")).map(Some);
    }
    let mut inner = Object::parse(raw.get(), piece.path_of("image_url"))?;
    let url = inner.take_string("url")?;
    Ok(url.filter(|_| inner.into_ext().is_empty()))
}

fn wanted_of(name: &str) -> Wanted {
    match name {
        BASE64 => Wanted {
            kind: Kind::Float,
            base64: true,
        },
        name => Wanted {
            kind: Kind::from_name(name),
            base64: false,
        },
    }
}

fn name_of(wanted: &Wanted) -> &str {
    if wanted.base64 && wanted.kind == Kind::Float {
        BASE64
    } else {
        wanted.kind.name()
    }
}

fn task_of(word: String) -> Task {
    match word.as_str() {
        "search_query" => Task::Query,
        "search_document" => Task::Document,
        "classification" => Task::Classification,
        "clustering" => Task::Clustering,
        "image" => Task::Image,
        _ => Task::Other(word),
    }
}

/// Embed v4 on Bedrock says `LEFT` and `RIGHT`.
fn truncate_of(word: String) -> Truncate {
    match word.as_str() {
        "NONE" => Truncate::Never,
        "START" | "LEFT" => Truncate::Start,
        "END" | "RIGHT" => Truncate::End,
        _ => Truncate::Other(word),
    }
}

fn is_cohere(origin: Dialect) -> bool {
    matches!(
        origin,
        Dialect::BedrockCohere | Dialect::CohereV1 | Dialect::Cohere
    )
}

pub(super) fn write_request(w: &mut Writer<'_>, dialect: Dialect, part: &Part<'_>, losses: &mut Losses) {
    let request = part.request;
    let own = is_cohere(request.origin);
    if dialect != Dialect::BedrockCohere {
        w.key("model").string(part.model);
    }
    write_task(w, part, own, losses);
    write_inputs(w, dialect, part, losses);
    write_types(w, dialect, request, losses);
    if request.dimensions.is_some() && dialect == Dialect::CohereV1 && !own {
        losses.rejected(
            named::dimensions(request),
            "the provider decides about the length of its vectors",
        );
    } else {
        w.optional_raw("output_dimension", request.dimensions.as_ref());
    }
    let sides = dialect == Dialect::BedrockCohere && part.model.contains("embed-v4");
    let word = request.truncate.as_ref().map(|truncate| match truncate {
        Truncate::Never => "NONE",
        Truncate::Start if sides => "LEFT",
        Truncate::Start => "START",
        Truncate::End if sides => "RIGHT",
        Truncate::End => "END",
        Truncate::Other(word) => word,
    });
    w.optional_string("truncate", word);
    if own {
        pieces::write_bag(w, &request.ext, &["model", "input_type", "embedding_types"]);
    } else {
        pieces::no_titles(part, losses);
        pieces::no_user(request, losses);
    }
}

/// `input_type`, which the provider demands.
fn write_task(w: &mut Writer<'_>, part: &Part<'_>, own: bool, losses: &mut Losses) {
    let word = match pieces::task(part, losses) {
        None if own => return,
        None => {
            losses.approximated(
                "input_type",
                "required by the provider, and the request does not say what the vectors are for",
            );
            "search_document"
        }
        Some(Task::Query) => "search_query",
        Some(Task::Document) => "search_document",
        Some(Task::Classification) => "classification",
        Some(Task::Clustering) => "clustering",
        Some(Task::Image) => "image",
        Some(Task::Other(word)) if own => word,
        Some(other) => {
            losses.approximated(
                named::task(part.request),
                "the provider has no such task; the nearest is taken",
            );
            match other {
                Task::Question | Task::Fact | Task::CodeQuery => "search_query",
                Task::Similarity => "clustering",
                _ => "search_document",
            }
        }
    };
    w.key("input_type").string(word);
}

fn write_inputs(w: &mut Writer<'_>, dialect: Dialect, part: &Part<'_>, losses: &mut Losses) {
    let request = part.request;
    let own = is_cohere(request.origin);
    let is_picture = |input: &Input| {
        matches!(
            input.pieces.as_slice(),
            [Piece::Image { .. } | Piece::ImageUrl(_)]
        )
    };
    let form = if own {
        request.form
    } else if part.inputs.iter().all(pieces::is_text) {
        Form::List
    } else if !part.inputs.is_empty() && part.inputs.iter().all(is_picture) {
        Form::Images
    } else if part.inputs.iter().flat_map(|input| &input.pieces).any(is_no_text)
        && dialect != Dialect::CohereV1
    {
        Form::Mixed
    } else {
        Form::List
    };
    match form {
        Form::Images => w.key("images").array(|w| {
            for piece in part.inputs.iter().flat_map(|input| &input.pieces) {
                match piece {
                    Piece::Image { media_type, data } => w.string(&pieces::data_address(media_type, data)),
                    Piece::ImageUrl(address) => w.string(address),
                    _ => {}
                }
            }
        }),
        Form::Mixed => w.key("inputs").array(|w| {
            for (number, input) in part.numbered() {
                w.object(|w| {
                    w.key("content").array(|w| {
                        for piece in &input.pieces {
                            write_piece(w, dialect, request, number, piece, losses);
                        }
                    });
                    if own {
                        w.ext(&input.ext);
                    }
                });
            }
        }),
        Form::List | Form::Single => w.key("texts").array(|w| {
            for (number, input) in part.numbered() {
                w.string(&pieces::text(request, number, input, losses));
            }
        }),
    }
}

fn is_no_text(piece: &Piece) -> bool {
    matches!(piece, Piece::Image { .. } | Piece::ImageUrl(_) | Piece::Opaque(_))
}

fn write_piece(
    w: &mut Writer<'_>,
    dialect: Dialect,
    request: &Request,
    number: usize,
    piece: &Piece,
    losses: &mut Losses,
) {
    let mut picture = |address: &str| {
        w.object(|w| {
            w.key("type").string("image_url");
            w.key("image_url");
            if dialect == Dialect::BedrockCohere {
                w.string(address);
            } else {
                w.object(|w| w.key("url").string(address));
            }
        });
    };
    match piece {
        Piece::Image { media_type, data } => picture(&pieces::data_address(media_type, data)),
        Piece::ImageUrl(address) => picture(address),
        Piece::Text(text) => w.object(|w| {
            w.key("type").string("text");
            w.key("text").string(text);
        }),
        Piece::Opaque(raw) if is_cohere(request.origin) => w.raw(raw),
        Piece::Tokens(_) => pieces::no_tokens(request, number, losses),
        Piece::Opaque(_) => losses.rejected(
            named::input(request, number),
            "the provider embeds text and pictures only",
        ),
    }
}

/// `embedding_types`. Version 2 demands it; base64 is made from floats afterwards.
fn write_types(w: &mut Writer<'_>, dialect: Dialect, request: &Request, losses: &mut Losses) {
    let own = is_cohere(request.origin);
    let names: Vec<&str> = if own {
        request.wanted.iter().map(name_of).collect()
    } else {
        let kinds = pieces::kinds(&request.wanted);
        if kinds
            .iter()
            .any(|kind| matches!(kind, Kind::Bits | Kind::Other(_)))
        {
            losses.rejected(named::wanted(request), "the provider has no such kind of vectors");
        }
        let known = kinds
            .iter()
            .filter(|kind| !matches!(kind, Kind::Bits | Kind::Other(_)));
        known.map(|kind| kind.name()).collect()
    };
    let names = if names.is_empty() && dialect == Dialect::Cohere && !(own && request.origin == dialect) {
        vec![Kind::Float.name()]
    } else {
        names
    };
    if !names.is_empty() {
        w.key("embedding_types")
            .array(|w| names.into_iter().for_each(|name| w.string(name)));
    }
}

pub(super) fn decode_response(dialect: Dialect, body: &str) -> Result<Response, DecodeError> {
    let mut object = Object::parse(body, "")?;
    let nulls = object.take_nulls();
    let mut items: Vec<Item> = Vec::new();
    let Some(raw) = object.take("embeddings") else {
        return Err(DecodeError::new("embeddings", "is missing; vectors are required"));
    };
    if raw.get().starts_with('[') {
        add_vectors(&mut items, &Wanted::FLOATS, raw, "embeddings")?;
    } else {
        let types = Object::parse(raw.get(), "embeddings")?.into_ext();
        for (name, list) in types.iter().filter(|(_, list)| list.text() != "null") {
            let list: Raw<'_> = serde_json::from_str(list.text())
                .map_err(|error| DecodeError::new("embeddings", error.to_string()))?;
            add_vectors(&mut items, &wanted_of(name), list, &format!("embeddings.{name}"))?;
        }
    }
    let usage = object.peek("meta").and_then(|raw| usage_of(raw.get()));
    object.take("response_type");
    Ok(Response {
        origin: dialect,
        id: object.take_string("id")?,
        model: String::new(),
        items,
        usage,
        ext: leftover(object, nulls),
    })
}

/// Adds a list of vectors of one kind, one to each item.
fn add_vectors(items: &mut Vec<Item>, wanted: &Wanted, list: Raw<'_>, path: &str) -> Result<(), DecodeError> {
    let list: Vec<Raw<'_>> = serde_json::from_str(list.get()).map_err(|_| {
        let problem = format!("expected a list of vectors, found {}", kind_of(list.get()));
        DecodeError::new(path, problem)
    })?;
    if !items.is_empty() && items.len() != list.len() {
        return Err(DecodeError::new(
            path,
            "has not as many vectors as the other kinds",
        ));
    }
    items.resize_with(list.len(), Item::default);
    for (i, (item, raw)) in items.iter_mut().zip(list).enumerate() {
        let vector = Vector::decode(wanted.kind.clone(), raw, &crate::path::item(path, i))?;
        item.vectors.push(vector);
    }
    Ok(())
}

/// What was billed; tokens of pictures have a price of their own and are told beside those of texts.
fn usage_of(meta: &str) -> Option<Usage> {
    let mut meta = Object::parse(meta, "").ok()?;
    let billed = meta.take_object("billed_units").ok()??.into_ext();
    let tokens = |name: &str| count(billed.get(name)?.text());
    let images = tokens("image_tokens");
    let texts = tokens("input_tokens");
    texts.or(images).map(|_| Usage {
        input: texts.unwrap_or(0).saturating_add(images.unwrap_or(0)),
        input_image: images,
        ..Usage::default()
    })
}

pub(super) fn write_response(
    w: &mut Writer<'_>,
    dialect: Dialect,
    answer: &mut Answer<'_>,
) -> Result<(), DecodeError> {
    let response = answer.response;
    let wanted = answer.wanted();
    // Version 1 answers a plain list to who did not name kinds.
    let by_type = dialect == Dialect::Cohere || !answer.request.wanted.is_empty();
    let mut result = Ok(());
    w.object(|w| {
        w.key("id").string(response.id.as_deref().unwrap_or_default());
        w.key("response_type").string(if by_type {
            "embeddings_by_type"
        } else {
            "embeddings_floats"
        });
        w.key("embeddings");
        if by_type {
            w.object(|w| {
                for wanted in &wanted {
                    w.key(name_of(wanted));
                    let written = answer.write_vectors(w, wanted);
                    if result.is_ok() {
                        result = written;
                    }
                }
            });
        } else {
            result = answer.write_vectors(w, &Wanted::FLOATS);
        }
        if answer.own {
            pieces::write_bag(w, &response.ext, &["id"]);
        } else if answer.request.form == Form::List {
            w.key("texts").array(|w| {
                for piece in answer.request.inputs.iter().flat_map(|input| &input.pieces) {
                    if let Piece::Text(text) = piece {
                        w.string(text);
                    }
                }
            });
        }
        let told = answer.own && (response.ext.get("meta").is_some() || response.usage.is_none());
        if !told {
            write_meta(w, dialect, response.usage.as_ref());
        }
    });
    result
}

fn write_meta(w: &mut Writer<'_>, dialect: Dialect, usage: Option<&Usage>) {
    w.key("meta").object(|w| {
        w.key("api_version").object(|w| {
            w.key("version")
                .string(if dialect == Dialect::Cohere { "2" } else { "1" });
        });
        let Some(usage) = usage else { return };
        let images = usage.input_image.unwrap_or(0).min(usage.input_total());
        w.key("billed_units").object(|w| {
            w.key("input_tokens")
                .number(usage.input_total().saturating_sub(images));
            w.optional_number("image_tokens", usage.input_image);
        });
    });
}
