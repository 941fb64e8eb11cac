//! The audit log, versions, plans and rolling back.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use tollgate_admin::{Key, Mode, Role, Settings};
use tollgate_resources::Secret;

use crate::common::{Api, KEY, Told, api, api_with, route, settings};

async fn ours_as(api: &Api, key: &str, method: &str, path: &str, body: Value) -> Told {
    let request = Request::builder()
        .method(method)
        .uri(format!("/tollgate/v1{path}"))
        .header("x-api-key", key);
    let body = match body {
        Value::Null => Body::empty(),
        body => Body::from(body.to_string()),
    };
    api.send(request.body(body).unwrap()).await
}

async fn ours(api: &Api, method: &str, path: &str, body: Value) -> Told {
    ours_as(api, KEY, method, path, body).await
}

async fn get(api: &Api, path: &str) -> Value {
    ours(api, "GET", path, Value::Null).await.is(200).json()
}

fn ai_route(key: &str) -> Value {
    json!({
        "uri": "/ai",
        "plugins": {"ai-proxy": {
            "provider": "openai",
            "auth": {"header": {"Authorization": key}},
            "options": {"model": "m"},
        }},
    })
}

#[tokio::test]
async fn every_write_is_told_with_who_did_it_and_what_changed_without_secrets() {
    let api = api();
    api.put("/routes/1", ai_route("Bearer sk-planted-1"))
        .await
        .is(201);
    api.put("/routes/1", ai_route("Bearer sk-planted-2"))
        .await
        .is(200);
    api.patch("/routes/1", json!({"uri": "/other"})).await.is(200);
    api.delete("/routes/1").await.is(200);
    let told = ours(&api, "GET", "/audit", Value::Null).await;
    assert!(!told.text.contains("planted"), "{}", told.text);
    let items = told.json()["items"].as_array().unwrap().clone();
    let actions: Vec<&str> = items
        .iter()
        .map(|item| item["action"].as_str().unwrap())
        .collect();
    assert_eq!(actions, ["delete", "update", "update", "create"]);
    let first = &items[3];
    assert_eq!(
        (
            &first["actor"],
            &first["role"],
            &first["via"],
            &first["address"],
            &first["object"]
        ),
        (
            &json!("admin"),
            &json!("admin"),
            &json!("key"),
            &json!("127.0.0.1"),
            &json!("routes/1")
        )
    );
    assert_eq!(
        (&first["seq"], &first["time"]),
        (&json!(1), &json!("2023-11-14T22:13:20Z"))
    );
    assert_eq!(first["changes"][0]["path"], "");
    assert_eq!(
        items[2]["changes"],
        json!([{
            "object": "routes/1",
            "path": "plugins.ai-proxy.auth.header.Authorization",
            "from": "***",
            "to": "***",
        }])
    );
    assert_eq!(
        items[1]["changes"],
        json!([{"object": "routes/1", "path": "uri", "from": "/ai", "to": "/other"}])
    );
    assert_eq!(items[2]["previous"], items[3]["hash"]);
    let verified = get(&api, "/audit/verify").await;
    assert_eq!(
        (&verified["ok"], &verified["entries"], &verified["broken_at"]),
        (&json!(true), &json!(4), &Value::Null)
    );
    assert_eq!(verified["head"]["hash"], items[0]["hash"]);
}

#[tokio::test]
async fn a_refused_write_is_not_told_and_an_ended_object_is() {
    let api = api();
    api.put("/routes/1", json!({"uri": 7})).await.is(400);
    api.delete("/routes/1").await.is(404);
    assert_eq!(get(&api, "/audit").await, json!({"items": [], "next": null}));
    assert_eq!(get(&api, "/versions").await, json!({"items": [], "next": null}));
}

#[tokio::test]
async fn the_log_is_filtered_paged_and_written_as_csv() {
    let api = api();
    for id in 1..=5 {
        api.put(&format!("/routes/{id}"), route("/a")).await.is(201);
    }
    api.delete("/routes/3").await.is(200);
    let seqs = |told: Value| -> Vec<u64> {
        let items = told["items"].as_array().unwrap();
        items.iter().map(|item| item["seq"].as_u64().unwrap()).collect()
    };
    assert_eq!(seqs(get(&api, "/audit?object=routes/3").await), [6, 3]);
    assert_eq!(seqs(get(&api, "/audit?action=delete").await), [6]);
    assert_eq!(seqs(get(&api, "/audit?actor=nobody").await), [0_u64; 0]);
    assert_eq!(seqs(get(&api, "/audit?since=1h").await).len(), 6);
    assert_eq!(
        seqs(get(&api, "/audit?until=2023-11-14T22:13:20Z").await),
        [0_u64; 0]
    );
    let page = get(&api, "/audit?limit=4").await;
    assert_eq!(seqs(page.clone()), [6, 5, 4, 3]);
    let next = page["next"].as_str().unwrap();
    let page = get(&api, &format!("/audit?limit=4&after={next}")).await;
    assert_eq!((seqs(page.clone()), &page["next"]), (vec![2, 1], &Value::Null));
    let told = ours(&api, "GET", "/audit?format=csv&limit=1", Value::Null).await;
    assert_eq!(told.header("content-type"), Some("text/csv; charset=utf-8"));
    let lines: Vec<&str> = told.text.lines().collect();
    assert_eq!(
        lines[0],
        "seq,time,actor,role,via,address,action,objects,changes,hash,previous"
    );
    assert!(
        lines[1].starts_with("\"6\",\"2023-11-14T22:13:20Z\",\"admin\",\"admin\",\"key\",\"127.0.0.1\",\"delete\",\"routes/3\",\"[{"),
        "{}",
        lines[1]
    );
    for (path, field) in [
        ("/audit?limit=0", "limit"),
        ("/audit?since=yesterday", "since"),
        ("/audit?who=me", "who"),
        ("/audit?format=xml", "format"),
        ("/audit/verify?seq=1", "hash"),
    ] {
        let told = ours(&api, "GET", path, Value::Null).await;
        assert_eq!(told.is(400).json()["error"]["field"], field, "{path}");
    }
}

#[tokio::test]
async fn a_hash_that_was_noted_elsewhere_is_compared() {
    let api = api();
    api.put("/routes/1", route("/a")).await.is(201);
    let head = get(&api, "/audit/verify").await["head"].clone();
    api.put("/routes/1", route("/b")).await.is(200);
    let hash = head["hash"].as_str().unwrap();
    assert_eq!(
        get(&api, &format!("/audit/verify?seq=1&hash={hash}")).await["ok"],
        true
    );
    let told = get(&api, &format!("/audit/verify?seq=2&hash={hash}")).await;
    assert_eq!((&told["ok"], &told["broken_at"]), (&json!(false), &json!(2)));
    let told = get(&api, &format!("/audit/verify?seq=9&hash={hash}")).await;
    assert_eq!((&told["ok"], &told["broken_at"]), (&json!(false), &json!(9)));
}

#[tokio::test]
async fn sign_ins_are_told_and_only_administrators_see_them() {
    let key = |name: &str, role| Key {
        name: name.to_owned(),
        key: Secret::from(format!("key-of-{name}")),
        role,
        teams: match role {
            Role::TeamAdmin => vec!["t".to_owned()],
            _ => Vec::new(),
        },
    };
    let mut settings = settings();
    settings.keys.push(key("ed", Role::Editor));
    settings.keys.push(key("tim", Role::TeamAdmin));
    let api = api_with(settings);
    ours(&api, "POST", "/session", json!({"key": "key-of-ed"}))
        .await
        .is(200);
    ours(&api, "POST", "/session", json!({"key": "planted"}))
        .await
        .is(401);
    let told = ours(&api, "GET", "/audit", Value::Null).await;
    assert!(!told.text.contains("planted"));
    let told = told.json();
    assert_eq!(
        (
            &told["items"][0]["action"],
            &told["items"][0]["reason"],
            &told["items"][0]["actor"]
        ),
        (&json!("sign_in_refused"), &json!("wrong key"), &Value::Null)
    );
    assert_eq!(
        (&told["items"][1]["action"], &told["items"][1]["actor"]),
        (&json!("sign_in"), &json!("ed"))
    );
    let told = ours_as(&api, "key-of-ed", "GET", "/audit", Value::Null).await;
    assert_eq!(told.is(200).json()["items"], json!([]));
    ours_as(&api, "key-of-tim", "GET", "/audit", Value::Null)
        .await
        .is(403);
    ours_as(&api, "key-of-tim", "GET", "/versions", Value::Null)
        .await
        .is(403);
}

#[tokio::test]
async fn a_version_is_read_compared_and_rolled_back_to() {
    let api = api();
    api.put("/upstreams/u", json!({"nodes": {"127.0.0.1:1": 1}}))
        .await
        .is(201);
    api.put("/routes/1", json!({"uri": "/a", "upstream_id": "u"}))
        .await
        .is(201);
    api.put("/routes/1", json!({"uri": "/b", "upstream_id": "u"}))
        .await
        .is(200);
    api.put("/routes/2", ai_route("Bearer sk-planted")).await.is(201);
    api.delete("/routes/1").await.is(200);
    api.delete("/upstreams/u").await.is(200);
    api.told();

    let list = get(&api, "/versions?limit=2").await;
    assert_eq!(
        (
            &list["items"][0]["version"],
            &list["items"][0]["summary"],
            &list["items"][0]["changes"]
        ),
        (&json!(6), &json!("delete upstreams/u"), &json!(1))
    );
    assert_eq!(list["next"], "5");
    let told = ours(&api, "GET", "/versions/4", Value::Null).await;
    assert!(!told.text.contains("planted"));
    let objects = told.json()["objects"].as_array().unwrap().clone();
    let names: Vec<&str> = objects
        .iter()
        .map(|object| object["object"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["routes/1", "routes/2", "upstreams/u"]);
    assert_eq!(objects[0]["value"]["uri"], "/b");
    assert_eq!(get(&api, "/versions/0").await["objects"], json!([]));
    assert_eq!(
        get(&api, "/versions/3/diff").await["changes"],
        json!([{"object": "routes/1", "action": "update", "diff": [{"path": "uri", "from": "/a", "to": "/b"}]}])
    );
    let diff = get(&api, "/versions/2/diff?against=6").await;
    let actions: Vec<String> = diff["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| format!("{} {}", change["action"], change["object"]))
        .collect();
    assert_eq!(
        actions,
        [
            "\"create\" \"routes/1\"",
            "\"delete\" \"routes/2\"",
            "\"create\" \"upstreams/u\""
        ]
    );

    let plan = ours(&api, "POST", "/versions/2/rollback?dry_run=true", Value::Null).await;
    let plan = plan.is(200).json();
    assert_eq!(
        (&plan["valid"], plan["changes"].as_array().unwrap().len()),
        (&json!(true), 3)
    );
    assert_eq!(plan["affected"]["routes"], json!(["1", "2"]));
    assert_eq!(plan["affected"]["instances"], json!(["route/2/openai"]));
    assert!(api.told().is_empty(), "a dry run changes nothing");

    let told = ours(&api, "POST", "/versions/2/rollback", Value::Null)
        .await
        .is(200)
        .json();
    assert_eq!(
        (&told["version"], &told["rolled_back_to"]),
        (&json!(7), &json!(2))
    );
    assert_eq!(
        api.told(),
        [
            ("/apisix/upstreams/u".to_owned(), true),
            ("/apisix/routes/1".to_owned(), true),
            ("/apisix/routes/2".to_owned(), false),
        ]
    );
    assert_eq!(api.get("/routes/1").await.is(200).json()["value"]["uri"], "/a");
    let newest = get(&api, "/audit?limit=1").await["items"][0].clone();
    assert_eq!(
        (&newest["action"], &newest["object"]),
        (&json!("rollback"), &Value::Null)
    );
    // Rolling back is a version too: it can be undone.
    ours(&api, "POST", "/versions/6/rollback", Value::Null)
        .await
        .is(200);
    api.get("/routes/1").await.is(404);
    api.get("/routes/2").await.is(200);
    ours(&api, "GET", "/versions/99", Value::Null).await.is(404);
    ours(&api, "POST", "/versions/99/rollback", Value::Null)
        .await
        .is(404);
    ours(&api, "GET", "/versions/2/rollback", Value::Null)
        .await
        .is(405);
}

#[tokio::test]
async fn what_a_version_needs_may_be_missing_by_now_and_then_nothing_is_rolled_back() {
    let key = |role| Key {
        name: "v".to_owned(),
        key: Secret::from("key-of-v".to_owned()),
        role,
        teams: Vec::new(),
    };
    let mut settings = settings();
    settings.keys.push(key(Role::Viewer));
    let api = api_with(settings);
    api.put("/upstreams/u", json!({"nodes": {"127.0.0.1:1": 1}}))
        .await
        .is(201);
    api.put("/routes/1", json!({"uri": "/a", "upstream_id": "u"}))
        .await
        .is(201);
    ours_as(&api, "key-of-v", "POST", "/versions/1/rollback", Value::Null)
        .await
        .is(403);
    ours(&api, "POST", "/versions/1/rollback", Value::Null)
        .await
        .is(200);
    api.get("/routes/1").await.is(404);
}

#[tokio::test]
async fn a_plan_tells_mistakes_changes_and_what_they_concern_and_changes_nothing() {
    let api = api();
    api.put("/upstreams/u", json!({"nodes": {"127.0.0.1:1": 1}}))
        .await
        .is(201);
    api.put("/routes/1", json!({"uri": "/a", "upstream_id": "u"}))
        .await
        .is(201);
    api.told();
    let plan = |changes: Value| {
        let api = &api;
        async move {
            ours(api, "POST", "/plan", json!({"changes": changes}))
                .await
                .is(200)
                .json()
        }
    };
    let told = plan(json!([
        {"action": "put", "object": "upstreams/u", "value": {"nodes": {"127.0.0.1:2": 1}}},
        {"action": "put", "object": "routes/2", "value": {"uri": "/b", "upstream_id": "new"}},
        {"action": "put", "object": "upstreams/new", "value": {"nodes": {"127.0.0.1:3": 1}}},
    ]))
    .await;
    assert_eq!((&told["valid"], &told["mistakes"]), (&json!(true), &json!([])));
    assert_eq!(told["affected"]["routes"], json!(["1", "2"]));
    let update = told["changes"]
        .as_array()
        .unwrap()
        .iter()
        .find(|change| change["object"] == "upstreams/u")
        .unwrap();
    assert_eq!(update["action"], "update");
    assert_eq!(
        update["diff"],
        json!([
            {"path": "nodes.127.0.0.1:1", "from": 1, "to": null},
            {"path": "nodes.127.0.0.1:2", "from": null, "to": 1},
        ])
    );

    let told = plan(json!([
        {"action": "put", "object": "routes/3", "value": {"uri": 7}},
        {"action": "put", "object": "routes/4", "value": {"uri": "/c", "upstream_id": "missing"}},
        {"action": "delete", "object": "upstreams/u"},
        {"action": "delete", "object": "routes/99"},
        {"action": "turn", "object": "routes/1"},
        {"action": "put", "object": "nothing"},
        {"action": "put", "object": "routes/5", "value": {"uri": "/d"}, "force": true},
    ]))
    .await;
    let mistakes: Vec<String> = told["mistakes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mistake| {
            format!(
                "{}: {}",
                mistake["path"].as_str().unwrap(),
                mistake["text"].as_str().unwrap()
            )
        })
        .collect();
    assert_eq!(told["valid"], false);
    for begin in [
        "changes[4].action: write put or delete",
        "changes[5].object: write the name",
        "changes[6]: there is no member `force`",
        "changes[3]: there is no routes/99",
        "changes[0].value: ",
        "changes[1].value: ",
        "changes[2]: can not delete this upstream, route [1] is still using it now",
    ] {
        assert!(
            mistakes.iter().any(|text| text.starts_with(begin)),
            "{begin}: {mistakes:#?}"
        );
    }
    assert!(api.told().is_empty());
    assert_eq!(get(&api, "/versions").await["items"].as_array().unwrap().len(), 2);
    for body in [
        json!({}),
        json!({"changes": 1}),
        json!({"document": []}),
        json!({"chnages": []}),
    ] {
        ours(&api, "POST", "/plan", body).await.is(400);
    }
}

#[tokio::test]
async fn a_whole_document_can_be_planned() {
    let api = api();
    api.put("/routes/1", route("/a")).await.is(201);
    api.put("/routes/2", route("/b")).await.is(201);
    let document = json!({"routes": [{"id": "1", "uri": "/new", "upstream": route("/")["upstream"]}]});
    let told = ours(&api, "POST", "/plan", json!({"document": document}))
        .await
        .is(200)
        .json();
    assert_eq!(told["mistakes"], json!([]));
    assert_eq!(
        told["changes"],
        json!([
            {"object": "routes/1", "action": "update", "diff": [{"path": "uri", "from": "/a", "to": "/new"}]},
            {"object": "routes/2", "action": "delete", "diff": told["changes"][1]["diff"]},
        ])
    );
    let told = ours(&api, "POST", "/plan", json!({"document": {"rotues": []}}))
        .await
        .is(200)
        .json();
    assert_eq!(told["mistakes"][0]["path"], "rotues");
}

#[tokio::test]
async fn a_document_is_told_as_one_write() {
    let api = api_with(Settings {
        mode: Mode::ApiDriven,
        ..settings()
    });
    let body =
        json!({"routes": [{"id": "1", "uri": "/a", "plugins": {}}, {"id": "2", "uri": "/b", "plugins": {}}]});
    api.call_with("PUT", "/configs", &[("x-digest", "1")], body.to_string())
        .await
        .is(202);
    let newest = get(&api, "/audit").await["items"][0].clone();
    assert_eq!(
        (&newest["action"], &newest["objects"]),
        (&json!("replace"), &json!(["routes/1", "routes/2"]))
    );
    ours(&api, "POST", "/versions/0/rollback", Value::Null)
        .await
        .is(409);
}
