//! What the gateway answers by itself: the models a caller may use, and token counts where the provider has none.

use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};
use tollgate_dialects::canonical::{DecodeError, ErrorKind, Ext, TokenCount};
use tollgate_dialects::{Dialect, count_tokens, estimate};

use super::answer::Answer;
use super::ask::Asked;
use super::choose::unknown_model;
use super::head::Head;
use super::identify::Caller;
use crate::error::CallError;
use crate::snapshot::Route;

/// The models this caller may use. Names with `*` stand for too many to list.
pub fn list_models(route: &Route, caller: &Caller, head: &Head) -> Answer {
    let names = route
        .models
        .names
        .iter()
        .filter(|name| !name.contains('*') && caller.access_to(name).is_some());
    let models: Vec<Value> = names.map(|name| model(route, head.dialect, name)).collect();
    let body = match head.dialect {
        Dialect::OpenaiChat | Dialect::OpenaiResponses | Dialect::BedrockConverse => {
            json!({ "object": "list", "data": models })
        }
        Dialect::AnthropicMessages => json!({
            "first_id": models.first().map(|model| model["id"].clone()),
            "last_id": models.last().map(|model| model["id"].clone()),
            "has_more": false,
            "data": models,
        }),
        Dialect::Gemini | Dialect::CohereChat => json!({ "models": models }),
    };
    Answer::json(StatusCode::OK, body.to_string())
}

/// One model, if this caller may use it.
///
/// # Errors
/// 404 if it does not exist or the caller may not use it.
pub fn show_model(route: &Route, caller: &Caller, head: &Head, id: &str) -> Result<Answer, CallError> {
    if route.models.find(id).is_none() || caller.access_to(id).is_none() {
        return Err(unknown_model(route, id));
    }
    Ok(Answer::json(
        StatusCode::OK,
        model(route, head.dialect, id).to_string(),
    ))
}

fn model(route: &Route, dialect: Dialect, name: &str) -> Value {
    let owner = route
        .models
        .find(name)
        .and_then(|model| model.pool.instances().first())
        .map_or("tollgate", |instance| instance.provider);
    match dialect {
        // Providers' own creation times are not known here; the field is required, and SDKs read 0 as "unknown".
        Dialect::OpenaiChat | Dialect::OpenaiResponses | Dialect::BedrockConverse => {
            json!({ "id": name, "object": "model", "created": 0, "owned_by": owner })
        }
        Dialect::CohereChat => json!({ "name": name, "endpoints": ["chat"], "finetuned": false }),
        Dialect::AnthropicMessages => {
            json!({
                "type": "model",
                "id": name,
                "display_name": name,
                "created_at": "1970-01-01T00:00:00Z",
                "lifecycle": "active",
            })
        }
        Dialect::Gemini => json!({ "name": format!("models/{name}"), "displayName": name }),
    }
}

/// Counts the tokens of a request by our own estimate, and says so.
///
/// # Errors
/// 400 for a request that is not what the dialect allows.
pub fn estimate_tokens(dialect: Dialect, asked: &Asked) -> Result<Answer, CallError> {
    let invalid = |error: DecodeError| {
        CallError::client(
            StatusCode::BAD_REQUEST,
            ErrorKind::BadRequest,
            "invalid_request",
            error.to_string(),
        )
        .at(error.path)
    };
    let request = count_tokens::decode_request(dialect, asked.text()).map_err(invalid)?;
    let count = TokenCount {
        origin: dialect,
        total: estimate::request_tokens(&request),
        cached: None,
        ext: Ext::default(),
    };
    let body = count_tokens::encode_response(dialect, &count).map_err(invalid)?;
    let mut answer = Answer::json(StatusCode::OK, body);
    answer
        .headers
        .insert("x-tollgate-estimated", HeaderValue::from_static("true"));
    Ok(answer)
}
