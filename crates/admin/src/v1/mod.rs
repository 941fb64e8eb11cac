//! Our own paths, below `/tollgate/v1/`: one file per area. Usage is older and has its own texts ([`crate::usage`]).
//!
//! A request is known by its sender (an [`Actor`]) before an area sees it, except for `session`, which is how a browser
//! becomes known. An area reads what it needs of the [`Asked`] and answers, or says a [`Problem`].

mod audit;
mod explain;
mod governance;
mod instances;
mod openapi;
mod parameter;
mod plan;
mod problem;
mod session;
mod versions;
mod watch;

use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Map, Value};

pub(crate) use governance::Reach;
pub use instances::kept_standings;
pub(crate) use problem::Problem;

use crate::actor::Actor;
use crate::admin::{Admin, DataPlane};
use crate::answer::Answer;
use crate::body;
use crate::query::Query;
use crate::settings::Role;

/// A request below `/tollgate/v1/`.
#[allow(dead_code, reason = "not every area needs all of it")]
pub(crate) struct Asked<'a> {
    /// Who sends it.
    pub(crate) actor: Actor,
    /// Its method.
    pub(crate) method: &'a Method,
    /// The segments of its path after `/tollgate/v1/`, decoded.
    pub(crate) path: Vec<&'a str>,
    /// Its parameters.
    pub(crate) query: &'a Query,
    /// Its headers.
    pub(crate) headers: &'a HeaderMap,
}

impl Asked<'_> {
    /// Refuses parameters that are not among these.
    pub(crate) fn only_parameters(&self, known: &[&str]) -> Result<(), Problem> {
        for (name, _) in self.query.iter() {
            if name != "api_key" && !known.contains(&name) {
                let known = known.join(", ");
                let message = if known.is_empty() {
                    format!("there is no parameter `{name}`; this path has none")
                } else {
                    format!("there is no parameter `{name}`; the parameters are {known}")
                };
                return Err(Problem::invalid(name, message));
            }
        }
        Ok(())
    }
}

/// Whether a path belongs to this.
pub(crate) fn is_ours(segments: &[String]) -> bool {
    matches!(segments, [first, second, ..] if first == "tollgate" && second == "v1")
}

impl<D: DataPlane> Admin<D> {
    /// Answers a request below `/tollgate/v1/`.
    pub(crate) async fn v1(
        self: &Arc<Self>,
        client: IpAddr,
        parts: &Parts,
        segments: &[String],
        body: Body,
    ) -> Result<Answer, Problem> {
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let path: Vec<&str> = segments.iter().skip(2).map(String::as_str).collect();
        if let ["session", rest @ ..] = path.as_slice() {
            return self.session(client, parts, rest, &query, body).await;
        }
        let actor = self.actor(client, &parts.method, &parts.headers, &query)?;
        // An explanation changes nothing; its question has a body, though.
        // What the playground calls changes nothing either; it says itself who may use it.
        let reads = matches!(parts.method, Method::GET | Method::HEAD)
            || path == ["explain"]
            || path.first() == Some(&"playground");
        if actor.role == Role::Viewer && !reads {
            return Err(Problem::forbidden("the role viewer may only read"));
        }
        let asked = Asked {
            actor,
            method: &parts.method,
            path,
            query: &query,
            headers: &parts.headers,
        };
        match asked.path.as_slice() {
            ["openapi.json"] => {
                let Method::GET = *asked.method else {
                    return Err(Problem::method("GET"));
                };
                asked.only_parameters(&[])?;
                Ok(Answer::json(StatusCode::OK, openapi::document()))
            }
            ["instances", rest @ ..] => self.instances(&asked, rest).await,
            ["calls", rest @ ..] => {
                let path = ["tollgate", "v1", "usage", "calls"].iter().chain(rest);
                let path: Vec<String> = path.map(|segment| (*segment).to_owned()).collect();
                Ok(self.usage(&asked.actor, asked.method, &path, asked.query).await?)
            }
            ["explain"] => self.explain(&asked, parts, body).await,
            ["audit", ..] => self.audit(&asked).await,
            ["versions", ..] => self.versions(&asked).await,
            ["plan"] => self.plan(&asked, parts, body).await,
            ["status" | "live" | "overview" | "logs"] => self.watch(&asked).await,
            ["playground", _, ..] => self.playground(&asked, parts, body).await,
            path if governance::is_ours(path) => {
                // Boxed: it holds a body for as long as it is read.
                Box::pin(self.governance(&asked, parts, body)).await
            }
            _ => Err(Problem::unknown(
                "there is no such path; GET /tollgate/v1/openapi.json lists those that there are",
            )),
        }
    }

    /// Reads the body of a request as an object with no other members than these. No body is one without members.
    pub(crate) async fn members(
        &self,
        parts: &Parts,
        body: Body,
        known: &[&str],
    ) -> Result<Map<String, Value>, Problem> {
        let bytes = body::read(&parts.headers, body, self.settings.body_limit).await?;
        let value = match body::json(&bytes)? {
            None => Map::new(),
            Some(Value::Object(members)) => members,
            Some(other) => {
                return Err(Problem::new(
                    StatusCode::BAD_REQUEST,
                    "invalid",
                    format!("the body is a JSON object, not a {}", body::type_word(&other)),
                ));
            }
        };
        match value.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(Problem::invalid(
                name.as_str(),
                format!(
                    "there is no member `{name}`; the members are {}",
                    known.join(", ")
                ),
            )),
            None => Ok(value),
        }
    }
}
