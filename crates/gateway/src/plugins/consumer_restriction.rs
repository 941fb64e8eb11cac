//! `consumer-restriction`: which consumers, groups, services or routes a call may belong to.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use http::StatusCode;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use tollgate_resources::objects::schema;

use super::spec::{read, status};
use super::{Call, Flow, Key, Plugin, Reply, SchemaType, Scope, Spec, Unusable, variables};

/// `consumer-restriction`.
pub(super) static SPEC: Spec = Spec {
    name: "consumer-restriction",
    priority: 2400,
    version: 0.1,
    is_auth: false,
    scope: Scope::Any,
    schema: |kind| (kind == SchemaType::Route).then(schema::of::<Config>),
    check: |conf, _| Restriction::new(conf).map(drop).map_err(|unusable| unusable.0),
    setup: |conf, _| Ok(Arc::new(Restriction::new(conf)?)),
    secret_fields: &[],
};

/// Who may call.
#[derive(Deserialize, JsonSchema)]
#[schemars(extend("anyOf" = [
    {"required": ["blacklist"]},
    {"required": ["whitelist"]},
    {"required": ["allowed_by_methods"]},
]))]
struct Config {
    /// What the lists hold.
    #[serde(default, rename = "type")]
    #[schemars(extend("default" = "consumer_name"))]
    kind: Kind,
    /// Who is turned away, whatever the other lists say.
    #[schemars(length(min = 1))]
    blacklist: Option<Vec<String>>,
    /// Who is let in; everybody else is turned away.
    #[schemars(length(min = 1))]
    whitelist: Option<Vec<String>>,
    /// Methods that single ones may use; those that are not named may use all.
    allowed_by_methods: Option<Vec<Allowed>>,
    /// Status of the answer to those that are turned away.
    #[serde(default = "forbidden")]
    #[schemars(range(min = 200, max = 999))]
    rejected_code: u16,
    /// Text of that answer.
    rejected_msg: Option<String>,
}

fn forbidden() -> u16 {
    403
}

/// What a call is judged by.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    /// The consumer.
    #[default]
    ConsumerName,
    /// The service.
    ServiceId,
    /// The route.
    RouteId,
    /// The group of the consumer.
    ConsumerGroupId,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::ConsumerName => "consumer_name",
            Kind::ServiceId => "service_id",
            Kind::RouteId => "route_id",
            Kind::ConsumerGroupId => "consumer_group_id",
        }
    }
}

/// Methods that one may use.
#[derive(Deserialize, JsonSchema)]
struct Allowed {
    /// Who.
    user: Option<String>,
    /// The methods.
    #[schemars(length(min = 1))]
    methods: Option<Vec<Method>>,
}

/// An HTTP method.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
enum Method {
    Get,
    Post,
    Put,
    Delete,
    Patch,
    Head,
    Options,
    Connect,
    Trace,
    Purge,
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Patch => "PATCH",
            Method::Head => "HEAD",
            Method::Options => "OPTIONS",
            Method::Connect => "CONNECT",
            Method::Trace => "TRACE",
            Method::Purge => "PURGE",
        }
    }
}

struct Restriction {
    kind: Kind,
    blacklist: HashSet<String>,
    whitelist: HashSet<String>,
    methods: HashMap<String, HashSet<&'static str>>,
    status: StatusCode,
    text: String,
}

impl Restriction {
    fn new(conf: &Value) -> Result<Self, Unusable> {
        let config: Config = read(conf)?;
        let mut methods = HashMap::new();
        for allowed in config.allowed_by_methods.unwrap_or_default() {
            // The first entry of a name counts.
            if let Some(user) = allowed.user {
                methods.entry(user).or_insert_with(|| {
                    let names = allowed.methods.unwrap_or_default();
                    names.into_iter().map(Method::name).collect()
                });
            }
        }
        Ok(Restriction {
            kind: config.kind,
            blacklist: config.blacklist.into_iter().flatten().collect(),
            whitelist: config.whitelist.into_iter().flatten().collect(),
            methods,
            status: status("rejected_code", config.rejected_code)?,
            text: config
                .rejected_msg
                .unwrap_or_else(|| format!("The {} is forbidden.", config.kind.name())),
        })
    }

    fn lets_in(&self, name: &str, method: &str) -> bool {
        if self.blacklist.contains(name) {
            return false;
        }
        if self.whitelist.contains(name) {
            return true;
        }
        self.whitelist.is_empty()
            && self
                .methods
                .get(name)
                .is_none_or(|methods| methods.contains(method))
    }
}

impl Plugin for Restriction {
    fn access(&self, call: &mut Call<'_>) -> Flow {
        let kind = self.kind.name();
        let Some(name) = variables::variable(call, kind) else {
            let text = format!("The request is rejected, please check the {kind} for this request");
            return Reply::error(StatusCode::UNAUTHORIZED, "consumer_required", Key::Message, text).into();
        };
        if self.lets_in(&name, call.request.method.as_str()) {
            Flow::Next
        } else {
            Reply::error(self.status, "consumer_forbidden", Key::Message, self.text.clone()).into()
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

    fn alice() -> Caller {
        Caller::get("/").consumer("alice", Some("team")).attached("alice")
    }

    fn verdict(caller: &mut Caller, conf: &Value) -> bool {
        passed(&caller.access(&plugin(&SPEC, conf)))
    }

    #[test]
    fn lists_decide_who_may_call() {
        for (conf, lets_in) in [
            (json!({"whitelist": ["alice"]}), true),
            (json!({"whitelist": ["bob"]}), false),
            (json!({"blacklist": ["alice"]}), false),
            (json!({"blacklist": ["bob"]}), true),
            (json!({"blacklist": ["alice"], "whitelist": ["alice"]}), false),
            (json!({"blacklist": ["bob"], "whitelist": ["carol"]}), false),
            (json!({"type": "consumer_group_id", "whitelist": ["team"]}), true),
            (json!({"type": "service_id", "blacklist": ["s1"]}), false),
            (json!({"type": "route_id", "whitelist": ["r1"]}), true),
        ] {
            assert_eq!(verdict(&mut alice(), &conf), lets_in, "{conf}");
        }
    }

    #[test]
    fn methods_bind_only_those_that_are_named_and_not_on_the_whitelist() {
        let only_post = json!([{"user": "alice", "methods": ["POST"]}]);
        let named = json!({"allowed_by_methods": only_post});
        assert!(!verdict(&mut alice(), &named));
        assert!(verdict(&mut alice().method(http::Method::POST), &named));
        assert!(verdict(
            &mut Caller::get("/").consumer("bob", None).attached("bob"),
            &named
        ));
        assert!(verdict(
            &mut alice(),
            &json!({"allowed_by_methods": only_post, "whitelist": ["alice"]})
        ));
    }

    #[test]
    fn those_turned_away_are_told_so() {
        let plugin_of = |conf: Value| plugin(&SPEC, &conf);
        assert_eq!(
            told(alice().access(&plugin_of(json!({"blacklist": ["alice"]})))),
            (403, r#"{"message":"The consumer_name is forbidden."}"#.to_owned())
        );
        let own = json!({"blacklist": ["alice"], "rejected_code": 402, "rejected_msg": "pay"});
        assert_eq!(
            told(alice().access(&plugin_of(own))),
            (402, r#"{"message":"pay"}"#.to_owned())
        );
        let nobody = told(Caller::get("/").access(&plugin_of(json!({"whitelist": ["alice"]}))));
        let text = "The request is rejected, please check the consumer_name for this request";
        assert_eq!(nobody, (401, json!({"message": text}).to_string()));
    }

    #[test]
    fn a_status_that_is_none_is_refused_at_the_check() {
        let refused = (SPEC.check)(
            &json!({"whitelist": ["a"], "rejected_code": 1000}),
            SchemaType::Route,
        );
        assert_eq!(refused, Err("rejected_code: 1000 is not a status".to_owned()));
    }
}
