//! What all plugins that find out who calls have in common: how credentials are compiled, how a consumer is attached, what
//! upstreams are told about it, and how a caller is turned away.

use std::sync::Arc;

use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

use super::{Attached, Call, Flow, Key, Reply, SchemaType, Unusable};
use super::{basic_auth, jwt_auth, key_auth};
use crate::who::{Consumer, Credential, Proof};

const USERNAME: HeaderName = HeaderName::from_static("x-consumer-username");
const CREDENTIAL: HeaderName = HeaderName::from_static("x-credential-identifier");
const CUSTOM_ID: HeaderName = HeaderName::from_static("x-consumer-custom-id");

/// The text by which a credential is found, and what proves it. `conf` is the configuration of an auth plugin on a consumer
/// or credential, with its references to secrets resolved.
///
/// # Errors
/// When the credential cannot work, such as a public key that is none. It must not let anybody in then.
pub fn identity_and_proof(plugin: &str, conf: &Value) -> Result<(String, Proof), Unusable> {
    let (identity, proof) = match plugin {
        key_auth::NAME => key_auth::credential(conf)?,
        basic_auth::NAME => basic_auth::credential(conf)?,
        jwt_auth::NAME => jwt_auth::credential(conf)?,
        _ => return Err(Unusable(format!("{plugin} has no credentials"))),
    };
    if identity.is_empty() {
        return Err(Unusable(
            "an empty text would let in everybody who shows nothing".to_owned(),
        ));
    }
    Ok((identity, proof))
}

/// Where a client showed its credential to the gateway: a header or an argument of the query. Kept with the request, so that
/// a vendor does not get to see it.
#[derive(Clone, Debug, Default)]
pub struct Shown {
    /// Headers that carry credentials for the gateway.
    pub headers: Vec<HeaderName>,
    /// Arguments of the query that do.
    pub arguments: Vec<String>,
}

impl Shown {
    /// The names of all of them.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let headers = self.headers.iter().map(HeaderName::as_str);
        headers.chain(self.arguments.iter().map(String::as_str))
    }
}

/// Notes where an auth plugin looks for credentials.
pub(super) fn note_shown(call: &mut Call<'_>, header: Option<&HeaderName>, argument: Option<&str>) {
    let shown = call.request.extensions.get_or_insert_default::<Shown>();
    shown.headers.extend(header.cloned());
    shown.arguments.extend(argument.map(str::to_owned));
}

/// Removes what a client claims to be. Upstreams trust these headers, so only the gateway may set them. To many of them, such
/// as those that speak CGI or WSGI, `x_consumer_username` is the same header, so it goes too.
pub fn clear_client_claims(headers: &mut HeaderMap) {
    // Most calls claim nothing.
    while let Some(claim) = headers.keys().find(|name| is_claim(name.as_str())).cloned() {
        headers.remove(claim);
    }
}

fn is_claim(name: &str) -> bool {
    let claims = [USERNAME, CREDENTIAL, CUSTOM_ID];
    let spells = |claim: &HeaderName| {
        let pairs = name.bytes().zip(claim.as_str().bytes());
        name.len() == claim.as_str().len()
            && pairs
                .into_iter()
                .all(|(own, usual)| own == usual || (own == b'_' && usual == b'-'))
    };
    name.starts_with('x') && claims.iter().any(spells)
}

/// Attaches a consumer to a call and tells the upstream who it is.
pub(super) fn attach(call: &mut Call<'_>, consumer: Arc<Consumer>, credential_id: Option<Arc<str>>) {
    let headers = &mut call.request.headers;
    clear_client_claims(headers);
    let claims = [
        (USERNAME, Some(&*consumer.name)),
        (CREDENTIAL, credential_id.as_deref()),
        (CUSTOM_ID, consumer.labels.get("custom_id").map(String::as_str)),
    ];
    for (name, text) in claims {
        // Labels may hold what no header can; then the upstream is told nothing rather than something else.
        if let Some(value) = text.and_then(|text| HeaderValue::from_bytes(text.as_bytes()).ok()) {
            headers.insert(name, value);
        }
    }
    call.consumer = Some(Attached {
        consumer,
        credential_id,
    });
}

/// Why a caller is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: &'static str,
    pub(super) text: &'static str,
}

/// What follows from looking at a caller's credentials.
pub(super) struct Door<'a> {
    /// Scheme and realm, for `www-authenticate`.
    pub(super) challenge: &'a HeaderValue,
    /// Who callers without valid credentials are.
    pub(super) anonymous: Option<&'a str>,
}

impl Door<'_> {
    /// Lets in whom a credential names, or the anonymous consumer, or nobody.
    pub(super) fn decide(&self, call: &mut Call<'_>, found: Result<Arc<Credential>, Refusal>) -> Flow {
        const NOBODY: Refusal = Refusal {
            code: "invalid_user",
            text: "Invalid user authorization",
        };
        let refusal = match found {
            Ok(credential) => match call.directory.consumer(&credential.consumer).cloned() {
                Some(consumer) => {
                    attach(call, consumer, credential.id.clone());
                    return Flow::Next;
                }
                None => NOBODY,
            },
            Err(refusal) => refusal,
        };
        let refusal = match self.anonymous {
            None => refusal,
            Some(name) => match call.directory.consumer(name).cloned() {
                Some(consumer) => {
                    attach(call, consumer, None);
                    return Flow::Next;
                }
                None => NOBODY,
            },
        };
        Reply::error(StatusCode::UNAUTHORIZED, refusal.code, Key::Message, refusal.text)
            .with(WWW_AUTHENTICATE, self.challenge.clone())
            .into()
    }
}

/// The value of `www-authenticate`.
pub(super) fn challenge(scheme: &str, realm: &str) -> Result<HeaderValue, Unusable> {
    HeaderValue::from_str(&format!("{scheme} realm=\"{realm}\""))
        .map_err(|_| Unusable("realm holds what a header cannot".to_owned()))
}

/// Reads the name of a header of a configuration.
pub(super) fn header_name(field: &str, name: &str) -> Result<HeaderName, Unusable> {
    name.parse()
        .map_err(|_| Unusable(format!("{field}: {name:?} is not the name of a header")))
}

/// Refuses a text of a configuration that cannot stand in a head, or that would add a line to it.
pub(super) fn check_header_text(field: &str, text: &str) -> Result<(), Unusable> {
    match text.contains(|c: char| c.is_ascii_control() && c != '\t') {
        true => Err(Unusable(format!("{field}: cannot stand in a header"))),
        false => Ok(()),
    }
}

/// The check of an auth plugin: its configuration as a door, or its credential, must compile.
pub(super) fn check<D, P>(
    conf: &Value,
    kind: SchemaType,
    door: impl Fn(&Value) -> Result<D, Unusable>,
    credential: impl Fn(&Value) -> Result<P, Unusable>,
) -> Result<(), String> {
    match kind {
        SchemaType::Route => door(conf).map(drop),
        SchemaType::Consumer => credential(conf).map(drop),
        SchemaType::Metadata => Ok(()),
    }
    .map_err(|unusable| unusable.0)
}

/// What a realm may hold: printable ASCII without `"` and `\`, which would end its quotes in `www-authenticate`.
pub(super) const REALM: &str = r"^[ -!#-\[\]-~]+$";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::Caller;
    use super::*;

    #[test]
    fn claims_of_clients_are_removed_and_nothing_else() {
        let mut caller = Caller::get("/")
            .header("X-Consumer-Username", "root")
            .header("X-Credential-Identifier", "c")
            .header("X-Consumer-Custom-ID", "1")
            .header("X_Consumer_Username", "root")
            .header("X-Consumer_Custom-ID", "1")
            .header("x_other", "stays")
            .header("x-other", "stays");
        clear_client_claims(&mut caller.request.headers);
        assert_eq!(caller.request.headers.len(), 2);
        assert_eq!(caller.sent("x-other"), Some("stays"));
    }

    #[test]
    fn an_anonymous_caller_has_no_claims_of_its_own() {
        let mut caller = Caller::get("/")
            .consumer("guest", None)
            .header("x-credential-identifier", "stolen");
        let guest = caller.directory.consumer("guest").unwrap().clone();
        attach(&mut caller.call(), guest, None);
        assert_eq!(caller.sent("x-consumer-username"), Some("guest"));
        assert_eq!(caller.sent("x-consumer-custom-id"), Some("custom-guest"));
        assert_eq!(caller.sent("x-credential-identifier"), None);
    }

    #[test]
    fn an_empty_key_is_no_credential() {
        assert!(identity_and_proof("key-auth", &json!({"key": ""})).is_err());
        assert!(identity_and_proof("cors", &json!({})).is_err());
    }
}
