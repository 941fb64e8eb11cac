//! Amazon Titan on Bedrock: one text or picture in a call.
//!
//! Members: "Amazon Titan Embeddings G1 - Text" (also V2) and "Amazon Titan Multimodal Embeddings G1" in Amazon's guide.

use super::form::{Form, Input, Item, Kind, Piece, Request, Response, Wanted};
use super::part::{Answer, Part};
use super::pieces::{self, write_bag};
use super::vector::Vector;
use super::{Dialect, named};
use crate::canonical::{DecodeError, Ext, Usage};
use crate::gemini::fields::{inner, keep_inner, leftover, take_count};
use crate::json::{Object, RawJson, Writer};
use crate::loss::Losses;

/// The members whose numbers stand in `embeddingsByType`.
const BY_TYPE: &str = "embeddingsByType";

pub(super) fn decode_request(body: &str) -> Result<Request, DecodeError> {
    let mut object = Object::parse(body, "")?;
    let nulls = object.take_nulls();
    let mut input = Input::default();
    if let Some(text) = object.take_string("inputText")? {
        input.pieces.push(Piece::Text(text));
    }
    let mut form = Form::Single;
    if let Some(data) = object.take_string("inputImage")? {
        if input.pieces.is_empty() {
            form = Form::Images;
        }
        input.pieces.push(Piece::Image {
            media_type: String::new(),
            data,
        });
    }
    if input.pieces.is_empty() {
        return Err(DecodeError::new(
            "inputText",
            "is missing; a text or a picture is required",
        ));
    }
    let mut rest = Ext::default();
    let mut dimensions = object.take_number("dimensions")?;
    if let Some(mut config) = object.take_object("embeddingConfig")? {
        dimensions = dimensions.or(config.take_number("outputEmbeddingLength")?);
        keep_inner(&mut rest, "embeddingConfig", &config.into_ext(), false);
    }
    let wanted = pieces::take_wanted(&mut object, "embeddingTypes", wanted_of)?;
    let mut ext = leftover(object, nulls);
    ext.0.extend(rest.0);
    Ok(Request {
        origin: Dialect::BedrockTitan,
        model: String::new(),
        inputs: vec![input],
        form,
        dimensions,
        wanted,
        truncate: None,
        user: None,
        ext,
    })
}

fn wanted_of(name: &str) -> Wanted {
    let kind = match name {
        "binary" => Kind::Bits,
        name => Kind::from_name(name),
    };
    Wanted { kind, base64: false }
}

pub(super) fn write_request(w: &mut Writer<'_>, part: &Part<'_>, losses: &mut Losses) {
    let request = part.request;
    let own = request.origin == Dialect::BedrockTitan;
    let sees = part.model.contains("embed-image");
    let first = part.model.contains("embed-text-v1") || part.model.contains("embed-g1-text");
    for (number, input) in part.numbered() {
        write_input(w, request, number, input, sees, losses);
    }
    if !own {
        pieces::no_titles(part, losses);
        pieces::no_task(part, losses);
        pieces::no_truncation(request, losses);
        pieces::no_user(request, losses);
    }
    let config = if own {
        inner(&request.ext, "embeddingConfig")
    } else {
        Ext::default()
    };
    let nested = sees || own && request.ext.get("embeddingConfig").is_some();
    match &request.dimensions {
        Some(_) if first && !own => {
            losses.rejected(
                named::dimensions(request),
                "the model has one length of vectors only",
            );
        }
        dimensions if nested => {
            if dimensions.is_some() || !config.is_empty() {
                w.key("embeddingConfig").object(|w| {
                    w.optional_raw("outputEmbeddingLength", dimensions.as_ref());
                    w.ext(&config);
                });
            }
        }
        dimensions => w.optional_raw("dimensions", dimensions.as_ref()),
    }
    if own {
        if !request.wanted.is_empty() {
            let names = request.wanted.iter().map(|wanted| wanted.kind.name());
            w.key("embeddingTypes")
                .array(|w| names.for_each(|name| w.string(name)));
        }
        write_bag(w, &request.ext, &["embeddingConfig"]);
    } else {
        pieces::floats_only(request, losses);
    }
}

fn write_input(
    w: &mut Writer<'_>,
    request: &Request,
    number: usize,
    input: &Input,
    sees: bool,
    losses: &mut Losses,
) {
    let own = request.origin == Dialect::BedrockTitan;
    let pictures: Vec<&str> = input
        .pieces
        .iter()
        .filter_map(|piece| match piece {
            Piece::Image { data, .. } => Some(data.as_str()),
            _ => None,
        })
        .collect();
    let [picture] = pictures.as_slice() else {
        w.key("inputText")
            .string(&pieces::text(request, number, input, losses));
        return;
    };
    if !sees && !own {
        losses.rejected(named::input(request, number), "the model embeds text only");
    }
    let texts = Input {
        pieces: input
            .pieces
            .iter()
            .filter(|piece| !matches!(piece, Piece::Image { .. }))
            .cloned()
            .collect(),
        ..Input::default()
    };
    if !texts.pieces.is_empty() {
        w.key("inputText")
            .string(&pieces::text(request, number, &texts, losses));
    }
    w.key("inputImage").string(picture);
}

pub(super) fn decode_response(body: &str) -> Result<Response, DecodeError> {
    let mut object = Object::parse(body, "")?;
    let nulls = object.take_nulls();
    let mut item = Item::default();
    if let Some(raw) = object.take("embedding") {
        item.vectors.push(Vector::decode(Kind::Float, raw, "embedding")?);
    } else {
        // Marks that the member was missing.
        item.ext.0.push(("embedding".to_owned(), RawJson::null()));
    }
    if let Some(raw) = object.peek(BY_TYPE) {
        let mut types = Object::parse(raw.get(), BY_TYPE)?;
        for (name, kind) in [("float", Kind::Float), ("binary", Kind::Bits)] {
            if let Some(raw) = types.take_some(name)
                && !item.vectors.iter().any(|vector| vector.kind == kind)
            {
                item.vectors
                    .push(Vector::decode(kind, raw, &types.path_of(name))?);
            }
        }
    }
    if item.vectors.is_empty() {
        return Err(DecodeError::new("embedding", "is missing; a vector is required"));
    }
    item.tokens = take_count(&mut object, "inputTextTokenCount")?;
    Ok(Response {
        origin: Dialect::BedrockTitan,
        id: None,
        model: String::new(),
        usage: item.tokens.map(|input| Usage {
            input,
            ..Usage::default()
        }),
        items: vec![item],
        ext: leftover(object, nulls),
    })
}

pub(super) fn write_response(w: &mut Writer<'_>, answer: &mut Answer<'_>) -> Result<(), DecodeError> {
    let response = answer.response;
    let [item] = response.items.as_slice() else {
        return Err(DecodeError::new("", "the answer has one vector"));
    };
    let wanted = answer.wanted();
    let by_type = !answer.request.wanted.is_empty() && !answer.own;
    // An answer of this dialect is repeated as it was.
    let floats = if answer.own {
        item.ext.is_empty()
    } else {
        wanted.contains(&Wanted::FLOATS)
    };
    let mut result = Ok(());
    w.object(|w| {
        if floats {
            w.key("embedding");
            result = answer.write_vector(w, item, &Wanted::FLOATS);
            if result.is_err() {
                w.null();
            }
        }
        let tokens = item.tokens.or(response.usage.as_ref().map(Usage::input_total));
        w.optional_number("inputTextTokenCount", tokens);
        if by_type {
            w.key(BY_TYPE).object(|w| {
                for wanted in &wanted {
                    w.key(wanted.kind.name());
                    let written = answer.write_vector(w, item, wanted);
                    if written.is_err() {
                        w.null();
                        result = written;
                    }
                }
            });
        }
        if answer.own {
            w.ext(&response.ext);
        }
    });
    result
}
