//! The `ai-models` plugin: the models a route serves, and what happens when one of them fails.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Instance, Timeouts};
use crate::glob::Glob;
use crate::named::Named;

/// Statuses of an upstream answer after which the next instance or model is tried.
///
/// They mean "not now" rather than "not this request": timeout, conflict and rate limit (408, 409, 429), server faults
/// (500, 502, 503, 504) and Anthropic's "overloaded" (529). The vendors' own SDKs retry the same ones. A status that
/// blames the request (400, 404, 413, 422) would fail again elsewhere and is given to the client as it is; so are 401 and
/// 403, because a wrong provider key should be seen and not hidden behind a fallback.
pub const DEFAULT_FALLBACK_STATUSES: [u16; 8] = [408, 409, 429, 500, 502, 503, 504, 529];

/// The configuration of the `ai-models` plugin.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AiModels {
    /// The models by public name. A name with `*` serves every name it matches and no exact entry takes.
    pub models: Named<Model>,
    /// Whose manners the answers have.
    pub compat: Compat,
    /// What to do when the target cannot express a part of a request; a model may differ.
    pub on_loss: OnLoss,
}

impl AiModels {
    /// Finds the model that serves `name`: the entry of that name, else the glob with the longest literal text that
    /// matches (the first written wins a tie). Returns the entry's public name with it.
    pub fn find(&self, name: &str) -> Option<(&str, &Model)> {
        if let Some((key, model)) = self.models.entry(name) {
            return Some((key, model));
        }
        let mut best: Option<(&str, &Model)> = None;
        let mut best_length = 0;
        for (key, model) in self.models.iter() {
            let glob = Glob::new(key);
            let length = glob.literal_length();
            if !glob.is_exact() && glob.matches(name) && (best.is_none() || length > best_length) {
                best = Some((key, model));
                best_length = length;
            }
        }
        best
    }
}

/// A public model: who serves it, and what is tried when that fails.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Model {
    /// Provider accounts that can serve the model; load is spread by weight. At least one.
    pub instances: Vec<Instance>,
    /// Public names of other models, tried in this order when no instance could answer. Their own fallbacks are not followed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<String>,
    /// Which failures let the next instance or model try.
    pub fallback_on: FallbackOn,
    /// How long an attempt may take.
    pub timeouts: Timeouts,
    /// Overrides the route's [`AiModels::on_loss`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_loss: Option<OnLoss>,
    /// Output limit, in tokens, sent when the provider demands one and the client gave none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u64>,
}

/// Which failures let another instance or model try. No connection, no answer in time and an answer broken before its
/// first byte reached the client always do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FallbackOn {
    /// These statuses of the upstream's answer.
    Statuses(Vec<u16>),
    /// Every status but 200, also those that blame the request: the rule of the NGINX demo.
    EveryStatusBut200,
}

impl FallbackOn {
    /// Tells whether an answer with `status` lets another instance or model try.
    pub fn includes(&self, status: u16) -> bool {
        match self {
            FallbackOn::Statuses(statuses) => statuses.contains(&status),
            FallbackOn::EveryStatusBut200 => status != 200,
        }
    }
}

impl Default for FallbackOn {
    fn default() -> Self {
        FallbackOn::Statuses(DEFAULT_FALLBACK_STATUSES.to_vec())
    }
}

/// Whose manners the answers of a route have, where they differ from ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Compat {
    /// Tollgate's own.
    #[default]
    None,
    /// Those of the NGINX AI-proxy demo: its error texts and statuses, its untranslated finish reasons.
    NginxDemo,
}

/// What to do when the target of a translation cannot express a part of the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnLoss {
    /// Leave the part out, and tell: a response header and a log field name it.
    #[default]
    Lenient,
    /// Refuse the request with 400 and the names of the parts.
    Strict,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn models(names: &[&str]) -> AiModels {
        AiModels {
            models: names
                .iter()
                .map(|name| ((*name).to_owned(), Model::default()))
                .collect(),
            ..AiModels::default()
        }
    }

    #[test]
    fn an_exact_name_beats_every_glob() {
        let models = models(&["*", "gpt-*", "gpt-5"]);
        assert_eq!(models.find("gpt-5").unwrap().0, "gpt-5");
    }

    #[test]
    fn the_glob_with_the_longest_literal_text_wins() {
        let models = models(&["*", "gpt-*", "gpt-5-*"]);
        assert_eq!(models.find("gpt-5-mini").unwrap().0, "gpt-5-*");
        assert_eq!(models.find("gpt-4").unwrap().0, "gpt-*");
        assert_eq!(models.find("claude").unwrap().0, "*");
    }

    #[test]
    fn the_name_of_a_glob_is_no_model_by_itself() {
        assert!(models(&["gpt-5"]).find("gpt").is_none());
    }

    #[test]
    fn by_default_rate_limits_fall_back_and_bad_requests_do_not() {
        let rule = FallbackOn::default();
        assert!(rule.includes(429) && rule.includes(529) && rule.includes(503));
        assert!(!rule.includes(400) && !rule.includes(401) && !rule.includes(200));
    }
}
