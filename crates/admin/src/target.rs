//! What a path below `/apisix/admin/` means: a collection, one object, or a part of one.

use serde_json::{Map, Value};
use tollgate_resources::objects::{Kind, ObjectKey};

use crate::errors::Refusal;

/// A collection, one object, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The kind of object.
    pub(crate) kind: Kind,
    /// What stands before the id: the consumer of a credential, the manager of a secret.
    pub(crate) parent: Option<String>,
    /// The object's own id; `None` for the collection.
    pub(crate) id: Option<String>,
    /// The part of the object, as the segments of its path; empty for the whole.
    pub(crate) part: Vec<String>,
}

impl Target {
    /// Reads the segments after `/apisix/admin/`.
    pub(crate) fn parse(segments: &[String]) -> Result<Target, Refusal> {
        let (collection, rest) = segments.split_first().ok_or(Refusal::NoPath)?;
        if let [owner, word, rest @ ..] = rest
            && collection == "consumers"
            && word == "credentials"
        {
            return Ok(Target::at(Kind::Credential, Some(owner), rest));
        }
        let kind = Kind::of_collection(collection).ok_or_else(|| Refusal::NoKind(collection.clone()))?;
        match (kind, rest) {
            (Kind::Secret, [manager, rest @ ..]) => Ok(Target::at(kind, Some(manager), rest)),
            _ => Ok(Target::at(kind, None, rest)),
        }
    }

    fn at(kind: Kind, parent: Option<&String>, rest: &[String]) -> Target {
        let (id, part) = match rest.split_first() {
            Some((id, part)) => (Some(id.clone()), part.to_vec()),
            None => (None, Vec::new()),
        };
        Target {
            kind,
            parent: parent.cloned(),
            id,
            part,
        }
    }

    /// The key of the object with an own id.
    pub(crate) fn key(&self, id: &str) -> ObjectKey {
        match (&self.parent, self.kind) {
            (Some(username), Kind::Credential) => ObjectKey::credential(username, id),
            (Some(manager), _) => ObjectKey::new(self.kind, format!("{manager}/{id}")),
            (None, _) => ObjectKey::new(self.kind, id),
        }
    }

    /// The key of the object that is meant; `None` for a collection.
    pub(crate) fn object(&self) -> Option<ObjectKey> {
        self.id.as_deref().map(|id| self.key(id))
    }

    /// The word for the kind of object in messages.
    pub(crate) fn word(&self) -> &'static str {
        self.kind.place().word
    }
}

/// The id in a value, as text.
pub(crate) fn id_of(value: &Map<String, Value>) -> Option<String> {
    match value.get("id") {
        None | Some(Value::Null) => None,
        Some(Value::String(id)) => Some(id.clone()),
        Some(other) => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(path: &str) -> String {
        Target::parse(&crate::query::segments(path))
            .unwrap()
            .object()
            .unwrap()
            .path()
    }

    #[test]
    fn paths_name_objects() {
        assert_eq!(key("routes/1"), "/apisix/routes/1");
        assert_eq!(key("consumers/jack"), "/apisix/consumers/jack");
        assert_eq!(
            key("consumers/jack/credentials/c1"),
            "/apisix/consumers/jack/credentials/c1"
        );
        assert_eq!(key("secrets/vault/1"), "/apisix/secrets/vault/1");
        assert_eq!(
            key("plugin_metadata/prometheus"),
            "/apisix/plugin_metadata/prometheus"
        );
    }

    #[test]
    fn the_rest_of_a_path_names_a_part() {
        let target = Target::parse(&crate::query::segments("routes/1/plugins/ai-proxy")).unwrap();
        assert_eq!(target.part, ["plugins", "ai-proxy"]);
        let target = Target::parse(&crate::query::segments("secrets/vault/1/token")).unwrap();
        assert_eq!(target.part, ["token"]);
    }
}
