//! What an instance is asked, and what instances there can be.

use super::*;

#[test]
fn each_instance_gets_the_request_in_its_own_way() {
    let node = node();
    let (small, large) = (failing(503), Upstream::good("large"));
    let own = |name: &str, upstream: &Upstream, model: &str, most: u64| {
        with(
            instance(name, upstream),
            &json!({
                "options": {"model": model, "temperature": 0.5},
                "override": {"endpoint": upstream.base(), "llm_options": {"max_tokens": most}},
            }),
        )
    };
    let instances = [
        with(own("small", &small, "model-s", 10), &json!({"priority": 1})),
        own("large", &large, "model-l", 2000),
    ];
    route(&node, &instances, &json!({"fallback_strategy": ["http_5xx"]}));
    let body = json!({"model": "any", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]});
    let response = node.send(&post("/chat", body.to_string()));
    assert_eq!(
        (response.status(), response.header("x-tollgate-model")),
        (200, Some("model-l"))
    );
    for (upstream, model, most) in [(&small, "model-s", 10), (&large, "model-l", 2000)] {
        let asked = upstream.asked().json();
        assert_eq!(
            (&asked["model"], &asked["max_tokens"], &asked["temperature"]),
            (&json!(model), &json!(most), &json!(0.5)),
            "{asked}"
        );
    }
}

#[test]
fn embeddings_are_balanced_and_repeated_like_everything_else() {
    let node = node();
    let vectors = r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5]}],"model":"e","usage":{"prompt_tokens":4,"total_tokens":4}}"#;
    let good = Upstream::saying(answers::json_answer(200, vectors));
    let bad = failing(500);
    let embedding =
        |name: &str, upstream: &Upstream| with(instance(name, upstream), &json!({"options": {"model": "e"}}));
    route(
        &node,
        &[
            with(embedding("bad", &bad), &json!({"priority": 1})),
            embedding("good", &good),
        ],
        &json!({"fallback_strategy": ["http_5xx"]}),
    );
    let response = node.send(&post("/v1/embeddings", r#"{"input":"hello"}"#));
    assert_eq!((response.status(), response.text()), (200, vectors));
    assert_eq!(attempts(&response), "bad=500, good=ok");
    assert_eq!(bad.asked().json(), json!({"input": "hello", "model": "e"}));
    assert_eq!(good.asked().json(), json!({"input": "hello", "model": "e"}));
}

#[test]
fn instances_of_bedrock_are_signed_each_with_its_own_key() {
    let node = node();
    let answer = json!({
        "output": {"message": {"role": "assistant", "content": [{"text": "of Bedrock"}]}},
        "stopReason": "end_turn", "usage": {"inputTokens": 11, "outputTokens": 7, "totalTokens": 18},
    })
    .to_string();
    let (throttled, good) = (
        Upstream::saying(answers::json_answer(429, r#"{"message":"Too many requests"}"#)),
        Upstream::saying(answers::json_answer(200, &answer)),
    );
    let bedrock = |name: &str, key: &str, upstream: &Upstream| {
        json!({
            "name": name, "provider": "bedrock", "weight": 1, "provider_conf": {"region": "us-east-1"},
            "auth": {"aws": {"access_key_id": key, "secret_access_key": "s"}},
            "options": {"model": format!("model-of-{name}")},
            "override": {"endpoint": format!("http://{}", upstream.address())},
        })
    };
    route(
        &node,
        &[
            with(bedrock("one", "AKIDONE", &throttled), &json!({"priority": 1})),
            bedrock("two", "AKIDTWO", &good),
        ],
        &json!({"fallback_strategy": ["http_429"]}),
    );
    let body = r#"{"messages":[{"role":"user","content":[{"text":"Hello"}]}]}"#;
    let response = node.send(&post("/model/any/converse", body));
    assert_eq!((response.status(), response.text()), (200, &*answer));
    assert_eq!(attempts(&response), "one=429, two=ok");
    for (upstream, key, path) in [
        (&throttled, "AKIDONE", "/model/model-of-one/converse"),
        (&good, "AKIDTWO", "/model/model-of-two/converse"),
    ] {
        let asked = upstream.asked();
        assert_eq!(asked.path, path);
        let signed = asked.header("authorization").unwrap_or_default();
        assert!(signed.contains(&format!("Credential={key}/")), "{signed}");
    }
}

#[test]
fn a_client_of_anthropic_gets_the_next_instance_s_answer_in_its_own_dialect() {
    let node = node();
    let (bad, good) = (failing(500), Upstream::good("translated"));
    route(
        &node,
        &[preferred("bad", &bad), instance("good", &good)],
        &json!({"fallback_strategy": ["http_5xx"]}),
    );
    let body = CHAT.replacen('{', r#"{"max_tokens":9,"model":"m","#, 1);
    let response = node.send(&post("/v1/messages", body));
    assert_eq!(response.status(), 200, "{}", response.text());
    let answer = response.json();
    assert_eq!(answer["type"], "message");
    assert_eq!(answer["content"][0]["text"], "translated");
}

#[test]
fn what_cannot_be_is_refused_with_its_place() {
    let node = node();
    let upstream = Upstream::refusing();
    for (rules, place) in [
        (json!({"deadline_ms": 0}), "deadline_ms"),
        (json!({"retry_budget": {"percent": -1}}), "retry_budget"),
        (json!({"hedge": {"percentile": 100}}), "hedge"),
        (json!({"fallback_strategy": ["context"]}), "fallback_strategy"),
        (json!({"balancer": {"algorithm": "fastest"}}), "algorithm"),
    ] {
        let multi = with(json!({"instances": [instance("a", &upstream)]}), &rules);
        let route = json!({"uri": "/x", "plugins": {"ai-proxy-multi": multi}});
        let response = node.ask("PUT", "/routes/x", Some(&route));
        assert_eq!(response.status(), 400);
        assert!(response.text().contains(place), "{place}: {}", response.text());
    }
}
