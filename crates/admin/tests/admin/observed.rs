//! What is told about how the data plane is doing.

use axum::body::Body;
use http::Request;
use serde_json::{Map, Value, json};
use tollgate_admin::Settings;

use crate::common::{Api, KEY, Recorder, Told, api_of, settings};

fn told() -> Map<String, Value> {
    let node = |ip: &str, status: &str| {
        json!({"hostname": "a<b", "ip": ip, "port": 80, "status": status,
               "counter": {"success": 0, "http_failure": 2, "tcp_failure": 0, "timeout_failure": 0}})
    };
    let nodes = [node("10.0.0.1", "healthy"), node("10.0.0.2", "unhealthy")];
    let Value::Object(told) = json!({"nodes": nodes, "type": "http", "instances": [{"name": "a"}]}) else {
        unreachable!("an object was written");
    };
    told
}

fn with_health(strict: bool, health: Vec<(&'static str, Map<String, Value>)>) -> Api {
    let recorder = Recorder {
        health,
        ..Recorder::default()
    };
    api_of(Settings { strict, ..settings() }, recorder)
}

async fn get(api: &Api, uri: &str, headers: &[(&str, &str)]) -> Told {
    let mut request = Request::get(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    api.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn health_is_told_in_the_shape_of_apisix_s_control_api() {
    let api = with_health(false, vec![("route/1", told()), ("plugin_config/p", told())]);
    let key = [("x-api-key", KEY)];
    get(&api, "/v1/healthcheck", &[]).await.is(401);
    let mut expected = Value::from(told());
    expected["name"] = json!("/apisix/routes/1");
    let all = get(&api, "/v1/healthcheck", &key).await;
    assert_eq!(all.is(200).json()[0], expected);
    assert_eq!(all.json()[1]["name"], "/apisix/plugin_configs/p");
    let one = get(&api, "/v1/healthcheck/routes/1", &key).await;
    assert_eq!(one.is(200).json(), expected);
    for (path, status, text) in [
        ("routes", 404, "missing src id for src type routes"),
        ("cars/1", 400, "invalid src type cars"),
        ("routes/2", 404, "routes[2] not found"),
        ("services/there", 404, "no checker for services[there]"),
        ("stream_routes/1", 404, "stream_routes[1] not found"),
    ] {
        let told = get(&api, &format!("/v1/healthcheck/{path}"), &key).await;
        assert_eq!(told.is(status).json(), json!({"error_msg": text}));
    }
}

#[tokio::test]
async fn browsers_are_shown_a_page_without_what_could_run_in_it() {
    let mut evil = told();
    evil.insert("type".to_owned(), "<script>".into());
    let api = with_health(false, vec![("route/1", evil)]);
    let headers = [("x-api-key", KEY), ("accept", "text/html,*/*")];
    let page = get(&api, "/v1/healthcheck/routes/1", &headers).await;
    assert_eq!(page.is(200).header("content-type"), Some("text/html"));
    assert!(
        page.text.contains("<td>10.0.0.2:80</td><td>unhealthy</td>"),
        "{}",
        page.text
    );
    assert!(
        !page.text.contains("<script>") && page.text.contains("&lt;script&gt;"),
        "{}",
        page.text
    );
}

#[tokio::test]
async fn nothing_checked_is_an_empty_list_and_in_strict_mode_what_apisix_makes_of_one() {
    let key = [("x-api-key", KEY)];
    for (strict, nothing) in [(false, json!([])), (true, json!({}))] {
        let api = with_health(strict, Vec::new());
        assert_eq!(get(&api, "/v1/healthcheck", &key).await.is(200).json(), nothing);
    }
}

#[tokio::test]
async fn numbers_are_told_without_a_key() {
    let api = with_health(false, Vec::new());
    for path in ["/metrics", "/apisix/prometheus/metrics"] {
        let told = get(&api, path, &[]).await;
        assert_eq!(told.is(200).text, "calls_total 3\n");
        let kind = told.header("content-type").unwrap();
        assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
    }
}
