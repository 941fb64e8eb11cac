//! What the body of a request asks for, found by scanning, not by building a tree.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tollgate_dialects::canonical::ErrorKind;
use tollgate_dialects::scan::{Members, nested, scan};
use tollgate_dialects::{Dialect, embeddings, rerank};
use tollgate_resources::model::Compat;

use super::head::{Endpoint, Head, is_cohere};
use crate::error::CallError;
use crate::snapshot::Route;

/// Longest name of a model a client may ask for, in bytes. It is repeated in errors, headers and the log; no configured
/// name is as long.
pub const MAX_MODEL_BYTES: usize = 256;

/// A request body with the few facts that routing needs.
pub struct Asked {
    /// The body as the client sent it: checked to be one JSON object in UTF-8.
    pub body: Bytes,
    /// Where its top-level members stand.
    pub members: Members,
    /// The model the client names.
    pub model: Arc<str>,
    /// Whether the client wants a stream.
    pub stream: bool,
    /// Whether the client asked for usage in an OpenAI stream.
    pub include_usage: bool,
    /// Whether the gateway keeps the answer, so that the conversation can go on anywhere.
    pub is_kept: bool,
}

impl Asked {
    /// Checks a body and reads what routing needs.
    ///
    /// # Errors
    /// 400 for what is not JSON, has no model, or has members of a wrong type.
    pub fn read(head: &Head, route: &Route, body: Bytes) -> Result<Self, CallError> {
        let demo = route.models.compat == Compat::NginxDemo;
        let members = scan(&body).map_err(|error| {
            let message = if demo {
                "Invalid JSON in request body".to_owned()
            } else {
                format!("the request body is not valid JSON: {error}")
            };
            bad_request("invalid_json", message)
        })?;
        let model = match &head.model {
            Some(model) => model.as_str().into(),
            None => named_model(&members, &body, demo)?,
        };
        if model.len() > MAX_MODEL_BYTES {
            let message = format!("`model` is longer than {MAX_MODEL_BYTES} bytes");
            return Err(bad_request("model_too_long", message).at("model"));
        }
        let stream = match head.stream {
            Some(stream) => stream,
            None => wants_stream(&members, &body)?,
        };
        let include_usage = members
            .value(&body, "stream_options")
            .and_then(|options| nested(options, "include_usage"))
            .is_some_and(|value| value == "true");
        match head.endpoint {
            Endpoint::Chat(Dialect::OpenaiChat | Dialect::AnthropicMessages | Dialect::CohereChat)
            | Endpoint::CountTokens(Dialect::AnthropicMessages) => {
                require_array(&members, &body, "messages")?;
            }
            Endpoint::Embeddings(embeddings::Dialect::Openai) if !members.has(&body, "input") => {
                return Err(bad_request(
                    "input_missing",
                    "`input` is missing; give a text or a list of texts",
                )
                .at("input"));
            }
            _ => {}
        }
        if head.dialect == Dialect::OpenaiChat {
            require_object_or_null(&members, &body, "stream_options")?;
        }
        Ok(Asked {
            body,
            members,
            model,
            stream: stream && matches!(head.endpoint, Endpoint::Chat(_) | Endpoint::Completions),
            include_usage,
            is_kept: false,
        })
    }

    /// Goes on with another body, which says the same about model and stream.
    ///
    /// # Errors
    /// It is no JSON object.
    pub fn replace(&mut self, body: Bytes) -> Result<(), CallError> {
        self.members = scan(&body).map_err(|error| {
            bad_request(
                "invalid_json",
                format!("the request with its conversation is not valid JSON: {error}"),
            )
        })?;
        self.body = body;
        Ok(())
    }

    /// The body as text.
    pub fn text(&self) -> &str {
        // The scan has checked that it is UTF-8; an empty text would be refused by every decoder.
        std::str::from_utf8(&self.body).unwrap_or_default()
    }
}

/// The head with the endpoint that the body tells more precisely: several APIs share an address.
///
/// # Errors
/// 400 for a call of a model on Bedrock in a format we do not know.
pub fn told_by_body<'a>(
    head: &'a Head,
    asked: &Asked,
    headers: &HeaderMap,
) -> Result<Cow<'a, Head>, CallError> {
    let has = |names: &[&str]| names.iter().any(|name| asked.members.has(&asked.body, name));
    let endpoint = match head.endpoint {
        Endpoint::Embeddings(embeddings::Dialect::Openai) if has(&["input_type", "truncation"]) => {
            Endpoint::Embeddings(embeddings::Dialect::Voyage)
        }
        Endpoint::Embeddings(embeddings::Dialect::Openai) if has(&["output_dimension", "output_dtype"]) => {
            Endpoint::Embeddings(embeddings::Dialect::Mistral)
        }
        Endpoint::Rerank(rerank::Dialect::Jina) if has(&["top_k", "truncation"]) => {
            Endpoint::Rerank(rerank::Dialect::Voyage)
        }
        Endpoint::Rerank(rerank::Dialect::Jina)
            if has(&["rank_fields", "max_chunks_per_doc"]) || is_cohere(headers) =>
        {
            Endpoint::Rerank(rerank::Dialect::CohereV1)
        }
        Endpoint::Invoke if has(&["inputText", "inputImage"]) => {
            Endpoint::Embeddings(embeddings::Dialect::BedrockTitan)
        }
        Endpoint::Invoke if has(&["query"]) && has(&["documents"]) => {
            Endpoint::Rerank(rerank::Dialect::BedrockCohere)
        }
        Endpoint::Invoke if has(&["texts", "images", "inputs"]) => {
            Endpoint::Embeddings(embeddings::Dialect::BedrockCohere)
        }
        Endpoint::Invoke => {
            return Err(bad_request(
                "unsupported_endpoint",
                "this body is for none of the models that are served here; use Converse for chat",
            ));
        }
        _ => return Ok(Cow::Borrowed(head)),
    };
    let dialect = match &endpoint {
        Endpoint::Embeddings(dialect) => dialect.chat(),
        Endpoint::Rerank(dialect) => dialect.chat(),
        _ => head.dialect,
    };
    Ok(Cow::Owned(Head {
        endpoint,
        dialect,
        ..head.clone()
    }))
}

fn named_model(members: &Members, body: &[u8], demo: bool) -> Result<Arc<str>, CallError> {
    match members.string(body, "model") {
        Some(Ok(model)) if !model.is_empty() => Ok(model.into()),
        Some(Err(_)) if !demo => Err(wrong_type("model", "a string")),
        _ if demo => Err(bad_request("model_missing", "Model not specified in request")),
        _ => Err(bad_request("model_missing", "`model` is missing; name the model to use").at("model")),
    }
}

fn wants_stream(members: &Members, body: &[u8]) -> Result<bool, CallError> {
    match members.value(body, "stream") {
        None | Some("false" | "null") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(wrong_type("stream", "true or false")),
    }
}

fn require_array(members: &Members, body: &[u8], name: &'static str) -> Result<(), CallError> {
    match members.raw(body, name) {
        Some(value) if value.starts_with(b"[") => Ok(()),
        Some(_) => Err(wrong_type(name, "an array")),
        None => Err(bad_request(
            "messages_missing",
            format!("`{name}` is missing; it must be an array of messages"),
        )
        .at(name)),
    }
}

fn require_object_or_null(members: &Members, body: &[u8], name: &'static str) -> Result<(), CallError> {
    match members.value(body, name) {
        None | Some("null") => Ok(()),
        Some(value) if value.starts_with('{') => Ok(()),
        Some(_) => Err(wrong_type(name, "an object")),
    }
}

fn wrong_type(name: &'static str, expected: &str) -> CallError {
    bad_request("invalid_type", format!("`{name}` must be {expected}")).at(name)
}

fn bad_request(code: &'static str, message: impl Into<Cow<'static, str>>) -> CallError {
    CallError::client(StatusCode::BAD_REQUEST, ErrorKind::BadRequest, code, message)
}
