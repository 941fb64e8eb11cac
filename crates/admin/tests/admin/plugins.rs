use serde_json::{Value, json};

use crate::common::{api, route, strict};

fn with_plugin(name: &str, conf: Value) -> Value {
    let mut route = route("/a");
    route["plugins"] = json!({name: conf});
    route
}

#[tokio::test]
async fn plugins_are_named_by_priority() {
    let api = api();
    let names = api.get("/plugins/list").await.is(200).json();
    let names: Vec<&str> = names
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect();
    let place = |name| names.iter().position(|other| *other == name).unwrap();
    assert!(place("basic-auth") < place("key-auth") && place("key-auth") < place("limit-count"));
    assert!(!names.contains(&"example-plugin"));
    assert_eq!(api.get("/plugins/list?subsystem=stream").await.json(), json!([]));
    assert_eq!(
        api.get("/plugins/list?subsystem=x").await.is(400).text,
        "invalid subsystem passed"
    );
}

#[tokio::test]
async fn a_plugin_is_described_by_its_schema() {
    let api = api();
    for path in ["/plugins/key-auth", "/schema/plugins/key-auth"] {
        let schema = api.get(path).await.is(200).json();
        assert_eq!(
            schema["$comment"],
            "this is a mark for our injected plugin schema"
        );
        assert_eq!(
            schema["properties"]["_meta"]["properties"]["disable"],
            json!({"type": "boolean"})
        );
    }
    let schema = api
        .get("/plugins/key-auth?schema_type=consumer")
        .await
        .is(200)
        .json();
    assert_eq!(schema["required"], json!(["key"]));
    assert_eq!(schema["encrypt_fields"], json!(["key"]));
    api.get("/plugins/request-id?schema_type=consumer")
        .await
        .refused(400, "not found schema");
    api.get("/plugins/asdf")
        .await
        .refused(404, "plugin not found in subsystem http");
    api.get("/plugins/key-auth?subsystem=stream")
        .await
        .refused(404, "plugin not found in subsystem stream");
    api.get("/plugins?subsystem=asdf")
        .await
        .refused(400, "unsupported subsystem: asdf");
}

#[tokio::test]
async fn all_plugins_are_described_at_once() {
    let all = api().get("/plugins?all=true").await.is(200).json();
    let key_auth = &all["key-auth"];
    assert_eq!(
        (&key_auth["type"], &key_auth["priority"], &key_auth["version"]),
        (&json!("auth"), &json!(2500), &json!(0.1))
    );
    assert_eq!(key_auth["consumer_schema"]["required"], json!(["key"]));
    assert!(all["limit-count"].get("type").is_none());
    assert_eq!(
        api().get("/plugins?all=true&subsystem=stream").await.json(),
        json!({})
    );
}

#[tokio::test]
async fn plugins_need_no_reload() {
    let api = api();
    assert_eq!(api.call("PUT", "/plugins/reload", "").await.is(200).text, "done");
    api.get("/plugins/reload").await.refused(
        405,
        "please use PUT method to reload the plugins, GET method is not allowed.",
    );
}

#[tokio::test]
async fn plugins_of_routes_are_checked() {
    let api = api();
    api.put("/routes/1", with_plugin("nothing", json!({})))
        .await
        .refused(400, "unknown plugin [nothing]");
    let bad = json!({"count": -1, "time_window": 60});
    let told = api
        .put("/routes/1", with_plugin("limit-count", bad.clone()))
        .await;
    let text = told.is(400).json()["error_msg"].as_str().unwrap().to_owned();
    assert!(
        text.starts_with("failed to check the configuration of plugin limit-count err: property \"count\""),
        "{text}"
    );
    let mut disabled = bad;
    disabled["_meta"] = json!({"disable": true});
    api.put("/routes/1", with_plugin("limit-count", disabled))
        .await
        .is(201);
    api.put("/routes/1", with_plugin("request-id", json!("x")))
        .await
        .refused(400, "invalid plugin conf \"x\" for plugin [request-id]");
    let filter = json!({"_meta": {"filter": [["arg_a", "==", "b"]]}});
    api.put("/routes/1", with_plugin("request-id", filter))
        .await
        .is(200);
    let function = json!({"_meta": {"pre_function": "return function() end"}});
    let told = api.put("/routes/1", with_plugin("request-id", function)).await;
    assert!(told.is(400).text.contains("_meta.pre_function"), "{}", told.text);
}

#[tokio::test]
async fn plugins_that_are_known_by_schema_only_are_kept_in_strict_mode() {
    let strict = strict();
    let conf = json!({"functions": ["return function() end"]});
    let told = strict
        .put("/routes/1", with_plugin("serverless-pre-function", conf.clone()))
        .await;
    assert_eq!(
        told.is(201).header("x-tollgate-warning"),
        Some("plugin serverless-pre-function is stored but does nothing here")
    );
    api()
        .put("/routes/1", with_plugin("serverless-pre-function", conf))
        .await
        .refused(400, "unknown plugin [serverless-pre-function]");
    for name in [
        "http-logger",
        "udp-logger",
        "grpc-transcode",
        "serverless-post-function",
        "limit-req",
    ] {
        let schema = strict
            .get(&format!("/schema/plugins/{name}"))
            .await
            .is(200)
            .json();
        assert_eq!(
            schema["properties"]["_meta"]["properties"]["disable"],
            json!({"type": "boolean"}),
            "{name}"
        );
    }
    let all = strict.get("/plugins?all=true&subsystem=stream").await.json();
    assert_eq!(all["limit-conn"]["priority"], 1003);
    let told = strict
        .put("/routes/2", with_plugin("udp-logger", json!({"host": "x"})))
        .await;
    assert!(
        told.is(400).text.contains("property \\\"port\\\" is required"),
        "{}",
        told.text
    );
}

#[tokio::test]
async fn metadata_belongs_to_a_plugin() {
    let api = strict();
    api.put("/plugin_metadata", json!({"k": "v"}))
        .await
        .refused(400, "missing plugin name");
    api.put("/plugin_metadata/nothing", json!({"k": "v"}))
        .await
        .refused(400, "invalid plugin name");
    api.put("/plugin_metadata/example-plugin", json!({"skey": "val"}))
        .await
        .refused(400, "invalid configuration: property \"ikey\" is required");
    let body = json!({"skey": "val", "ikey": 1});
    let told = api.put("/plugin_metadata/example-plugin", body.clone()).await;
    assert_eq!(
        told.is(201).json(),
        json!({
            "key": "/apisix/plugin_metadata/example-plugin",
            "value": {"id": "example-plugin", "ikey": 1, "skey": "val"},
        })
    );
    api.put("/plugin_metadata/example-plugin", body).await.is(200);
    let read = api.get("/plugin_metadata/example-plugin").await.is(200).json();
    assert_eq!(
        read["value"],
        json!({"id": "example-plugin", "ikey": 1, "skey": "val"})
    );
    let told = api.delete("/plugin_metadata/example-plugin").await;
    assert_eq!(
        told.is(200).json(),
        json!({"deleted": "1", "key": "/apisix/plugin_metadata/example-plugin"})
    );
    api.delete("/plugin_metadata/example-plugin").await.is(404);
}

#[tokio::test]
async fn schemas_of_objects_are_told_and_values_held_against_them() {
    let api = api();
    assert!(
        api.get("/schema/route")
            .await
            .is(200)
            .text
            .contains("\"plugins\":{\"type\":\"object\"}")
    );
    api.get("/schema/noexits")
        .await
        .refused(400, "not found schema: noexits");
    api.post("/schema/service", json!({}))
        .await
        .refused(404, "not found");
    assert_eq!(
        api.post("/schema/validate/routes", route("/a"))
            .await
            .is(200)
            .text,
        ""
    );
    // Plugins and references are not looked at.
    let loose = json!({"uri": "/a", "plugins": {"nothing": {}}, "service_id": "x"});
    api.post("/schema/validate/routes", loose).await.is(200);
    let with = |name: &str, value: Value| {
        let mut body = route("/a");
        body[name] = value;
        body
    };
    for (body, text) in [
        (
            with("uri", json!(666)),
            "property \"uri\" validation failed: wrong type: expected string, got number",
        ),
        (
            with("uri", json!("")),
            "property \"uri\" validation failed: string too short, expected at least 1, got 0",
        ),
        (
            with("status", json!(3)),
            "property \"status\" validation failed: matches none of the enum values",
        ),
        (
            json!({"uris": ["/a", "/a"], "plugins": {}}),
            "property \"uris\" validation failed: expected unique items but items 1 and 2 are equal",
        ),
    ] {
        api.post("/schema/validate/routes", body).await.refused(400, text);
    }
    api.post("/schema/validate/nothing", json!({}))
        .await
        .refused(404, "Unsupported resource type: nothing");
}

#[tokio::test]
async fn what_apisix_does_not_have_is_refused_and_not_shown_in_strict_mode() {
    let conf = |algorithm: &str| {
        json!({
            "balancer": {"algorithm": algorithm},
            "instances": [{"name": "a", "provider": "openai", "auth": {}, "weight": 1}],
        })
    };
    let strict = strict();
    for algorithm in ["least_latency", "least_busy", "least_cost", "prefix_affinity"] {
        let written = with_plugin("ai-proxy-multi", conf(algorithm));
        api().put("/routes/1", written.clone()).await.is(201);
        let told = strict.put("/routes/1", written).await;
        assert!(told.is(400).text.contains("algorithm"), "{}", told.text);
    }
    let mut passive = conf("roundrobin");
    passive["instances"][0]["checks"] = json!({"passive": {"ejection_ms": 500}});
    let passive = with_plugin("ai-proxy-multi", passive);
    api().put("/routes/1", passive.clone()).await.is(201);
    let told = strict.put("/routes/1", passive).await;
    assert!(told.is(400).text.contains("is required"), "{}", told.text);
    let theirs = with_plugin("ai-proxy-multi", conf("roundrobin"));
    strict.put("/routes/1", theirs).await.is(201);
    let schema = strict.get("/schema/plugins/ai-proxy-multi").await;
    assert!(!schema.is(200).text.contains("x-beyond-apisix"));
    assert_eq!(
        schema.json()["properties"]["balancer"]["properties"]["algorithm"]["enum"],
        json!(["chash", "roundrobin", "semantic"])
    );
    assert_eq!(
        schema.json()["properties"]["instances"]["items"]["properties"]["price"],
        json!(null)
    );
    let checks = &schema.json()["properties"]["instances"]["items"]["properties"]["checks"];
    assert_eq!(
        (&checks["required"], checks["properties"].get("passive")),
        (&json!(["active"]), None)
    );
}
