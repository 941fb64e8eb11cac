//! The description of our own paths for tools, in OpenAPI 3.1. Each area describes its own.

use serde_json::{Map, Value, json};

use super::{audit, explain, governance, instances, plan, session, versions, watch};
use crate::usage;

/// The whole document.
pub(crate) fn document() -> Value {
    let mut paths = Map::new();
    session::describe(&mut paths);
    instances::describe(&mut paths);
    explain::describe(&mut paths);
    audit::describe(&mut paths);
    versions::describe(&mut paths);
    plan::describe(&mut paths);
    watch::describe(&mut paths);
    governance::describe(&mut paths);
    usage::describe(&mut paths);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tollgate API",
            "version": "1",
            "summary": "What a gateway tells and takes beside APISIX's Admin API.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/tollgate/v1"}],
        "security": [{"key": []}, {"session": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-API-KEY"},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "tollgate_session",
                    "description": "Writes also need the header `x-tollgate-csrf`, whose value `GET /session` gives.",
                },
            },
            "schemas": {"error": error()},
            "responses": {
                "refused": refusal("The request is wrong; nothing was changed."),
                "unauthorized": refusal("Nobody knows who sends it."),
                "forbidden": refusal("The sender's role does not allow it."),
                "unknown": refusal("There is no such thing."),
                "changed": refusal("It is not what `If-Match` says."),
                "conflict": refusal("It contradicts something that is there."),
                "throttled": refusal("Too many wrong keys; `Retry-After` says when to try again."),
                "full": refusal("The store has no room; nothing was changed."),
                "unavailable": refusal("The store cannot do it now."),
            },
        },
    })
}

fn error() -> Value {
    json!({
        "type": "object",
        "required": ["error"],
        "properties": {"error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "string", "description": "for programs; never changes"},
                "message": {"type": "string", "description": "for people; says what to do instead"},
                "field": {"type": "string", "description": "the member or parameter that is wrong"},
            },
        }},
    })
}

fn refusal(description: &str) -> Value {
    json!({
        "description": description,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/error"}}},
    })
}
