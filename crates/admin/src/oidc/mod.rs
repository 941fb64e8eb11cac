//! Signing in at an OpenID Connect provider: the authorization code flow with PKCE (RFC 7636), `state` and `nonce`.
//!
//! ```text
//! browser -> start -> provider (the person signs in) -> callback -> code for tokens -> ID token verified -> groups -> role
//! ```
//!
//! A sign-in under way is known by its `state`, is answered once, in the browser it began in, and is forgotten after some
//! minutes. Tokens are looked at and dropped: a session of ours is all that is kept.

mod claims;
mod provider;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tollgate_resources::{Glob, Secret};
use tollgate_telemetry::outbound::ClientConfig;

pub(crate) use claims::Person;

use crate::query::{Query, encode};
use crate::settings::Role;
use provider::Provider;

/// How long a sign-in may take at the provider, in seconds.
pub(crate) const PATIENCE_S: u64 = 10 * 60;

/// Sign-ins that may be under way at a time. The one that began first is forgotten for another.
const MOST: usize = 10_000;

/// Where a signed-in person is led if nothing is said.
const HOME: &str = "/ui/";

/// A provider, and what its people may do.
pub struct OidcSettings {
    /// Its address, exactly as it calls itself.
    pub issuer: String,
    /// What it calls us.
    pub client_id: String,
    /// The secret of the client; `None` for a public one.
    pub client_secret: Option<Secret>,
    /// Where it sends people back to.
    pub redirect_url: String,
    /// What is asked for.
    pub scopes: Vec<String>,
    /// The claim with a person's groups.
    pub groups_claim: String,
    /// The claim with a person's name; empty for the usual ones.
    pub name_claim: String,
    /// Groups and the roles that they give.
    pub roles: Vec<(Glob, Role)>,
    /// Groups and the teams that their members administer.
    pub team_admin: Vec<(Glob, String)>,
    /// Whose certificates are trusted.
    pub tls: Arc<ClientConfig>,
}

/// The provider, and the sign-ins under way.
pub(crate) struct Oidc {
    settings: Arc<OidcSettings>,
    provider: Provider,
    /// By `state`.
    pending: Mutex<HashMap<String, Pending>>,
}

/// A sign-in that was begun.
struct Pending {
    nonce: String,
    verifier: String,
    /// What the browser's cookie holds.
    browser: String,
    return_to: String,
    began_s: u64,
}

/// A browser that is sent to the provider.
pub(crate) struct Started {
    /// Where to.
    pub(crate) location: String,
    /// What it has to show when it comes back.
    pub(crate) browser: String,
}

/// Why somebody was not let in.
pub(crate) struct Refused {
    /// For people, without anything secret.
    pub(crate) reason: String,
    /// What the provider calls the person, if it was found out.
    pub(crate) name: Option<String>,
}

impl Refused {
    fn because(reason: impl Into<String>) -> Refused {
        Refused {
            reason: reason.into(),
            name: None,
        }
    }

    /// Whom it is about, and why, in a sentence.
    pub(crate) fn told(&self) -> String {
        let who = self.name.as_deref().unwrap_or("Nobody");
        format!("{who} was not signed in: {}.", self.reason)
    }
}

impl Oidc {
    pub(crate) fn new(settings: OidcSettings) -> Oidc {
        let settings = Arc::new(settings);
        Oidc {
            provider: Provider::new(Arc::clone(&settings)),
            settings,
            pending: Mutex::default(),
        }
    }

    /// Begins a sign-in.
    pub(crate) async fn start(&self, return_to: Option<&str>, now_s: u64) -> Result<Started, Refused> {
        let metadata = self.provider.metadata().await?;
        let random = || random().ok_or_else(|| Refused::because("the system gives no random numbers"));
        let (state, nonce, verifier, browser) = (random()?, random()?, random()?, random()?);
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
        let settings = &self.settings;
        let scopes = settings.scopes.join(" ");
        let parameters = [
            ("response_type", "code"),
            ("client_id", &settings.client_id),
            ("redirect_uri", &settings.redirect_url),
            ("scope", &scopes),
            ("state", &state),
            ("nonce", &nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        let separator = if metadata.authorization_endpoint.contains('?') {
            '&'
        } else {
            '?'
        };
        let location = format!(
            "{}{separator}{}",
            metadata.authorization_endpoint,
            form(&parameters)
        );
        let pending = Pending {
            nonce,
            verifier,
            browser: browser.clone(),
            return_to: return_to.filter(|path| is_ours(path)).unwrap_or(HOME).to_owned(),
            began_s: now_s,
        };
        let mut all = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, pending| now_s < pending.began_s.saturating_add(PATIENCE_S));
        if all.len() >= MOST {
            let oldest = all.iter().min_by_key(|(_, pending)| pending.began_s);
            if let Some(oldest) = oldest.map(|(state, _)| state.clone()) {
                all.remove(&oldest);
            }
        }
        all.insert(state, pending);
        Ok(Started { location, browser })
    }

    /// Ends a sign-in: who it is, and where they want to be led. `browser` is what the browser's cookie holds.
    pub(crate) async fn finish(
        &self,
        query: &Query,
        browser: Option<&[u8]>,
        now_s: u64,
    ) -> Result<(Person, String), Refused> {
        let state = query
            .first("state")
            .ok_or_else(|| Refused::because("the answer names no sign-in (`state` is missing)"))?;
        // Taken out, whatever becomes of it: an answer counts once.
        let pending = self
            .pending
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(state)
            .filter(|pending| now_s < pending.began_s.saturating_add(PATIENCE_S))
            .ok_or_else(|| {
                Refused::because("the answer is to no sign-in that is under way: it was answered already, or took too long")
            })?;
        let is_same = browser.is_some_and(|shown| crate::auth::same(shown, pending.browser.as_bytes()));
        if !is_same {
            return Err(Refused::because("the sign-in began in another browser"));
        }
        if let Some(issuer) = query.first("iss")
            && issuer != self.settings.issuer
        {
            return Err(Refused::because("the answer is of another issuer"));
        }
        if let Some(error) = query.first("error") {
            return Err(Refused::because(format!("the provider says `{}`", plain(error))));
        }
        let code = query
            .first("code")
            .ok_or_else(|| Refused::because("the answer has no code"))?;
        let tokens = self.provider.exchange(code, &pending.verifier).await?;
        let claims = self.provider.verified(&tokens.id_token).await?;
        claims::check(&claims, &self.settings, &pending.nonce, now_s).map_err(Refused::because)?;
        let name = claims::name(&claims, &self.settings);
        let groups = match claims::groups(&claims, &self.settings) {
            Some(groups) => groups,
            // Some providers tell groups only when they are asked for what they know of the person.
            None => match self.provider.user_info(&tokens).await? {
                Some(info) if info.get("sub") == claims.get("sub") => {
                    claims::groups(&info, &self.settings).unwrap_or_default()
                }
                Some(_) => return Err(Refused::because("what the provider knows is about somebody else")),
                None => Vec::new(),
            },
        };
        let person = claims::person(name.clone(), &groups, &self.settings).ok_or_else(|| Refused {
            reason: "none of their groups has a role here".to_owned(),
            name: Some(name),
        })?;
        Ok((person, pending.return_to))
    }

    /// Where the person can sign out of the provider too, if that is known.
    pub(crate) fn sign_out(&self) -> Option<String> {
        let endpoint = self.provider.known()?.end_session_endpoint.clone()?;
        let home = self
            .settings
            .redirect_url
            .strip_suffix(tollgate_resources::model::Oidc::CALLBACK)?;
        let back = format!("{home}{HOME}");
        let parameters = [
            ("client_id", self.settings.client_id.as_str()),
            ("post_logout_redirect_uri", &back),
        ];
        let separator = if endpoint.contains('?') { '&' } else { '?' };
        Some(format!("{endpoint}{separator}{}", form(&parameters)))
    }
}

/// Whether a path is one of the dashboard's: nobody is led elsewhere after they have signed in.
fn is_ours(path: &str) -> bool {
    let is_plain = path
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'\\' && byte != b'"');
    (path == "/ui" || path.starts_with("/ui/") || path.starts_with("/ui?"))
        && is_plain
        && !path.contains("//")
}

/// Parameters as a form has them.
fn form(parameters: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = parameters
        .iter()
        .map(|(name, value)| format!("{name}={}", encode(value)))
        .collect();
    pairs.join("&")
}

/// 32 random bytes as text.
fn random() -> Option<String> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

/// A word of the provider's, as it may be shown.
fn plain(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_ascii_alphanumeric() || "_-. ".contains(*c))
        .take(60)
        .collect()
}

#[cfg(test)]
impl OidcSettings {
    pub(crate) fn for_tests(issuer: &str, client_id: &str) -> OidcSettings {
        let tls = tollgate_gateway::upstream::client_config(
            &tollgate_gateway::upstream::TlsSettings {
                ca_file: None,
                verify: true,
            },
            None,
        );
        OidcSettings {
            issuer: issuer.to_owned(),
            client_id: client_id.to_owned(),
            client_secret: None,
            redirect_url: "http://127.0.0.1:9180/tollgate/v1/session/oidc/callback".to_owned(),
            scopes: vec!["openid".to_owned()],
            groups_claim: "groups".to_owned(),
            name_claim: String::new(),
            roles: Vec::new(),
            team_admin: Vec::new(),
            tls: tls.unwrap(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_led_to_pages_of_ours_only() {
        for path in ["/ui", "/ui/", "/ui/calls?x=1#a", "/ui?x"] {
            assert!(is_ours(path), "{path}");
        }
        for path in [
            "",
            "/",
            "//evil.example/ui/",
            "/ui//evil.example",
            "https://evil.example/ui/",
            "/uix",
            "/ui/\\evil",
            "/ui/\" onload=",
            "/ui/\r\nx: y",
        ] {
            assert!(!is_ours(path), "{path}");
        }
    }
}
