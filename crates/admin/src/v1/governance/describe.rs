//! The description of these paths for tools.

use serde_json::{Map, Value, json};

/// Adds the paths.
pub(crate) fn describe(paths: &mut Map<String, Value>) {
    let state = |properties: Value| json!({"type": "object", "readOnly": true, "properties": properties});
    let text = json!({"type": "string"});
    let or_null = |what: &str| json!({"type": ["string", "null"], "description": what});
    let models = json!({"type": ["array", "null"], "items": text, "description": "names of models, `*` stands for any text; null for no restriction"});
    let labels = json!({"type": "object", "additionalProperties": text});
    let disabled = json!({"type": "boolean", "default": false});
    let time = |what: &str| json!({"type": ["string", "null"], "format": "date-time", "description": what});
    let subject = json!({"type": "string", "description": "`all`, `team/ID`, `consumer/NAME` or `key/ID`"});
    let money = |what: &str| json!({"type": "string", "pattern": r"^[0-9]+\.[0-9]{6}$", "description": what});
    let budget_state = state(json!({
        "period_start": time("when the period began"),
        "resets_at": time("when it begins anew; null for never"),
        "spent_usd": money("what was spent, of a budget in dollars"),
        "reserved_usd": money("what calls under way have reserved"),
        "remaining_usd": money("what is left for further calls"),
        "spent_tokens": {"type": "integer"},
        "reserved_tokens": {"type": "integer"},
        "remaining_tokens": {"type": "integer"},
        "level": {"enum": ["ok", "warned", "exhausted"]},
    }));
    let budget = json!({"type": "object", "required": ["for", "per"], "properties": {
        "id": text,
        "for": subject,
        "usd": {"type": "string", "description": "US dollars; or `tokens`"},
        "tokens": {"type": "integer", "minimum": 1},
        "per": {"enum": ["hour", "day", "week", "month", "total"], "description": "of the calendar, in UTC; weeks begin on Monday"},
        "warn_at": {"type": "array", "items": {"type": "number", "exclusiveMinimum": 0, "maximum": 1}, "default": [0.8, 1.0]},
        "hard": {"type": "boolean", "default": true, "description": "whether calls are refused that do not fit"},
        "disabled": disabled,
        "state": budget_state,
    }});
    let limit = json!({"type": "object", "required": ["for"], "properties": {
        "id": text,
        "for": subject,
        "requests": {"type": "integer", "minimum": 1},
        "tokens": {"type": "integer", "minimum": 1},
        "concurrent": {"type": "integer", "minimum": 1},
        "per": {"enum": ["second", "minute", "hour", "day"], "description": "not with `concurrent`"},
        "disabled": disabled,
        "state": state(json!({"used": {"type": ["integer", "null"]}, "remaining": {"type": ["integer", "null"]}, "resets_at": time("when it begins anew")})),
    }});
    let team = json!({"type": "object", "properties": {
        "id": text,
        "name": text,
        "parent": or_null("id of the team it stands below"),
        "models": models,
        "disabled": disabled,
        "labels": labels,
    }});
    let key = json!({"type": "object", "properties": {
        "id": text,
        "name": text,
        "consumer": or_null("the consumer it calls as"),
        "team": or_null("the team it calls for"),
        "models": models,
        "prefix": {"type": "string", "readOnly": true, "description": "the first 8 characters of the secret"},
        "created_at": {"type": "string", "format": "date-time", "readOnly": true},
        "created_by": {"type": "string", "readOnly": true},
        "expires_at": time("until when it may be used"),
        "disabled": disabled,
        "last_used_at": {"type": ["string", "null"], "format": "date-time", "readOnly": true},
        "former_secret_until": {"type": ["string", "null"], "format": "date-time", "readOnly": true, "description": "until when the secret before this one works"},
        "state": {"enum": ["active", "disabled", "expired"], "readOnly": true},
        "labels": labels,
        "budget": {"description": "a budget for this key alone, as in /budgets without `id` and `for`", "type": ["object", "null"]},
        "limits": {"description": "limits for this key alone, as in /limits without `id` and `for`", "type": "array"},
    }});
    let mut made = key.clone();
    made["properties"]["key"] = json!({"type": "string", "description": "the secret; told this once"});
    for (name, word, schema, made, filters) in [
        ("teams", "team", &team, &team, vec!["parent"]),
        ("keys", "key", &key, &made, vec!["consumer", "team", "state"]),
        ("budgets", "budget", &budget, &budget, vec!["for"]),
        ("limits", "limit", &limit, &limit, vec!["for"]),
    ] {
        let list = operation(
            name,
            &format!("Lists every {word}."),
            "200",
            &listed(schema),
            filters,
        );
        let post = with_body(
            operation(name, &format!("Creates a {word}."), "201", made, Vec::new()),
            schema,
        );
        paths.insert(format!("/{name}"), json!({"get": list, "post": post}));
        let id = json!([{"name": "id", "in": "path", "required": true, "schema": {"type": "string"}}]);
        let write = |summary: String| {
            let mut operation = with_body(operation(name, &summary, "200", schema, Vec::new()), schema);
            operation["parameters"] = json!([{"name": "If-Match", "in": "header", "schema": {"type": "string"}, "description": "the `etag` that was read"}]);
            operation["responses"]["412"] = json!({"$ref": "#/components/responses/changed"});
            operation["responses"]["409"] = json!({"$ref": "#/components/responses/conflict"});
            operation
        };
        let mut delete = operation(
            name,
            &format!("Deletes a {word}."),
            "204",
            &Value::Null,
            Vec::new(),
        );
        delete["responses"]["409"] = json!({"$ref": "#/components/responses/conflict"});
        paths.insert(
            format!("/{name}/{{id}}"),
            json!({
                "parameters": id,
                "get": operation(name, &format!("Reads a {word}."), "200", schema, Vec::new()),
                "put": write(format!("Creates or replaces a {word}.")),
                "patch": write(format!("Changes members of a {word}; null takes one back.")),
                "delete": delete,
            }),
        );
    }
    let grace = json!({"type": "object", "properties": {"grace": {"type": "string", "description": "how long the old secret works, such as `24h`; not at all where nothing is said"}}});
    paths.insert(
        "/keys/{id}/rotate".to_owned(),
        json!({
            "parameters": [{"name": "id", "in": "path", "required": true, "schema": {"type": "string"}}],
            "post": with_body(operation("keys", "Gives a key a new secret.", "200", &made, Vec::new()), &grace),
        }),
    );
    let consumer = json!({"type": "object", "properties": {
        "name": text,
        "origin": {"enum": ["file", "object"]},
        "team": or_null("the team it belongs to"),
        "labels": labels,
        "keys": {"type": "integer", "description": "its virtual keys, and the credentials that are objects"},
        "models": models,
    }});
    paths.insert(
        "/consumers".to_owned(),
        json!({"get": operation("consumers", "Lists every consumer, of the file and of the objects.", "200", &listed(&consumer), vec!["team"])}),
    );
}

fn listed(schema: &Value) -> Value {
    json!({"type": "object", "required": ["items", "next"], "properties": {
        "items": {"type": "array", "items": schema},
        "next": {"type": ["string", "null"], "description": "for `after`; null at the end"},
    }})
}

fn operation(tag: &str, summary: &str, status: &str, schema: &Value, filters: Vec<&str>) -> Value {
    let is_list = status == "200" && schema["properties"].get("items").is_some();
    let mut parameters: Vec<Value> = filters
        .into_iter()
        .map(|name| json!({"name": name, "in": "query", "schema": {"type": "string"}}))
        .collect();
    if is_list {
        parameters.push(json!({"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}}));
        parameters.push(json!({"name": "after", "in": "query", "description": "`next` of the answer before", "schema": {"type": "string"}}));
    }
    let mut success = json!({"description": "The answer."});
    if !schema.is_null() {
        success["content"] = json!({"application/json": {"schema": schema}});
    }
    json!({
        "tags": [tag],
        "summary": summary,
        "parameters": parameters,
        "responses": {
            status: success,
            "400": {"$ref": "#/components/responses/refused"},
            "401": {"$ref": "#/components/responses/unauthorized"},
            "403": {"$ref": "#/components/responses/forbidden"},
            "404": {"$ref": "#/components/responses/unknown"},
        },
    })
}

fn with_body(mut operation: Value, schema: &Value) -> Value {
    operation["requestBody"] = json!({"content": {"application/json": {"schema": schema}}});
    operation
}
