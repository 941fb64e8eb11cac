//! Where the gateway connects to, and where it does not.

use serde_json::json;

use crate::apisix::{CHAT, NodeSetup, chat_route};
use crate::harness::{Dialect, Next, Setup, Upstream, answers, post};

#[test]
fn no_spelling_of_a_metadata_service_is_connected_to_even_if_the_operator_has_written_it() {
    let spellings = [
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "169.254.43518",
        "[::ffff:169.254.169.254]",
        "[::ffff:a9fe:a9fe]",
        "[fe80::a9fe:a9fe]",
        "[fd00:ec2::254]",
        "169.254.170.2:80",
    ];
    let mut config = "auth: none\nmodels:\n".to_owned();
    let mut providers = "providers:\n".to_owned();
    for (number, spelling) in spellings.iter().enumerate() {
        config.push_str(&format!("  m{number}: {{provider: p{number}}}\n"));
        providers.push_str(&format!(
            "  p{number}: {{kind: openai-compatible, endpoint: \"http://{spelling}/latest\"}}\n"
        ));
    }
    let gateway = Setup::new(config + &providers).start();
    for (number, spelling) in spellings.iter().enumerate() {
        let body = Dialect::OpenAi.request(&format!("m{number}"), false);
        let response = gateway.send(&post(Dialect::OpenAi.path(), body));
        assert_eq!(response.status(), 502, "{spelling}: {}", response.text());
        assert!(!response.text().contains("169.254"), "{}", response.text());
        let line = gateway.logged_text();
        assert!(line.contains("address_refused"), "{spelling}: {line}");
    }
    let finished = gateway.stop();
    assert!(finished.stderr.contains("egress.metadata"), "{}", finished.stderr);
}

/// A node that knows these names, both of them for the same peer.
fn node_with(peer: &Upstream, egress: &str) -> NodeSetup {
    let there = peer.address();
    NodeSetup::new()
        .tollgate(&format!(
            "resolve: {{\"models.example:80\": \"{there}\", \"evil.example:80\": \"{there}\"}}"
        ))
        .tollgate(&format!("egress: {egress}"))
}

#[test]
fn objects_reach_what_is_allowed_and_nothing_else() {
    let peer = Upstream::good("served");
    let node = node_with(
        &peer,
        "{allow: [models.example, \"*.vendors.example\", 10.0.0.0/8]}",
    )
    .start();
    for (id, host) in [("good", "models.example"), ("evil", "evil.example")] {
        node.put(
            &format!("/routes/{id}-chat"),
            &chat_route(&format!("/{id}/chat"), &format!("http://{host}/v1")),
        );
        node.put(
            &format!("/routes/{id}-proxy"),
            &json!({"uri": format!("/{id}/proxy"), "upstream": {"nodes": {format!("{host}:80"): 1}}}),
        );
    }
    // The peer's own address is on no list.
    node.put("/routes/bare", &chat_route("/bare/chat", &peer.base()));
    for path in ["/good/chat", "/good/proxy"] {
        let response = node.send(&post(path, Dialect::OpenAi.request("m", false)));
        assert_eq!(response.status(), 200, "{path}: {}", response.text());
        peer.asked();
    }
    for path in ["/evil/chat", "/evil/proxy", "/bare/chat"] {
        let response = node.send(&post(path, CHAT));
        assert_eq!(response.status(), 502, "{path}: {}", response.text());
        peer.was_not_asked();
    }
    let finished = node.stop();
    assert!(
        finished.stderr.contains("is not in `egress.allow`"),
        "{}",
        finished.stderr
    );
}

#[test]
fn nobody_who_connects_reaches_what_is_denied() {
    let peer = Upstream::start(|asked, peer| {
        peer.send(&answers::good(asked, "reached"));
        Next::Keep
    });
    let there = peer.address();
    let node = NodeSetup::new()
        .tollgate("egress: {deny: [127.0.0.0/8, \"::1\"]}")
        .start();
    let base = format!("http://{there}");
    node.put(
        "/secrets/vault/1",
        &json!({"uri": base, "prefix": "kv", "token": "t"}),
    );
    let mut by_vault = chat_route("/vault", &peer.base());
    by_vault["plugins"]["ai-proxy"]["auth"]["header"]["Authorization"] = json!("$secret://vault/1/a/key");
    node.put("/routes/vault", &by_vault);
    node.put("/routes/chat", &chat_route("/chat", &peer.base()));
    node.put(
        "/routes/localhost",
        &chat_route("/localhost", &format!("http://localhost:{}/v1", there.port())),
    );
    node.put(
        "/routes/nowhere",
        &chat_route("/nowhere", &format!("http://0.0.0.0:{}/v1", there.port())),
    );
    let logged =
        json!({"http-logger": {"uri": format!("{base}/logs"), "batch_max_size": 1, "max_retry_count": 0}});
    node.put(
        "/routes/logged",
        &json!({
            "uri": "/logged", "plugins": logged,
            "upstream": {
                "nodes": {there.to_string(): 1},
                "checks": {"active": {"http_path": "/health", "healthy": {"interval": 1}, "unhealthy": {"interval": 1}}},
            },
        }),
    );
    let limit = json!({"limit-count": {
        "count": 9, "time_window": 60, "policy": "redis", "redis_host": "127.0.0.1", "redis_port": there.port(),
        "allow_degradation": false,
    }});
    node.put(
        "/routes/limited",
        &json!({"uri": "/limited", "plugins": limit, "upstream": {"nodes": {there.to_string(): 1}}}),
    );
    let statuses = ["/vault", "/chat", "/localhost", "/nowhere", "/logged", "/limited"]
        .map(|path| (path, node.send(&post(path, CHAT)).status()));
    assert_eq!(
        statuses,
        [
            ("/vault", 503),
            ("/chat", 502),
            ("/localhost", 502),
            ("/nowhere", 502),
            ("/logged", 502),
            ("/limited", 500)
        ]
    );
    // What the log server was not told is given up at the end.
    let finished = node.stop();
    peer.was_not_asked();
    assert!(
        finished.stderr.contains("is refused by `egress.deny`"),
        "{}",
        finished.stderr
    );
}

#[test]
fn addresses_that_clients_give_are_passed_on_and_never_fetched() {
    let trap = Upstream::good("trapped");
    let there = trap.address();
    let upstream = Upstream::good("served");
    let config = format!(
        "models: {{o: {{provider: open}}, a: {{provider: ant}}}}\nauth: none\nproviders:\n  \
         open: {{kind: openai-compatible, endpoint: \"{0}\"}}\n  ant: {{kind: anthropic, key: k, endpoint: \"{0}\"}}\n",
        upstream.base()
    );
    let gateway = Setup::new(config).start();
    for model in ["o", "a"] {
        let body = json!({"model": model, "messages": [{"role": "user", "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": format!("http://{there}/image.png")}},
        ]}]});
        let request = post("/v1/chat/completions", body.to_string())
            .header("x-forwarded-host", &there.to_string())
            .header("x-forwarded-for", "169.254.169.254")
            .header("forwarded", &format!("host={there}"))
            .header("x-base-url", &format!("http://{there}"))
            .header("x-original-url", "/latest/meta-data");
        let response = gateway.send(&request);
        assert_eq!(response.status(), 200, "{model}: {}", response.text());
        let asked = upstream.asked();
        assert!(
            asked.text().contains(&format!("http://{there}/image.png")),
            "{}",
            asked.text()
        );
        assert!(!asked.path.contains("meta-data"), "{}", asked.path);
    }
    let body = json!({"model": "a", "max_tokens": 9, "messages": [{"role": "user", "content": [
        {"type": "document", "source": {"type": "url", "url": format!("http://{there}/file.pdf")}},
        {"type": "text", "text": "Read it"},
    ]}], "mcp_servers": [{"type": "url", "name": "tools", "url": format!("http://{there}/mcp")}]});
    let response = gateway.send(&post("/v1/messages", body.to_string()));
    assert_eq!(response.status(), 200, "{}", response.text());
    assert_eq!(upstream.asked().json()["mcp_servers"], body["mcp_servers"]);
    for url in ["file:///etc/passwd", "http://169.254.169.254/latest/meta-data/"] {
        let body = json!({"model": "o", "messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": url}},
        ]}]});
        let response = gateway.send(&post("/v1/chat/completions", body.to_string()));
        assert_eq!(response.status(), 200, "{}", response.text());
        assert_eq!(upstream.asked().text(), body.to_string());
    }
    gateway.stop();
    trap.was_not_asked();
}

#[test]
fn a_redirect_leads_nowhere() {
    let trap = Upstream::good("trapped");
    let away = format!("location: http://{}/v1/chat/completions\r\n", trap.address());
    let peer = Upstream::start(move |asked, peer| {
        let status = if asked.path.contains("307") { 307 } else { 302 };
        peer.send(&answers::answer(status, &away, b""));
        Next::Keep
    });
    let node = NodeSetup::new().start();
    let base = format!("http://{}", peer.address());
    node.put(
        "/secrets/vault/1",
        &json!({"uri": base, "prefix": "kv", "token": "t"}),
    );
    let mut by_vault = chat_route("/vault", &peer.base());
    by_vault["plugins"]["ai-proxy"]["auth"]["header"]["Authorization"] = json!("$secret://vault/1/a/key");
    node.put("/routes/vault", &by_vault);
    for status in ["302", "307"] {
        node.put(
            &format!("/routes/chat-{status}"),
            &chat_route(
                &format!("/chat-{status}"),
                &format!("{base}/{status}/chat/completions"),
            ),
        );
        let response = node.send(&post(&format!("/chat-{status}"), CHAT));
        assert!(response.status() >= 300, "{}", response.text());
    }
    assert_eq!(node.send(&post("/vault", CHAT)).status(), 503);
    node.stop();
    trap.was_not_asked();
}
