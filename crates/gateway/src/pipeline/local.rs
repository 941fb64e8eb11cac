//! What the gateway answers by itself: the models a caller may use, and token counts where the provider has none.

use http::{HeaderValue, StatusCode};
use tollgate_dialects::canonical::{DecodeError, ErrorKind, Ext, TokenCount};
use tollgate_dialects::{Dialect, count_tokens, estimate, models};

use super::answer::Answer;
use super::ask::Asked;
use super::choose::unknown_model;
use super::head::Head;
use super::identify::Caller;
use crate::error::CallError;
use crate::snapshot::Route;

/// The models this caller may use. Names with `*` stand for too many to list.
pub fn list_models(route: &Route, caller: &Caller, head: &Head) -> Answer {
    let models: Vec<models::Model<'_>> = route
        .models
        .names
        .iter()
        .filter(|name| !name.contains('*') && caller.access_to(name).is_some())
        .map(|name| model(route, name))
        .collect();
    Answer::json(StatusCode::OK, models::write_list(listed_in(head), &models))
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
        models::write_model(listed_in(head), &model(route, id)),
    ))
}

/// How the client's dialect lists models. Amazon's has no address for that here.
fn listed_in(head: &Head) -> models::Dialect {
    models::Dialect::of(head.dialect).unwrap_or(models::Dialect::Openai)
}

fn model<'a>(route: &Route, name: &'a str) -> models::Model<'a> {
    let owner = route
        .models
        .find(name)
        .and_then(|model| model.pool.instances().first())
        .map_or("tollgate", |instance| instance.provider);
    models::Model {
        name,
        owner,
        used_for: use_of(name),
        ..models::Model::default()
    }
}

/// What a model does, as far as its name tells it: vendors name theirs so.
fn use_of(name: &str) -> models::Use {
    if name.contains("embed") {
        models::Use::Embeddings
    } else if name.contains("rerank") {
        models::Use::Rerank
    } else {
        models::Use::Chat
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
