use axum::body::Body;
use http::Request;
use serde_json::json;
use tollgate_admin::{Network, Settings};

use crate::common::{Api, KEY, Told, VIEWER_KEY, api, api_with, route, settings};

async fn bare(api: &Api, method: &str, uri: &str, headers: &[(&str, &str)]) -> Told {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    api.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_request_without_a_key_or_with_a_wrong_one_is_refused() {
    let api = api();
    let told = bare(&api, "GET", "/apisix/admin/routes", &[]).await;
    assert_eq!(
        told.is(401).json(),
        json!({"error_msg": "failed to check token", "description": "missing apikey"})
    );
    assert!(told.text.ends_with('\n'));
    assert_eq!(told.header("server"), Some("APISIX/3.18.0"));
    assert_eq!(told.header("x-api-version"), None);
    let told = bare(&api, "GET", "/apisix/admin/routes", &[("x-api-key", "wrong")]).await;
    assert_eq!(told.is(401).json()["description"], "wrong apikey");
    let told = bare(&api, "GET", &format!("/apisix/admin/routes??api_key={KEY}"), &[]).await;
    assert_eq!(told.is(401).json()["description"], "missing apikey");
}

#[tokio::test]
async fn a_key_may_come_in_the_query_the_header_or_a_cookie_in_this_order() {
    let api = api();
    let query = format!("/apisix/admin/routes?api_key={KEY}");
    let cookie = format!("a=b; x_api_key={KEY}");
    bare(&api, "GET", &query, &[]).await.is(200);
    bare(&api, "GET", &query, &[("x-api-key", "wrong")]).await.is(200);
    bare(&api, "GET", "/apisix/admin/routes", &[("x-api-key", KEY)])
        .await
        .is(200);
    bare(&api, "GET", "/apisix/admin/routes", &[("cookie", &cookie)])
        .await
        .is(200);
    let both = [("cookie", cookie.as_str()), ("x-api-key", "wrong")];
    bare(&api, "GET", "/apisix/admin/routes", &both).await.is(401);
}

#[tokio::test]
async fn a_viewer_may_only_read() {
    let api = api();
    let viewer = [("x-api-key", VIEWER_KEY)];
    bare(&api, "GET", "/apisix/admin/routes", &viewer).await.is(200);
    for (method, path) in [
        ("PUT", "plugins/reload"),
        ("DELETE", "routes/1"),
        ("POST", "schema/validate/routes"),
    ] {
        let told = bare(&api, method, &format!("/apisix/admin/{path}"), &viewer).await;
        assert_eq!(
            told.is(401).json()["description"],
            "invalid method for role viewer"
        );
    }
}

#[tokio::test]
async fn nobody_needs_a_key_when_none_is_required() {
    let api = api_with(Settings {
        key_required: false,
        ..settings()
    });
    bare(&api, "GET", "/apisix/admin/routes", &[("x-api-key", "wrong")])
        .await
        .is(200);
    bare(&api, "GET", "/apisix/admin/routes", &[]).await.is(200);
}

#[tokio::test]
async fn the_version_is_told_to_everybody() {
    let told = bare(&api(), "HEAD", "/apisix/admin", &[]).await;
    assert_eq!(told.is(200).header("server"), Some("APISIX/3.18.0"));
    let quiet = api_with(Settings {
        server_tokens: false,
        ..settings()
    });
    let told = bare(&quiet, "HEAD", "/apisix/admin", &[]).await;
    assert_eq!(told.header("server"), Some("APISIX"));
}

#[tokio::test]
async fn addresses_that_are_not_on_the_list_are_kept_out() {
    let api = api_with(Settings {
        allow: Some(vec![Network::parse("127.0.0.0/24").unwrap()]),
        ..settings()
    });
    api.get("/routes").await.is(200);
    let request = || {
        Request::get("/apisix/admin/routes")
            .header("x-api-key", KEY)
            .body(Body::empty())
            .unwrap()
    };
    let told = api.send_from("10.0.0.1".parse().unwrap(), request()).await;
    assert_eq!(told.is(403).header("content-type"), Some("text/html"));
}

#[tokio::test]
async fn pages_of_other_origins_are_answered_unless_switched_off() {
    let api = api();
    let told = api.get("/routes").await;
    for (name, value) in [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-credentials", "true"),
        ("access-control-expose-headers", "*"),
        ("access-control-max-age", "3600"),
        ("content-type", "application/json"),
        ("x-api-version", "v3"),
    ] {
        assert_eq!(told.header(name), Some(value));
    }
    let told = bare(&api, "OPTIONS", "/apisix/admin/routes", &[]).await;
    assert_eq!(
        told.is(200).header("access-control-allow-methods"),
        Some("POST, GET, PUT, OPTIONS, DELETE, PATCH")
    );
    let closed = api_with(Settings {
        cors: false,
        ..settings()
    });
    assert_eq!(
        closed.get("/routes").await.header("access-control-allow-origin"),
        None
    );
    bare(&closed, "OPTIONS", "/apisix/admin/routes", &[])
        .await
        .is(404);
}

/// What is told to a request that a browser sends for a page of this origin, by the name it has looked up.
async fn for_page(api: &Api, method: &str, host: &str, origin: Option<&str>) -> Told {
    let cookie = format!("x_api_key={KEY}");
    let mut headers = vec![("host", host), ("cookie", cookie.as_str())];
    headers.extend(origin.map(|origin| ("origin", origin)));
    bare(api, method, "/apisix/admin/upstreams/1", &headers).await
}

#[tokio::test]
async fn pages_of_other_origins_cannot_use_the_cookie_of_a_person() {
    let api = api_with(Settings {
        cors: false,
        ..settings()
    });
    for_page(&api, "PUT", "127.0.0.1:9180", Some("http://127.0.0.1:9180"))
        .await
        .is(201);
    for (host, origin) in [
        ("gateway.example:9180", Some("https://GATEWAY.example:9180")),
        ("gateway.example", None),
    ] {
        for_page(&api, "PUT", host, origin).await.is(200);
    }
    for origin in [
        "http://elsewhere.example",
        "http://127.0.0.1:9181",
        "http://127.0.0.1",
        "http://127.0.0.1:9180.elsewhere.example",
        "http://elsewhere.example?127.0.0.1:9180",
        "null",
        "127.0.0.1:9180",
    ] {
        for method in ["PUT", "DELETE", "GET"] {
            let told = for_page(&api, method, "127.0.0.1:9180", Some(origin)).await;
            assert!(
                told.is(403).text.contains("another origin"),
                "{method} {origin}: {}",
                told.text
            );
        }
    }
    // A page of another origin is let in where the operator says so.
    let open = api_with(settings());
    for_page(&open, "PUT", "127.0.0.1:9180", Some("http://elsewhere.example"))
        .await
        .is(201);
}

#[tokio::test]
async fn without_a_key_only_addresses_and_this_machine_s_own_name_lead_here() {
    let keyless = || Settings {
        key_required: false,
        cors: false,
        ..settings()
    };
    let api = api_with(keyless());
    for host in [
        "127.0.0.1:9180",
        "[::1]:9180",
        "10.1.2.3",
        "localhost",
        "LocalHost:9180",
    ] {
        bare(&api, "GET", "/apisix/admin/routes", &[("host", host)])
            .await
            .is(200);
    }
    for host in [
        "elsewhere.example:9180",
        "localhost.elsewhere.example",
        "127.0.0.1.elsewhere.example",
        "",
    ] {
        bare(&api, "GET", "/apisix/admin/routes", &[("host", host)])
            .await
            .is(403);
        // Probes are told all the same.
        bare(&api, "GET", "/status", &[("host", host)]).await.is(200);
    }
    let strict = api_with(Settings {
        strict: true,
        ..keyless()
    });
    bare(
        &strict,
        "GET",
        "/apisix/admin/routes",
        &[("host", "elsewhere.example")],
    )
    .await
    .is(200);
}

#[tokio::test]
async fn unknown_paths_resources_and_methods_are_told_apart() {
    let api = api();
    let told = api.get("").await;
    assert_eq!(told.is(404).header("content-type"), Some("text/html"));
    bare(&api, "GET", "/elsewhere", &[]).await.is(404);
    api.put("/routs/1", route("/x"))
        .await
        .refused(404, "Unsupported resource type: routs");
    api.get("/configs")
        .await
        .refused(404, "Unsupported resource type: configs");
    api.put("/schema/service", json!({}))
        .await
        .refused(404, "not found");
    api.post("/consumers", json!({}))
        .await
        .refused(405, "not supported `POST` method for consumer");
    for path in [
        "consumer_groups",
        "plugin_configs",
        "global_rules",
        "plugin_metadata",
        "secrets",
    ] {
        api.post(&format!("/{path}"), json!({})).await.is(405);
    }
    api.patch("/plugin_metadata/x", json!({}))
        .await
        .refused(405, "not supported `PATCH` method for plugin_metadata");
    for method in ["GET", "PUT", "POST"] {
        api.call(method, "/stream_routes", "{}")
            .await
            .refused(400, "stream mode is disabled, can not add stream routes");
    }
}

#[tokio::test]
async fn a_body_is_json_and_not_too_large() {
    let api = api();
    let told = api.call("PUT", "/routes/1", "{abcd").await;
    let error = "invalid request body: Expected object key string but found invalid token at character 2";
    assert_eq!(
        told.is(400).json(),
        json!({"error_msg": error, "req_body": "{abcd"})
    );
    api.call("PUT", "/routes/1", "")
        .await
        .refused(400, "missing configurations");
    let fits = format!("{{\"uri\": \"/x\"}}{}", " ".repeat(1_572_864 - 13));
    assert_ne!(api.call("PUT", "/routes/1", fits).await.text, "");
    let large = " ".repeat(1_572_865);
    let text = "invalid request body: request size 1572865 is greater than the maximum size 1572864 allowed";
    api.call("PUT", "/routes/1", large.clone())
        .await
        .refused(400, text);
    let length = large.len().to_string();
    api.call_with("PUT", "/routes/1", &[("content-length", &length)], large)
        .await
        .refused(400, text);
}

#[tokio::test]
async fn whether_it_lives_and_serves_is_told_to_everybody() {
    let api = api();
    for path in ["/status", "/status/ready"] {
        assert_eq!(
            bare(&api, "GET", path, &[]).await.is(200).json(),
            json!({"status": "ok"})
        );
    }
    let unready = crate::common::api_of(
        settings(),
        crate::common::Recorder {
            unready: Some("not loaded".to_owned()),
            ..Default::default()
        },
    );
    bare(&unready, "GET", "/status", &[]).await.is(200);
    assert_eq!(
        bare(&unready, "GET", "/status/ready", &[]).await.is(503).json(),
        json!({"status": "error", "error": "not loaded"})
    );
}
