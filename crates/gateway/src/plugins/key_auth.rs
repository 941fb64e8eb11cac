//! `key-auth`: who knows the key is the caller. Takes it from a header, else from the query.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use tollgate_resources::objects::schema;

use super::auth::{self, Door, Refusal};
use super::spec::read;
use super::{Call, Flow, Plugin, SchemaType, Scope, Setup, Spec, Unusable, query};
use crate::governance::{Governance, Key, KeyRefused, looks_like_key};
use crate::objects::Chain;
use crate::who::{Consumer, Credential, Proof};

pub(super) const NAME: &str = "key-auth";

/// `key-auth`.
pub(super) static SPEC: Spec = Spec {
    name: NAME,
    priority: 2500,
    version: 0.1,
    is_auth: true,
    scope: Scope::Any,
    schema: |kind| match kind {
        SchemaType::Route => Some(schema::of::<Config>()),
        SchemaType::Consumer => Some(schema::of::<CredentialConfig>()),
        SchemaType::Metadata => None,
    },
    check: |conf, kind| auth::check(conf, kind, |conf| KeyAuth::new(conf, false), credential),
    setup: |conf, setup: &Setup<'_>| {
        let governance = setup.state.governance().clone();
        Ok(Arc::new(KeyAuth {
            governance: Some(governance).filter(|_| !setup.strict),
            ..KeyAuth::new(conf, setup.strict)?
        }))
    },
    secret_fields: &["key"],
};

/// How callers show their key.
#[derive(Deserialize, JsonSchema)]
#[serde(default)]
struct Config {
    /// Header that carries the key.
    header: String,
    /// Query argument that carries the key when the header is absent.
    query: String,
    /// Whether upstreams do not get to see the key.
    hide_credentials: bool,
    /// Consumer that callers without a valid key are taken for.
    #[schemars(length(min = 1))]
    anonymous_consumer: Option<String>,
    /// Realm told to callers that are turned away.
    #[schemars(length(min = 1, max = 128), regex(pattern = auth::REALM))]
    realm: String,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            header: "apikey".to_owned(),
            query: "apikey".to_owned(),
            hide_credentials: false,
            anonymous_consumer: None,
            realm: "key".to_owned(),
        }
    }
}

/// The key of a consumer.
#[derive(Deserialize, JsonSchema)]
struct CredentialConfig {
    /// The key. No two credentials may share one.
    key: String,
}

/// Reads a credential.
pub(super) fn credential(conf: &Value) -> Result<(String, Proof), Unusable> {
    let CredentialConfig { key } = read(conf)?;
    Ok((key, Proof::Key))
}

const INVALID: Refusal = Refusal {
    code: "invalid_api_key",
    text: "Invalid API key in request",
};

struct KeyAuth {
    header: HeaderName,
    query: String,
    hide: bool,
    anonymous: Option<String>,
    challenge: HeaderValue,
    /// Whether a key may stand behind `Bearer `, which is how SDKs of providers send theirs. APISIX wants the key alone.
    bearer: bool,
    /// Who knows virtual keys; `None` in strict mode, where there are none.
    governance: Option<Arc<Governance>>,
}

impl KeyAuth {
    fn new(conf: &Value, strict: bool) -> Result<Self, Unusable> {
        let config: Config = read(conf)?;
        Ok(KeyAuth {
            header: auth::header_name("header", &config.header)?,
            query: config.query,
            hide: config.hide_credentials,
            anonymous: config.anonymous_consumer,
            challenge: auth::challenge("apikey", &config.realm)?,
            bearer: !strict,
            governance: None,
        })
    }

    fn find(&self, call: &Call<'_>) -> Result<Arc<Credential>, Refusal> {
        const MISSING: Refusal = Refusal {
            code: "missing_api_key",
            text: "Missing API key in request",
        };
        let credential = |key: &str| call.directory.credential(NAME, key);
        let found = match call.request.headers.get(&self.header) {
            Some(value) => {
                let key = std::str::from_utf8(value.as_bytes()).map_err(|_| INVALID)?;
                credential(key).or_else(|| credential(self.behind_bearer(key)?))
            }
            None => {
                let query = call.request.uri.query().ok_or(MISSING)?;
                credential(&query::first(query, &self.query).ok_or(MISSING)?)
            }
        };
        found.cloned().ok_or(INVALID)
    }

    /// The virtual key that a caller shows, with the consumer it calls as; `None` if it shows none.
    fn virtual_key(&self, call: &Call<'_>) -> Option<Result<Shown, Refusal>> {
        let governance = self.governance.as_ref()?;
        let shown: std::borrow::Cow<'_, str> = match call.request.headers.get(&self.header) {
            Some(value) => {
                let text = value.to_str().ok()?;
                self.behind_bearer(text).unwrap_or(text).into()
            }
            None => query::first(call.request.uri.query()?, &self.query)?,
        };
        if !looks_like_key(&shown) {
            return None;
        }
        let index = governance.index();
        let key = match index.by_key(&shown) {
            Ok(key) => key?,
            Err(refused) => {
                return Some(Err(Refusal {
                    code: refused.code(),
                    text: match refused {
                        KeyRefused::Disabled => "API key is disabled",
                        KeyRefused::Expired(_) => "API key has expired",
                        KeyRefused::Replaced(_) => "API key was replaced by a new one",
                    },
                }));
            }
        };
        let known = key
            .consumer
            .as_ref()
            .map(|name| call.directory.consumer(name).cloned());
        let consumer = match known {
            Some(Some(consumer)) => consumer,
            // Its consumer is gone.
            Some(None)
                if !key
                    .consumer
                    .as_ref()
                    .is_some_and(|name| index.consumers.contains_key(&**name)) =>
            {
                return Some(Err(INVALID));
            }
            // Nobody's plugins and labels but its own.
            Some(None) | None => Arc::new(Consumer {
                name: key.consumer.clone().unwrap_or_else(|| key.id.clone()),
                group: None,
                labels: std::collections::BTreeMap::new(),
                group_missing: false,
                chain: Chain::default(),
            }),
        };
        Some(Ok(Shown::Key(key, consumer)))
    }

    fn behind_bearer<'k>(&self, value: &'k str) -> Option<&'k str> {
        let (scheme, key) = value.split_once(' ')?;
        (self.bearer && scheme.eq_ignore_ascii_case("bearer")).then(|| key.trim_start())
    }
}

impl Plugin for KeyAuth {
    fn rewrite(&self, call: &mut Call<'_>) -> Flow {
        let found = match self.virtual_key(call) {
            None => self.find(call).map(Shown::Credential),
            Some(found) => found,
        };
        auth::note_shown(call, Some(&self.header), Some(&self.query));
        let by_header = call.request.headers.contains_key(&self.header);
        if self.hide {
            call.request.headers.remove(&self.header);
            // A query argument beside a header that was good is the upstream's own; one that was tried is not.
            if !by_header || found.is_err() {
                query::remove(&mut call.request.uri, &self.query);
            }
        }
        let found = match found {
            Ok(Shown::Key(key, consumer)) => {
                auth::attach(call, consumer, Some(key.id.clone()));
                call.request.extensions.insert(key);
                return Flow::Next;
            }
            Ok(Shown::Credential(credential)) => Ok(credential),
            Err(refusal) => Err(refusal),
        };
        Door {
            challenge: &self.challenge,
            anonymous: self.anonymous.as_deref(),
        }
        .decide(call, found)
    }

    fn is_alike_everywhere(&self) -> bool {
        true
    }
}

/// What a caller has shown.
enum Shown {
    Credential(Arc<Credential>),
    Key(Arc<Key>, Arc<Consumer>),
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{Caller, passed, plugin, plugin_with, reply, told};
    use super::super::{SharedState, auth};
    use super::*;

    fn caller(uri: &str) -> Caller {
        Caller::get(uri)
            .consumer("alice", Some("team"))
            .consumer("guest", None)
            .credential("alice", Some("c1"), NAME, &json!({"key": "k-1"}))
    }

    #[test]
    fn a_key_in_header_or_query_attaches_its_consumer() {
        let plugin = plugin(&SPEC, &json!({}));
        for mut caller in [
            caller("/p").header("apikey", "k-1"),
            caller("/p?apikey=k%2D1"),
            caller("/p?apikey=wrong").header("apikey", "k-1"),
        ] {
            let mut caller = {
                caller
                    .request
                    .headers
                    .insert("x-consumer-username", "root".parse().unwrap());
                caller
            };
            assert!(passed(&caller.rewrite(&plugin)));
            let attached = caller.consumer.clone().unwrap();
            assert_eq!(&*attached.consumer.name, "alice");
            assert_eq!(attached.credential_id.as_deref(), Some("c1"));
            assert_eq!(caller.sent("x-consumer-username"), Some("alice"));
            assert_eq!(caller.sent("x-credential-identifier"), Some("c1"));
            assert_eq!(caller.sent("x-consumer-custom-id"), Some("custom-alice"));
        }
    }

    #[test]
    fn callers_without_a_valid_key_are_turned_away() {
        let missing = (401, r#"{"message":"Missing API key in request"}"#.to_owned());
        let invalid = (401, r#"{"message":"Invalid API key in request"}"#.to_owned());
        let plugin = plugin(&SPEC, &json!({}));
        for (mut caller, expected) in [
            (caller("/"), &missing),
            (caller("/?other=k-1"), &missing),
            (caller("/").header("apikey", "k-2"), &invalid),
            (caller("/").header("apikey", ""), &invalid),
            (caller("/?apikey=k-1").header("apikey", "k-2"), &invalid),
            (caller("/?apikey="), &invalid),
        ] {
            assert_eq!(told(caller.rewrite(&plugin)), *expected);
            assert!(caller.consumer.is_none());
        }
        let refused = reply(caller("/").rewrite(&plugin));
        assert_eq!(refused.headers["www-authenticate"], "apikey realm=\"key\"");
        assert_eq!(refused.code, "missing_api_key");
    }

    #[test]
    fn names_of_header_and_query_and_the_realm_can_be_chosen() {
        let plugin = plugin(
            &SPEC,
            &json!({"header": "X-Key", "query": "k", "realm": "my door"}),
        );
        assert!(passed(&caller("/").header("x-key", "k-1").rewrite(&plugin)));
        assert!(passed(&caller("/?k=k-1").rewrite(&plugin)));
        let refused = reply(caller("/").header("apikey", "k-1").rewrite(&plugin));
        assert_eq!(refused.headers["www-authenticate"], "apikey realm=\"my door\"");
    }

    #[test]
    fn hidden_credentials_do_not_reach_upstreams() {
        let hiding = plugin(&SPEC, &json!({"hide_credentials": true}));
        let mut by_header = caller("/p?a=1&apikey=own").header("apikey", "k-1");
        assert!(passed(&by_header.rewrite(&hiding)));
        assert_eq!(by_header.sent("apikey"), None);
        assert_eq!(by_header.request.uri, "/p?a=1&apikey=own");

        let mut by_query = caller("/p?a=1&apikey=k-1");
        assert!(passed(&by_query.rewrite(&hiding)));
        assert_eq!(by_query.request.uri, "/p?a=1");

        let mut shown = caller("/p?apikey=k-1");
        assert!(passed(&shown.rewrite(&plugin(&SPEC, &json!({})))));
        assert_eq!(shown.request.uri, "/p?apikey=k-1");
    }

    #[test]
    fn anonymous_callers_become_the_consumer_named_for_them() {
        let open = plugin(
            &SPEC,
            &json!({"anonymous_consumer": "guest", "hide_credentials": true}),
        );
        let mut wrong = caller("/p?apikey=x&a=1").header("apikey", "wrong");
        assert!(passed(&wrong.rewrite(&open)));
        assert_eq!(wrong.sent("x-consumer-username"), Some("guest"));
        assert_eq!(wrong.sent("apikey"), None);
        assert_eq!(wrong.request.uri, "/p?a=1");

        let nobody = plugin(&SPEC, &json!({"anonymous_consumer": "nobody"}));
        let answer = reply(caller("/").rewrite(&nobody));
        assert_eq!(answer.headers["www-authenticate"], "apikey realm=\"key\"");
        assert_eq!(
            told(answer.into()),
            (401, r#"{"message":"Invalid user authorization"}"#.to_owned())
        );
    }

    #[test]
    fn a_key_behind_bearer_counts_unless_apisix_is_followed_to_the_letter() {
        let conf = json!({"header": "authorization"});
        let lenient = plugin(&SPEC, &conf);
        let strict = plugin_with(&SPEC, &conf, None, true, &SharedState::default());
        for scheme in ["Bearer", "bearer"] {
            let mut caller = caller("/").header("authorization", &format!("{scheme} k-1"));
            assert!(!passed(&caller.rewrite(&strict)));
            assert!(passed(&caller.rewrite(&lenient)));
        }
        assert!(!passed(
            &caller("/").header("authorization", "Basic k-1").rewrite(&lenient)
        ));
    }

    #[test]
    fn a_credential_of_a_consumer_that_is_gone_lets_nobody_in() {
        let mut caller = caller("/").header("apikey", "k-1");
        caller.directory.remove_consumer("alice");
        assert_eq!(told(caller.rewrite(&plugin(&SPEC, &json!({})))).0, 401);
    }

    #[test]
    fn what_cannot_be_a_header_is_refused_at_the_check() {
        let refused = (SPEC.check)(&json!({"header": "a b"}), SchemaType::Route);
        assert_eq!(
            refused,
            Err("header: \"a b\" is not the name of a header".to_owned())
        );
        assert!(auth::identity_and_proof(NAME, &json!({})).is_err());
    }
}
