use axum::body::Body;
use serde_json::{Value, json};
use tollgate_admin::{Mode, Settings};

use crate::common::{Api, NOW, Told, api, api_with, route, settings, upstream};

fn driven(strict: bool) -> Api {
    api_with(Settings {
        mode: Mode::ApiDriven,
        strict,
        ..settings()
    })
}

async fn put(api: &Api, digest: &str, document: Value) -> Told {
    api.call_with("PUT", "/configs", &[("x-digest", digest)], document.to_string())
        .await
}

fn with_id(id: &str, mut body: Value) -> Value {
    body["id"] = json!(id);
    body
}

#[tokio::test]
async fn before_the_first_document_all_versions_are_zero() {
    let api = driven(false);
    let told = api.get("/configs").await;
    let shown = told.is(200).json();
    for collection in [
        "routes",
        "ssls",
        "services",
        "upstreams",
        "consumers",
        "plugins",
        "stream_routes",
    ] {
        assert_eq!(shown[format!("{collection}_conf_version")], 0);
    }
    assert_eq!(
        (shown.as_object().unwrap().len(), told.header("x-digest")),
        (13, None)
    );
    let told = api.call("HEAD", "/configs", Body::empty()).await;
    assert_eq!(told.is(200).header("x-last-modified"), None);
    api.get("/routes").await.is(404);
}

#[tokio::test]
async fn a_document_is_taken_as_a_whole_and_told_as_it_was_sent() {
    let api = driven(false);
    let routes = json!([with_id("r1", route("/r1"))]);
    let told = put(&api, "d1", json!({"routes": routes})).await;
    assert_eq!(
        (told.is(202).text.as_str(), told.header("x-digest")),
        ("", Some("d1"))
    );
    assert_eq!(told.header("x-last-modified"), Some(NOW.to_string().as_str()));
    assert_eq!(api.told(), [("/apisix/routes/r1".to_owned(), true)]);
    put(&api, "d1", json!({"routes": []})).await.is(204);
    let told = api.get("/configs").await;
    let shown = told.is(200).json();
    assert_eq!(shown["routes"], routes);
    assert_eq!(
        (
            &shown["routes_conf_version"],
            &shown["ssls_conf_version"],
            &shown["X-Digest"],
            &shown["X-Last-Modified"]
        ),
        (&json!(1), &json!(1), &json!("d1"), &json!(NOW))
    );
    assert_eq!(told.header("x-digest"), Some("d1"));
    let told = api.call("HEAD", "/configs", Body::empty()).await;
    assert_eq!(told.is(200).header("x-digest"), Some("d1"));
    put(&api, "d2", json!({})).await.is(202);
    assert_eq!(api.told(), [("/apisix/routes/r1".to_owned(), false)]);
    assert_eq!(api.get("/configs").await.json().get("routes"), None);
}

#[tokio::test]
async fn documents_are_also_spoken_in_yaml() {
    let api = driven(false);
    let yaml = "routes:\n  - id: r1\n    uri: /r1\n    plugins: {}\n";
    let headers = [("content-type", "application/yaml"), ("x-digest", "y")];
    api.call_with("PUT", "/configs", &headers, yaml).await.is(202);
    let told = api
        .call_with(
            "GET",
            "/configs",
            &[("accept", "application/yaml")],
            Body::empty(),
        )
        .await;
    assert_eq!(told.is(200).header("content-type"), Some("application/yaml"));
    assert!(
        told.text.contains("routes:") && told.text.contains("id: r1"),
        "{}",
        told.text
    );
    assert!(!told.text.starts_with("---"));
    let told = api
        .call_with("PUT", "/configs", &[headers[0], ("x-digest", "z")], "a: b: [")
        .await;
    told.refused(400, "invalid request body: invalid yaml request body");
}

#[tokio::test]
async fn versions_say_which_lists_change() {
    let api = driven(true);
    let first = json!({
        "routes": [with_id("r1", route("/r1"))], "routes_conf_version": 10,
        "upstreams": [with_id("u1", upstream())], "upstreams_conf_version": 10,
    });
    put(&api, "1", first).await.is(202);
    api.told();
    // The same version keeps a list, whatever is sent; a larger one replaces it.
    let second = json!({"routes": [], "routes_conf_version": 10, "upstreams_conf_version": 11});
    put(&api, "2", second).await.is(202);
    assert_eq!(api.told(), [("/apisix/upstreams/u1".to_owned(), false)]);
    let shown = api.get("/configs").await.json();
    assert_eq!(
        (&shown["routes_conf_version"], &shown["upstreams_conf_version"]),
        (&json!(10), &json!(11))
    );
    assert_eq!(
        (
            &shown["services_conf_version"],
            shown["routes"].as_array().map(Vec::len)
        ),
        (&json!(2), Some(1))
    );
    for version in [-1, 9] {
        put(&api, "3", json!({"routes_conf_version": version}))
            .await
            .refused(400, "routes_conf_version must be greater than or equal to (10)");
    }
    put(&api, "3", json!({"routes_conf_version": "adc"}))
        .await
        .refused(400, "routes_conf_version must be a number");
}

#[tokio::test]
async fn a_repeated_old_version_of_an_unchanged_list_locks_nobody_out() {
    let api = driven(false);
    let routes = json!([with_id("r1", route("/r1"))]);
    let secrets = json!([{"id": "vault/1", "uri": "http://a/b", "prefix": "p", "token": "t"}]);
    put(
        &api,
        "1",
        json!({"routes": routes, "secrets": secrets, "secrets_conf_version": 100}),
    )
    .await
    .is(202);
    api.told();
    // Somebody who does not manage secrets repeats a version from before.
    let document = json!({"routes": routes, "secrets_conf_version": 7, "routes_conf_version": 2});
    put(&api, "2", document).await.is(202);
    let shown = api.get("/configs").await.json();
    assert_eq!(
        (&shown["secrets"], &shown["secrets_conf_version"]),
        (&secrets, &json!(100))
    );
    assert_eq!(api.told(), []);
    let text = "secrets_conf_version must be greater than or equal to (100)";
    put(&api, "3", json!({"secrets": [], "secrets_conf_version": 7}))
        .await
        .refused(400, text);
    put(&api, "3", json!({"secrets_conf_version": -1}))
        .await
        .refused(400, text);
}

#[tokio::test]
async fn only_changed_items_reach_the_data_plane() {
    let api = driven(false);
    let item = |id: &str, uri: &str, index: u64| {
        let mut item = with_id(id, route(uri));
        item["modifiedIndex"] = json!(index);
        item
    };
    put(
        &api,
        "1",
        json!({"routes": [item("a", "/a", 1), item("b", "/b", 1)]}),
    )
    .await
    .is(202);
    api.told();
    let second = json!([item("a", "/changed", 1), item("b", "/b2", 2)]);
    put(&api, "2", json!({"routes": second})).await.is(202);
    assert_eq!(api.told(), [("/apisix/routes/b".to_owned(), true)]);
    assert_eq!(api.get("/configs").await.json()["routes"], second);
}

#[tokio::test]
async fn consumers_and_their_credentials_share_a_list() {
    let api = driven(false);
    let document = json!({"consumers": [
        {"username": "john_1"},
        {"id": "john_1/credentials/john-a", "plugins": {"key-auth": {"key": "auth-a"}}},
    ]});
    put(&api, "1", document.clone()).await.is(202);
    assert_eq!(
        api.told(),
        [
            ("/apisix/consumers/john_1".to_owned(), true),
            ("/apisix/consumers/john_1/credentials/john-a".to_owned(), true),
        ]
    );
    assert_eq!(
        api.get("/configs").await.json()["consumers"],
        document["consumers"]
    );
}

#[tokio::test]
async fn a_document_may_be_larger_than_an_object() {
    let api = driven(false);
    let large = format!("{{}}{}", " ".repeat(tollgate_admin::BODY_LIMIT));
    let headers = [("x-digest", "1")];
    api.call_with("PUT", "/configs", &headers, large.clone())
        .await
        .is(202);
    api.call("POST", "/configs/validate", large).await.is(400);
}

#[tokio::test]
async fn consumers_of_a_document_do_not_share_keys() {
    let api = driven(false);
    let with_key = json!({"key-auth": {"key": "k"}});
    let own = json!({"consumers": [
        {"username": "a", "plugins": with_key},
        {"username": "b", "plugins": with_key},
    ]});
    put(&api, "1", own)
        .await
        .refused(400, "duplicate key of plugin key-auth found with consumer: a");
}

#[tokio::test]
async fn a_document_with_a_mistake_changes_nothing() {
    let api = driven(false);
    let credential = json!({"id": "j/credentials/a", "plugins": {"key-auth": {"key": "k"}}});
    for (document, text) in [
        (
            json!({"services": [{"id": "s", "plugins": {"invalid-plugin": {}}}]}),
            "unknown plugin [invalid-plugin]",
        ),
        (
            json!({"routes": [{"id": "r1", "uri": 123, "plugins": {}}]}),
            "invalid configuration: property \"uri\" validation failed: wrong type: expected string, got number",
        ),
        (
            json!({"routes": [with_id("r1", route("/a")), with_id("r1", route("/b"))]}),
            "found duplicate id r1 in routes",
        ),
        (
            json!({"consumers": [{"username": "c"}, {"username": "c"}]}),
            "found duplicate username c in consumers",
        ),
        (
            json!({"consumers": [credential, credential]}),
            "found duplicate credential id j/credentials/a in consumers",
        ),
        (json!({"secrets": [{"id": "1"}]}), "invalid secret id: 1"),
    ] {
        put(&api, "x", document).await.refused(400, text);
    }
    api.put("/configs", json!({}))
        .await
        .refused(400, "missing digest header");
    let digest = [("x-digest", "x")];
    api.call_with("PUT", "/configs", &digest, "")
        .await
        .refused(400, "invalid request body: empty request body");
    api.call_with("PUT", "/configs", &digest, "{abcd").await.refused(
        400,
        "invalid request body: Expected object key string but found invalid token at character 2",
    );
    assert_eq!(api.told(), []);
    assert_eq!(api.get("/configs").await.json()["routes_conf_version"], 0);
}

#[tokio::test]
async fn validation_tells_all_mistakes_and_changes_nothing() {
    for api in [api(), driven(false)] {
        let good = json!({"routes": [route("/a"), route("/b")], "services": [with_id("s", json!({"upstream_id": "x"}))]});
        assert_eq!(
            api.post("/configs/validate", good).await.is(200).json(),
            json!({})
        );
        let bad = json!({
            "routes": [{"id": "r1", "uri": 123, "plugins": {}}, with_id("r2", route("/ok")), {"id": "r3", "uri": 4, "plugins": {}}],
            "upstreams": [{"id": "u", "type": "chash", "hash_on": "vars", "nodes": {"127.0.0.1:1": 1}}],
            "services_conf_version": "x",
        });
        let told = api.post("/configs/validate", bad).await.is(400).json();
        let uri = "invalid configuration: property \"uri\" validation failed: wrong type: expected string, got number";
        assert_eq!(
            told,
            json!({"error_msg": "Configuration validation failed", "errors": [
                {"resource_type": "upstreams", "resource_id": "u", "index": 0, "error": "missing key"},
                {"resource_type": "services", "error": "services_conf_version must be a number"},
                {"resource_type": "routes", "resource_id": "r1", "index": 0, "error": uri},
                {"resource_type": "routes", "resource_id": "r3", "index": 2, "error": uri},
            ]})
        );
        api.call("POST", "/configs/validate", "")
            .await
            .refused(400, "invalid request body: empty request body");
        assert_eq!(api.told(), []);
    }
}
