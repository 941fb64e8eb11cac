//! What the other dialect cannot express: told, refused, or served by somebody who can.

use crate::harness::{Dialect, Gateway, Setup, Upstream, answers, post};

/// `openai` and `anthropic` behind two providers, `either` tries Anthropic's first, `strict` refuses every loss.
fn gateway(openai: &Upstream, anthropic: &Upstream) -> Gateway {
    Setup::new(format!(
        "models:\n  openai: {{provider: o, fallback: [anthropic]}}\n  anthropic: {{provider: a}}\n  \
         either: {{instances: [{{provider: a, weight: 1}}, {{provider: o, weight: 0}}]}}\n  \
         strict: {{provider: a, on_loss: strict}}\nproviders:\n{}{}",
        Dialect::OpenAi.provider("o", openai),
        Dialect::Anthropic.provider("a", anthropic),
    ))
    .start()
}

fn chat(model: &str, members: &str) -> String {
    format!(r#"{{"model":"{model}",{members}"messages":[{{"role":"user","content":"Hi"}}]}}"#)
}

#[test]
fn a_hint_that_is_left_out_is_told_in_a_header_and_the_log() {
    let (openai, anthropic) = (Upstream::good("o"), Upstream::good("a"));
    let gateway = gateway(&openai, &anthropic);
    let body = chat("anthropic", r#""seed":7,"temperature":1.5,"max_tokens":5,"#);
    let response = gateway.send(&post(Dialect::OpenAi.path(), body));
    assert_eq!(response.status(), 200, "{}", response.text());
    let told = response.head.header("x-tollgate-loss").expect("a report");
    assert!(
        told.contains("seed=dropped") && told.contains("temperature=approximated"),
        "{told}"
    );
    let sent = anthropic.asked().json();
    assert_eq!(sent["temperature"], 1);
    assert!(sent.get("seed").is_none());
    assert!(gateway.logged().to_string().contains("seed=dropped"));
    gateway.stop();
}

#[test]
fn strict_refuses_any_loss_and_names_the_fields() {
    let (openai, anthropic) = (Upstream::good("o"), Upstream::good("a"));
    let gateway = gateway(&openai, &anthropic);
    let request = |members| post(Dialect::OpenAi.path(), chat("strict", members));
    let response = gateway.send(&request(r#""seed":7,"max_tokens":5,"#));
    assert_eq!(response.status(), 400);
    assert_eq!(response.json()["error"]["code"], "not_translatable");
    assert_eq!(response.json()["error"]["param"], "seed");
    anthropic.was_not_asked();
    assert_eq!(gateway.send(&request(r#""max_tokens":5,"#)).status(), 200);
    gateway.stop();
}

#[test]
fn what_would_change_the_answer_is_refused_or_served_by_an_instance_that_can() {
    let (openai, anthropic) = (Upstream::good("o"), Upstream::good("a"));
    let gateway = gateway(&openai, &anthropic);
    let two = |model| post(Dialect::OpenAi.path(), chat(model, r#""n":2,"#));
    let response = gateway.send(&two("anthropic"));
    assert_eq!(response.status(), 400);
    assert!(
        Dialect::OpenAi.error_message(&response.body).contains("`n`"),
        "{}",
        response.text()
    );
    let response = gateway.send(&two("either"));
    assert_eq!(response.status(), 200, "{}", response.text());
    assert_eq!(
        response.head.header("x-tollgate-attempts"),
        Some("a=not_sent, o=ok")
    );
    anthropic.was_not_asked();
    gateway.stop();
}

#[test]
fn what_a_provider_said_is_told_and_not_that_its_fallback_could_not_be_asked() {
    let busy = answers::json_answer(429, &answers::error(Dialect::OpenAi, "slow down"));
    let (openai, anthropic) = (Upstream::saying(busy), Upstream::good("a"));
    let gateway = gateway(&openai, &anthropic);
    let response = gateway.send(&post(Dialect::OpenAi.path(), chat("openai", r#""n":2,"#)));
    assert_eq!(response.status(), 429, "{}", response.text());
    assert!(response.text().contains("slow down"));
    assert_eq!(
        response.head.header("x-tollgate-attempts"),
        Some("o=429, a=not_sent")
    );
    gateway.stop();
}

#[test]
fn reasoning_of_another_maker_does_not_reach_anthropic() {
    let (openai, anthropic) = (Upstream::good("o"), Upstream::good("a"));
    let gateway = gateway(&openai, &anthropic);
    let body = r#"{"model":"anthropic","max_tokens":9,"x":1,"messages":[{"role":"user","content":"Hi"},
        {"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"tollgate:openai_chat:reasoning_content:r1"},
        {"type":"text","text":"Hello"}]},{"role":"user","content":"Go on"}]}"#;
    let response = gateway.send(&post(Dialect::Anthropic.path(), body));
    assert_eq!(response.status(), 200, "{}", response.text());
    let sent = anthropic.asked().json();
    assert_eq!(
        sent["messages"][1]["content"],
        serde_json::json!([{"type": "text", "text": "Hello"}])
    );
    assert_eq!(sent["x"], 1, "everything else goes on as it came");
    assert!(response.head.header("x-tollgate-loss").is_some());
    gateway.stop();
}

#[test]
fn an_answer_of_a_model_without_schemas_is_bound_by_a_tool_that_the_client_never_sees() {
    let gateway = Setup::new(
        "models:\n  m: {provider: a, model: claude-3-5-haiku}\n\
         providers:\n  a: {kind: simulated, dialects: [anthropic_messages]}\n",
    )
    .start();
    let form = r#""response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object","properties":{"city":{"type":"string"}}}}},"#;
    let response = gateway.send(&post(Dialect::OpenAi.path(), chat("m", form)));
    assert_eq!(response.status(), 200, "{}", response.text());
    let choice = &response.json()["choices"][0];
    assert_eq!(choice["finish_reason"], "stop");
    assert!(choice["message"].get("tool_calls").is_none(), "{choice}");
    let answer = choice["message"]["content"].as_str().expect("text");
    assert_eq!(answer, r#"{"city":"Paris"}"#);
    let told = response.head.header("x-tollgate-loss").expect("a report");
    assert!(told.contains("response_format=approximated"), "{told}");

    let streamed = gateway.send(&post(
        Dialect::OpenAi.path(),
        chat("m", &format!("{form}\"stream\":true,")),
    ));
    let text = streamed.text();
    let pieces = text.lines().filter_map(|line| line.strip_prefix("data: {"));
    let joined: String = pieces
        .map(|rest| serde_json::from_str::<serde_json::Value>(&format!("{{{rest}")).expect("JSON"))
        .filter_map(|chunk| {
            chunk["choices"][0]["delta"]["content"]
                .as_str()
                .map(str::to_owned)
        })
        .collect();
    assert_eq!(joined, answer, "{text}");
    assert!(
        !text.contains("tool_calls") && text.contains("\"finish_reason\":\"stop\""),
        "{text}"
    );
    gateway.stop();
}

#[test]
fn a_tool_of_the_client_beside_a_schema_is_refused_where_only_a_tool_could_bind_the_answer() {
    let (openai, anthropic) = (Upstream::good("o"), Upstream::good("a"));
    let gateway = Setup::new(format!(
        "models:\n  m: {{provider: a, model: claude-3-5-haiku}}\nproviders:\n{}{}",
        Dialect::OpenAi.provider("o", &openai),
        Dialect::Anthropic.provider("a", &anthropic),
    ))
    .start();
    let both = r#""tools":[{"type":"function","function":{"name":"f"}}],"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":{"type":"object"}}},"#;
    let response = gateway.send(&post(Dialect::OpenAi.path(), chat("m", both)));
    assert_eq!(response.status(), 400, "{}", response.text());
    assert_eq!(response.json()["error"]["param"], "response_format");
    anthropic.was_not_asked();
    gateway.stop();
}
