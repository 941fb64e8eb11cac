//! Signing in and out: `/tollgate/v1/session`.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, LOCATION, SET_COOKIE};
use http::request::Parts;
use http::{HeaderValue, StatusCode};
use serde_json::{Map, Value, json};

use super::Problem;
use crate::actor::{Actor, Via};
use crate::admin::{Admin, DataPlane};
use crate::answer::Answer;
use crate::audit;
use crate::auth::{self, SESSION_COOKIE};
use crate::errors::Refusal;
use crate::oidc::{Oidc, PATIENCE_S};
use crate::query::{Query, encode};
use crate::secured;
use crate::sessions::{self, Found, Session};
use crate::settings::Role;
use crate::time;

impl<D: DataPlane> Admin<D> {
    /// Answers a request below `/tollgate/v1/session`.
    pub(crate) async fn session(
        self: &Arc<Self>,
        client: IpAddr,
        parts: &Parts,
        path: &[&str],
        query: &Query,
        body: Body,
    ) -> Result<Answer, Problem> {
        if !auth::is_own(&parts.headers) {
            return Err(Problem::forbidden(
                "a page of another origin signs nobody in or out",
            ));
        }
        let answer = match (path, parts.method.as_str()) {
            ([], "POST") => self.sign_in(client, parts, body).await,
            ([], "GET") => self.signed_in(client, parts, query),
            ([], "DELETE") => self.sign_out(client, parts, query).await,
            ([], _) => Err(Problem::method("GET, POST or DELETE")),
            (["oidc", "start"], "GET") => {
                let started = self.start_oidc(query).await;
                started.or_else(|problem| self.refused(parts, &problem.message).ok_or(problem))
            }
            (["oidc", "callback"], "GET") => Ok(self.finish_oidc(client, parts, query).await),
            (["oidc", "start" | "callback"], _) => Err(Problem::method("GET")),
            _ => Err(Problem::unknown(
                "there is no such path; sign in at POST /tollgate/v1/session",
            )),
        };
        let mut answer = answer
            .unwrap_or_else(Answer::from)
            .with(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        secured::secure(&mut answer.headers);
        Ok(answer)
    }

    async fn sign_in(self: &Arc<Self>, client: IpAddr, parts: &Parts, body: Body) -> Result<Answer, Problem> {
        let members = self.members(parts, body, &["key", "code"]).await?;
        if let Some(code) = members.get("code").and_then(Value::as_str) {
            return self.sign_in_by_code(client, code).await;
        }
        let Some(key) = members.get("key").and_then(Value::as_str) else {
            return Err(Problem::invalid(
                "key",
                "write the key of the Admin API, as a text",
            ));
        };
        match self.actor_of_key(client, key.as_bytes()) {
            Ok(actor) => {
                let session = Session::new(actor, Some(key.as_bytes()), self.now_s());
                self.begin(session).await
            }
            Err(refusal) => {
                self.tell_refused(Via::Key, client, None, "wrong key").await;
                Err(refusal.into())
            }
        }
    }

    /// Tells the audit log of somebody who was not let in.
    pub(crate) async fn tell_refused(&self, via: Via, client: IpAddr, name: Option<&str>, reason: &str) {
        let now_s = self.now_s();
        if self.wrong_keys.may_tell(now_s) {
            let entry = audit::refused(via, client, name, reason);
            self.keep(Some((now_s, entry)), Vec::new()).await;
        }
    }

    /// Keeps something about people who come and go. Where the store cannot, nobody is kept out for it: who can look may be
    /// the one who mends it.
    pub(crate) async fn keep(&self, entry: Option<(u64, String)>, records: Vec<(String, Option<Vec<u8>>)>) {
        let store = Arc::clone(&self.store);
        let kept = tokio::task::spawn_blocking(move || store.keep(entry, records)).await;
        if let Ok(Err(error)) = kept {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "a sign-in could not be written to the store"
            );
        }
    }

    /// Signs in whom the gateway has shown its code, as the first administrator of its keys.
    async fn sign_in_by_code(&self, client: IpAddr, code: &str) -> Result<Answer, Problem> {
        let key = self.settings.keys.iter().find(|key| key.role == Role::Admin);
        let is_good = self.code.use_up(code.as_bytes(), self.now_s());
        let Some(key) = key.filter(|_| is_good) else {
            if let Some(seconds) = self.wrong_keys.add(client) {
                return Err(Refusal::WrongKeys(seconds).into());
            }
            self.tell_refused(Via::Key, client, None, "wrong code").await;
            return Err(Problem::new(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "this link was used already, or is too old; sign in with the key of the Admin API",
            ));
        };
        let key = key.key.expose().as_bytes();
        let actor = self.actor_of_key(client, key)?;
        self.begin(Session::new(actor, Some(key), self.now_s())).await
    }

    /// Sends a browser to the provider.
    async fn start_oidc(&self, query: &Query) -> Result<Answer, Problem> {
        let oidc = self.oidc.as_ref().ok_or_else(no_provider)?;
        let started = oidc.start(query.first("return"), self.now_s()).await;
        let started =
            started.map_err(|refused| Problem::new(StatusCode::BAD_GATEWAY, "provider", refused.reason))?;
        let location = HeaderValue::try_from(started.location).map_err(|_| {
            Problem::new(
                StatusCode::BAD_GATEWAY,
                "provider",
                "the provider tells no usable address",
            )
        })?;
        // The provider's page sends the browser back: a strict cookie would not come along.
        let cookie = format!(
            "{OIDC_COOKIE}={}; Path=/tollgate/v1/session/oidc; Max-Age={PATIENCE_S}; HttpOnly; SameSite=Lax{}",
            started.browser,
            self.secure(),
        );
        let answer = Answer::empty(StatusCode::FOUND).with(LOCATION, location);
        Ok(match HeaderValue::try_from(cookie) {
            Ok(cookie) => answer.with(SET_COOKIE, cookie),
            Err(_) => answer,
        })
    }

    /// Lets in whom the provider sends back, or says why not.
    async fn finish_oidc(&self, client: IpAddr, parts: &Parts, query: &Query) -> Answer {
        let Some(oidc) = &self.oidc else {
            return Answer::from(no_provider());
        };
        let browser = auth::cookie(&parts.headers, OIDC_COOKIE);
        match oidc.finish(query, browser, self.now_s()).await {
            Ok((person, return_to)) => {
                let actor = Actor {
                    name: person.name,
                    role: person.role,
                    teams: person.teams,
                    via: Via::Oidc,
                    address: Some(client),
                };
                let cookie = match self.begin_kept(Session::new(actor, None, self.now_s())).await {
                    Ok((_, cookie)) => cookie,
                    Err(problem) => return Answer::from(problem),
                };
                // A page of ours leads on: a strict cookie does not come along where the provider's page leads.
                let onward = format!(
                    "<meta http-equiv=\"refresh\" content=\"0;url={}\">",
                    escaped(&return_to)
                );
                let text = format!("Signed in. <a href=\"{}\">Go on</a>", escaped(&return_to));
                page(StatusCode::OK, &onward, &text).with(SET_COOKIE, cookie)
            }
            Err(refused) => {
                self.tell_refused(Via::Oidc, client, refused.name.as_deref(), &refused.reason)
                    .await;
                if let Some(answer) = self.refused(parts, &refused.told()) {
                    return answer;
                }
                let text = format!("{} <a href=\"/ui/\">Try again</a>", escaped(&refused.told()));
                page(StatusCode::FORBIDDEN, "", &text)
            }
        }
    }

    /// Leads a browser back to where people sign in, which tells the reason. It stands in a cookie, because what stands in an
    /// address anybody can put there. `None` for who is no browser.
    fn refused(&self, parts: &Parts, reason: &str) -> Option<Answer> {
        let accepts = parts.headers.get(ACCEPT)?.to_str().ok()?;
        if !accepts.contains("text/html") {
            return None;
        }
        let cookie = format!(
            "{REFUSED_COOKIE}={}; Path=/ui; Max-Age={REFUSED_S}; SameSite=Lax{}",
            encode(reason),
            self.secure(),
        );
        let cookie = HeaderValue::try_from(cookie).ok()?;
        let answer = Answer::empty(StatusCode::SEE_OTHER);
        Some(
            answer
                .with(LOCATION, HeaderValue::from_static("/ui/"))
                .with(SET_COOKIE, cookie),
        )
    }

    /// Begins a session and tells it to its browser.
    pub(crate) async fn begin(&self, session: Session) -> Result<Answer, Problem> {
        let (found, cookie) = self.begin_kept(session).await?;
        Ok(Answer::json(StatusCode::OK, self.told(&found)).with(SET_COOKIE, cookie))
    }

    async fn begin_kept(&self, session: Session) -> Result<(Found, HeaderValue), Problem> {
        let random = || {
            Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "internal",
                "the system gives no random numbers",
            )
        };
        let entry = audit::event(&session.actor, "sign_in", None);
        let record = session.encode();
        let (id, mark) = self.sessions.begin(session).ok_or_else(random)?;
        self.keep(
            Some((self.now_s(), entry)),
            vec![(sessions::name(&mark), Some(record))],
        )
        .await;
        let found = self.sessions.find(id.as_bytes(), &self.settings, self.now_s());
        let found = found.ok_or_else(random)?;
        let cookie = self.cookie(&id, self.settings.sessions.longest_s);
        Ok((found, cookie))
    }

    fn signed_in(&self, client: IpAddr, parts: &Parts, query: &Query) -> Result<Answer, Problem> {
        let session = auth::cookie(&parts.headers, SESSION_COOKIE)
            .and_then(|id| self.sessions.find(id, &self.settings, self.now_s()));
        if let Some(found) = session {
            return Ok(Answer::json(StatusCode::OK, self.told(&found)));
        }
        match self.actor(client, &parts.method, &parts.headers, query) {
            Ok(actor) => Ok(Answer::json(
                StatusCode::OK,
                json!({
                    "name": actor.name,
                    "role": actor.role.word(),
                    "teams": actor.teams,
                    "via": actor.via.word(),
                    "csrf": null,
                    "expires_at": null,
                    "methods": self.methods(),
                }),
            )),
            Err(refusal) => {
                let problem = Problem::from(refusal);
                let mut error = json!({"code": problem.code, "message": problem.message});
                error["methods"] = self.methods();
                // Beside the error too, where the answer to somebody signed in has them.
                let body = json!({"error": error, "methods": self.methods()});
                Ok(Answer::json(problem.status, body))
            }
        }
    }

    async fn sign_out(&self, client: IpAddr, parts: &Parts, query: &Query) -> Result<Answer, Problem> {
        let mut gone = Answer::empty(StatusCode::NO_CONTENT).with(SET_COOKIE, self.cookie("", 0));
        let Some(id) = auth::cookie(&parts.headers, SESSION_COOKIE) else {
            return Ok(gone);
        };
        if self.sessions.find(id, &self.settings, self.now_s()).is_none() {
            return Ok(gone);
        }
        // A page of somebody else signs nobody out.
        self.actor(client, &parts.method, &parts.headers, query)?;
        if let Some((mark, session)) = self.sessions.end(id) {
            let actor = Actor {
                address: Some(client),
                ..session.actor
            };
            let entry = audit::event(&actor, "sign_out", None);
            if actor.via == Via::Oidc
                && let Some(url) = self.oidc.as_ref().and_then(Oidc::sign_out)
            {
                gone = Answer::json(StatusCode::OK, json!({"sign_out_at": url}))
                    .with(SET_COOKIE, self.cookie("", 0));
            }
            self.keep(Some((self.now_s(), entry)), vec![(sessions::name(&mark), None)])
                .await;
        }
        Ok(gone)
    }

    fn told(&self, found: &Found) -> Value {
        json!({
            "name": found.actor.name,
            "role": found.actor.role.word(),
            "teams": found.actor.teams,
            "via": found.actor.via.word(),
            "csrf": found.csrf,
            "expires_at": time::text(found.expires_s),
            "methods": self.methods(),
        })
    }

    /// The ways to sign in that there are.
    fn methods(&self) -> Value {
        match self.oidc {
            Some(_) => json!(["key", "oidc"]),
            None => json!(["key"]),
        }
    }

    fn secure(&self) -> &'static str {
        if self.settings.secure { "; Secure" } else { "" }
    }

    fn cookie(&self, id: &str, seconds: u64) -> HeaderValue {
        let text = format!(
            "{SESSION_COOKIE}={id}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{}",
            self.secure()
        );
        // Hexadecimal digits and the words above always fit.
        HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
    }
}

/// The cookie of a browser that is at the provider.
const OIDC_COOKIE: &str = "tollgate_oidc";

/// The cookie that tells the dashboard why nobody was signed in, and for how many seconds.
const REFUSED_COOKIE: &str = "tollgate_refused";
const REFUSED_S: u32 = 60;

fn no_provider() -> Problem {
    Problem::unknown("no OpenID Connect provider is configured (admin.oidc); sign in with a key")
}

/// A small page.
fn page(status: StatusCode, head: &str, text: &str) -> Answer {
    Answer::text(
        status,
        format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Tollgate</title>{head}</head>\n<body><p>{text}</p></body></html>\n"
        ),
    )
    .with(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))
}

/// Text as it can stand in a page.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

/// Describes the paths.
pub(crate) fn describe(paths: &mut Map<String, Value>) {
    let session = json!({
        "type": "object",
        "properties": {
            "name": {"type": "string", "description": "the name of the key, or of the person at the provider"},
            "role": {"enum": ["admin", "editor", "viewer", "team_admin"]},
            "teams": {"type": "array", "items": {"type": "string"}, "description": "for team_admin: the teams it is one of"},
            "via": {"enum": ["key", "oidc", "open"]},
            "csrf": {"type": ["string", "null"], "description": "for the header `x-tollgate-csrf` of writes; null with a key"},
            "expires_at": {"type": ["string", "null"], "format": "date-time", "description": "when the session ends if nothing is done until then"},
            "methods": {"type": "array", "items": {"enum": ["key", "oidc"]}, "description": "the ways to sign in"},
        },
    });
    let told =
        json!({"description": "Who is signed in.", "content": {"application/json": {"schema": session}}});
    paths.insert(
        "/session".to_owned(),
        json!({
            "post": {
                "tags": ["session"],
                "summary": "Signs in with a key of the Admin API; sets the cookie `tollgate_session`.",
                "security": [],
                "requestBody": {"required": true, "content": {"application/json": {"schema": {
                    "type": "object",
                    "additionalProperties": false,
                    "properties": {
                        "key": {"type": "string", "description": "a key of the Admin API"},
                        "code": {"type": "string", "description": "in place of a key: what stands behind `#code=` of the address that a gateway has printed"},
                    },
                }}}},
                "responses": {
                    "200": told,
                    "400": {"$ref": "#/components/responses/refused"},
                    "401": {"$ref": "#/components/responses/unauthorized"},
                    "429": {"$ref": "#/components/responses/throttled"},
                },
            },
            "get": {
                "tags": ["session"],
                "summary": "Says who is signed in.",
                "responses": {"200": told, "401": {"$ref": "#/components/responses/unauthorized"}},
            },
            "delete": {
                "tags": ["session"],
                "summary": "Signs out.",
                "responses": {
                    "200": {"description": "Nobody is signed in here any more; the provider still knows the person.", "content": {"application/json": {"schema": {
                        "type": "object",
                        "properties": {"sign_out_at": {"type": "string", "description": "where to sign out of the provider too"}},
                    }}}},
                    "204": {"description": "Nobody is signed in any more."},
                    "403": {"$ref": "#/components/responses/forbidden"},
                },
            },
        }),
    );
    let redirect = |summary: &str, responses: Value| json!({"get": {"tags": ["session"], "summary": summary, "security": [], "responses": responses}});
    let mut start = redirect(
        "Sends a browser to the OpenID Connect provider.",
        json!({
            "302": {"description": "To the provider."},
            "303": {"description": "The provider cannot be used; a browser is led back to the dashboard, which says why."},
            "404": {"$ref": "#/components/responses/unknown"},
            "502": {"description": "The provider cannot be used.", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/error"}}}},
        }),
    );
    start["get"]["parameters"] = json!([{
        "name": "return",
        "in": "query",
        "description": "page of the dashboard to be led to, such as `/ui/calls`",
        "schema": {"type": "string"},
    }]);
    paths.insert("/session/oidc/start".to_owned(), start);
    let callback = redirect(
        "Where the provider sends the browser back to: signs in and leads on.",
        json!({
            "200": {"description": "Signed in; the page leads on.", "content": {"text/html": {}}},
            "303": {"description": "Not signed in; a browser is led back to the dashboard, which says why."},
            "403": {"description": "Not signed in; the page says why.", "content": {"text/html": {}}},
        }),
    );
    paths.insert("/session/oidc/callback".to_owned(), callback);
}
