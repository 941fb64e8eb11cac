//! What a consistent hash is made of: a key of the call, so that calls with the same one go to the same place.

use std::borrow::Cow;

use tollgate_policy::expr::Template;

use super::variables::variable;
use super::{Call, CallVariables};

/// What a consistent hash is made of.
pub enum HashKey {
    /// The value of a variable.
    Variable(String),
    /// The consumer's name.
    Consumer,
    /// A text with variables.
    Text(Template),
}

impl HashKey {
    /// The value of a header.
    pub fn header(name: &str) -> Self {
        HashKey::Variable(format!("http_{}", name.to_ascii_lowercase().replace('-', "_")))
    }

    /// The value of a cookie.
    pub fn cookie(name: &str) -> Self {
        HashKey::Variable(format!("cookie_{name}"))
    }

    /// The key of a call; where it has none, the client's address.
    pub fn of(&self, call: &Call<'_>) -> String {
        let key = match self {
            HashKey::Variable(name) => variable(call, name).map(Cow::into_owned),
            HashKey::Consumer => call
                .consumer
                .as_ref()
                .map(|attached| attached.consumer.name.to_string()),
            HashKey::Text(template) => match template.render(&CallVariables::new(call)) {
                (_, 0) => None,
                (text, _) => Some(text),
            },
        };
        key.filter(|key| !key.is_empty())
            .unwrap_or_else(|| call.client.ip().to_canonical().to_string())
    }
}
