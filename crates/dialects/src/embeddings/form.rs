//! What is asked and answered, independent of the dialect.

use super::Dialect;
use super::vector::Vector;
use crate::canonical::{Ext, Usage};
use crate::estimate;
use crate::json::RawJson;

/// A request for vectors.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The dialect it was decoded from; owns the [`Ext`] bags.
    pub origin: Dialect,
    /// The model as the client named it; empty where it stands in the address.
    pub model: String,
    /// What is to be embedded: one vector each, in this order.
    pub inputs: Vec<Input>,
    /// How the inputs were written, so that the same dialect can write them the same way again.
    pub form: Form,
    /// How many numbers a vector has, as written (a JSON number); `None` leaves it to the model.
    pub dimensions: Option<RawJson>,
    /// In which kinds and notations the vectors are wanted. Empty: 32-bit floats as JSON numbers.
    pub wanted: Vec<Wanted>,
    /// What happens to texts that are too long; `None` leaves it to the provider.
    pub truncate: Option<Truncate>,
    /// An opaque id of the end user.
    pub user: Option<String>,
    /// Members that only the origin dialect knows, in their original order.
    pub ext: Ext,
}

/// One thing to embed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Input {
    /// What it is made of; several pieces become one vector.
    pub pieces: Vec<Piece>,
    /// What the vector is for; `None` if not said.
    pub task: Option<Task>,
    /// The title of the document whose text this is (Google).
    pub title: Option<String>,
    /// Members that only the origin dialect knows.
    pub ext: Ext,
}

/// A piece of an [`Input`].
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// Text.
    Text(String),
    /// A list of token numbers (OpenAI), as written. They mean something to one tokenizer only.
    Tokens(RawJson),
    /// A picture as base64.
    Image {
        /// Such as `image/png`; empty if not said.
        media_type: String,
        /// Base64 text.
        data: String,
    },
    /// A picture at an address.
    ImageUrl(String),
    /// A piece only the origin dialect knows, as written.
    Opaque(RawJson),
}

/// How inputs were written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// One value where a list could be.
    Single,
    /// A list (OpenAI's `input`, Cohere's `texts`).
    #[default]
    List,
    /// A list of pictures (Cohere's `images`).
    Images,
    /// A list of texts and pictures (Cohere's `inputs`).
    Mixed,
}

/// A kind of vector and how its numbers are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// What the numbers are.
    pub kind: Kind,
    /// Whether they are the base64 of their bytes (little endian) instead of JSON numbers.
    pub base64: bool,
}

impl Wanted {
    /// What everybody gets who asks for nothing else.
    pub const FLOATS: Wanted = Wanted {
        kind: Kind::Float,
        base64: false,
    };
}

/// What the numbers of a vector are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 32-bit floats.
    Float,
    /// Whole numbers from -128 to 127, one per dimension.
    Int8,
    /// Whole numbers from 0 to 255, one per dimension.
    Uint8,
    /// Eight dimensions per number, from -128 to 127.
    Binary,
    /// Eight dimensions per number, from 0 to 255.
    Ubinary,
    /// One bit per dimension, each a number of its own (Titan's `binary`).
    Bits,
    /// A word we do not know, as written.
    Other(String),
}

impl Kind {
    /// The kind of this name at Cohere, Voyage and Mistral.
    pub fn from_name(name: &str) -> Self {
        match name {
            "float" => Kind::Float,
            "int8" => Kind::Int8,
            "uint8" => Kind::Uint8,
            "binary" => Kind::Binary,
            "ubinary" => Kind::Ubinary,
            other => Kind::Other(other.to_owned()),
        }
    }

    /// Its name at Cohere, Voyage and Mistral.
    pub fn name(&self) -> &str {
        match self {
            Kind::Float => "float",
            Kind::Int8 => "int8",
            Kind::Uint8 => "uint8",
            Kind::Binary | Kind::Bits => "binary",
            Kind::Ubinary => "ubinary",
            Kind::Other(name) => name,
        }
    }
}

/// What a vector is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// To search with.
    Query,
    /// To be found.
    Document,
    /// To be sorted into classes.
    Classification,
    /// To be grouped.
    Clustering,
    /// To be compared with others of the same kind.
    Similarity,
    /// A question whose answer is looked for.
    Question,
    /// A statement whose proof is looked for.
    Fact,
    /// A question whose answer is code.
    CodeQuery,
    /// The input is a picture (Cohere).
    Image,
    /// A word we do not know, as written.
    Other(String),
}

/// What happens to texts that are longer than the model reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Truncate {
    /// The call fails.
    Never,
    /// Their beginning is cut off.
    Start,
    /// Their end is cut off.
    End,
    /// A word we do not know, as written.
    Other(String),
}

/// The vectors.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// The dialect it was decoded from; owns the [`Ext`] bags.
    pub origin: Dialect,
    /// The provider's id of the answer.
    pub id: Option<String>,
    /// The model that answered, as the provider names it; empty if it did not say.
    pub model: String,
    /// One for each input, in their order.
    pub items: Vec<Item>,
    /// What was used; `None` if the provider did not say.
    pub usage: Option<Usage>,
    /// Members that only the origin dialect knows.
    pub ext: Ext,
}

/// The vectors of one input: one for each kind and notation that was asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Item {
    /// The vectors.
    pub vectors: Vec<Vector>,
    /// How many tokens this input has; `None` where the provider tells the sum only.
    pub tokens: Option<u64>,
    /// Whether the input was cut; `None` if not said.
    pub truncated: Option<bool>,
    /// Members that only the origin dialect knows.
    pub ext: Ext,
}

impl Request {
    /// Estimates how many tokens the inputs have, for providers that do not say. Pictures count as 1,000.
    pub fn estimated_tokens(&self) -> u64 {
        let pieces = self.inputs.iter().flat_map(|input| &input.pieces);
        pieces
            .map(|piece| match piece {
                Piece::Text(text) => estimate::tokens(text),
                Piece::Tokens(list) => {
                    let commas = list.text().bytes().filter(|byte| *byte == b',').count();
                    u64::try_from(commas).unwrap_or(u64::MAX).saturating_add(1)
                }
                Piece::Image { .. } | Piece::ImageUrl(_) => 1_000,
                Piece::Opaque(raw) => estimate::tokens(raw.text()),
            })
            .fold(0, u64::saturating_add)
    }
}

impl Response {
    /// Puts the answers of several calls together, in the order of the calls, where one request took more than one.
    ///
    /// What only the origin dialect knows of an answer as a whole is kept if there was one call. `None` for no answers.
    pub fn join(parts: impl IntoIterator<Item = Response>) -> Option<Response> {
        parts.into_iter().reduce(|mut whole, part| {
            whole.items.extend(part.items);
            whole.usage = match (whole.usage.take(), part.usage) {
                (Some(a), Some(b)) => Some(add(&a, &b)),
                // A sum of which a part is unknown is unknown.
                _ => None,
            };
            whole.ext = Ext::default();
            whole
        })
    }
}

fn add(a: &Usage, b: &Usage) -> Usage {
    let sum = |a: Option<u64>, b: Option<u64>| match (a, b) {
        (None, None) => None,
        (a, b) => Some(a.unwrap_or(0).saturating_add(b.unwrap_or(0))),
    };
    Usage {
        input: a.input.saturating_add(b.input),
        output: a.output.saturating_add(b.output),
        input_image: sum(a.input_image, b.input_image),
        total: sum(a.total, b.total).map(|_| a.total().saturating_add(b.total())),
        estimated: a.estimated || b.estimated,
        ..Usage::default()
    }
}
