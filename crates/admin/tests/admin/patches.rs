use serde_json::json;

use crate::common::{api, route};

#[tokio::test]
async fn a_patch_merges_objects_replaces_the_rest_and_deletes_by_null() {
    let api = api();
    let mut body = route("/a");
    body["desc"] = json!("text");
    body["methods"] = json!(["GET", "PUT"]);
    api.put("/routes/1", body).await.is(201);
    let change = json!({"desc": null, "methods": ["POST"], "upstream": {"nodes": {"127.0.0.1:1981": 2}}});
    let value = api.patch("/routes/1", change).await.is(200).json()["value"].clone();
    assert_eq!(value.get("desc"), None);
    assert_eq!(value["methods"], json!(["POST"]));
    assert_eq!(value["upstream"]["type"], "roundrobin");
    assert_eq!(
        value["upstream"]["nodes"],
        json!({"127.0.0.1:1980": 1, "127.0.0.1:1981": 2})
    );
    assert_eq!(api.get("/routes/1").await.json()["value"], value);
}

#[tokio::test]
async fn a_patch_with_a_path_replaces_what_stands_there() {
    let api = api();
    api.put("/routes/1", route("/a")).await.is(201);
    let told = api.patch("/routes/1/methods", json!(["GET"])).await;
    assert_eq!(told.is(200).json()["value"]["methods"], json!(["GET"]));
    let told = api
        .patch("/routes/1/upstream/nodes", json!({"127.0.0.1:1": 1}))
        .await;
    assert_eq!(
        told.is(200).json()["value"]["upstream"]["nodes"],
        json!({"127.0.0.1:1": 1})
    );
    let told = api.patch("/routes/1/labels/env", json!("prod")).await;
    assert_eq!(told.is(200).json()["value"]["labels"], json!({"env": "prod"}));
    api.patch("/routes/1/uri/x", json!(1))
        .await
        .refused(400, "invalid sub-path: /uri");
}

#[tokio::test]
async fn the_result_of_a_patch_is_checked() {
    let api = api();
    api.put("/routes/1", route("/a")).await.is(201);
    api.patch("/routes/1", json!({"uri": 666})).await.refused(
        400,
        "invalid configuration: property \"uri\" validation failed: wrong type: expected string, got number",
    );
    api.patch("/routes/1", json!({"id": "2"}))
        .await
        .refused(400, "wrong route id");
    api.patch("/routes/1", json!([]))
        .await
        .refused(400, "invalid configuration");
    api.call("PATCH", "/routes/1", "")
        .await
        .refused(400, "missing new configuration");
    api.patch("/routes", json!({}))
        .await
        .refused(400, "missing route id");
    assert_eq!(api.get("/routes/1").await.json()["value"]["uri"], "/a");
}

#[tokio::test]
async fn a_patch_may_set_times() {
    let api = api();
    api.put("/routes/1", route("/a")).await.is(201);
    let told = api
        .patch("/routes/1", json!({"create_time": 1, "update_time": 2}))
        .await;
    let value = &told.is(200).json()["value"];
    assert_eq!(
        (&value["create_time"], &value["update_time"]),
        (&json!(1), &json!(2))
    );
}
