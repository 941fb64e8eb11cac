//! The description of the Admin API for tools: an OpenAPI 3.1 document, built from the schemas that are checked.

use serde_json::{Map, Value, json};
use tollgate_resources::objects::{Kind, schema};

use crate::settings::APISIX_VERSION;
use crate::usage;

/// The document. It is the same for every configuration of the Admin API.
pub fn document() -> Value {
    let mut paths = Map::new();
    for kind in Kind::ALL {
        if kind != Kind::StreamRoute {
            add_kind(&mut paths, kind);
        }
    }
    add_rest(&mut paths);
    usage::describe(&mut paths);
    let mut schemas: Map<String, Value> = Kind::ALL
        .into_iter()
        .filter(|kind| *kind != Kind::StreamRoute)
        .map(|kind| (kind.place().schema.to_owned(), schema::kind(kind).clone()))
        .collect();
    schemas.insert(
        "error".to_owned(),
        json!({
            "type": "object",
            "properties": {
                "error_msg": {"type": "string", "description": "what is wrong with the request"},
                "message": {"type": "string", "description": "`Key not found` where there is no such object"},
                "description": {"type": "string", "description": "why a key was refused"},
                "req_body": {"type": "string", "description": "a body that is no JSON, as it was sent"},
            },
        }),
    );
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Tollgate Admin API",
            "version": APISIX_VERSION,
            "summary": "Objects of the gateway, in the form of APISIX's Admin API v3.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/apisix/admin"}],
        "security": [{"header": []}, {"query": []}, {"cookie": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "header": {"type": "apiKey", "in": "header", "name": "X-API-KEY"},
                "query": {"type": "apiKey", "in": "query", "name": "api_key"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "x_api_key"},
            },
            "schemas": schemas,
            "responses": {
                "refused": {
                    "description": "The request is wrong; nothing was changed.",
                    "content": content("error"),
                },
                "unknown": {"description": "There is no such object.", "content": content("error")},
                "unauthorized": {"description": "No key, or one that does not open this.", "content": content("error")},
                "stale": {"description": "The object is not what `If-Match` or `If-None-Match` says.", "content": content("error")},
                "full": {"description": "The store has no room; nothing was changed.", "content": content("error")},
                "unavailable": {"description": "The store cannot do it now.", "content": content("error")},
            },
        },
    })
}

fn content(schema: &str) -> Value {
    json!({"application/json": {"schema": reference(schema)}})
}

fn reference(schema: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{schema}")})
}

/// The paths of a kind of object.
fn add_kind(paths: &mut Map<String, Value>, kind: Kind) {
    let place = kind.place();
    let (collection, parents) = match kind {
        Kind::Credential => ("/consumers/{username}/credentials".to_owned(), vec!["username"]),
        Kind::Secret => ("/secrets/{manager}".to_owned(), vec!["manager"]),
        _ => (format!("/{}", place.collection), Vec::new()),
    };
    let id = match kind {
        Kind::Consumer => "username",
        Kind::PluginMetadata => "plugin",
        _ => "id",
    };
    let tag = place.collection;
    let operation = |summary: String, success: Value| {
        let mut responses = json!({
            "400": {"$ref": "#/components/responses/refused"},
            "401": {"$ref": "#/components/responses/unauthorized"},
            "503": {"$ref": "#/components/responses/unavailable"},
        });
        if let (Some(responses), Value::Object(success)) = (responses.as_object_mut(), success) {
            responses.extend(success);
        }
        json!({"tags": [tag], "summary": summary, "responses": responses})
    };
    let body = |mut operation: Value, schema: Value| {
        operation["requestBody"] =
            json!({"required": true, "content": {"application/json": {"schema": schema}}});
        operation["parameters"] = json!([ttl()]);
        operation["responses"]["507"] = json!({"$ref": "#/components/responses/full"});
        operation
    };
    let conditional = |mut operation: Value, conditions: &[&str]| {
        if let Some(parameters) = operation["parameters"].as_array_mut() {
            parameters.extend(conditions.iter().map(|name| condition(name)));
        }
        operation["responses"]["412"] = json!({"$ref": "#/components/responses/stale"});
        operation
    };
    let written = |status: &str, description: &str| {
        json!({status: {
            "description": description,
            "content": {"application/json": {"schema": stored(place.schema, false)}},
        }})
    };
    let unknown = json!({"$ref": "#/components/responses/unknown"});

    let mut list = operation(
        format!("Lists every {}.", place.word),
        json!({"200": {
            "description": "The objects, oldest first.",
            "content": {"application/json": {"schema": {
                "type": "object",
                "properties": {
                    "total": {"type": "integer", "description": "how many pass the filters, on all pages"},
                    "list": {"type": "array", "items": stored(place.schema, true)},
                },
                "required": ["total", "list"],
            }}},
        }}),
    );
    list["parameters"] = list_parameters(kind);
    let mut whole = json!({"get": list});
    if matches!(
        kind,
        Kind::Route | Kind::Service | Kind::Upstream | Kind::Ssl | Kind::Proto
    ) {
        let post = operation(
            format!("Creates a {} under an id of the gateway's.", place.word),
            written("201", "Created."),
        );
        whole["post"] = body(post, reference(place.schema));
    }
    if kind != Kind::PluginMetadata && kind != Kind::Secret {
        let put = operation(
            format!("Creates or replaces the {} whose id is in the body.", place.word),
            merge(written("200", "Replaced."), written("201", "Created.")),
        );
        whole["put"] = conditional(body(put, reference(place.schema)), &CONDITIONS);
    }
    if !parents.is_empty() {
        whole["parameters"] = parents.iter().map(|name| path_parameter(name)).collect();
    }

    let mut get = operation(format!("Reads a {}.", place.word), json!({"404": unknown}));
    get["responses"]["200"] = json!({
        "description": "The object.",
        "content": {"application/json": {"schema": stored(place.schema, true)}},
    });
    let put = operation(
        format!("Creates or replaces a {}.", place.word),
        merge(written("200", "Replaced."), written("201", "Created.")),
    );
    let mut delete = operation(format!("Deletes a {}.", place.word), json!({"404": unknown}));
    delete["responses"]["200"] = json!({
        "description": "Deleted.",
        "content": {"application/json": {"schema": {
            "type": "object",
            "properties": {"key": {"type": "string"}, "deleted": {"const": "1"}},
            "required": ["key", "deleted"],
        }}},
    });
    delete["parameters"] = json!([{
        "name": "force",
        "in": "query",
        "description": "`true` deletes it even if others refer to it",
        "schema": {"type": "string"},
    }]);
    delete["responses"]["507"] = json!({"$ref": "#/components/responses/full"});
    let mut one = json!({
        "get": get,
        "put": conditional(body(put, reference(place.schema)), &CONDITIONS),
        "delete": conditional(delete, &CONDITIONS[..1]),
    });
    if !matches!(kind, Kind::Consumer | Kind::Credential | Kind::PluginMetadata) {
        let patch = operation(
            format!("Merges the body into a {}; null deletes a field.", place.word),
            merge(written("200", "Changed."), json!({"404": unknown})),
        );
        one["patch"] = conditional(body(patch, json!({"type": "object"})), &CONDITIONS[..1]);
    }
    one["parameters"] = parents.iter().copied().chain([id]).map(path_parameter).collect();
    paths.insert(format!("{collection}/{{{id}}}"), one);
    paths.insert(collection, whole);
}

fn merge(mut one: Value, other: Value) -> Value {
    if let (Some(one), Value::Object(other)) = (one.as_object_mut(), other) {
        one.extend(other);
    }
    one
}

/// An object as it is answered.
fn stored(schema: &str, with_revisions: bool) -> Value {
    let mut stored = json!({
        "type": "object",
        "properties": {
            "key": {"type": "string", "description": "such as `/apisix/routes/1`"},
            "value": reference(schema),
        },
        "required": ["key", "value"],
    });
    if with_revisions {
        stored["properties"]["createdIndex"] =
            json!({"type": "integer", "description": "revision that created it"});
        stored["properties"]["modifiedIndex"] =
            json!({"type": "integer", "description": "revision that last changed it"});
    }
    stored
}

fn path_parameter(name: &str) -> Value {
    json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}})
}

fn query_parameter(name: &str, description: &str, schema: &Value) -> Value {
    json!({"name": name, "in": "query", "description": description, "schema": schema})
}

fn ttl() -> Value {
    query_parameter(
        "ttl",
        "seconds until the object is deleted",
        &json!({"type": "number"}),
    )
}

/// The headers by which a writer says what the object has to be.
const CONDITIONS: [&str; 2] = ["If-Match", "If-None-Match"];

fn condition(name: &str) -> Value {
    let description = match name {
        "If-Match" => "the `modifiedIndex` that the object must have, or `*` for any",
        _ => "`*`: there must be no such object",
    };
    json!({"name": name, "in": "header", "description": description, "schema": {"type": "string"}})
}

fn list_parameters(kind: Kind) -> Value {
    let text = json!({"type": "string"});
    let mut parameters = vec![
        query_parameter(
            "page",
            "page, from 1; needs page_size",
            &json!({"type": "integer", "minimum": 1}),
        ),
        query_parameter(
            "page_size",
            "objects on a page; needs page",
            &json!({"type": "integer", "minimum": 10, "maximum": 500}),
        ),
        query_parameter("name", "regular expression that the name contains", &text),
        query_parameter("label", "a label that it has", &text),
    ];
    if kind == Kind::Route {
        parameters.push(query_parameter(
            "uri",
            "regular expression that one of the uris contains",
            &text,
        ));
        parameters.push(query_parameter(
            "filter",
            "`service_id=1&upstream_id=2`, percent-encoded as a whole",
            &text,
        ));
    }
    parameters.into()
}

/// What is no object.
fn add_rest(paths: &mut Map<String, Value>) {
    let json_answer = |summary: &str, description: &str| {
        json!({
            "summary": summary,
            "responses": {
                "200": {"description": description, "content": {"application/json": {"schema": {}}}},
                "400": {"$ref": "#/components/responses/refused"},
                "401": {"$ref": "#/components/responses/unauthorized"},
                "404": {"$ref": "#/components/responses/unknown"},
            },
        })
    };
    let with = |mut path: Value, parameters: Vec<Value>| {
        path["parameters"] = parameters.into();
        path
    };
    let subsystem = || {
        query_parameter(
            "subsystem",
            "`http` or `stream`",
            &json!({"enum": ["http", "stream"]}),
        )
    };
    let list = json_answer("Names all plugins.", "Names, by priority, highest first.");
    paths.insert(
        "/plugins/list".to_owned(),
        with(json!({"get": list}), vec![subsystem()]),
    );
    let all = json_answer(
        "Describes all plugins.",
        "What there is to know about each, by name.",
    );
    let all_parameter = query_parameter("all", "must be `true`", &json!({"const": "true"}));
    paths.insert(
        "/plugins".to_owned(),
        with(json!({"get": all}), vec![all_parameter, subsystem()]),
    );
    let one = json_answer("Gives the schema of a plugin's configuration.", "A JSON schema.");
    let schema_type = query_parameter(
        "schema_type",
        "`consumer` for that on consumers",
        &json!({"type": "string"}),
    );
    for path in ["/plugins/{name}", "/schema/plugins/{name}"] {
        paths.insert(
            path.to_owned(),
            with(
                json!({"get": one}),
                vec![path_parameter("name"), subsystem(), schema_type.clone()],
            ),
        );
    }
    let reload = json_answer("Does nothing: plugins need no reload.", "`done`");
    paths.insert("/plugins/reload".to_owned(), json!({"put": reload}));
    let show = json_answer("Gives the schema of a kind of object.", "A JSON schema.");
    paths.insert(
        "/schema/{kind}".to_owned(),
        with(json!({"get": show}), vec![path_parameter("kind")]),
    );
    let mut validate = json_answer(
        "Holds a value against the schema of a kind of object.",
        "It fits.",
    );
    validate["requestBody"] = json!({"required": true, "content": {"application/json": {"schema": {}}}});
    paths.insert(
        "/schema/validate/{collection}".to_owned(),
        with(json!({"post": validate}), vec![path_parameter("collection")]),
    );
    let configuration = json!({"required": true, "content": {
        "application/json": {"schema": {"type": "object"}},
        "application/yaml": {"schema": {"type": "object"}},
    }});
    let mut validate = json_answer("Tells all mistakes of a whole configuration.", "There is none.");
    validate["requestBody"] = configuration.clone();
    paths.insert("/configs/validate".to_owned(), json!({"post": validate}));
    let mut put = json_answer(
        "Replaces the whole configuration (API-driven mode).",
        "Never: see 202 and 204.",
    );
    put["requestBody"] = configuration;
    put["responses"] = json!({
        "202": {"description": "In effect."},
        "204": {"description": "The configuration of this digest is in effect already."},
        "400": {"$ref": "#/components/responses/refused"},
        "401": {"$ref": "#/components/responses/unauthorized"},
    });
    put["parameters"] = json!([{
        "name": "X-Digest",
        "in": "header",
        "required": true,
        "description": "what the writer calls this configuration",
        "schema": {"type": "string"},
    }]);
    let get = json_answer(
        "Reads the whole configuration (API-driven mode).",
        "As it was put.",
    );
    let head = json!({
        "summary": "Tells digest and time of the whole configuration (API-driven mode).",
        "responses": {"200": {"description": "In `X-Digest` and `X-Last-Modified`; absent before the first."}},
    });
    paths.insert(
        "/configs".to_owned(),
        json!({"get": get, "head": head, "put": put}),
    );
}
