//! What is asked and answered, independent of the dialect.

use super::Dialect;
use crate::canonical::{Ext, Usage};
use crate::estimate;
use crate::json::RawJson;

/// A request to order documents.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The dialect it was decoded from; owns the [`Ext`] bags.
    pub origin: Dialect,
    /// The model as the client named it; empty where it stands in the address.
    pub model: String,
    /// What the documents shall answer.
    pub query: String,
    /// The documents; results name them by their place here.
    pub documents: Vec<Document>,
    /// How many results are wanted, as written (a JSON number); `None` for all.
    pub top_n: Option<RawJson>,
    /// Whether results repeat their documents; `None` leaves it to the dialect.
    pub return_documents: Option<bool>,
    /// Most tokens of a document that are read, as written (a JSON number; Cohere's `max_tokens_per_doc`).
    pub max_tokens: Option<RawJson>,
    /// Whether documents that are too long are cut (Voyage's `truncation`); `None` if not said.
    pub truncate: Option<bool>,
    /// Members that only the origin dialect knows, in their original order.
    pub ext: Ext,
}

/// One document.
#[derive(Clone, Debug, PartialEq)]
pub enum Document {
    /// Its text.
    Text(String),
    /// An object with its text or other members, as written.
    Object(RawJson),
}

/// The documents in order.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// The dialect it was decoded from; owns the [`Ext`] bags.
    pub origin: Dialect,
    /// The provider's id of the answer.
    pub id: Option<String>,
    /// The model that answered; empty if the provider did not say.
    pub model: String,
    /// The best document first.
    pub results: Vec<Ranked>,
    /// Tokens used; `None` if the provider did not say.
    pub usage: Option<Usage>,
    /// What Cohere bills: searches of up to 100 documents. `None` if not said.
    pub search_units: Option<u64>,
    /// Members that only the origin dialect knows.
    pub ext: Ext,
}

/// One result.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    /// The document's place in the request.
    pub index: u64,
    /// How well it answers, as written (a JSON number).
    pub score: RawJson,
    /// The document, where the provider repeats it.
    pub document: Option<Document>,
    /// Members that only the origin dialect knows.
    pub ext: Ext,
}

impl Request {
    /// Whether the client expects documents in the results. Jina repeats them unless told otherwise.
    pub(super) fn wants_documents(&self) -> bool {
        self.return_documents.unwrap_or(self.origin == Dialect::Jina)
    }

    /// Estimates how many tokens are read, for providers that do not say: every document with the query.
    pub fn estimated_tokens(&self) -> u64 {
        let query = estimate::tokens(&self.query);
        self.documents
            .iter()
            .map(|document| match document {
                Document::Text(text) => estimate::tokens(text),
                Document::Object(raw) => estimate::tokens(raw.text()),
            })
            .map(|tokens| tokens.saturating_add(query))
            .fold(0, u64::saturating_add)
    }
}
