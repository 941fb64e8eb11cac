//! `uri-blocker`: refuses calls whose path and query match a regular expression.

use std::sync::Arc;

use http::StatusCode;
use regex::{RegexSet, RegexSetBuilder};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use tollgate_resources::objects::schema;

use super::spec::{read, status};
use super::{Call, Flow, Key, Plugin, Reply, SchemaType, Scope, Spec, Unusable};

/// `uri-blocker`.
pub(super) static SPEC: Spec = Spec {
    name: "uri-blocker",
    priority: 2900,
    version: 0.1,
    is_auth: false,
    scope: Scope::Any,
    schema: |kind| (kind == SchemaType::Route).then(schema::of::<Config>),
    check: |conf, _| Blocker::new(conf).map(drop).map_err(|unusable| unusable.0),
    setup: |conf, _| Ok(Arc::new(Blocker::new(conf)?)),
    secret_fields: &[],
};

/// Which calls are refused.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// Regular expressions that are looked for in path and query.
    #[schemars(inner(length(min = 1, max = 4096)), extend("uniqueItems" = true))]
    block_rules: Vec<String>,
    /// Status of the answer to calls that are refused.
    #[serde(default = "forbidden")]
    #[schemars(range(min = 200, max = 999))]
    rejected_code: u16,
    /// Text of that answer.
    #[schemars(length(min = 1))]
    rejected_msg: Option<String>,
    /// Whether capital and small letters are the same.
    #[serde(default)]
    case_insensitive: bool,
}

fn forbidden() -> u16 {
    403
}

struct Blocker {
    rules: RegexSet,
    status: StatusCode,
    text: Option<String>,
}

impl Blocker {
    fn new(conf: &Value) -> Result<Self, Unusable> {
        let config: Config = read(conf)?;
        let rules = RegexSetBuilder::new(&config.block_rules)
            .case_insensitive(config.case_insensitive)
            .build()
            .map_err(|error| Unusable(format!("block_rules: {error}")))?;
        Ok(Blocker {
            rules,
            status: status("rejected_code", config.rejected_code)?,
            text: config.rejected_msg,
        })
    }
}

impl Plugin for Blocker {
    fn rewrite(&self, call: &mut Call<'_>) -> Flow {
        let path_and_query = call
            .request
            .uri
            .path_and_query()
            .map_or("/", |text| text.as_str());
        if !self.rules.is_match(path_and_query) {
            return Flow::Next;
        }
        match &self.text {
            Some(text) => Reply::error(self.status, "uri_blocked", Key::ErrorMsg, text.clone()).into(),
            None => Reply::status(self.status, "uri_blocked").into(),
        }
    }

    fn is_alike_everywhere(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{Caller, passed, plugin, told};
    use super::*;

    #[test]
    fn paths_and_queries_that_match_are_refused() {
        let plugin = plugin(
            &SPEC,
            &json!({"block_rules": ["root.exe", "^/hello\\?name=\\w+$"]}),
        );
        for (uri, goes_through) in [
            ("/hello?aa=1", true),
            ("/hello?aa=root.exe", false),
            ("/hello?name=a", false),
            ("/ROOT.exe", true),
        ] {
            assert_eq!(passed(&Caller::get(uri).rewrite(&plugin)), goes_through, "{uri}");
        }
        assert_eq!(
            told(Caller::get("/root.exe").rewrite(&plugin)),
            (403, String::new())
        );
    }

    #[test]
    fn case_and_answer_can_be_chosen() {
        let conf = json!({
            "block_rules": ["aa", "b+"], "case_insensitive": true, "rejected_code": 404, "rejected_msg": "no",
        });
        let answer = told(Caller::get("/xBBx").rewrite(&plugin(&SPEC, &conf)));
        assert_eq!(answer, (404, r#"{"error_msg":"no"}"#.to_owned()));
    }

    #[test]
    fn an_expression_that_is_none_is_refused_at_the_check() {
        let refused = (SPEC.check)(&json!({"block_rules": [".+("]}), SchemaType::Route);
        assert!(refused.unwrap_err().starts_with("block_rules: "));
    }
}
