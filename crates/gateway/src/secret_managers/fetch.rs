//! Fetches one secret: reads the reference, and asks the manager that it names.

use std::time::Duration;

use serde_json::Value;
use thiserror::Error;
use tollgate_resources::Secret;

use super::exchange::Exchanges;
use super::{aws, gcp, vault};
use crate::ai::gcp::{TokenError, Tokens};
use crate::clock::Moment;
use crate::secrets::Unresolved;

/// Why a secret could not be fetched. Holds no secret and no token.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum FetchError {
    /// The reference is not `<manager>/<id>/<path>`, or its path has not the parts that this manager needs.
    #[error("the reference needs {0}")]
    Reference(&'static str),
    /// There is no such object. Create it under `/apisix/admin/secrets/`.
    #[error("the secret manager {0} does not exist")]
    NoManager(String),
    /// The manager's object names something that leads to nothing.
    #[error("its manager's settings cannot be used: {0}")]
    Unresolved(#[from] Unresolved),
    /// A field of the manager's object is missing or cannot be used.
    #[error("its manager's setting `{field}` {problem}")]
    Setting {
        /// Name of the field.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The request to the manager cannot be signed.
    #[error("the request cannot be signed: {0}")]
    Unsigned(String),
    /// Google gives no token for the service account.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// No connection, or it broke.
    #[error("its manager cannot be reached: {0}")]
    Unreachable(String),
    /// The manager did not answer in time.
    #[error("its manager did not answer in time")]
    Late,
    /// The manager has not answered in time lately, and was not asked.
    #[error("its manager did not answer in time a moment ago and was not asked again yet")]
    LeftAlone,
    /// The manager refuses: the credential is wrong or may not read the secret, or the manager is in trouble.
    #[error("its manager refuses with status {status} {code}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The manager's code for it, if it has one.
        code: String,
    },
    /// The answer is not what this manager answers.
    #[error("its manager's answer cannot be read: {0}")]
    Unreadable(&'static str),
    /// The manager has no such secret.
    #[error("its manager has no such secret")]
    NotFound,
    /// The secret has no such key, or is no JSON object.
    #[error("the secret has no text under the key {0}")]
    NoKey(String),
    /// The secret is empty or no text.
    #[error("the secret is empty or no text")]
    NoText,
}

impl FetchError {
    /// Whether there is no such secret any more, so that its last value must not be used.
    pub fn means_gone(&self) -> bool {
        matches!(
            self,
            FetchError::Reference(_)
                | FetchError::NoManager(_)
                | FetchError::NotFound
                | FetchError::NoKey(_)
                | FetchError::NoText
        )
    }
}

/// What a reference names.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reference {
    /// The id of the manager's object, `<manager>/<id>`.
    pub(super) manager: String,
    /// What the manager keeps it under: at least one segment, none of them empty or dots only.
    pub(super) path: String,
}

impl Reference {
    /// Parses `<manager>/<id>/<path>`.
    pub(super) fn parse(text: &str) -> Result<Self, FetchError> {
        let wrong = FetchError::Reference("the form <manager>/<id>/<path>");
        let mut parts = text.splitn(3, '/');
        let (Some(manager), Some(id), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong);
        };
        // Dots would lead out of the part of the manager that the object opens.
        let is_segment = |segment: &str| !matches!(segment, "" | "." | "..");
        if !is_segment(manager) || !is_segment(id) || !path.split('/').all(is_segment) {
            return Err(wrong);
        }
        Ok(Reference {
            manager: format!("{manager}/{id}"),
            path: path.to_owned(),
        })
    }
}

/// Fetches secrets, and keeps connections and tokens for the next ones.
#[derive(Default)]
pub(super) struct Fetcher {
    exchanges: Exchanges,
    tokens: Tokens,
}

impl Fetcher {
    /// Asks the manager with the settings `conf`. `limit` is the most time for each step; the caller limits the whole.
    pub(super) async fn fetch(
        &self,
        reference: &Reference,
        conf: &Value,
        now: Moment,
        limit: Duration,
    ) -> Result<Secret, FetchError> {
        let exchanges = self.exchanges.within(limit);
        match reference.manager.split('/').next() {
            Some("vault") => vault::fetch(exchanges, conf, &reference.path).await,
            Some("aws") => aws::fetch(exchanges, conf, &reference.path, now.wall).await,
            Some("gcp") => {
                gcp::fetch(
                    exchanges,
                    &self.tokens,
                    &reference.manager,
                    conf,
                    &reference.path,
                    now,
                )
                .await
            }
            _ => Err(FetchError::Reference("one of the managers vault, aws and gcp")),
        }
    }

    /// Closes connections that have been idle too long.
    pub(super) fn close_idle(&self) {
        self.exchanges.close_idle();
    }
}

/// The text under a key of an object.
pub(super) fn text_of(object: &Value, key: &str) -> Result<Secret, FetchError> {
    let text = match object.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(other @ (Value::Number(_) | Value::Bool(_))) => other.to_string(),
        _ => return Err(FetchError::NoKey(key.to_owned())),
    };
    not_empty(text)
}

/// The text under a key of an object that is written as text; without a key the whole.
pub(super) fn part_of(whole: String, key: Option<&str>) -> Result<Secret, FetchError> {
    match key {
        None => not_empty(whole),
        Some(key) => {
            let object: Value =
                serde_json::from_str(&whole).map_err(|_| FetchError::NoKey(key.to_owned()))?;
            text_of(&object, key)
        }
    }
}

/// A secret; an empty one would let in everybody who shows nothing.
fn not_empty(text: String) -> Result<Secret, FetchError> {
    if text.is_empty() {
        return Err(FetchError::NoText);
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::{FetchError, Reference};

    #[test]
    fn a_reference_has_a_manager_an_id_and_a_path() {
        let reference = Reference::parse("vault/1/team/jack/auth-key").unwrap();
        assert_eq!(
            (reference.manager.as_str(), reference.path.as_str()),
            ("vault/1", "team/jack/auth-key")
        );
    }

    #[test]
    fn a_reference_cannot_lead_out_of_what_the_manager_opens() {
        for text in [
            "",
            "vault",
            "vault/1",
            "vault/1/",
            "vault//key",
            "/1/key",
            "vault/1/../sys/key",
            "vault/1/./key",
            "vault/../key",
            "vault/1/a//key",
            "vault/1/a/",
        ] {
            assert!(
                matches!(Reference::parse(text), Err(FetchError::Reference(_))),
                "{text}"
            );
        }
    }
}
