//! Which request is answered by what. The order in which a request can fail is APISIX's: address, key, kind of object,
//! method, body, parameters, then the object itself.

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::request::Parts;
use http::{Method, Request, StatusCode};

use crate::actor::Actor;
use crate::admin::{Admin, DataPlane};
use crate::answer::Answer;
use crate::condition::Condition;
use crate::errors::Refusal;
use crate::objects;
use crate::observe;
use crate::openapi;
use crate::plugins;
use crate::query::{Query, segments};
use crate::schema;
use crate::settings::Mode;
use crate::target::Target;
use crate::{auth, body, status, ui, usage, v1};

use tollgate_resources::objects::Kind;

/// The largest whole configuration that is read, in bytes. APISIX has no limit here.
const DOCUMENT_LIMIT: usize = 64 * 1024 * 1024;

impl<D: DataPlane> Admin<D> {
    /// Answers a request of a client at an address.
    pub async fn respond(self: &Arc<Self>, client: IpAddr, request: Request<Body>) -> Response {
        let (parts, body) = request.into_parts();
        let answer = match self.dispatch(client, &parts, body).await {
            Ok(answer) => answer,
            Err(refusal) => {
                // The text may repeat what was sent, so only its kind is logged.
                tracing::debug!(
                    method = %parts.method,
                    path = parts.uri.path(),
                    status = refusal.status().as_u16(),
                    "the Admin API refused a request"
                );
                Answer::from(refusal)
            }
        };
        answer.finish(&self.settings)
    }

    async fn dispatch(
        self: &Arc<Self>,
        client: IpAddr,
        parts: &Parts,
        body: Body,
    ) -> Result<Answer, Refusal> {
        auth::address(&self.settings, client)?;
        let segments = segments(parts.uri.path());
        let method = &parts.method;
        if segments.first().is_some_and(|first| first == "status") {
            return status::answer(method, &segments, || self.data_plane.ready());
        }
        if observe::is_metrics(&segments) {
            return observe::metrics(
                method,
                &self.data_plane,
                observe::own_metrics(self.wrong_keys.count()),
            );
        }
        if ui::is_ui(&segments, &parts.headers) {
            return ui::answer(parts, &segments);
        }
        auth::page(&self.settings, &parts.headers)?;
        if observe::is_health(&segments) {
            let query = Query::parse(parts.uri.query().unwrap_or_default());
            let actor = self.actor(client, method, &parts.headers, &query)?;
            auth::may_objects(&actor, method)?;
            return observe::health(parts, &segments, &self.data_plane, self.settings.strict);
        }
        if usage::is_usage(&segments) {
            let query = Query::parse(parts.uri.query().unwrap_or_default());
            let actor = self.actor(client, method, &parts.headers, &query)?;
            auth::may(&actor, method)?;
            return self.usage(&actor, method, &segments, &query).await;
        }
        if v1::is_ours(&segments) {
            let answer = self.v1(client, parts, &segments, body).await;
            return Ok(answer.unwrap_or_else(Answer::from));
        }
        let [first, second, rest @ ..] = segments.as_slice() else {
            return Err(Refusal::NoPath);
        };
        if first != "apisix" || second != "admin" {
            return Err(Refusal::NoPath);
        }
        if method == Method::OPTIONS && self.settings.cors {
            return Ok(Answer::preflight());
        }
        if method == Method::HEAD && rest.is_empty() {
            return Ok(Answer::empty(StatusCode::OK));
        }
        let path: Vec<&str> = rest.iter().map(String::as_str).collect();
        let is_known =
            matches!(
                *method,
                Method::GET | Method::PUT | Method::POST | Method::PATCH | Method::DELETE
            ) || (method == Method::HEAD && path == ["configs"] && self.settings.mode == Mode::ApiDriven);
        if !is_known || path.is_empty() {
            return Err(Refusal::NoPath);
        }
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let actor = self.actor(client, method, &parts.headers, &query)?;
        auth::may_objects(&actor, method)?;
        if let Some(answer) = self.describe(method, &path, &query) {
            return answer;
        }
        match (method.as_str(), path.as_slice()) {
            ("POST", ["configs", "validate"]) => {
                let body = self.read_body(parts, body).await?;
                self.validate_document(&parts.headers, &body)
            }
            (_, ["configs"]) if self.settings.mode == Mode::ApiDriven => {
                self.configs(actor, parts, body).await
            }
            ("POST", ["schema", "validate", collection]) => {
                let body = self.read_body(parts, body).await?;
                schema::validate(collection, body::json(&body)?.as_ref())
            }
            // What is left of these two was asked for by a method they do not know.
            (_, ["plugins" | "schema", ..]) => Err(Refusal::NoMethod),
            _ if self.settings.mode == Mode::ApiDriven => Err(Refusal::NoPath),
            _ => self.object(actor, parts, rest, body, &query).await,
        }
    }

    /// Usage and calls, as far as somebody may be told of them.
    pub(crate) async fn usage(
        &self,
        actor: &Actor,
        method: &Method,
        segments: &[String],
        query: &Query,
    ) -> Result<Answer, Refusal> {
        let (reader, reach) = (self.data_plane.usage(), self.reach(actor));
        usage::answer(method, segments, query, reader, reach, self.now_s(), &self.asking).await
    }

    /// What is told about plugins, schemas and the API itself; `None` for anything else.
    fn describe(&self, method: &Method, path: &[&str], query: &Query) -> Option<Result<Answer, Refusal>> {
        let is_get = method == Method::GET;
        Some(match path {
            ["plugins", "reload"] if method == Method::PUT => Ok(Answer::text(StatusCode::OK, "done")),
            ["plugins", "reload"] => Err(Refusal::NotAllowed(format!(
                "please use PUT method to reload the plugins, {method} method is not allowed."
            ))),
            ["plugins", "list"] if is_get => plugins::names(&self.registry, query),
            ["plugins", rest @ ..] | ["schema", "plugins", rest @ ..] if is_get => {
                plugins::describe(&self.registry, rest.first().copied(), query)
            }
            ["schema", name, ..] if is_get => schema::show(name),
            ["openapi.json"] if is_get => Ok(Answer::json(StatusCode::OK, openapi::document())),
            _ => return None,
        })
    }

    async fn configs(self: &Arc<Self>, actor: Actor, parts: &Parts, body: Body) -> Result<Answer, Refusal> {
        match parts.method {
            Method::HEAD => Ok(self.head_document()),
            Method::GET => self.show_document(&parts.headers),
            Method::PUT => {
                let limit = self.settings.body_limit.max(DOCUMENT_LIMIT);
                let body = body::read(&parts.headers, body, limit).await?;
                let (admin, headers) = (Arc::clone(self), parts.headers.clone());
                self.finish(async move { admin.put_document(&actor, &headers, &body).await })
                    .await?
            }
            _ => Err(Refusal::NoPath),
        }
    }

    /// One object, or a collection.
    async fn object(
        self: &Arc<Self>,
        actor: Actor,
        parts: &Parts,
        segments: &[String],
        body: Body,
        query: &Query,
    ) -> Result<Answer, Refusal> {
        if segments.first().is_some_and(|first| first == "stream_routes") {
            return Err(Refusal::Invalid(
                "stream mode is disabled, can not add stream routes".to_owned(),
            ));
        }
        let target = Target::parse(segments)?;
        let method = parts.method.clone();
        let body = body::json(&self.read_body(parts, body).await?)?;
        let ttl_s = objects::ttl(query)?;
        refuse_method(&method, target.kind)?;
        // APISIX overlooks the rest of the path and replaces or deletes the whole object.
        let has_rest =
            !target.part.is_empty() && matches!(method, Method::PUT | Method::POST | Method::DELETE);
        if has_rest && !self.settings.strict {
            return Err(Refusal::NoMethod);
        }
        if method == Method::GET {
            return self.read(&target, query);
        }
        let force = query.first("force") == Some("true");
        // APISIX does not know conditions.
        let condition = if self.settings.strict {
            None
        } else {
            Condition::read(&parts.headers)?
        };
        let admin = Arc::clone(self);
        let write = async move {
            match method {
                Method::PUT => admin.put(&actor, &target, body, ttl_s, condition).await,
                Method::POST => admin.post(&actor, &target, body, ttl_s).await,
                Method::PATCH => admin.patch(&actor, &target, body, ttl_s, condition).await,
                Method::DELETE => admin.delete(&actor, &target, force, condition).await,
                _ => Err(Refusal::NoMethod),
            }
        };
        self.finish(write).await?
    }

    async fn read_body(&self, parts: &Parts, body: Body) -> Result<Vec<u8>, Refusal> {
        body::read(&parts.headers, body, self.settings.body_limit).await
    }
}

/// Refuses methods that a kind of object does not have.
fn refuse_method(method: &Method, kind: Kind) -> Result<(), Refusal> {
    let has_post = matches!(
        kind,
        Kind::Route | Kind::Service | Kind::Upstream | Kind::Ssl | Kind::Proto
    );
    let has_patch = !matches!(kind, Kind::Consumer | Kind::Credential | Kind::PluginMetadata);
    let missing = (method == Method::POST && !has_post) || (method == Method::PATCH && !has_patch);
    if missing {
        return Err(Refusal::Method {
            method: method.to_string(),
            word: kind.place().word,
        });
    }
    Ok(())
}
