//! `/tollgate/v1/explain`: what would become of a call.

use std::sync::Arc;

use axum::body::Body;
use http::request::Parts;
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use tollgate_gateway::{ExplainError, Question};

use super::{Asked, Problem};
use crate::admin::{Admin, DataPlane};
use crate::answer::Answer;
use crate::body;
use crate::playground;

/// The largest question, in bytes: a call's body may be as long as calls may be.
const LIMIT: usize = 64 * 1024 * 1024;

impl<D: DataPlane> Admin<D> {
    /// Explains a call.
    pub(super) async fn explain(
        self: &Arc<Self>,
        asked: &Asked<'_>,
        parts: &Parts,
        body: Body,
    ) -> Result<Answer, Problem> {
        if asked.method != Method::POST {
            return Err(Problem::method("POST"));
        }
        asked.only_parameters(&[])?;
        if !asked.actor.reads_all() {
            return Err(Problem::forbidden(
                "what other teams have may be told; ask an administrator",
            ));
        }
        let bytes = body::read(&parts.headers, body, LIMIT).await?;
        let mut question = body::json(&bytes)?.unwrap_or_default();
        let as_guest = question
            .as_object_mut()
            .and_then(|members| members.remove("playground"));
        let mut question =
            Question::of_json(question).map_err(|error| Problem::invalid(error.field, error.problem))?;
        if as_guest == Some(Value::Bool(true)) {
            question.guest = Some(Arc::new(playground::person(&asked.actor)));
        }
        // As with questions about usage: a few at a time, on threads of their own.
        let permit = self.asking.clone().acquire_owned().await;
        let admin = self.clone();
        let told = tokio::task::spawn_blocking(move || {
            let told = admin.data_plane.explain(question);
            drop(permit);
            told
        });
        let told = told.await.map_err(|error| internal(&error))?;
        match told {
            Ok(told) => Ok(Answer::json(StatusCode::OK, told)),
            Err(error @ ExplainError::Request(_)) => Err(Problem::invalid("path", error.to_string())),
            Err(error @ ExplainError::Late) => Err(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too_slow",
                error.to_string(),
            )),
            Err(ExplainError::System(error)) => Err(internal(&error)),
        }
    }
}

fn internal(error: &dyn std::fmt::Display) -> Problem {
    tracing::error!(%error, "a call could not be explained");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "the log says why")
}

/// Describes the path.
pub(super) fn describe(paths: &mut Map<String, Value>) {
    let refused = |response: &str| json!({"$ref": format!("#/components/responses/{response}")});
    paths.insert(
        "/explain".to_owned(),
        json!({"post": {
            "summary": "What would become of a call, without sending it",
            "requestBody": {"required": true, "content": {"application/json": {"schema": {
                "type": "object",
                "required": ["path"],
                "additionalProperties": false,
                "properties": {
                    "method": {"type": "string", "default": "POST"},
                    "path": {"type": "string", "description": "path and query"},
                    "headers": {"type": "object", "description": "texts, or lists of them"},
                    "body": {"description": "JSON, or a text that is taken as it is"},
                    "client": {"type": "string", "default": "127.0.0.1", "description": "the client's IP address"},
                    "tls": {"type": "boolean", "default": false},
                    "playground": {"type": "boolean", "default": false, "description": "as the playground calls for who asks, without a key"},
                },
            }}}},
            "responses": {
                "200": {
                    "description": "Route, consumer, plugins, limits, models with their instances, losses, the request that would be sent (secrets as `***`), and the answer that the gateway would give itself.",
                    "content": {"application/json": {"schema": {"type": "object", "properties": {
                        "route": {"type": ["object", "null"]},
                        "consumer": {"type": ["string", "null"]},
                        "credential": {"type": ["string", "null"]},
                        "dialect": {"type": ["string", "null"]},
                        "operation": {"type": ["string", "null"]},
                        "model": {"type": ["string", "null"]},
                        "stream": {"type": ["boolean", "null"]},
                        "estimated_input_tokens": {"type": "integer"},
                        "answer_headers": {"type": "object", "description": "what limits have left, as the client is told it"},
                        "plugins": {"type": "array"},
                        "models": {"type": "array", "description": "in the order in which they are tried"},
                        "request": {"type": ["object", "null"]},
                        "losses": {"type": "array"},
                        "answer": {"type": "object"},
                        "error_code": {"type": "string"},
                        "notes": {"type": "array", "items": {"type": "string"}},
                    }}}},
                },
                "400": refused("refused"), "401": refused("unauthorized"), "403": refused("forbidden"),
            },
        }}),
    );
}
