//! The dashboard's files, the code that signs in once, and what its pages ask beside objects and usage.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use crate::common::{Api, KEY, Told, VIEWER_KEY, api};

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

async fn get(api: &Api, uri: &str, headers: &[(&str, &str)]) -> Told {
    send(api, "GET", uri, headers, Value::Null).await
}

#[tokio::test]
async fn a_browser_is_sent_to_the_dashboard_and_a_program_is_not() {
    let api = api();
    let told = get(&api, "/", &[("accept", "text/html,*/*")]).await;
    assert_eq!(told.is(302).header("location"), Some("/ui/"));
    get(&api, "/", &[("accept", "*/*")]).await.is(404);
    assert_eq!(
        get(&api, "/ui", &[]).await.is(302).header("location"),
        Some("/ui/")
    );
    // It is kept in one form only, which is given to all who do not refuse it.
    let told = send(&api, "HEAD", "/ui/", &[], Value::Null).await;
    assert_eq!(told.is(200).header("content-encoding"), Some("gzip"));
    get(&api, "/ui/", &[("accept-encoding", "identity")])
        .await
        .is(406);
    get(&api, "/ui/assets/gone.js", &[("accept-encoding", "gzip")])
        .await
        .is(404);
    send(&api, "POST", "/ui/", &[], Value::Null).await.is(404);
}

#[tokio::test]
async fn a_page_that_is_known_is_not_sent_again_and_no_page_runs_what_is_not_its_own() {
    let api = api();
    let told = send(
        &api,
        "HEAD",
        "/ui/any/page",
        &[("accept-encoding", "br, gzip")],
        Value::Null,
    )
    .await;
    let told = told.is(200);
    let etag = told.header("etag").unwrap();
    assert_eq!(told.header("cache-control"), Some("no-cache"));
    assert_eq!(told.header("content-encoding"), Some("gzip"));
    let policy = told.header("content-security-policy").unwrap();
    assert!(
        policy.starts_with("default-src 'none'; script-src 'self';"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe"), "{policy}");
    let again = get(
        &api,
        "/ui/",
        &[("accept-encoding", "gzip"), ("if-none-match", etag)],
    )
    .await;
    assert_eq!(again.is(304).text, "");
}

#[tokio::test]
async fn the_code_that_a_gateway_prints_signs_in_once() {
    let api = api();
    let code = api.admin.sign_in_code().unwrap();
    let sign_in = |code: &str| {
        let (api, body) = (&api, json!({"code": code}));
        async move { send(api, "POST", "/tollgate/v1/session", &[], body).await }
    };
    sign_in("0000").await.is(401);
    let told = sign_in(&code).await;
    assert_eq!(told.is(200).json()["role"], "admin");
    let cookie = told
        .header("set-cookie")
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    get(&api, "/tollgate/v1/status", &[("cookie", &cookie)])
        .await
        .is(200);
    let again = sign_in(&code).await;
    assert!(again.is(401).text.contains("used already"), "{}", again.text);
}

#[tokio::test]
async fn what_the_dashboard_watches_needs_a_key_and_names_what_is_wrong() {
    let api = api();
    let viewer = [("x-api-key", VIEWER_KEY)];
    for path in ["status", "live", "overview", "logs", "playground/v1/models"] {
        get(&api, &format!("/tollgate/v1/{path}"), &[]).await.is(401);
    }
    let status = get(&api, "/tollgate/v1/status", &viewer).await;
    let status = status.is(200).json();
    assert_eq!(
        (&status["ready"], &status["objects"]["routes"]),
        (&json!(true), &json!(0))
    );
    for (path, field) in [
        ("logs?colour=red", "colour"),
        ("overview?range=2h", "range"),
        ("overview?by=colour", "by"),
        ("status?x=1", "x"),
    ] {
        let told = get(&api, &format!("/tollgate/v1/{path}"), &viewer).await;
        assert_eq!(told.is(400).json()["error"]["field"], field, "{path}");
    }
    // There is no ledger here.
    get(&api, "/tollgate/v1/overview", &viewer).await.is(404);
    let admin = [("x-api-key", KEY)];
    send(&api, "POST", "/tollgate/v1/status", &admin, Value::Null)
        .await
        .is(405);
    // Nor does it serve calls.
    let told = send(
        &api,
        "POST",
        "/tollgate/v1/playground/v1/messages",
        &admin,
        json!({}),
    )
    .await;
    assert!(told.is(503).text.contains("server.listen"), "{}", told.text);
    send(
        &api,
        "POST",
        "/tollgate/v1/playground/v1/messages",
        &viewer,
        json!({}),
    )
    .await
    .is(403);
}
