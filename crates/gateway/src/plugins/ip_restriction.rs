//! `ip-restriction`: from which addresses calls may come.

use std::sync::Arc;

use http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use tollgate_policy::Networks;
use tollgate_resources::objects::schema;

use super::spec::{read, status};
use super::{Call, Flow, Key, Plugin, Reply, SchemaType, Scope, Spec, Unusable};

/// `ip-restriction`.
pub(super) static SPEC: Spec = Spec {
    name: "ip-restriction",
    priority: 3000,
    version: 0.1,
    is_auth: false,
    scope: Scope::Any,
    schema: |kind| (kind == SchemaType::Route).then(schema::of::<Config>),
    check: |conf, _| Restriction::new(conf).map(drop).map_err(|unusable| unusable.0),
    setup: |conf, _| Ok(Arc::new(Restriction::new(conf)?)),
    secret_fields: &[],
};

/// Addresses that are let in, or those that are not.
#[derive(Deserialize, JsonSchema)]
#[schemars(extend("oneOf" = [{"required": ["whitelist"]}, {"required": ["blacklist"]}]))]
struct Config {
    /// Text of the answer to those that are turned away.
    #[serde(default = "not_allowed")]
    #[schemars(length(min = 1, max = 1024))]
    message: String,
    /// Status of that answer.
    #[serde(default = "forbidden")]
    #[schemars(range(min = 403, max = 404))]
    response_code: u16,
    /// Addresses and networks that are let in; all others are turned away.
    #[schemars(length(min = 1))]
    whitelist: Option<Vec<String>>,
    /// Addresses and networks that are turned away.
    #[schemars(length(min = 1))]
    blacklist: Option<Vec<String>>,
}

fn not_allowed() -> String {
    "Your IP address is not allowed".to_owned()
}

fn forbidden() -> u16 {
    403
}

struct Restriction {
    rule: Rule,
    status: StatusCode,
    message: String,
}

enum Rule {
    Only(Networks),
    AllBut(Networks),
}

impl Restriction {
    fn new(conf: &Value) -> Result<Self, Unusable> {
        let config: Config = read(conf)?;
        let rule = match (&config.whitelist, &config.blacklist) {
            (Some(list), None) => Rule::Only(networks(list)?),
            (None, Some(list)) => Rule::AllBut(networks(list)?),
            _ => {
                return Err(Unusable(
                    "one of whitelist and blacklist is needed, not both".to_owned(),
                ));
            }
        };
        Ok(Restriction {
            rule,
            status: status("response_code", config.response_code)?,
            message: config.message,
        })
    }
}

fn networks(texts: &[String]) -> Result<Networks, Unusable> {
    Networks::parse(texts).map_err(|invalid| Unusable(invalid.to_string()))
}

impl Plugin for Restriction {
    fn access(&self, call: &mut Call<'_>) -> Flow {
        let address = call.client.ip();
        let lets_in = match &self.rule {
            Rule::Only(networks) => networks.contains(address),
            Rule::AllBut(networks) => !networks.contains(address),
        };
        if lets_in {
            Flow::Next
        } else {
            Reply::error(
                self.status,
                "address_forbidden",
                Key::Message,
                self.message.clone(),
            )
            .into()
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
    fn lists_decide_which_addresses_are_let_in() {
        for (conf, address, lets_in) in [
            (json!({"whitelist": ["10.0.0.0/8", "::1"]}), "10.2.3.4", true),
            (json!({"whitelist": ["10.0.0.0/8", "::1"]}), "::1", true),
            (
                json!({"whitelist": ["10.0.0.0/8", "::1"]}),
                "::ffff:10.2.3.4",
                true,
            ),
            (json!({"whitelist": ["10.0.0.0/8", "::1"]}), "11.0.0.1", false),
            (json!({"blacklist": ["10.0.0.0/8"]}), "10.2.3.4", false),
            (json!({"blacklist": ["10.0.0.0/8"]}), "::ffff:10.2.3.4", false),
            (json!({"blacklist": ["10.0.0.0/8"]}), "2001:db8::1", true),
        ] {
            let mut caller = Caller::get("/").from(address);
            assert_eq!(
                passed(&caller.access(&plugin(&SPEC, &conf))),
                lets_in,
                "{conf} {address}"
            );
        }
    }

    #[test]
    fn those_turned_away_are_told_so() {
        let answer = |conf| told(Caller::get("/").access(&plugin(&SPEC, &conf)));
        assert_eq!(
            answer(json!({"whitelist": ["10.0.0.1"]})),
            (403, r#"{"message":"Your IP address is not allowed"}"#.to_owned())
        );
        assert_eq!(
            answer(json!({"whitelist": ["10.0.0.1"], "message": "no", "response_code": 404})),
            (404, r#"{"message":"no"}"#.to_owned())
        );
    }

    #[test]
    fn an_address_that_is_none_is_refused_at_the_check() {
        let refused = (SPEC.check)(&json!({"blacklist": ["::1/129"]}), SchemaType::Route);
        assert_eq!(refused, Err("invalid ip address: ::1/129".to_owned()));
    }
}
