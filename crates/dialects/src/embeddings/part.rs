//! What the writers of all dialects get.

use super::Dialect;
use super::form::{Input, Item, Request, Response, Wanted};
use super::pieces::once;
use super::vector::{Written, pick};
use crate::canonical::DecodeError;
use crate::json::Writer;

/// The inputs of one call.
pub(super) struct Part<'a> {
    pub(super) request: &'a Request,
    pub(super) inputs: &'a [Input],
    /// The number of the first of them among all inputs of the request.
    pub(super) first: usize,
    /// The model as the provider calls it.
    pub(super) model: &'a str,
}

impl<'a> Part<'a> {
    /// The inputs with their numbers in the request.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (usize, &'a Input)> + use<'a> {
        (self.first..).zip(self.inputs)
    }
}

/// The answer and the request it is for.
pub(super) struct Answer<'a> {
    pub(super) response: &'a Response,
    pub(super) request: &'a Request,
    /// Whether the answer's bags belong to the dialect that is written.
    pub(super) own: bool,
    /// Set where a number had more digits than base64 holds.
    pub(super) rounded: &'a mut bool,
}

impl<'a> Answer<'a> {
    /// The kinds and notations to write, each once; at least one.
    pub(super) fn wanted(&self) -> Vec<Wanted> {
        if self.request.wanted.is_empty() {
            vec![Wanted::FLOATS]
        } else {
            once(self.request.wanted.iter().cloned())
        }
    }

    /// The model that answered, or else the one that was asked.
    pub(super) fn model(&self) -> &'a str {
        if self.response.model.is_empty() {
            &self.request.model
        } else {
            &self.response.model
        }
    }

    /// Writes the vector of an item as it is wanted.
    pub(super) fn write_vector(
        &mut self,
        w: &mut Writer<'_>,
        item: &Item,
        wanted: &Wanted,
    ) -> Result<(), DecodeError> {
        let vector = match item.vectors.as_slice() {
            // Their answers do not say which kind was asked for, and it is one.
            [only] if matches!(self.response.origin, Dialect::Mistral | Dialect::Voyage) => only,
            all => pick(all, wanted)?,
        };
        match vector.written(wanted, self.rounded)? {
            Written::Numbers(list) => w.raw(&list),
            Written::Base64(text) => w.string(&text),
        }
        Ok(())
    }

    /// Writes a list with one vector for each item.
    pub(super) fn write_vectors(&mut self, w: &mut Writer<'_>, wanted: &Wanted) -> Result<(), DecodeError> {
        let mut result = Ok(());
        w.array(|w| {
            for item in &self.response.items {
                result = self.write_vector(w, item, wanted);
                if result.is_err() {
                    break;
                }
            }
        });
        result
    }
}
