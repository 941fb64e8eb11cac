use serde_json::json;

use crate::common::{NOW, api, strict};

fn key_auth(key: &str) -> serde_json::Value {
    json!({"plugins": {"key-auth": {"key": key}}})
}

fn consumer(name: &str, key: &str) -> serde_json::Value {
    json!({"username": name, "plugins": {"key-auth": {"key": key}}})
}

#[tokio::test]
async fn a_consumer_is_named_in_the_body_or_in_the_path() {
    let api = api();
    let told = api.put("/consumers", json!({"username": "jack"})).await;
    assert_eq!(
        told.is(201).json(),
        json!({
            "key": "/apisix/consumers/jack",
            "value": {"username": "jack", "create_time": NOW, "update_time": NOW},
        })
    );
    api.put("/consumers/jack", json!({"username": "jack", "desc": "d"}))
        .await
        .is(200);
    api.put("/consumers/jill", json!({"username": "jack"}))
        .await
        .refused(400, "wrong username");
    api.put("/consumers", json!({"id": "jack"}))
        .await
        .refused(400, "invalid configuration: property \"username\" is required");
    api.put("/consumers", json!({"username": "jack", "create_time": 1}))
        .await
        .refused(400, "the property is forbidden:  create_time");
    assert_eq!(api.get("/consumers").await.json()["total"], 1);
}

#[tokio::test]
async fn plugins_of_consumers_are_checked_as_such() {
    let api = api();
    api.put(
        "/consumers",
        json!({"username": "jack", "plugins": {"key-auth": {}}}),
    )
    .await
    .refused(
        400,
        "invalid plugins configuration: failed to check the configuration of plugin key-auth err: \
         property \"key\" is required",
    );
    api.put(
        "/consumers",
        json!({"username": "jack", "plugins": {"nothing": {}}}),
    )
    .await
    .refused(400, "invalid plugins configuration: unknown plugin [nothing]");
    api.put(
        "/consumers",
        json!({"username": "jack", "plugins": {"key-auth": {"_meta": {"disable": true}}}}),
    )
    .await
    .is(201);
}

#[tokio::test]
async fn credentials_belong_to_a_consumer() {
    let api = api();
    let path = "/consumers/jack/credentials";
    api.put(&format!("{path}/c1"), key_auth("k"))
        .await
        .refused(404, "consumer not found");
    api.put("/consumers", json!({"username": "jack"})).await.is(201);
    let told = api.get(path).await;
    assert_eq!(told.is(404).json(), json!({"message": "Key not found"}));
    let told = api.put(&format!("{path}/c1"), key_auth("k1")).await;
    assert_eq!(
        told.is(201).json()["key"],
        "/apisix/consumers/jack/credentials/c1"
    );
    assert_eq!(told.json()["value"]["id"], "c1");
    let mut with_id = key_auth("k2");
    with_id["id"] = json!("c2");
    assert_eq!(
        api.put(path, with_id).await.is(201).json()["key"],
        "/apisix/consumers/jack/credentials/c2"
    );
    api.put(path, key_auth("k3"))
        .await
        .refused(400, "missing credential id");
    api.put(&format!("{path}/c3"), json!({"plugins": {"request-id": {}}}))
        .await
        .refused(400, "only supports auth type plugins in consumer credential");
    api.put(
        &format!("{path}/c3"),
        json!({"plugins": {"key-auth": {"key": "a"}, "basic-auth": {"username": "a", "password": "b"}}}),
    )
    .await
    .refused(
        400,
        "invalid configuration: property \"plugins\" validation failed: expect object to have at most 1 properties",
    );
    assert_eq!(api.get(path).await.is(200).json()["total"], 2);
    assert_eq!(api.get("/consumers").await.json()["total"], 1);
    api.post(path, json!({}))
        .await
        .refused(405, "not supported `POST` method for credential");
    api.patch(&format!("{path}/c1"), json!({})).await.is(405);
    api.delete(&format!("{path}/c2")).await.is(200);
    api.delete(&format!("{path}/c2")).await.is(404);
}

#[tokio::test]
async fn credentials_go_with_their_consumer() {
    for (api, status) in [(api(), 200), (strict(), 404)] {
        api.put("/consumers", json!({"username": "jack"})).await.is(201);
        api.put("/consumers/jack/credentials/c1", key_auth("k1"))
            .await
            .is(201);
        api.told();
        api.delete("/consumers/jack").await.is(200);
        assert_eq!(
            api.told(),
            [
                ("/apisix/consumers/jack/credentials/c1".to_owned(), false),
                ("/apisix/consumers/jack".to_owned(), false),
            ]
        );
        api.get("/consumers/jack/credentials/c1").await.is(404);
        // ADC deletes them all the same.
        api.delete("/consumers/jack/credentials/c1").await.is(status);
    }
}

#[tokio::test]
async fn nobody_gets_the_key_of_another() {
    let api = api();
    api.put("/consumers", consumer("bob", "bob-key")).await.is(201);
    api.put("/consumers", json!({"username": "alex"})).await.is(201);
    api.put("/consumers/alex/credentials/a", key_auth("alex-key"))
        .await
        .is(201);
    let of_bob = "duplicate key of plugin key-auth found with consumer: bob";
    let of_alex = "duplicate key of plugin key-auth found with credential: a of consumer: alex";
    api.put("/consumers", consumer("carl", "bob-key"))
        .await
        .refused(400, of_bob);
    api.put("/consumers", consumer("carl", "alex-key"))
        .await
        .refused(400, of_alex);
    api.put("/consumers/alex/credentials/b", key_auth("bob-key"))
        .await
        .refused(400, of_bob);
    api.put("/consumers/alex/credentials/b", key_auth("alex-key"))
        .await
        .refused(400, of_alex);
    api.put("/consumers/bob/credentials/b", key_auth("bob-key"))
        .await
        .refused(400, of_bob);
    api.put("/consumers", consumer("bob", "bob-key")).await.is(200);
    api.put("/consumers/alex/credentials/a", key_auth("alex-key"))
        .await
        .is(200);
    api.put("/consumers", consumer("alex", "alex-key")).await.is(200);
    api.put("/consumers", consumer("dora", "$env://KEY"))
        .await
        .is(201);
    api.put("/consumers", consumer("emil", "$env://KEY"))
        .await
        .is(201);
    let basic = json!({"username": "fay", "plugins": {"basic-auth": {"username": "x", "password": "1"}}});
    api.put("/consumers", basic.clone()).await.is(201);
    let mut other = basic;
    other["username"] = json!("gus");
    api.put("/consumers", other).await.refused(
        400,
        "duplicate username of plugin basic-auth found with consumer: fay",
    );
}

#[tokio::test]
async fn a_consumer_group_in_use_cannot_be_deleted() {
    let api = api();
    api.put("/consumer_groups/g", json!({"plugins": {}}))
        .await
        .is(201);
    api.put("/consumers", json!({"username": "jack", "group_id": "g"}))
        .await
        .is(201);
    api.delete("/consumer_groups/g").await.refused(
        400,
        "can not delete this consumer group, consumer [jack] is still using it now",
    );
}
