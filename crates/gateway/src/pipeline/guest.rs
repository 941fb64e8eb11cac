//! Somebody whom the process itself lets in: a person who tries models on the dashboard.
//!
//! Nothing that a client sends makes it a guest; it has no key that could be taken away from it. Budgets and limits count for it
//! as for everybody, and its calls are told under a name that no consumer has.

use std::sync::Arc;

use super::address::Address;
use super::head::Endpoint;
use crate::governance::{Identity, Index};

/// Longest name that is told, in characters.
const NAME: usize = 64;

/// Somebody whom the process itself lets in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guest {
    /// Under which its calls are told, such as `playground/ann`.
    pub name: Arc<str>,
    /// The team that the calls are for.
    pub team: Option<Arc<str>>,
    /// Whether plugins that find out who calls let it pass.
    pub opens_objects: bool,
}

impl Guest {
    /// What the names of guests begin with, and the consumer whose budgets and limits count for all of them together.
    pub const CONSUMER: &str = "playground";

    /// A person of this name, for this team if any.
    pub fn new(person: &str, team: Option<&str>, opens_objects: bool) -> Self {
        let person: String = person
            .chars()
            .filter(|letter| !letter.is_control())
            .take(NAME)
            .collect();
        Guest {
            name: format!("{}/{person}", Guest::CONSUMER).into(),
            team: team.map(Arc::from),
            opens_objects,
        }
    }

    /// The guest, if it may ask for this path: models, and what they answer. What else the gateway serves, a guest sees as
    /// everybody does.
    pub(crate) fn asks(self: Arc<Self>, path: &str) -> Option<Arc<Self>> {
        match Address::of(path).endpoint {
            Endpoint::Chat(_)
            | Endpoint::CountTokens(_)
            | Endpoint::Completions
            | Endpoint::Embeddings(_)
            | Endpoint::Rerank(_)
            | Endpoint::Invoke
            | Endpoint::Models
            | Endpoint::Model(_) => Some(self),
            Endpoint::Response(_) | Endpoint::Api(_) | Endpoint::Unknown => None,
        }
    }

    /// As what budgets and limits know it.
    pub(crate) fn identity(&self, index: &Index) -> Identity {
        Identity {
            key: None,
            consumer: Some(self.name.clone()),
            team: self.team.clone(),
            levels: index.line(None, Some(Guest::CONSUMER), self.team.as_deref()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_asks_models_and_nothing_else() {
        let guest = Arc::new(Guest::new("ann\n", None, true));
        assert_eq!(&*guest.name, "playground/ann");
        for path in [
            "/v1/chat/completions",
            "/v1/messages",
            "/v1beta/models/gpt-5:generateContent",
            "/model/gpt-5/converse-stream",
            "/v2/chat",
            "/v1/models",
        ] {
            assert!(guest.clone().asks(path).is_some(), "{path}");
        }
        for path in ["/", "/docs/1", "/v1/responses/resp_1", "/tollgate/v1/me"] {
            assert!(guest.clone().asks(path).is_none(), "{path}");
        }
    }
}
