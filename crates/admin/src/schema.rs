//! The schemas of objects, and checking a value against one without storing it.

use http::StatusCode;
use serde_json::Value;
use tollgate_resources::objects::Kind;
use tollgate_resources::objects::schema;

use crate::answer::Answer;
use crate::errors::Refusal;

/// `GET /schema/{name}`.
pub(crate) fn show(name: &str) -> Result<Answer, Refusal> {
    Kind::ALL
        .into_iter()
        .find(|kind| kind.place().schema == name)
        .map(|kind| Answer::json(StatusCode::OK, schema::kind(kind).clone()))
        .ok_or_else(|| Refusal::Invalid(format!("not found schema: {name}")))
}

/// `POST /schema/validate/{collection}`: the schema alone, neither plugins nor references.
pub(crate) fn validate(collection: &str, value: Option<&Value>) -> Result<Answer, Refusal> {
    let kind = match collection {
        "credentials" => Some(Kind::Credential),
        other => Kind::of_collection(other),
    };
    let kind = kind.ok_or_else(|| Refusal::NoKind(collection.to_owned()))?;
    let value = value.unwrap_or(&Value::Null);
    schema::checker(kind).check(value).map_err(Refusal::Invalid)?;
    Ok(Answer::empty(StatusCode::OK))
}
