//! `jwt-auth`: JSON web tokens, signed with a key of the consumer that they name.
//!
//! Knows where tokens stand in a request and what they must say; how signatures are checked is in [`signature`].

mod signature;

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::COOKIE;
use http::{HeaderMap, HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value};
use tollgate_resources::objects::schema;

use self::signature::Algorithm;
pub use self::signature::Verifier;
use super::auth::{self, Door, Refusal};
use super::spec::read;
use super::{Call, Flow, Plugin, SchemaType, Scope, Spec, Unusable, query, variables};
use crate::who::{Credential, JwtProof, Proof};

pub(super) const NAME: &str = "jwt-auth";

/// `jwt-auth`.
pub(super) static SPEC: Spec = Spec {
    name: NAME,
    priority: 2510,
    version: 0.1,
    is_auth: true,
    scope: Scope::Any,
    schema: |kind| match kind {
        SchemaType::Route => Some(schema::of::<Config>()),
        SchemaType::Consumer => Some(schema::of::<CredentialConfig>()),
        SchemaType::Metadata => None,
    },
    check,
    setup: |conf, _| Ok(Arc::new(JwtAuth::new(conf)?)),
    secret_fields: &["secret"],
};

/// Where tokens stand, and what they must say.
#[derive(Deserialize, JsonSchema)]
#[serde(default)]
struct Config {
    /// Header that carries the token, with or without `Bearer ` before it.
    header: String,
    /// Query argument that carries the token when the header is absent.
    query: String,
    /// Cookie that carries the token when header and query argument are absent.
    cookie: String,
    /// Whether upstreams do not get to see the token.
    hide_credentials: bool,
    /// Claim that holds the key of the consumer.
    #[schemars(length(min = 1))]
    key_claim_name: String,
    /// Whether the claims are kept with the call.
    store_in_ctx: bool,
    /// Realm told to callers that are turned away.
    #[schemars(length(min = 1, max = 128), regex(pattern = auth::REALM))]
    realm: String,
    /// Consumer that callers without a valid token are taken for.
    #[schemars(length(min = 1))]
    anonymous_consumer: Option<String>,
    /// Claims that a token must have and that must hold. When none is named, `exp` and `nbf` are checked where they are.
    #[schemars(extend("uniqueItems" = true))]
    claims_to_verify: Option<Vec<TimeClaim>>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            header: "authorization".to_owned(),
            query: "jwt".to_owned(),
            cookie: "jwt".to_owned(),
            hide_credentials: false,
            key_claim_name: "key".to_owned(),
            store_in_ctx: false,
            realm: "jwt".to_owned(),
            anonymous_consumer: None,
            claims_to_verify: None,
        }
    }
}

/// A claim about when a token is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum TimeClaim {
    /// The end of its life.
    Exp,
    /// The beginning of its life.
    Nbf,
}

/// How the tokens of a consumer are signed.
#[derive(Deserialize, JsonSchema)]
struct CredentialConfig {
    /// What tokens of this consumer hold in the claim `key_claim_name`. No two credentials may share it.
    #[schemars(length(min = 1))]
    key: String,
    /// The shared secret of HS algorithms.
    #[schemars(length(min = 1))]
    secret: Option<String>,
    /// The public key of the other algorithms, in PEM.
    #[schemars(length(min = 1))]
    public_key: Option<String>,
    /// The one algorithm that tokens of this consumer may be signed with.
    #[serde(default)]
    #[schemars(extend("default" = "HS256"))]
    algorithm: Algorithm,
    /// Life of tokens in seconds, for tools that sign them; tokens are held to their own `exp`.
    #[serde(default = "day")]
    #[schemars(range(min = 1))]
    #[expect(dead_code, reason = "documented for tools, and held to its type")]
    exp: u64,
    /// Whether the secret is written in base64.
    #[serde(default)]
    base64_secret: bool,
    /// Seconds by which `exp` and `nbf` may be missed, for clocks that differ.
    #[serde(default)]
    lifetime_grace_period: u64,
}

fn day() -> u64 {
    86_400
}

fn check(conf: &Value, kind: SchemaType) -> Result<(), String> {
    match kind {
        SchemaType::Route => JwtAuth::new(conf).map(drop).map_err(|unusable| unusable.0),
        SchemaType::Consumer => {
            // Only what can be told without the values of secrets, which may be references here.
            let config: CredentialConfig = read(conf).map_err(|unusable| unusable.0)?;
            let is_reference = |text: &str| text.starts_with('$');
            if config.algorithm.is_shared() {
                let secret = config
                    .secret
                    .ok_or("property \"secret\" is required when using HS based algorithms")?;
                if config.base64_secret
                    && !is_reference(&secret)
                    && signature::base64_secret(&secret).is_none()
                {
                    return Err("base64_secret required but the secret is not in base64 format".to_owned());
                }
            } else {
                let key = config.public_key.ok_or("missing valid public key")?;
                if !is_reference(&key) {
                    Verifier::new(config.algorithm, None, Some(&key)).map_err(|unusable| unusable.0)?;
                }
            }
            Ok(())
        }
        SchemaType::Metadata => Ok(()),
    }
}

/// Reads a credential.
pub(super) fn credential(conf: &Value) -> Result<(String, Proof), Unusable> {
    let config: CredentialConfig = read(conf)?;
    let secret = match config.secret {
        Some(text) if config.base64_secret => Some(signature::base64_secret(&text).ok_or_else(|| {
            Unusable("base64_secret required but the secret is not in base64 format".to_owned())
        })?),
        text => text.map(String::into_bytes),
    };
    let verifier = Verifier::new(config.algorithm, secret.as_deref(), config.public_key.as_deref())?;
    Ok((
        config.key,
        Proof::Jwt(Box::new(JwtProof {
            verifier,
            lifetime_grace_s: config.lifetime_grace_period,
        })),
    ))
}

/// The claims of a caller's token; in the request's extensions where `store_in_ctx` is set.
#[derive(Clone, Debug, PartialEq)]
pub struct JwtClaims(pub Arc<Map<String, Value>>);

struct JwtAuth {
    header: HeaderName,
    query: String,
    cookie: String,
    hide: bool,
    key_claim: String,
    store: bool,
    challenge: HeaderValue,
    anonymous: Option<String>,
    required: Vec<TimeClaim>,
}

const MISSING: Refusal = Refusal {
    code: "missing_token",
    text: "Missing JWT token in request",
};
const MALFORMED: Refusal = Refusal {
    code: "invalid_token",
    text: "JWT token invalid",
};
const NO_KEY: Refusal = Refusal {
    code: "invalid_token",
    text: "missing user key in JWT token",
};
const UNKNOWN_KEY: Refusal = Refusal {
    code: "invalid_token",
    text: "Invalid user key in JWT token",
};
const UNVERIFIED: Refusal = Refusal {
    code: "invalid_token",
    text: "failed to verify jwt",
};

impl JwtAuth {
    fn new(conf: &Value) -> Result<Self, Unusable> {
        let config: Config = read(conf)?;
        Ok(JwtAuth {
            header: auth::header_name("header", &config.header)?,
            query: config.query,
            cookie: config.cookie,
            hide: config.hide_credentials,
            key_claim: config.key_claim_name,
            store: config.store_in_ctx,
            challenge: auth::challenge("Bearer", &config.realm)?,
            anonymous: config.anonymous_consumer,
            required: config.claims_to_verify.unwrap_or_default(),
        })
    }

    /// Takes the token out of the request, and away from upstreams where that is wanted.
    fn take(&self, call: &mut Call<'_>) -> Option<String> {
        let request = &mut *call.request;
        if let Some(value) = request.headers.get(&self.header) {
            let text = String::from_utf8_lossy(value.as_bytes());
            let token = match text.split_once(' ') {
                Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim().to_owned(),
                _ => text.into_owned(),
            };
            if self.hide {
                request.headers.remove(&self.header);
            }
            return Some(token);
        }
        let argument = request
            .uri
            .query()
            .and_then(|query| query::first(query, &self.query));
        if let Some(token) = argument.map(|value| value.into_owned()) {
            if self.hide {
                query::remove(&mut request.uri, &self.query);
            }
            return Some(token);
        }
        let token = variables::cookies(&request.headers)
            .find(|(name, _)| *name == self.cookie)
            .map(|(_, value)| value.to_owned())?;
        if self.hide {
            remove_cookie(&mut request.headers, &self.cookie);
        }
        Some(token)
    }

    fn find(&self, call: &Call<'_>, token: &str) -> Result<(Arc<Credential>, Map<String, Value>), Refusal> {
        let token = Token::read(token).ok_or(MALFORMED)?;
        let key = token.claims.get(&self.key_claim).ok_or(NO_KEY)?;
        let credential = key
            .as_str()
            .and_then(|key| call.directory.credential(NAME, key))
            .ok_or(UNKNOWN_KEY)?;
        let Proof::Jwt(proof) = &credential.proof else {
            return Err(UNKNOWN_KEY);
        };
        // The credential says how its tokens are signed; what the token says must agree and decides nothing.
        if !token.is_signed_for(&proof.verifier)
            || !self.is_in_time(call, &token.claims, proof.lifetime_grace_s)
        {
            return Err(UNVERIFIED);
        }
        Ok((credential.clone(), token.claims))
    }

    fn is_in_time(&self, call: &Call<'_>, claims: &Map<String, Value>, grace_s: u64) -> bool {
        let now = call
            .wall()
            .duration_since(UNIX_EPOCH)
            .map_or(0.0, |since| since.as_secs_f64().floor());
        let grace = Duration::from_secs(grace_s).as_secs_f64();
        let holds = |claim: TimeClaim, required: bool| {
            let name = match claim {
                TimeClaim::Exp => "exp",
                TimeClaim::Nbf => "nbf",
            };
            match (claims.get(name), claim) {
                (None, _) => !required,
                (Some(value), TimeClaim::Exp) => value.as_f64().is_some_and(|exp| exp > now - grace),
                (Some(value), TimeClaim::Nbf) => value.as_f64().is_some_and(|nbf| nbf <= now + grace),
            }
        };
        if self.required.is_empty() {
            holds(TimeClaim::Exp, false) && holds(TimeClaim::Nbf, false)
        } else {
            self.required.iter().all(|claim| holds(*claim, true))
        }
    }
}

impl Plugin for JwtAuth {
    fn rewrite(&self, call: &mut Call<'_>) -> Flow {
        auth::note_shown(call, Some(&self.header), Some(&self.query));
        let found = match self.take(call) {
            Some(token) => self.find(call, &token),
            None => Err(MISSING),
        };
        let found = found.map(|(credential, claims)| {
            if self.store {
                call.request.extensions.insert(JwtClaims(Arc::new(claims)));
            }
            credential
        });
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

/// A token taken apart (RFC 7515, compact form). Nothing in it is proven yet.
pub(crate) struct Token<'a> {
    pub(crate) message: &'a str,
    pub(crate) algorithm: String,
    /// Name of the key that has signed it, where its issuer has several.
    pub(crate) key_id: Option<String>,
    pub(crate) claims: Map<String, Value>,
    pub(crate) signature: Vec<u8>,
}

impl<'a> Token<'a> {
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Header {
            alg: String,
            kid: Option<String>,
            /// What must be understood (RFC 7515, section 4.1.11); nothing of it is here.
            crit: Option<IgnoredAny>,
        }

        let (message, signature) = text.rsplit_once('.')?;
        let (header, claims) = message.split_once('.')?;
        let header: Header = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
        if header.crit.is_some() {
            return None;
        }
        Some(Token {
            message,
            algorithm: header.alg,
            key_id: header.kid,
            claims: serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?,
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
        })
    }

    fn is_signed_for(&self, verifier: &Verifier) -> bool {
        self.algorithm == verifier.algorithm() && verifier.is_signed(self.message.as_bytes(), &self.signature)
    }
}

/// Whether a text is a token that is signed as a verifier wants it.
pub(crate) fn is_signed_token(text: &str, verifier: &Verifier) -> bool {
    Token::read(text).is_some_and(|token| token.is_signed_for(verifier))
}

pub(crate) fn remove_cookie(headers: &mut HeaderMap, name: &str) {
    let kept: Vec<String> = variables::cookies(headers)
        .filter(|(key, _)| *key != name)
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    headers.remove(COOKIE);
    if !kept.is_empty()
        && let Ok(value) = HeaderValue::from_str(&kept.join("; "))
    {
        headers.insert(COOKIE, value);
    }
}

#[cfg(test)]
mod forged;
#[cfg(test)]
mod tests;
