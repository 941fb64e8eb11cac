//! Signing in with a key, what each role may do, and what becomes of wrong keys.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use tollgate_admin::{Key, Role, SessionLimits, Settings};
use tollgate_resources::Secret;

use crate::common::{Api, KEY, NOW, Told, VIEWER_KEY, api, api_with, route, settings};

async fn send(api: &Api, method: &str, uri: &str, headers: &[(&str, &str)], body: Value) -> Told {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = match body {
        Value::Null => Body::empty(),
        body => Body::from(body.to_string()),
    };
    api.send(request.body(body).unwrap()).await
}

const SESSION: &str = "/tollgate/v1/session";

async fn sign_in(api: &Api, key: &str) -> (String, Told) {
    let told = send(api, "POST", SESSION, &[], json!({"key": key})).await;
    let cookie = told.header("set-cookie").unwrap_or_default();
    (cookie.split(';').next().unwrap().to_owned(), told)
}

#[tokio::test]
async fn a_person_signs_in_reads_writes_with_the_proof_of_the_page_and_signs_out() {
    let api = api();
    let (cookie, told) = sign_in(&api, KEY).await;
    let me = told.is(200).json();
    assert_eq!(
        (&me["name"], &me["role"], &me["via"], &me["methods"]),
        (&json!("admin"), &json!("admin"), &json!("key"), &json!(["key"]))
    );
    assert_eq!(me["expires_at"], "2023-11-14T22:43:20Z");
    let kept = told.header("set-cookie").unwrap();
    assert!(
        kept.ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict"),
        "{kept}"
    );
    assert_eq!(told.header("cache-control"), Some("no-store"));

    let signed_in = [("cookie", cookie.as_str())];
    let again = send(&api, "GET", SESSION, &signed_in, Value::Null).await;
    assert_eq!(again.is(200).json(), me);
    send(&api, "GET", "/apisix/admin/routes", &signed_in, Value::Null)
        .await
        .is(200);

    let put = |headers: Vec<(&'static str, String)>| {
        let (api, cookie) = (&api, cookie.clone());
        async move {
            let mut headers: Vec<(&str, &str)> = headers
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            headers.push(("cookie", &cookie));
            send(api, "PUT", "/apisix/admin/routes/1", &headers, route("/a")).await
        }
    };
    let csrf = me["csrf"].as_str().unwrap().to_owned();
    put(vec![]).await.is(403);
    put(vec![("x-tollgate-csrf", format!("{csrf}0"))]).await.is(403);
    put(vec![("x-tollgate-csrf", csrf.clone())]).await.is(201);

    send(&api, "DELETE", SESSION, &signed_in, Value::Null)
        .await
        .is(403);
    let proof = [("cookie", cookie.as_str()), ("x-tollgate-csrf", csrf.as_str())];
    let told = send(&api, "DELETE", SESSION, &proof, Value::Null).await;
    assert!(told.is(204).header("set-cookie").unwrap().contains("Max-Age=0"));
    let told = send(&api, "GET", SESSION, &signed_in, Value::Null).await;
    assert_eq!(told.is(401).json()["methods"], json!(["key"]));
    send(&api, "GET", "/apisix/admin/routes", &signed_in, Value::Null)
        .await
        .is(401);
}

#[tokio::test]
async fn a_session_ends_when_nobody_uses_it_and_over_tls_its_cookie_stays_there() {
    let api = api_with(Settings {
        secure: true,
        sessions: SessionLimits {
            idle_s: 60,
            longest_s: 100,
        },
        ..settings()
    });
    let (cookie, told) = sign_in(&api, KEY).await;
    assert!(told.header("set-cookie").unwrap().ends_with("; Secure"));
    let mut statuses = Vec::new();
    for after in [59, 99, 100] {
        api.now.store(NOW + after, std::sync::atomic::Ordering::Relaxed);
        let told = send(&api, "GET", SESSION, &[("cookie", &cookie)], Value::Null).await;
        statuses.push(told.status.as_u16());
    }
    assert_eq!(statuses, [200, 200, 401]);
}

#[tokio::test]
async fn who_signs_in_wrong_is_told_so_and_a_page_of_another_origin_cannot() {
    let api = api();
    let told = sign_in(&api, "wrong").await.1;
    assert_eq!(told.is(401).json()["error"]["code"], "unauthorized");
    let told = send(&api, "POST", SESSION, &[], json!({"key": KEY, "role": "admin"})).await;
    assert_eq!(
        told.is(400).json()["error"],
        json!({"code": "invalid", "field": "role", "message": "there is no member `role`; the members are key, code"})
    );
    let told = send(&api, "POST", SESSION, &[], json!({})).await;
    assert_eq!(told.is(400).json()["error"]["field"], "key");
    let page = [("origin", "https://elsewhere.example"), ("host", "127.0.0.1")];
    let told = send(&api, "POST", SESSION, &page, json!({"key": KEY})).await;
    assert_eq!(told.is(403).header("set-cookie"), None);
    send(&api, "PUT", SESSION, &[], Value::Null).await.is(405);
    send(&api, "GET", "/tollgate/v1/session/x", &[], Value::Null)
        .await
        .is(404);
}

#[tokio::test]
async fn each_role_may_do_what_it_says() {
    let key = |name: &str, role, teams: &[&str]| Key {
        name: name.to_owned(),
        key: Secret::from(format!("key-of-{name}")),
        role,
        teams: teams.iter().map(|team| (*team).to_owned()).collect(),
    };
    let api = api_with(Settings {
        keys: vec![
            key("editor", Role::Editor, &[]),
            key("viewer", Role::Viewer, &[]),
            key("team", Role::TeamAdmin, &["search"]),
        ],
        ..settings()
    });
    for (name, reads, writes) in [
        ("editor", 200, 201),
        ("viewer", 200, 401),
        ("team", 401, 401),
        ("nobody", 401, 401),
    ] {
        let key = format!("key-of-{name}");
        let headers = [("x-api-key", key.as_str())];
        let read = send(&api, "GET", "/apisix/admin/routes", &headers, Value::Null).await;
        let uri = format!("/apisix/admin/routes/{name}");
        let write = send(&api, "PUT", &uri, &headers, route(&format!("/{name}"))).await;
        assert_eq!(
            (read.status.as_u16(), write.status.as_u16()),
            (reads, writes),
            "{name}"
        );
    }
    let me = sign_in(&api, "key-of-team").await.1.json();
    assert_eq!(
        (&me["role"], &me["teams"]),
        (&json!("team_admin"), &json!(["search"]))
    );
}

#[tokio::test]
async fn who_tries_keys_is_told_to_wait_and_a_right_one_is_served() {
    let api = api_with(Settings {
        wrong_keys: Some(3),
        ..settings()
    });
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(sign_in(&api, "wrong").await.1.status.as_u16());
    }
    let told = send(
        &api,
        "GET",
        "/apisix/admin/routes",
        &[("x-api-key", "wrong")],
        Value::Null,
    )
    .await;
    assert_eq!((statuses, told.status.as_u16()), (vec![401, 401, 401], 429));
    assert!(told.header("retry-after").is_some());
    let told = sign_in(&api, "wrong").await.1;
    assert_eq!(told.is(429).json()["error"]["code"], "too_many_wrong_keys");
    sign_in(&api, VIEWER_KEY).await.1.is(200);
    let told = send(&api, "GET", "/metrics", &[], Value::Null).await;
    assert!(
        told.text.ends_with("tollgate_admin_wrong_keys_total 5\n"),
        "{}",
        told.text
    );
}

#[tokio::test]
async fn our_paths_are_described_and_what_is_not_there_says_so() {
    let api = api();
    let key = [("x-api-key", KEY)];
    let told = send(&api, "GET", "/tollgate/v1/openapi.json", &key, Value::Null).await;
    let document = told.is(200).json();
    assert_eq!(document["openapi"], "3.1.0");
    for path in ["/session", "/usage"] {
        assert!(document["paths"][path]["get"].is_object(), "{path}");
    }
    let told = send(&api, "GET", "/tollgate/v1/nothing", &key, Value::Null).await;
    assert_eq!(told.is(404).json()["error"]["code"], "not_found");
    let told = send(&api, "GET", "/tollgate/v1/openapi.json", &[], Value::Null).await;
    assert_eq!(told.is(401).json()["error"]["code"], "unauthorized");
    let viewer = [("x-api-key", VIEWER_KEY)];
    let told = send(&api, "POST", "/tollgate/v1/nothing", &viewer, Value::Null).await;
    assert_eq!(told.is(403).json()["error"]["code"], "forbidden");
}
