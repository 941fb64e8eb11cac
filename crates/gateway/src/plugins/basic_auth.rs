//! `basic-auth`: user name and password in the `authorization` header (RFC 7617).

use std::borrow::Cow;
use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use tollgate_resources::Secret;
use tollgate_resources::objects::schema;

use super::auth::{self, Door, Refusal};
use super::spec::read;
use super::{Call, Flow, Plugin, SchemaType, Scope, Spec, Unusable};
use crate::who::{Credential, Proof};

pub(super) const NAME: &str = "basic-auth";

/// `basic-auth`.
pub(super) static SPEC: Spec = Spec {
    name: NAME,
    priority: 2520,
    version: 0.1,
    is_auth: true,
    scope: Scope::Any,
    schema: |kind| match kind {
        SchemaType::Route => Some(schema::of::<Config>()),
        SchemaType::Consumer => Some(schema::of::<CredentialConfig>()),
        SchemaType::Metadata => None,
    },
    check: |conf, kind| auth::check(conf, kind, BasicAuth::new, credential),
    setup: |conf, _| Ok(Arc::new(BasicAuth::new(conf)?)),
    secret_fields: &["password"],
};

/// How callers are asked for user name and password.
#[derive(Deserialize, JsonSchema)]
#[schemars(title = "work with route or service object")]
#[serde(default)]
struct Config {
    /// Whether upstreams do not get to see the `authorization` header.
    hide_credentials: bool,
    /// Realm told to callers that are turned away.
    #[schemars(length(min = 1, max = 128), regex(pattern = auth::REALM))]
    realm: String,
    /// Consumer that callers without valid credentials are taken for.
    #[schemars(length(min = 1))]
    anonymous_consumer: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            hide_credentials: false,
            realm: "basic".to_owned(),
            anonymous_consumer: None,
        }
    }
}

/// User name and password of a consumer.
#[derive(Deserialize, JsonSchema)]
#[schemars(title = "work with consumer object")]
struct CredentialConfig {
    /// The user name. No two credentials may share one.
    username: String,
    /// The password.
    password: String,
}

/// Reads a credential.
pub(super) fn credential(conf: &Value) -> Result<(String, Proof), Unusable> {
    let CredentialConfig { username, password } = read(conf)?;
    if password.is_empty() {
        return Err(Unusable("an empty password proves nothing".to_owned()));
    }
    Ok((username, Proof::Password(Secret::from(password))))
}

struct BasicAuth {
    hide: bool,
    anonymous: Option<String>,
    challenge: HeaderValue,
}

impl BasicAuth {
    fn new(conf: &Value) -> Result<Self, Unusable> {
        let config: Config = read(conf)?;
        Ok(BasicAuth {
            hide: config.hide_credentials,
            anonymous: config.anonymous_consumer,
            challenge: auth::challenge("Basic", &config.realm)?,
        })
    }
}

impl Plugin for BasicAuth {
    fn rewrite(&self, call: &mut Call<'_>) -> Flow {
        let found = find(call);
        let door = Door {
            challenge: &self.challenge,
            anonymous: self.anonymous.as_deref(),
        };
        if self.hide {
            call.request.headers.remove(AUTHORIZATION);
        }
        door.decide(call, found)
    }

    fn is_alike_everywhere(&self) -> bool {
        true
    }
}

fn find(call: &Call<'_>) -> Result<Arc<Credential>, Refusal> {
    const MISSING: Refusal = Refusal {
        code: "missing_authorization",
        text: "Missing authorization in request",
    };
    const MALFORMED: Refusal = Refusal {
        code: "invalid_authorization",
        text: "Invalid authorization in request",
    };
    const UNKNOWN: Refusal = Refusal {
        code: "invalid_user",
        text: "Invalid user authorization",
    };
    let value = call.request.headers.get(AUTHORIZATION).ok_or(MISSING)?;
    let (user, password) = shown(value).ok_or(MALFORMED)?;
    let credential = call
        .directory
        .credential(NAME, &user)
        .or_else(|| call.directory.credential(NAME, &without_space(&user)))
        .ok_or(UNKNOWN)?;
    let Proof::Password(expected) = &credential.proof else {
        return Err(UNKNOWN);
    };
    if is_same(expected, &password) || is_same(expected, &without_space(&password)) {
        Ok(credential.clone())
    } else {
        Err(UNKNOWN)
    }
}

/// User name and password of an `authorization` header.
pub(crate) fn shown(value: &HeaderValue) -> Option<(String, String)> {
    let (scheme, encoded) = value.to_str().ok()?.trim().split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

/// APISIX ignores white space in what is shown, which lets in scripts that encode a line with its end.
fn without_space(text: &str) -> Cow<'_, str> {
    if text.contains(char::is_whitespace) {
        text.split_whitespace().collect::<String>().into()
    } else {
        text.into()
    }
}

fn is_same(expected: &Secret, shown: &str) -> bool {
    verify_slices_are_equal(expected.expose().as_bytes(), shown.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{Caller, passed, plugin, reply, told};
    use super::*;

    fn caller() -> Caller {
        Caller::get("/")
            .consumer("bob", None)
            .consumer("guest", None)
            .credential(
                "bob",
                None,
                NAME,
                &json!({"username": "foo", "password": "b:a r"}),
            )
            .credential("bob", None, NAME, &json!({"username": "two", "password": "bar"}))
    }

    fn with(text: &str) -> Caller {
        caller().header("authorization", &format!("Basic {}", STANDARD.encode(text)))
    }

    #[test]
    fn the_right_password_attaches_the_consumer() {
        let plugin = plugin(&SPEC, &json!({}));
        for text in ["foo:b:a r", "two:bar", "two:bar\n", " two:bar"] {
            let mut caller = with(text);
            assert!(passed(&caller.rewrite(&plugin)), "{text:?}");
            assert_eq!(caller.sent("x-consumer-username"), Some("bob"));
            assert!(caller.sent("authorization").is_some());
        }
        let lower = format!("basic {}", STANDARD.encode("two:bar"));
        assert!(passed(&caller().header("authorization", &lower).rewrite(&plugin)));
    }

    #[test]
    fn everything_else_is_turned_away_with_its_reason() {
        let plugin = plugin(&SPEC, &json!({}));
        let missing = r#"{"message":"Missing authorization in request"}"#;
        let malformed = r#"{"message":"Invalid authorization in request"}"#;
        let unknown = r#"{"message":"Invalid user authorization"}"#;
        for (mut caller, body) in [
            (caller(), missing),
            (caller().header("authorization", "Bearer x"), malformed),
            (caller().header("authorization", "Basic"), malformed),
            (caller().header("authorization", "Basic %%"), malformed),
            (with("no colon"), malformed),
            (with("nobody:bar"), unknown),
            (with("two:"), unknown),
            (with("two:bar2"), unknown),
            (with("two:Bar"), unknown),
            (with(":bar"), unknown),
        ] {
            assert_eq!(told(caller.rewrite(&plugin)), (401, body.to_owned()));
        }
        let answer = reply(caller().rewrite(&plugin));
        assert_eq!(answer.headers["www-authenticate"], "Basic realm=\"basic\"");
    }

    #[test]
    fn hidden_credentials_do_not_reach_upstreams_of_known_and_anonymous_callers() {
        let plugin = plugin(
            &SPEC,
            &json!({"hide_credentials": true, "anonymous_consumer": "guest"}),
        );
        for (text, name) in [("two:bar", "bob"), ("two:wrong", "guest")] {
            let mut caller = with(text);
            assert!(passed(&caller.rewrite(&plugin)));
            assert_eq!(caller.sent("x-consumer-username"), Some(name));
            assert_eq!(caller.sent("authorization"), None);
        }
    }
}
