use std::future::Future;
use std::sync::atomic::Ordering;

use axum::body::Body;
use serde_json::{Value, json};

use crate::common::{NOW, api, route, strict, upstream};

#[tokio::test]
async fn an_object_is_created_replaced_read_and_deleted() {
    let api = api();
    let told = api.put("/routes/1", route("/a")).await;
    assert_eq!(
        told.is(201).json(),
        json!({
            "key": "/apisix/routes/1",
            "value": {
                "id": "1", "uri": "/a", "upstream": upstream(), "create_time": NOW, "update_time": NOW,
            },
        })
    );
    assert_eq!(api.told(), [("/apisix/routes/1".to_owned(), true)]);
    api.now.store(NOW + 5, Ordering::Relaxed);
    let told = api.put("/routes/1", route("/b")).await;
    let value = &told.is(200).json()["value"];
    assert_eq!(
        (&value["uri"], &value["create_time"], &value["update_time"]),
        (&json!("/b"), &json!(NOW), &json!(NOW + 5))
    );
    let read = api.get("/routes/1").await.is(200).json();
    assert_eq!(
        (&read["key"], &read["value"]),
        (&json!("/apisix/routes/1"), value)
    );
    assert!(read["createdIndex"].as_u64() < read["modifiedIndex"].as_u64());
    api.told();
    let told = api.delete("/routes/1").await;
    assert_eq!(
        told.is(200).text,
        "{\"deleted\":\"1\",\"key\":\"/apisix/routes/1\"}\n"
    );
    assert_eq!(api.told(), [("/apisix/routes/1".to_owned(), false)]);
    for told in [
        api.get("/routes/1").await,
        api.delete("/routes/1").await,
        api.patch("/routes/1", json!({"uri": "/c"})).await,
    ] {
        assert_eq!(told.is(404).json(), json!({"message": "Key not found"}));
    }
}

#[tokio::test]
async fn the_id_may_stand_in_the_body_only() {
    let api = api();
    let mut body = route("/a");
    body["id"] = json!("from-body");
    let told = api.put("/routes", body.clone()).await;
    assert_eq!(told.is(201).json()["key"], "/apisix/routes/from-body");
    api.put("/routes/other", body.clone())
        .await
        .refused(400, "wrong route id");
    api.put("/routes", route("/a"))
        .await
        .refused(400, "missing route id");
    api.post("/routes", body)
        .await
        .refused(400, "wrong route id, do not need it");
    api.post("/routes/1", route("/a"))
        .await
        .refused(400, "wrong route id, do not need it");
    api.delete("/routes").await.refused(400, "missing route id");
    api.put("/routes/*", route("/a")).await.refused(
        400,
        "invalid configuration: property \"id\" validation failed: object matches none of the required",
    );
}

#[tokio::test]
async fn posted_objects_get_an_id_of_twenty_digits() {
    let api = api();
    let first = api.post("/routes", route("/a")).await.is(201).json();
    let second = api.post("/routes", route("/b")).await.is(201).json();
    for told in [&first, &second] {
        let id = told["value"]["id"].as_str().unwrap();
        assert!(
            id.len() == 20 && id.bytes().all(|byte| byte.is_ascii_digit()),
            "{id}"
        );
        assert_eq!(told["key"], format!("/apisix/routes/{id}"));
    }
    assert_ne!(first["key"], second["key"]);
}

#[tokio::test]
async fn times_are_the_servers() {
    let api = api();
    for (body, name) in [
        (
            json!({"uri": "/a", "upstream": upstream(), "create_time": 1}),
            "create_time",
        ),
        (
            json!({"uri": "/a", "upstream": {"nodes": {"a:1": 1}, "update_time": 1}}),
            "upstream.update_time",
        ),
    ] {
        api.put("/routes/1", body)
            .await
            .refused(400, &format!("the property is forbidden:  {name}"));
    }
}

#[tokio::test]
async fn what_an_object_refers_to_must_be_there_and_stay() {
    let api = api();
    let by_id = |field: &str, id: &str| {
        let mut route = json!({"uri": "/a", "plugins": {}});
        route[field] = json!(id);
        route
    };
    api.put("/routes/1", by_id("upstream_id", "u")).await.refused(
        400,
        "failed to fetch upstream info by upstream id [u], response code: 404",
    );
    api.put("/routes/1", by_id("service_id", "s")).await.refused(
        400,
        "failed to fetch service info by service id [s], response code: 404",
    );
    api.put("/routes/1", by_id("plugin_config_id", "p"))
        .await
        .refused(
            400,
            "failed to fetch plugin config info by plugin config id [p], response code: 404",
        );
    api.put("/consumers", json!({"username": "jack", "group_id": "g"}))
        .await
        .refused(
            400,
            "failed to fetch consumer group info by consumer group id [g], response code: 404",
        );
    api.put("/upstreams/u", upstream()).await.is(201);
    api.put("/services/s", json!({"upstream_id": "u"})).await.is(201);
    api.put("/plugin_configs/p", json!({"plugins": {}})).await.is(201);
    api.put("/routes/1", by_id("service_id", "s")).await.is(201);
    api.put("/routes/2", by_id("upstream_id", "u")).await.is(201);
    api.put("/routes/3", by_id("plugin_config_id", "p")).await.is(201);
    api.delete("/services/s").await.refused(
        400,
        "can not delete this service directly, route [1] is still using it now",
    );
    api.delete("/upstreams/u").await.refused(
        400,
        "can not delete this upstream, route [2] is still using it now",
    );
    api.delete("/plugin_configs/p").await.refused(
        400,
        "can not delete this plugin config, route [3] is still using it now",
    );
    api.delete("/services/s?force=1").await.is(400);
    api.delete("/services/s?force=true").await.is(200);
}

#[tokio::test]
async fn an_upstream_without_a_body_is_an_empty_one() {
    let api = api();
    let told = api.call("PUT", "/upstreams/s1", Body::empty()).await;
    assert_eq!(
        told.is(201).json()["value"],
        json!({"id": "s1", "create_time": NOW, "update_time": NOW})
    );
    api.put("/services/s1", json!({"name": "s", "upstream_id": "s1"}))
        .await
        .is(201);
    api.call("PUT", "/upstreams/s1", Body::empty()).await.is(200);
    api.call("PUT", "/upstreams", Body::empty())
        .await
        .refused(400, "missing upstream id");
    strict()
        .call("PUT", "/upstreams/s1", Body::empty())
        .await
        .refused(400, "missing configurations");
}

#[tokio::test]
async fn the_upstream_of_a_deleted_service_may_be_deleted_even_if_it_never_was() {
    let api = api();
    api.put("/services/s1", json!({"upstream": upstream()}))
        .await
        .is(201);
    api.delete("/upstreams/s1").await.is(404);
    api.delete("/services/s1").await.is(200);
    api.delete("/upstreams/s1").await.is(200);
    api.delete("/upstreams/s2").await.is(404);
}

#[tokio::test]
async fn an_object_may_have_a_time_to_live() {
    let api = api();
    api.put("/routes/1?ttl=xxx", route("/a"))
        .await
        .refused(400, "invalid argument ttl: should be a number");
    api.put("/routes/1?ttl=5", route("/a")).await.is(201);
    api.get("/routes/1").await.is(200);
}

#[tokio::test]
async fn private_keys_of_certificates_are_never_told() {
    let api = api();
    let (cert, key) = certificate();
    let planted = key.lines().nth(1).unwrap().to_owned();
    let ssl = json!({"sni": "test.com", "cert": cert, "key": key});
    let put = api.put("/ssls/1", ssl).await;
    let one = api.get("/ssls/1").await;
    let list = api.get("/ssls").await;
    for told in [&put, &one, &list] {
        assert!(!told.text.contains(&planted), "{}", told.text);
    }
    put.is(201);
    assert!(one.is(200).json()["value"].get("key").is_none());
}

#[tokio::test]
async fn certificates_that_could_not_be_shown_are_refused() {
    let api = api();
    let (cert, key) = certificate();
    let (other, _) = certificate();
    let junk = "x".repeat(200);
    for (ssl, told) in [
        (
            json!({"sni": "a.com", "cert": junk, "key": key}),
            "failed to parse cert: it holds no PEM certificate",
        ),
        (
            json!({"sni": "a.com", "cert": cert, "key": junk}),
            "failed to parse key: it holds no PEM key, or an encrypted one",
        ),
        (
            json!({"sni": "a.com", "cert": other, "key": key}),
            "failed to parse key: it does not belong to the certificate",
        ),
        (
            json!({"type": "client", "cert": other, "key": key}),
            "failed to parse key: it does not belong to the certificate",
        ),
        (
            json!({"sni": "a.com", "cert": cert, "key": key, "certs": [other], "keys": [key]}),
            "failed to handle cert-key pair[1]: failed to parse key: it does not belong to the certificate",
        ),
        (
            json!({"sni": "a.com", "cert": cert, "key": key, "client": {"ca": junk}}),
            "failed to validate client_cert: failed to parse cert: it holds no PEM certificate",
        ),
        (
            json!({"sni": "a.com", "cert": cert, "key": key, "client": {"ca": cert, "skip_mtls_uri_regex": ["("]}}),
            "client.skip_mtls_uri_regex: `(` is no pattern",
        ),
        (
            json!({"sni": "a.com", "cert": cert, "key": key, "ssl_protocols": ["TLSv1.1"]}),
            "ssl_protocols: TLSv1.1 is not served; add TLSv1.2 or TLSv1.3",
        ),
    ] {
        api.put("/ssls/1", ssl).await.refused(400, told);
    }
    let broken = format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        "AAAA".repeat(40)
    );
    api.put("/ssls/1", json!({"sni": "a.com", "cert": broken, "key": key}))
        .await
        .refused(400, "failed to parse cert: it is no X.509 certificate");
    api.put("/ssls/1", json!({"sni": "a.com", "cert": cert, "key": key}))
        .await
        .is(201);
}

/// A certificate and its key.
fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["test.com".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

#[tokio::test]
async fn secrets_live_below_their_manager() {
    let api = api();
    let vault = json!({"uri": "http://127.0.0.1:12800/get", "prefix": "apisix", "token": "t"});
    let told = api.put("/secrets/vault/test1", vault.clone()).await;
    assert_eq!(told.is(201).json()["key"], "/apisix/secrets/vault/test1");
    assert_eq!(told.json()["value"]["id"], "vault/test1");
    assert_eq!(api.get("/secrets").await.is(200).json()["total"], 1);
    let told = api.patch("/secrets/vault/test1/token", json!("new")).await;
    assert_eq!(told.is(200).json()["value"]["token"], "new");
    api.patch("/secrets/vault", json!({"token": "x"}))
        .await
        .refused(400, "no secret id");
    api.put("/secrets/safe/test1", vault)
        .await
        .refused(400, "invalid secret manager: safe");
    api.delete("/secrets/vault/test1").await.is(200);
}

#[tokio::test]
async fn a_plugin_stands_in_one_global_rule_only() {
    let api = api();
    let rule = json!({"plugins": {"request-id": {}}});
    api.put("/global_rules/1", rule.clone()).await.is(201);
    api.put("/global_rules/2", rule.clone()).await.refused(
        400,
        "plugin 'request-id' already exists in global rule with id '1'",
    );
    api.put("/global_rules/1", rule).await.is(200);
}

#[tokio::test]
async fn a_part_of_an_object_is_neither_put_nor_deleted() {
    let api = api();
    api.put("/routes/1", route("/a")).await.is(201);
    api.put("/consumers", json!({"username": "jack"})).await.is(201);
    api.delete("/routes/1/plugins").await.refused(404, "not found");
    api.put("/routes/1/plugins", route("/b"))
        .await
        .refused(404, "not found");
    api.delete("/consumers/jack/credential/c1")
        .await
        .refused(404, "not found");
    assert_eq!(api.get("/routes/1").await.is(200).json()["value"]["uri"], "/a");
    api.get("/consumers/jack").await.is(200);
}

#[tokio::test]
async fn a_write_is_finished_and_told_even_if_its_client_goes_away() {
    let api = api();
    {
        let mut write = std::pin::pin!(api.put("/routes/1", route("/a")));
        // Polled until it is under way, then dropped.
        let started = std::future::poll_fn(|context| {
            assert!(write.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        });
        started.await;
    }
    while api.admin.data_plane().told.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(api.told(), [("/apisix/routes/1".to_owned(), true)]);
    api.get("/routes/1").await.is(200);
}

#[tokio::test]
async fn writes_at_the_same_time_are_checked_one_after_the_other() {
    let api = api();
    let rule = || json!({"plugins": {"request-id": {}}});
    let (one, two, three) = tokio::join!(
        api.put("/global_rules/1", rule()),
        api.put("/global_rules/2", rule()),
        api.put("/global_rules/3", rule()),
    );
    let mut statuses = [one, two, three].map(|told| told.status.as_u16());
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 400, 400]);
}

#[tokio::test]
async fn a_writer_that_saw_an_older_revision_is_told_and_changes_nothing() {
    let api = api();
    let write = async |method: &str, path: &str, header: (&str, &str), body: Value| {
        let body = if method == "DELETE" {
            String::new()
        } else {
            body.to_string()
        };
        api.call_with(method, path, &[header], body).await
    };
    let made = write("PUT", "/routes/1", ("if-none-match", "*"), route("/a")).await;
    let first = made.is(201).header("etag").unwrap().to_owned();
    let told = write("PUT", "/routes/1", ("if-none-match", "*"), route("/b")).await;
    told.is(412);
    let read = api.get("/routes/1").await;
    assert_eq!(read.header("etag"), Some(first.as_str()));
    assert_eq!(format!("\"{}\"", read.json()["modifiedIndex"]), first);

    // Two have read the same: the first to write wins, whatever the other does.
    let changed = write("PUT", "/routes/1", ("if-match", &first), route("/b")).await;
    let second = changed.is(200).header("etag").unwrap().to_owned();
    for method in ["PUT", "PATCH", "DELETE"] {
        let told = write(method, "/routes/1", ("if-match", &first), route("/c")).await;
        let text = format!(
            "the object was changed meanwhile, its modifiedIndex is {}: read it again",
            second.trim_matches('"')
        );
        told.refused(412, &text);
    }
    assert_eq!(api.get("/routes/1").await.json()["value"]["uri"], "/b");
    write("PUT", "/routes/2", ("if-match", "*"), route("/c"))
        .await
        .refused(412, "there is no such object");
    write("PUT", "/routes/1", ("if-match", "old"), route("/c"))
        .await
        .is(400);
    write("PATCH", "/routes/1", ("if-match", &second), json!({"uri": "/d"}))
        .await
        .is(200);
    write("DELETE", "/routes/1", ("if-match", "*"), json!({}))
        .await
        .is(200);
    // In strict mode there are no conditions, as in APISIX.
    let strict = strict();
    strict.put("/routes/1", route("/a")).await.is(201);
    let told = strict
        .call_with(
            "PUT",
            "/routes/1",
            &[("if-match", "\"99\"")],
            route("/b").to_string(),
        )
        .await;
    assert_eq!(told.is(200).header("etag"), None);
}

#[tokio::test]
async fn an_expression_that_is_none_is_refused() {
    let api = api();
    let mut body = route("/a");
    body["vars"] = json!([["arg_a", "nonsense", "b"]]);
    let told = api.put("/routes/1", body.clone()).await;
    let text = told.is(400).json()["error_msg"].as_str().unwrap().to_owned();
    assert!(
        text.starts_with("failed to validate the 'vars' expression: "),
        "{text}"
    );
    body["vars"] = json!([["arg_a", "==", "b"]]);
    api.put("/routes/1", body).await.is(201);
}
