//! What calls are counted by.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tollgate_policy::expr::Template;

use super::super::Call;
use super::super::variables::{CallVariables, variable};

/// How a key is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum KeyType {
    /// The name of a variable.
    #[default]
    Var,
    /// A text with variables in it, such as `$remote_addr $consumer_name`.
    VarCombination,
    /// A text that is the same for all calls.
    Constant,
}

/// What calls are counted by.
pub(crate) enum Key {
    Variable(String),
    Combination(Template),
    Constant(String),
}

impl Key {
    pub(crate) fn new(kind: KeyType, text: String) -> Self {
        match kind {
            KeyType::Var => Key::Variable(text),
            KeyType::VarCombination => Key::Combination(Template::parse(&text)),
            KeyType::Constant => Key::Constant(text),
        }
    }

    /// The key of a call, if it has one.
    pub(crate) fn of(&self, call: &Call<'_>) -> Option<String> {
        match self {
            Key::Variable(name) => variable(call, name).map(|value| value.into_owned()),
            Key::Combination(template) => {
                let (text, resolved) = template.render(&CallVariables::new(call));
                (resolved > 0).then_some(text)
            }
            Key::Constant(text) => Some(text.clone()),
        }
    }

    /// The key of a call; the client's address where it has none.
    pub(crate) fn or_address(&self, call: &Call<'_>) -> String {
        self.of(call)
            .unwrap_or_else(|| call.client.ip().to_canonical().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::testing::Caller;
    use super::*;

    #[test]
    fn calls_without_a_key_are_counted_by_address() {
        let mut caller = Caller::get("/?user=ann").header("x-a", "1");
        let call = caller.call();
        for (kind, text, key) in [
            (KeyType::Var, "arg_user", "ann"),
            (KeyType::Var, "http_none", "203.0.113.7"),
            (KeyType::VarCombination, "$arg_user-$http_x_a", "ann-1"),
            (KeyType::VarCombination, "$arg_user-$http_none", "ann-"),
            (KeyType::VarCombination, "$http_none", "203.0.113.7"),
            (KeyType::VarCombination, "no variable", "203.0.113.7"),
            (KeyType::Constant, "$arg_user", "$arg_user"),
        ] {
            assert_eq!(Key::new(kind, text.to_owned()).or_address(&call), key);
        }
    }
}
