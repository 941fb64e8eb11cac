//! What is asked of the provider: what it says of itself, its keys, tokens for a code, what it knows of a person.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request};
use serde_json::{Map, Value};
use tollgate_gateway::tokens::{PublicKeys, TokenError};
use tollgate_telemetry::outbound::{Address, Client, Limits, Version};

use super::{OidcSettings, Refused, form, plain};
use crate::query::encode;

/// How long an answer of the provider may take, and how much it may say.
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(5),
    total: Duration::from_secs(10),
    answer: 512 * 1024,
};

/// What the provider says of itself, and its keys, are asked for again after this time.
const FRESH: Duration = Duration::from_secs(60 * 60);

/// For a key that is not known the keys are asked for again, but not more often than this.
const BETWEEN_LOOKS: Duration = Duration::from_secs(5);

/// Largest token that is looked at, in bytes.
const LARGEST_TOKEN: usize = 64 * 1024;

/// A provider.
pub(super) struct Provider {
    settings: Arc<OidcSettings>,
    known: Mutex<Option<(Arc<Metadata>, Instant)>>,
    keys: Mutex<Option<Kept>>,
}

/// Keys of the provider.
#[derive(Clone)]
struct Kept {
    keys: PublicKeys,
    since: Instant,
    /// When they were asked for because a token named an unknown one.
    looked: Option<Instant>,
}

/// What a provider says of itself.
pub(super) struct Metadata {
    pub(super) authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    userinfo_endpoint: Option<String>,
    pub(super) end_session_endpoint: Option<String>,
    /// Whether it takes the secret in the body only.
    secret_in_body: bool,
}

/// What a code was exchanged for. Dropped with the sign-in.
pub(super) struct Tokens {
    pub(super) id_token: String,
    access_token: Option<String>,
}

impl Provider {
    pub(super) fn new(settings: Arc<OidcSettings>) -> Provider {
        Provider {
            settings,
            known: Mutex::default(),
            keys: Mutex::default(),
        }
    }

    /// What it has said of itself, if it was asked already.
    pub(super) fn known(&self) -> Option<Arc<Metadata>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.as_ref().map(|(metadata, _)| Arc::clone(metadata))
    }

    /// What it says of itself.
    pub(super) async fn metadata(&self) -> Result<Arc<Metadata>, Refused> {
        {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((metadata, at)) = known.as_ref()
                && at.elapsed() < FRESH
            {
                return Ok(Arc::clone(metadata));
            }
        }
        let issuer = self.settings.issuer.trim_end_matches('/');
        let url = format!("{issuer}/.well-known/openid-configuration");
        let told = self.ask(Method::GET, &url, None, None).await?;
        let metadata = Arc::new(self.read_metadata(&told)?);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some((Arc::clone(&metadata), Instant::now()));
        Ok(metadata)
    }

    fn read_metadata(&self, told: &Map<String, Value>) -> Result<Metadata, Refused> {
        let text = |name: &str| told.get(name).and_then(Value::as_str);
        if text("issuer") != Some(self.settings.issuer.as_str()) {
            return Err(Refused::because(
                "the provider calls itself otherwise than `issuer` says, which must be the same to the letter",
            ));
        }
        let is_plain = self.settings.issuer.starts_with("http://");
        let address = |name: &'static str| {
            text(name)
                .filter(|url| url.starts_with("https://") || (is_plain && url.starts_with("http://")))
                .filter(|url| url.bytes().all(|byte| byte.is_ascii_graphic()))
                .map(str::to_owned)
        };
        let needed = |name: &'static str| {
            address(name).ok_or_else(|| Refused::because(format!("the provider tells no usable `{name}`")))
        };
        let methods = told
            .get("token_endpoint_auth_methods_supported")
            .and_then(Value::as_array);
        let has = |method: &str| {
            methods.is_some_and(|methods| methods.iter().any(|one| one.as_str() == Some(method)))
        };
        Ok(Metadata {
            authorization_endpoint: needed("authorization_endpoint")?,
            token_endpoint: needed("token_endpoint")?,
            jwks_uri: needed("jwks_uri")?,
            userinfo_endpoint: address("userinfo_endpoint"),
            end_session_endpoint: address("end_session_endpoint"),
            secret_in_body: has("client_secret_post") && !has("client_secret_basic"),
        })
    }

    /// Exchanges a code for tokens.
    pub(super) async fn exchange(&self, code: &str, verifier: &str) -> Result<Tokens, Refused> {
        let metadata = self.metadata().await?;
        let settings = &self.settings;
        let mut parameters = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &settings.redirect_url),
            ("code_verifier", verifier),
        ];
        let mut authorization = None;
        match &settings.client_secret {
            Some(secret) if !metadata.secret_in_body => {
                // RFC 6749, section 2.3.1: both are encoded as in forms first.
                let pair = format!("{}:{}", encode(&settings.client_id), encode(secret.expose()));
                authorization = Some(format!("Basic {}", STANDARD.encode(pair)));
            }
            Some(secret) => {
                parameters.push(("client_id", &settings.client_id));
                parameters.push(("client_secret", secret.expose()));
            }
            None => parameters.push(("client_id", &settings.client_id)),
        }
        let told = self
            .ask(
                Method::POST,
                &metadata.token_endpoint,
                authorization.as_deref(),
                Some(form(&parameters)),
            )
            .await?;
        let text = |name: &str| told.get(name).and_then(Value::as_str).map(str::to_owned);
        let id_token = text("id_token").filter(|token| token.len() <= LARGEST_TOKEN);
        Ok(Tokens {
            id_token: id_token.ok_or_else(|| Refused::because("the provider gave no ID token"))?,
            access_token: text("access_token"),
        })
    }

    /// The claims of a token that the provider has signed.
    pub(super) async fn verified(&self, token: &str) -> Result<Map<String, Value>, Refused> {
        let refused = |error: TokenError| Refused::because(error.to_string());
        let kept = {
            let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
            keys.clone()
        };
        let mut looked = None;
        if let Some(kept) = kept {
            let may_look = kept.looked.is_none_or(|at| at.elapsed() >= BETWEEN_LOOKS);
            match kept.keys.claims(token) {
                // It may have changed its keys.
                Err(TokenError::UnknownKey) if may_look => looked = Some(Instant::now()),
                result if kept.since.elapsed() < FRESH => return result.map_err(refused),
                _ => looked = kept.looked,
            }
        }
        let metadata = self.metadata().await?;
        let told = self.ask(Method::GET, &metadata.jwks_uri, None, None).await?;
        let keys = PublicKeys::read(&Value::Object(told));
        if keys.is_empty() {
            return Err(Refused::because("the provider publishes no usable keys"));
        }
        let claims = keys.claims(token).map_err(refused);
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = Some(Kept {
            keys,
            since: Instant::now(),
            looked,
        });
        claims
    }

    /// What the provider knows of the person, if it can be asked.
    pub(super) async fn user_info(&self, tokens: &Tokens) -> Result<Option<Map<String, Value>>, Refused> {
        let metadata = self.metadata().await?;
        let (Some(url), Some(token)) = (&metadata.userinfo_endpoint, &tokens.access_token) else {
            return Ok(None);
        };
        let authorization = format!("Bearer {token}");
        self.ask(Method::GET, url, Some(&authorization), None)
            .await
            .map(Some)
    }

    /// Sends a request whose answer is a JSON object.
    async fn ask(
        &self,
        method: Method,
        url: &str,
        authorization: Option<&str>,
        form: Option<String>,
    ) -> Result<Map<String, Value>, Refused> {
        let unreachable = |reason: String| {
            tracing::warn!(
                url,
                reason,
                "the OpenID Connect provider does not answer as it should"
            );
            Refused::because("the provider cannot be reached; the gateway's log says why")
        };
        let address = Address::parse(url).map_err(|error| unreachable(error.to_string()))?;
        let client = Client::new(address, Version::Http1, &self.settings.tls, LIMITS)
            .map_err(|error| unreachable(error.to_string()))?;
        let mut request = Request::builder()
            .method(method)
            .uri(client.address().path().as_str())
            .header(ACCEPT, "application/json");
        if let Some(authorization) = authorization {
            let mut value = HeaderValue::from_str(authorization)
                .map_err(|_| Refused::because("the client's secret cannot stand in a header"))?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        if form.is_some() {
            request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        }
        let request = request
            .body(Bytes::from(form.unwrap_or_default()))
            .map_err(|error| unreachable(error.to_string()))?;
        let answer = client
            .send(request)
            .await
            .map_err(|error| unreachable(error.to_string()))?;
        let body: Option<Map<String, Value>> = serde_json::from_slice(&answer.body).ok();
        if !answer.status.is_success() {
            let error = body.as_ref().and_then(|body| body.get("error")?.as_str());
            let error = error.map_or_else(|| answer.status.as_u16().to_string(), plain);
            tracing::warn!(
                url,
                status = answer.status.as_u16(),
                error,
                "the OpenID Connect provider refuses"
            );
            return Err(Refused::because(format!("the provider refuses: `{error}`")));
        }
        body.filter(|_| answer.is_whole)
            .ok_or_else(|| unreachable("its answer is no JSON object".to_owned()))
    }
}
