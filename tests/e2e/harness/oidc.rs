//! An OpenID Connect provider: discovery, sign-in, tokens, keys that change, and answers that are forged.
//!
//! It is strict where providers are: a code counts once, for the redirect URL, the client's secret and the verifier (PKCE)
//! that belong to it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{Asked, Next, Upstream, answers};

/// What it calls the gateway, and the secret they share.
pub const CLIENT: &str = "tollgate";
pub const SECRET: &str = "planted-client-secret";

/// What is wrong with the next ID token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forgery {
    None,
    WrongNonce,
    WrongAudience,
    WrongIssuer,
    WrongParty,
    Expired,
    /// `alg: none`, without a signature.
    Unsigned,
    /// HS256 with the public key as the secret.
    SharedKey,
    /// Signed by a key that is not published, under the id of one that is.
    StolenId,
    /// Signed by a key that nobody knows.
    UnknownKey,
    /// The claims were changed after they were signed.
    Changed,
    /// No ID token at all.
    Missing,
}

/// A provider, with one person who may sign in.
pub struct Provider {
    pub upstream: Upstream,
    state: Arc<State>,
}

struct State {
    issuer: OnceLock<String>,
    person: Mutex<Value>,
    /// What is told of the person only to who asks for it.
    info: Mutex<Value>,
    forgery: Mutex<Forgery>,
    /// The key that signs, with its id.
    key: Mutex<(String, EcdsaKeyPair)>,
    codes: Mutex<HashMap<String, Given>>,
}

/// What a code was given for.
struct Given {
    challenge: String,
    nonce: String,
    redirect: String,
}

impl Provider {
    /// A provider at which somebody of these groups signs in.
    pub fn start(name: &str, groups: &[&str]) -> Provider {
        let state = Arc::new(State {
            issuer: OnceLock::new(),
            person: Mutex::new(json!({"sub": "42", "preferred_username": name, "groups": groups})),
            info: Mutex::new(json!({"sub": "42"})),
            forgery: Mutex::new(Forgery::None),
            key: Mutex::new(("first".to_owned(), new_key())),
            codes: Mutex::default(),
        });
        let answering = Arc::clone(&state);
        let upstream = Upstream::start(move |asked, peer| {
            peer.send(&answering.answer(asked));
            Next::Keep
        });
        let issuer = format!("http://{}", upstream.address());
        state.issuer.set(issuer).expect("it starts once");
        Provider { upstream, state }
    }

    pub fn issuer(&self) -> String {
        self.state.issuer().to_owned()
    }

    /// Another person, or the same in other groups.
    pub fn person(&self, claims: Value) {
        *self.state.person.lock().expect("a lock") = claims;
    }

    /// What is told of the person to who asks.
    pub fn info(&self, claims: Value) {
        *self.state.info.lock().expect("a lock") = claims;
    }

    pub fn forge(&self, forgery: Forgery) {
        *self.state.forgery.lock().expect("a lock") = forgery;
    }

    /// Signs with another key from now on; the old one is not published any more.
    pub fn change_key(&self, id: &str) {
        *self.state.key.lock().expect("a lock") = (id.to_owned(), new_key());
    }
}

impl State {
    fn issuer(&self) -> &str {
        self.issuer.get().expect("it has started")
    }

    fn answer(&self, asked: &Asked) -> Vec<u8> {
        let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
        match path {
            "/.well-known/openid-configuration" => {
                let at = |path: &str| format!("{}{path}", self.issuer());
                json_answer(&json!({
                    "issuer": self.issuer(),
                    "authorization_endpoint": at("/authorize"),
                    "token_endpoint": at("/token"),
                    "jwks_uri": at("/keys"),
                    "userinfo_endpoint": at("/info"),
                    "end_session_endpoint": at("/leave"),
                }))
            }
            "/authorize" => self.authorize(&parameters(query)),
            "/token" => self.token(asked),
            "/keys" => {
                let key = self.key.lock().expect("a lock");
                json_answer(&json!({"keys": [jwk(&key.0, &key.1)]}))
            }
            "/info" => match asked.header("authorization") {
                Some("Bearer access") => json_answer(&self.info.lock().expect("a lock")),
                _ => answers::json_answer(401, "{}"),
            },
            _ => answers::json_answer(404, "{}"),
        }
    }

    /// The person is sent back with a code.
    fn authorize(&self, given: &HashMap<String, String>) -> Vec<u8> {
        let is_asked = |name: &str, value: &str| given.get(name).map(String::as_str) == Some(value);
        let challenge = given.get("code_challenge").filter(|text| text.len() == 43);
        let (Some(challenge), Some(nonce), Some(state), Some(redirect)) = (
            challenge,
            given.get("nonce"),
            given.get("state"),
            given.get("redirect_uri"),
        ) else {
            return answers::json_answer(400, r#"{"error":"invalid_request"}"#);
        };
        if !is_asked("code_challenge_method", "S256")
            || !is_asked("response_type", "code")
            || !is_asked("client_id", CLIENT)
        {
            return answers::json_answer(400, r#"{"error":"invalid_request"}"#);
        }
        let mut codes = self.codes.lock().expect("a lock");
        let code = format!("code-{}", codes.len());
        codes.insert(
            code.clone(),
            Given {
                challenge: challenge.clone(),
                nonce: nonce.clone(),
                redirect: redirect.clone(),
            },
        );
        let headers = format!("location: {redirect}?code={code}&state={state}\r\n");
        answers::answer(302, &headers, b"")
    }

    fn token(&self, asked: &Asked) -> Vec<u8> {
        let refuse = |error: &str| answers::json_answer(400, &json!({"error": error}).to_string());
        let pair = STANDARD.encode(format!("{CLIENT}:{SECRET}"));
        if asked.header("authorization") != Some(&format!("Basic {pair}")) {
            return refuse("invalid_client");
        }
        let sent = parameters(asked.text());
        let text = |name: &str| sent.get(name).map(String::as_str).unwrap_or_default();
        let given = {
            let mut codes = self.codes.lock().expect("a lock");
            match codes.get_mut(text("code")) {
                // Kept, so that no later code has its name; but good for nothing.
                Some(given) if !given.challenge.is_empty() => Given {
                    challenge: std::mem::take(&mut given.challenge),
                    nonce: given.nonce.clone(),
                    redirect: given.redirect.clone(),
                },
                _ => return refuse("invalid_grant"),
            }
        };
        let verifier = URL_SAFE_NO_PAD.encode(digest(&SHA256, text("code_verifier").as_bytes()));
        if verifier != given.challenge
            || text("redirect_uri") != given.redirect
            || text("grant_type") != "authorization_code"
        {
            return refuse("invalid_grant");
        }
        let mut answer = json!({"access_token": "access", "token_type": "Bearer"});
        if let Some(token) = self.id_token(&given.nonce) {
            answer["id_token"] = token.into();
        }
        json_answer(&answer)
    }

    fn id_token(&self, nonce: &str) -> Option<String> {
        let forgery = *self.forgery.lock().expect("a lock");
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("a time")
            .as_secs();
        let mut claims = self.person.lock().expect("a lock").clone();
        claims["iss"] = self.issuer().into();
        claims["aud"] = CLIENT.into();
        claims["nonce"] = nonce.into();
        claims["iat"] = now.into();
        claims["exp"] = (now + 300).into();
        match forgery {
            Forgery::WrongNonce => claims["nonce"] = "another".into(),
            Forgery::WrongAudience => claims["aud"] = "another".into(),
            Forgery::WrongIssuer => claims["iss"] = "https://another.example".into(),
            Forgery::WrongParty => claims["azp"] = "another".into(),
            Forgery::Expired => claims["exp"] = (now - 120).into(),
            Forgery::Missing => return None,
            _ => {}
        }
        let key = self.key.lock().expect("a lock");
        let other = new_key();
        let (algorithm, id, signer) = match forgery {
            Forgery::Unsigned => ("none", key.0.as_str(), None),
            Forgery::SharedKey => ("HS256", key.0.as_str(), None),
            Forgery::StolenId => ("ES256", key.0.as_str(), Some(&other)),
            Forgery::UnknownKey => ("ES256", "nobody", Some(&other)),
            _ => ("ES256", key.0.as_str(), Some(&key.1)),
        };
        let head = URL_SAFE_NO_PAD.encode(json!({"alg": algorithm, "kid": id}).to_string());
        let message = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = match (signer, forgery) {
            (Some(signer), _) => signer
                .sign(&SystemRandom::new(), message.as_bytes())
                .expect("a signature")
                .as_ref()
                .to_vec(),
            (None, Forgery::SharedKey) => {
                let shared = hmac::Key::new(hmac::HMAC_SHA256, key.1.public_key().as_ref());
                hmac::sign(&shared, message.as_bytes()).as_ref().to_vec()
            }
            (None, _) => Vec::new(),
        };
        let message = if forgery == Forgery::Changed {
            claims["groups"] = json!(["platform"]);
            claims["preferred_username"] = "mallory".into();
            format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()))
        } else {
            message
        };
        Some(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

fn new_key() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key")
}

fn jwk(id: &str, key: &EcdsaKeyPair) -> Value {
    let point = key.public_key().as_ref();
    json!({
        "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": id,
        "x": URL_SAFE_NO_PAD.encode(&point[1..33]),
        "y": URL_SAFE_NO_PAD.encode(&point[33..]),
    })
}

fn json_answer(value: &Value) -> Vec<u8> {
    answers::json_answer(200, &value.to_string())
}

/// Parameters of a query string or a form.
pub fn parameters(text: &str) -> HashMap<String, String> {
    let decode = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            match byte {
                b'+' => bytes.push(b' '),
                b'%' => {
                    let digits = [rest.next().expect("a digit"), rest.next().expect("a digit")];
                    let digits = std::str::from_utf8(&digits).expect("digits");
                    bytes.push(u8::from_str_radix(digits, 16).expect("digits"));
                }
                byte => bytes.push(byte),
            }
        }
        String::from_utf8(bytes).expect("text")
    };
    text.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}
