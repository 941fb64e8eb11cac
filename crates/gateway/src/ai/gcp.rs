//! Tokens for Google's service accounts (RFC 7523): an assertion signed with the account's key is exchanged for a token,
//! which is renewed shortly before its end.
//!
//! Knows accounts, assertions and how long tokens hold. Refuses to know connections: the exchange is handed in. All who
//! need the same token at the same time wait for one exchange, and share its failure too. While a token that still holds is
//! renewed, the others go on using it; if it cannot be renewed, it is used to its end.

use std::collections::HashMap;
use std::future::Future;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use http::StatusCode;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::Mutex;
use tollgate_resources::Secret;

use super::config::GcpAuth;
use super::percent;
use crate::clock::Moment;

/// Tokens by account, renewed before they end. Shared by all that use it.
#[derive(Default)]
pub struct Tokens {
    slots: SyncMutex<HashMap<Identity, Arc<Slot>>>,
}

/// A request for a token: a POST.
pub struct TokenRequest {
    /// Where to.
    pub url: String,
    /// The form, of the type `application/x-www-form-urlencoded`. Holds a credential.
    pub body: Secret,
}

/// There is no token.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("failed to get gcp access token: {0}")]
pub struct TokenError(String);

/// A digest of the account, of how long its tokens are used, and of who uses them. No credential can be read from it.
type Identity = [u8; 32];

#[derive(Default)]
struct Slot {
    /// The token that was fetched last. Never held while anybody waits.
    held: SyncMutex<Option<Held>>,
    /// Held while a token is fetched; why the last exchange failed.
    exchange: Mutex<Option<TokenError>>,
    /// Number of exchanges that have ended.
    exchanges: AtomicU64,
}

/// A token, with times of the steady clock.
#[derive(Clone)]
struct Held {
    token: Arc<Secret>,
    /// From when on a new one is fetched.
    renew_at: Duration,
    /// From when on it is not used any more.
    ends: Duration,
}

impl Slot {
    fn held(&self) -> Option<Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn hold(&self, held: Option<Held>) {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
    }
}

impl Tokens {
    /// The token of an account. `fallback` is the account's JSON where the configuration has none; `fetch` makes an HTTP
    /// exchange and gives status and body, or why there is none.
    ///
    /// Dropping the future in the middle of an exchange leaves the exchange to the next who waits.
    ///
    /// # Errors
    /// The account cannot be read, or Google gives no token.
    pub async fn token<F, A>(
        &self,
        instance: &str,
        conf: &GcpAuth,
        fallback: Option<&Secret>,
        now: Moment,
        fetch: F,
    ) -> Result<Arc<Secret>, TokenError>
    where
        F: FnOnce(TokenRequest) -> A,
        A: Future<Output = Result<(StatusCode, Bytes), String>>,
    {
        let account = conf
            .service_account_json
            .as_ref()
            .or(fallback)
            .filter(|json| !json.is_empty())
            .ok_or_else(|| TokenError("no service account is configured".to_owned()))?;
        let slot = self.slot(identity(account, conf, instance));
        let ended_before = slot.exchanges.load(Relaxed);
        let held = slot.held();
        let fresh = |held: &Held| now.running < held.renew_at;
        if let Some(held) = held.as_ref().filter(|held| fresh(held)) {
            return Ok(held.token.clone());
        }
        let old = held.filter(|held| now.running < held.ends);
        let mut failed = match &old {
            None => slot.exchange.lock().await,
            Some(old) => match slot.exchange.try_lock() {
                Ok(failed) => failed,
                // Another call is renewing it.
                Err(_) => return Ok(old.token.clone()),
            },
        };
        if let Some(held) = slot.held().filter(fresh) {
            return Ok(held.token);
        }
        if slot.exchanges.load(Relaxed) != ended_before
            && let (None, Some(failure)) = (&old, &*failed)
        {
            return Err(failure.clone());
        }
        // Boxed: calls whose token is known, or that need none, shall not pay for the size of an exchange.
        let outcome = Box::pin(exchange(account, now.wall, fetch)).await;
        slot.exchanges.fetch_add(1, Relaxed);
        match (outcome, old) {
            (Ok((token, seconds)), _) => {
                let token = Arc::new(token);
                *failed = None;
                let after = |seconds: u64| now.running.checked_add(Duration::from_secs(seconds));
                // A time beyond what the clock can say is as good as no end, but is not kept.
                slot.hold(
                    after(usable(seconds, conf))
                        .zip(after(seconds.min(conf.max_ttl.unwrap_or(u64::MAX))))
                        .map(|(renew_at, ends)| Held {
                            token: token.clone(),
                            renew_at,
                            ends,
                        }),
                );
                Ok(token)
            }
            (Err(failure), Some(old)) => {
                tracing::warn!(%failure, "the token in use could not be renewed, and is used until it ends");
                slot.hold(Some(Held {
                    renew_at: now.running.saturating_add(RENEW_AGAIN_AFTER).min(old.ends),
                    ..old.clone()
                }));
                *failed = Some(failure);
                Ok(old.token)
            }
            (Err(failure), None) => {
                slot.hold(None);
                *failed = Some(failure.clone());
                Err(failure)
            }
        }
    }

    fn slot(&self, identity: Identity) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if slots.len() >= MAX_SLOTS && !slots.contains_key(&identity) {
            // More accounts than anybody has: they come from configurations that are gone.
            slots.retain(|_, slot| Arc::strong_count(slot) > 1);
        }
        slots.entry(identity).or_default().clone()
    }
}

fn identity(account: &Secret, conf: &GcpAuth, instance: &str) -> Identity {
    let mut context = Context::new(&SHA256);
    for part in [
        account.expose(),
        &conf.expire_early_secs.to_string(),
        &conf
            .max_ttl
            .map(|seconds| seconds.to_string())
            .unwrap_or_default(),
        instance,
    ] {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part.as_bytes());
    }
    let mut identity = Identity::default();
    identity.copy_from_slice(context.finish().as_ref());
    identity
}

/// For how many seconds a token is used.
fn usable(seconds: u64, conf: &GcpAuth) -> u64 {
    let early = conf.expire_early_secs;
    let seconds = if seconds > early { seconds - early } else { seconds };
    seconds.min(conf.max_ttl.unwrap_or(u64::MAX))
}

/// Exchanges an assertion for a token and the seconds it holds.
async fn exchange<F, A>(account: &Secret, now: SystemTime, fetch: F) -> Result<(Secret, u64), TokenError>
where
    F: FnOnce(TokenRequest) -> A,
    A: Future<Output = Result<(StatusCode, Bytes), String>>,
{
    let account: Account = serde_json::from_str(account.expose())
        .map_err(|error| TokenError(format!("invalid gcp service account json: {error}")))?;
    let request = TokenRequest {
        body: account.assertion(now)?,
        url: account.token_uri,
    };
    let (status, body) = fetch(request).await.map_err(TokenError)?;
    if status != StatusCode::OK {
        // Google tells the reason in a short code, such as `invalid_grant`; its texts can repeat the assertion.
        let reason = serde_json::from_slice::<Refusal>(&body).map(|refusal| refusal.error);
        let reason = reason.unwrap_or_else(|_| "no reason given".to_owned());
        let reason: String = reason.chars().take(MAX_REASON).collect();
        return Err(TokenError(format!("status {}: {reason}", status.as_u16())));
    }
    let granted: Granted = serde_json::from_slice(&body)
        .map_err(|_| TokenError("the answer holds no access token".to_owned()))?;
    if granted.access_token.is_empty() {
        return Err(TokenError("the answer holds no access token".to_owned()));
    }
    Ok((granted.access_token, granted.expires_in.unwrap_or(LIFETIME)))
}

/// A service account as Google writes it.
#[derive(Deserialize)]
struct Account {
    client_email: String,
    private_key: Secret,
    #[serde(default = "token_uri")]
    token_uri: String,
    scope: Option<Scope>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Scope {
    One(String),
    Several(Vec<String>),
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    scope: &'a str,
    iat: u64,
    exp: u64,
}

impl Account {
    /// The form that asks for a token.
    fn assertion(&self, now: SystemTime) -> Result<Secret, TokenError> {
        let iat = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let scope = match &self.scope {
            None => SCOPE.to_owned(),
            Some(Scope::One(scope)) => scope.clone(),
            Some(Scope::Several(scopes)) => scopes.join(" "),
        };
        let claims = Claims {
            iss: &self.client_email,
            aud: &self.token_uri,
            scope: &scope,
            iat,
            exp: iat + LIFETIME,
        };
        let unusable = |_| TokenError("the service account's private_key cannot be used".to_owned());
        let key = EncodingKey::from_rsa_pem(self.private_key.expose().as_bytes()).map_err(unusable)?;
        let assertion =
            jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &key).map_err(unusable)?;
        let mut form = String::from("grant_type=");
        percent::encode(&mut form, "urn:ietf:params:oauth:grant-type:jwt-bearer");
        form.push_str("&assertion=");
        percent::encode(&mut form, &assertion);
        Ok(form.into())
    }
}

#[derive(Deserialize)]
struct Granted {
    access_token: Secret,
    expires_in: Option<u64>,
}

#[derive(Deserialize)]
struct Refusal {
    error: String,
}

fn token_uri() -> String {
    "https://oauth2.googleapis.com/token".to_owned()
}

/// What an account without a scope of its own asks for.
const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";

/// Seconds an assertion holds, and a token that does not say.
const LIFETIME: u64 = 3_600;

/// After a token could not be renewed, it is used for so long before that is tried again.
const RENEW_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Accounts remembered before unused ones are forgotten.
const MAX_SLOTS: usize = 4_096;

/// Longest reason of a refusal that is kept, in characters.
const MAX_REASON: usize = 100;

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::LazyLock;
    use std::time::{Duration, SystemTime};

    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use aws_lc_rs::signature::KeyPair as _;
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use bytes::Bytes;
    use http::StatusCode;
    use jsonwebtoken::{Algorithm, DecodingKey, Validation};
    use serde_json::{Value, json};

    use super::{GcpAuth, Moment, TokenRequest, Tokens};

    static KEY: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate(KeySize::Rsa2048).unwrap());

    fn account(extra: &Value) -> String {
        let der = AsDer::<Pkcs8V1Der>::as_der(&*KEY).unwrap();
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(der.as_ref())
        );
        let mut account = json!({"client_email": "a@b", "private_key": pem, "token_uri": "https://token"});
        for (key, value) in extra.as_object().unwrap() {
            account[key] = value.clone();
        }
        account.to_string()
    }

    fn conf(extra: &Value) -> GcpAuth {
        let mut conf = json!({"service_account_json": account(&json!({}))});
        for (key, value) in extra.as_object().unwrap() {
            conf[key] = value.clone();
        }
        serde_json::from_value(conf).unwrap()
    }

    fn at(seconds: u64) -> Moment {
        Moment {
            running: Duration::from_secs(seconds),
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds),
        }
    }

    fn run<F: Future>(future: F) -> F::Output {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(future)
    }

    /// What Google answers: token `t<n>` for `seconds`.
    fn granted(number: u32, seconds: u64) -> Result<(StatusCode, Bytes), String> {
        let body =
            json!({"access_token": format!("t{number}"), "expires_in": seconds, "token_type": "Bearer"});
        Ok((StatusCode::OK, body.to_string().into()))
    }

    /// The tokens that are used at these seconds, and how many were fetched.
    fn used(conf: &GcpAuth, lifetime: u64, seconds: &[u64]) -> Vec<String> {
        let (tokens, fetched) = (Tokens::default(), Cell::new(0));
        run(async {
            let mut used = Vec::new();
            for second in seconds {
                let fetch = |_| async {
                    fetched.set(fetched.get() + 1);
                    granted(fetched.get(), lifetime)
                };
                let token = tokens.token("i", conf, None, at(*second), fetch).await.unwrap();
                used.push(token.expose().to_owned());
            }
            used
        })
    }

    #[test]
    fn the_assertion_is_what_google_asks_for() {
        let fetch = async |request: TokenRequest| {
            assert_eq!(request.url, "https://token");
            let form = request.body.expose().to_owned();
            let assertion = form
                .strip_prefix("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=")
                .unwrap()
                .to_owned();
            let mut validation = Validation::new(Algorithm::RS256);
            validation.set_audience(&["https://token"]);
            validation.validate_exp = false;
            let key = DecodingKey::from_rsa_der(KEY.public_key().as_ref());
            let claims = jsonwebtoken::decode::<Value>(&assertion, &key, &validation)
                .unwrap()
                .claims;
            assert_eq!(
                claims,
                json!({
                    "iss": "a@b",
                    "aud": "https://token",
                    "scope": "https://www.googleapis.com/auth/cloud-platform",
                    "iat": 1_700_000_000,
                    "exp": 1_700_003_600,
                })
            );
            granted(1, 3_600)
        };
        let tokens = Tokens::default();
        let token = run(tokens.token("i", &conf(&json!({})), None, at(0), fetch)).unwrap();
        assert_eq!(token.expose(), "t1");
    }

    #[test]
    fn a_token_is_used_until_shortly_before_its_end() {
        assert_eq!(
            used(&conf(&json!({})), 3_600, &[0, 3_539, 3_540]),
            ["t1", "t1", "t2"]
        );
        let early = conf(&json!({"expire_early_secs": 0}));
        assert_eq!(used(&early, 3_600, &[0, 3_599, 3_600]), ["t1", "t1", "t2"]);
        let short = conf(&json!({"max_ttl": 10}));
        assert_eq!(used(&short, 3_600, &[0, 9, 10]), ["t1", "t1", "t2"]);
        // One that ends sooner than it would be renewed is used to its end.
        assert_eq!(used(&conf(&json!({})), 60, &[0, 59, 60]), ["t1", "t1", "t2"]);
        assert_eq!(used(&conf(&json!({})), 0, &[0, 0]), ["t1", "t2"]);
    }

    #[test]
    fn while_a_token_is_renewed_the_others_use_the_one_before() {
        let (tokens, conf, fetched) = (Tokens::default(), conf(&json!({})), Cell::new(0));
        let one = async |second: u64, seconds: u64| {
            let fetch = |_| async {
                fetched.set(fetched.get() + 1);
                tokio::task::yield_now().await;
                granted(fetched.get(), seconds)
            };
            let token = tokens.token("i", &conf, None, at(second), fetch).await.unwrap();
            token.expose().to_owned()
        };
        run(async {
            assert_eq!(one(0, 3_600).await, "t1");
            let (first, second, third) =
                tokio::join!(one(3_550, 3_600), one(3_550, 3_600), one(3_599, 3_600));
            assert_eq!([first, second, third], ["t2", "t1", "t1"]);
            assert_eq!((one(3_550, 3_600).await.as_str(), fetched.get()), ("t2", 2));
        });
    }

    #[test]
    fn a_token_that_cannot_be_renewed_is_used_to_its_end() {
        let (tokens, conf, asked) = (Tokens::default(), conf(&json!({})), Cell::new(0));
        let one = async |second: u64, granted: Result<(StatusCode, Bytes), String>| {
            let fetch = |_| async {
                asked.set(asked.get() + 1);
                granted
            };
            let token = tokens.token("i", &conf, None, at(second), fetch).await;
            token.map(|token| token.expose().to_owned())
        };
        let failed = || Err("no connection".to_owned());
        run(async {
            assert_eq!(one(0, granted(1, 3_600)).await.unwrap(), "t1");
            for (second, exchanges) in [(3_540, 2), (3_541, 2), (3_544, 2), (3_545, 3), (3_599, 4)] {
                assert_eq!(one(second, failed()).await.unwrap(), "t1", "{second}");
                assert_eq!(asked.get(), exchanges, "{second}");
            }
            assert!(one(3_600, failed()).await.is_err(), "its end has come");
            assert_eq!(one(3_601, granted(2, 3_600)).await.unwrap(), "t2");
        });
    }

    #[test]
    fn a_token_ends_when_its_time_has_passed_however_the_clock_is_set() {
        const HOUR: Duration = Duration::from_secs(3600);
        let conf = conf(&json!({}));
        for set in [
            |moment: Moment| moment.wall + HOUR,
            |moment: Moment| moment.wall - HOUR,
        ] {
            let (tokens, fetched) = (Tokens::default(), Cell::new(0));
            let token_at = async |second: u64, is_set: bool| {
                let mut moment = at(second);
                if is_set {
                    moment.wall = set(moment);
                }
                let fetch = |_| async {
                    fetched.set(fetched.get() + 1);
                    granted(fetched.get(), 1_000)
                };
                let token = tokens.token("i", &conf, None, moment, fetch).await.unwrap();
                token.expose().to_owned()
            };
            run(async {
                assert_eq!(token_at(0, false).await, "t1");
                assert_eq!(token_at(900, true).await, "t1", "it still holds");
                assert_eq!(token_at(941, true).await, "t2", "it is renewed in time");
            });
        }
    }

    #[test]
    fn instances_have_tokens_of_their_own() {
        let (tokens, conf, fetched) = (Tokens::default(), conf(&json!({})), Cell::new(0));
        run(async {
            for instance in ["a", "b", "a"] {
                let fetch = |_| async {
                    fetched.set(fetched.get() + 1);
                    granted(fetched.get(), 3_600)
                };
                tokens.token(instance, &conf, None, at(0), fetch).await.unwrap();
            }
        });
        assert_eq!(fetched.get(), 2);
    }

    #[test]
    fn all_who_wait_share_one_exchange_and_its_failure() {
        for (fails, expected) in [
            (false, "t1"),
            (true, "failed to get gcp access token: no connection"),
        ] {
            let (tokens, conf, fetched) = (Tokens::default(), conf(&json!({})), Cell::new(0));
            let one = || async {
                let fetch = |_| async {
                    fetched.set(fetched.get() + 1);
                    tokio::task::yield_now().await;
                    if fails {
                        Err("no connection".to_owned())
                    } else {
                        granted(fetched.get(), 3_600)
                    }
                };
                match tokens.token("i", &conf, None, at(0), fetch).await {
                    Ok(token) => token.expose().to_owned(),
                    Err(error) => error.to_string(),
                }
            };
            run(async {
                let (first, second, third) = tokio::join!(one(), one(), one());
                assert_eq!([first, second, third], [expected; 3]);
                assert_eq!(fetched.get(), 1);
                // The next one tries again after a failure.
                assert_eq!(one().await, expected);
                assert_eq!(fetched.get(), if fails { 2 } else { 1 });
            });
        }
    }

    #[test]
    fn who_gives_up_leaves_the_exchange_to_the_next() {
        let (tokens, conf) = (Tokens::default(), conf(&json!({})));
        run(async {
            let never = |_| std::future::pending();
            let stuck = tokens.token("i", &conf, None, at(0), never);
            let next = tokens.token("i", &conf, None, at(0), |_| async { granted(2, 3_600) });
            tokio::select! {
                biased;
                _ = stuck => {}
                () = tokio::task::yield_now() => {}
            }
            assert_eq!(next.await.unwrap().expose(), "t2");
        });
    }

    #[test]
    fn the_reason_of_a_failure_holds_no_credential() {
        let failure = |conf: &GcpAuth, status: StatusCode, body: &'static str| {
            let fetch = move |_| async move { Ok((status, Bytes::from_static(body.as_bytes()))) };
            run(Tokens::default().token("i", conf, None, at(0), fetch))
                .err()
                .unwrap()
                .to_string()
        };
        let good = conf(&json!({}));
        for (conf, status, body, text) in [
            (
                &good,
                400,
                r#"{"error":"invalid_grant"}"#,
                "status 400: invalid_grant",
            ),
            (&good, 500, "<html>", "status 500: no reason given"),
            (&good, 200, "{}", "the answer holds no access token"),
            (
                &good,
                200,
                r#"{"access_token":""}"#,
                "the answer holds no access token",
            ),
            (
                &conf(&json!({"service_account_json": account(&json!({"private_key": "secret"}))})),
                200,
                "{}",
                "the service account's private_key cannot be used",
            ),
            (
                &conf(&json!({"service_account_json": ""})),
                200,
                "{}",
                "no service account is configured",
            ),
        ] {
            assert_eq!(
                failure(conf, StatusCode::from_u16(status).unwrap(), body),
                format!("failed to get gcp access token: {text}")
            );
        }
    }

    #[test]
    fn the_account_of_the_environment_counts_where_none_is_configured() {
        let conf: GcpAuth = serde_json::from_str("{}").unwrap();
        let fallback = account(&json!({"scope": ["a", "b"]})).into();
        let tokens = Tokens::default();
        let token = run(tokens.token("i", &conf, Some(&fallback), at(0), |_| async { granted(1, 1) }));
        assert_eq!(token.unwrap().expose(), "t1");
    }
}
