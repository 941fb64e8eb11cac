//! Who may call, how they prove it, and which models they may use.

use serde::Serialize;

use crate::glob::Glob;
use crate::named::Named;
use crate::secret::SecretRef;

/// Somebody who calls: a person, a team or an application.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Consumer {
    /// Name of the consumer; unique, and the `consumer` field of logs and metrics.
    pub username: String,
    /// Keys that identify the consumer (APISIX's key-auth credentials); several allow a change without a gap.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<SecretRef>,
    /// Models the consumer may use; the first entry that matches counts. Empty means none.
    pub access: Vec<ModelAccess>,
    /// Free text for reports, such as `team: search`.
    #[serde(skip_serializing_if = "Named::is_empty")]
    pub labels: Named<String>,
    /// The team it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
}

impl Consumer {
    /// Finds the entry that lets the consumer use the model of this public name; `None` when there is none.
    pub fn access_to(&self, model: &str) -> Option<&ModelAccess> {
        self.access.iter().find(|access| access.name.matches(model))
    }
}

/// Permission to use models, with what the consumer gets instead when they fail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ModelAccess {
    /// Public names of models; `*` stands for any run of characters.
    pub name: Glob,
    /// Replaces the model's own fallback for this consumer; `Some` of an empty list means no fallback. The models named
    /// here are used without a further access check.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Vec<String>>,
}
