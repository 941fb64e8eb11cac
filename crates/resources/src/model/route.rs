//! A route: which calls it takes, and the plugins that serve them.

use serde::{Serialize, Serializer};

use super::{AiAuth, AiModels};

/// One route. A call belongs to it when one of `uris` matches the path and `methods` allows the method.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Route {
    /// Identity of the route; unique within a configuration, and the `route` field of logs.
    pub id: String,
    /// Paths the route takes; at least one.
    pub uris: Vec<UriPattern>,
    /// Methods the route takes, in upper case; empty means all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// What happens to a call of this route.
    pub plugins: Plugins,
}

/// The plugins of a route. Serialises like APISIX's `plugins: {<name>: <config>}`; an absent plugin does nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Plugins {
    /// Finds out who is calling. Absent: anonymous, as [`AiAuth::Anonymous`].
    #[serde(rename = "ai-auth", skip_serializing_if = "Option::is_none")]
    pub ai_auth: Option<AiAuth>,
    /// Serves the call from a set of models.
    #[serde(rename = "ai-models", skip_serializing_if = "Option::is_none")]
    pub ai_models: Option<AiModels>,
}

/// A path to match: exact, or everything that starts with what stands before a final `*`.
///
/// `/v1/models` matches only itself, `/v1/models/*` everything below it, `/v1/chat*` also `/v1/chatter`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UriPattern(String);

impl UriPattern {
    /// Makes a pattern from its text, or `None` when the text does not start with `/` or has a `*` before its end.
    pub fn new(text: impl Into<String>) -> Option<UriPattern> {
        let text = text.into();
        let literal = text.strip_suffix('*').unwrap_or(&text);
        (literal.starts_with('/') && !literal.contains('*')).then_some(UriPattern(text))
    }

    /// Tells whether `path` (without query string) belongs to the pattern.
    pub fn matches(&self, path: &str) -> bool {
        match self.prefix() {
            Some(prefix) => path.starts_with(prefix),
            None => path == self.0,
        }
    }

    /// The text before the final `*`, or `None` for an exact pattern. Longer prefixes are more specific.
    pub fn prefix(&self) -> Option<&str> {
        self.0.strip_suffix('*')
    }

    /// The pattern as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Serialize for UriPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_pattern_matches_only_its_own_path() {
        let pattern = UriPattern::new("/v1/models").unwrap();
        assert!(pattern.matches("/v1/models"));
        assert!(!pattern.matches("/v1/models/"));
        assert!(!pattern.matches("/v1/model"));
    }

    #[test]
    fn a_final_star_matches_every_path_with_that_prefix() {
        let pattern = UriPattern::new("/v1/chat/completions*").unwrap();
        assert!(pattern.matches("/v1/chat/completions"));
        assert!(pattern.matches("/v1/chat/completionsX"));
        assert!(!pattern.matches("/v1/chat"));
    }

    #[test]
    fn a_pattern_that_is_no_path_or_has_an_inner_star_is_refused() {
        assert!(UriPattern::new("v1").is_none());
        assert!(UriPattern::new("*").is_none());
        assert!(UriPattern::new("/a/*/b").is_none());
    }
}
