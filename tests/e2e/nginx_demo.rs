//! The NGINX AI-proxy demo, by its README: its file, its requests, its answers, its log lines.

use std::fs;

use serde_json::{Value, json};

use crate::harness::port::Port;
use crate::harness::{Gateway, Process, Request, Response, Setup, Upstream, answers, example, post};

const CLAUDE: &str = "claude-sonnet-4-20250514";
const CHAT: &str = "/v1/chat/completions";

/// The demo with vendors that are built in. `openai_key` may be the key that is refused.
fn demo(openai_key: &str) -> Gateway {
    Setup::rbac(text("nginx-demo/rbac.json"), text("nginx-demo/simulated.yaml"))
        .env("OPENAI_API_KEY", openai_key)
        .env("ANTHROPIC_API_KEY", "sk-ant-demo")
        .start()
}

/// The text of a file of the example.
fn text(path: &str) -> String {
    fs::read_to_string(example(path)).expect("a file of the example")
}

/// The demo's request.
fn hello(user: &str, model: &str) -> Request {
    let body = format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"Hello"}}]}}"#);
    post(CHAT, body).header("X-User", user)
}

#[track_caller]
fn refused(response: &Response, status: u16, message: &str) {
    assert_eq!(response.status(), status, "{}", response.text());
    assert_eq!(response.json(), json!({"error": {"message": message}}));
    assert_eq!(response.header("content-type"), Some("application/json"));
}

/// Asserts the shape of a log line up to the tokens, and gives what comes after `" "-" ` of the forwarded address.
#[track_caller]
fn tokens_of(line: &str, status: u16) -> (String, [String; 3]) {
    let (before, tokens) = line
        .split_once(" prompt_tokens=")
        .unwrap_or_else(|| panic!("no tokens: {line}"));
    let (prompt, rest) = tokens
        .split_once(" completion_tokens=")
        .expect("completion tokens");
    let (completion, total) = rest.split_once(" total_tokens=").expect("total tokens");
    assert!(before.starts_with("127.0.0.1 - - ["), "{line}");
    let request = format!(r#"] "POST /v1/chat/completions HTTP/1.1" {status} "#);
    assert!(before.contains(&request), "{line}");
    assert!(before.ends_with(r#" "-" "-" "-""#), "{line}");
    (before.to_owned(), [prompt, completion, total].map(str::to_owned))
}

#[track_caller]
fn counted(line: &str, usage: &Value) {
    let (_, tokens) = tokens_of(line, 200);
    let told = ["prompt_tokens", "completion_tokens", "total_tokens"].map(|name| usage[name].to_string());
    assert_eq!(tokens, told, "the log has the numbers of the answer");
    assert!(
        tokens
            .iter()
            .all(|number| number.parse::<u64>().is_ok_and(|number| number > 0)),
        "{line}"
    );
}

#[track_caller]
fn uncounted(line: &str, status: u16) {
    assert_eq!(tokens_of(line, status).1, ["", "", ""], "{line}");
}

#[test]
fn user_a_gets_the_answer_of_openai() {
    let gateway = demo("sk-demo");
    let response = gateway.send(&hello("user-a", "gpt-5"));
    assert_eq!(response.status(), 200, "{}", response.text());
    let body = response.json();
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["model"], "gpt-5");
    assert_eq!(
        body["choices"][0]["message"]["content"],
        "Hello! How can I help you today?"
    );
    assert_eq!(body["choices"][0]["finish_reason"], "stop");
    counted(&gateway.logged_text(), &body["usage"]);
    gateway.stop();
}

#[test]
fn user_a_gets_the_answer_of_anthropic_as_a_chat_completion() {
    let gateway = demo("sk-demo");
    let response = gateway.send(&hello("user-a", CLAUDE));
    assert_eq!(response.status(), 200, "{}", response.text());
    is_claudes(&response);
    counted(&gateway.logged_text(), &response.json()["usage"]);
    gateway.stop();
}

#[track_caller]
fn is_claudes(response: &Response) {
    let body = response.json();
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["model"], CLAUDE);
    assert_eq!(body["choices"].as_array().map(Vec::len), Some(1));
    assert_eq!(body["choices"][0]["index"], 0);
    assert_eq!(
        body["choices"][0]["finish_reason"], "end_turn",
        "as the demo leaves it"
    );
    assert_eq!(body["choices"][0]["message"]["role"], "assistant");
    assert_eq!(
        body["choices"][0]["message"]["content"],
        "Hello! How can I help you today?"
    );
    let number = |name: &str| {
        body["usage"][name]
            .as_u64()
            .unwrap_or_else(|| panic!("no {name}: {body}"))
    };
    assert_eq!(
        number("prompt_tokens") + number("completion_tokens"),
        number("total_tokens")
    );
}

#[test]
fn user_b_does_not_get_claude() {
    let gateway = demo("sk-demo");
    let message = format!("The model '{CLAUDE}' was not found or is not accessible to the user");
    refused(&gateway.send(&hello("user-b", CLAUDE)), 404, &message);
    uncounted(&gateway.logged_text(), 404);
    gateway.stop();
}

#[test]
fn with_a_bad_key_user_a_fails_over_and_user_b_sees_the_vendors_error() {
    let gateway = demo("bad");
    let response = gateway.send(&hello("user-a", "gpt-5"));
    assert_eq!(response.status(), 200, "{}", response.text());
    is_claudes(&response);
    assert_eq!(
        response.header("x-tollgate-attempts"),
        Some("openai=401, anthropic=ok")
    );
    counted(&gateway.logged_text(), &response.json()["usage"]);

    let response = gateway.send(&hello("user-b", "gpt-5"));
    assert_eq!(response.status(), 401);
    let told = "Incorrect API key provided: bad. You can find your API key at https://platform.openai.com/account/api-keys.";
    assert_eq!(
        response.json(),
        json!({"error": {"message": told, "type": "invalid_request_error", "param": null, "code": "invalid_api_key"}})
    );
    uncounted(&gateway.logged_text(), 401);
    gateway.stop();
}

#[test]
fn the_scenarios_hold_with_vendors_in_processes_of_their_own() {
    let vendor = Process::start(&["simulate", "--listen", "127.0.0.1:0"], &[]);
    let line = vendor.stderr.with("http://");
    let base = line.split_whitespace().last().expect("an address");
    let vendors =
        format!("providers:\n  openai: {{endpoint: \"{base}\"}}\n  anthropic: {{endpoint: \"{base}\"}}\n");
    for (key, status) in [("sk-demo", 200), ("bad", 401)] {
        let gateway = Setup::rbac(text("nginx-demo/rbac.json"), &*vendors)
            .env("OPENAI_API_KEY", key)
            .env("ANTHROPIC_API_KEY", "sk-ant-demo")
            .start();
        is_claudes(&gateway.send(&hello("user-a", CLAUDE)));
        counted_or_not(&gateway, 200);
        let response = gateway.send(&hello("user-b", "gpt-5"));
        assert_eq!(response.status(), status, "{}", response.text());
        counted_or_not(&gateway, status);
        let response = gateway.send(&hello("user-a", "gpt-5"));
        assert_eq!(
            response.json()["model"],
            if status == 200 { "gpt-5" } else { CLAUDE }
        );
        counted_or_not(&gateway, 200);
        gateway.stop();
    }
}

/// The log format of the demo is the default beside an `rbac.json`.
#[track_caller]
fn counted_or_not(gateway: &Gateway, status: u16) {
    let (_, tokens) = tokens_of(&gateway.logged_text(), status);
    assert_eq!(
        tokens.iter().all(|number| number.parse::<u64>().is_ok()),
        status == 200,
        "{tokens:?}"
    );
}

#[test]
fn the_answer_of_openai_arrives_word_for_word() {
    let said = "{ \"id\":\"x\" ,\"object\":\"chat.completion\",\"created\":1, \"model\":\"gpt-5-2025-08-07\",\"choices\":[\
                {\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"Hi\"},\"finish_reason\":\"stop\"}],\
                \"usage\":{\"prompt_tokens\":7,\"completion_tokens\":82,\"total_tokens\":89},\"system_fingerprint\":null}\n";
    let openai = Upstream::saying(answers::json_answer(200, said));
    let gateway = with_openai(&openai, &text("nginx-demo/rbac.json"));
    let response = gateway.send(&hello("user-a", "gpt-5"));
    assert_eq!(response.text(), said);
    let (_, tokens) = tokens_of(&gateway.logged_text(), 200);
    assert_eq!(tokens, ["7", "82", "89"]);
    let asked = openai.asked();
    assert_eq!(asked.path, "/v1/chat/completions");
    assert_eq!(asked.header("authorization"), Some("Bearer sk-demo"));
    assert_eq!(asked.header("x-user"), None);
}

/// The demo with another file and this vendor in place of OpenAI.
fn with_openai(openai: &Upstream, rbac: &str) -> Gateway {
    let vendors = format!("providers: {{openai: {{endpoint: \"{}\"}}}}\n", openai.base());
    Setup::rbac(rbac, vendors)
        .env("OPENAI_API_KEY", "sk-demo")
        .start()
}

#[test]
fn mistakes_of_callers_are_told_in_the_demos_words() {
    let gateway = demo("sk-demo");
    let without_user = post(CHAT, r#"{"model":"gpt-5","messages":[]}"#);
    refused(&gateway.send(&without_user), 401, "User not specified");
    refused(
        &gateway.send(&hello("user-c", "gpt-5")),
        403,
        "User not authorized",
    );
    for body in ["", "{", "nonsense", r#"{"model":"gpt-5"} x"#] {
        refused(
            &gateway.send(&post(CHAT, body).header("X-User", "user-a")),
            400,
            "Invalid JSON in request body",
        );
    }
    let get = Request::new("GET", CHAT).header("X-User", "user-a");
    refused(&gateway.send(&get), 400, "Invalid JSON in request body");
    for body in ["{}", r#"{"model":""}"#, r#"{"messages":[]}"#] {
        refused(
            &gateway.send(&post(CHAT, body).header("X-User", "user-a")),
            400,
            "Model not specified in request",
        );
    }
    let message = "The model 'gpt-4' was not found or is not accessible to the user";
    refused(&gateway.send(&hello("user-a", "gpt-4")), 404, message);
    refused(
        &gateway.send(&hello("user-a", "GPT-5")),
        404,
        &message.replace("gpt-4", "GPT-5"),
    );
    assert_eq!(
        gateway.send(&hello("user-a", "gpt-5")).status(),
        200,
        "and it still serves"
    );
}

#[test]
fn a_model_of_a_user_that_models_lacks_is_told_when_it_is_called() {
    let openai = Upstream::good("served");
    let rbac = r#"{"users": {"user-a": {"models": [{"name": "ghost"}, {"name": "gpt-5"}]}},
                   "models": {"gpt-5": {"provider": "openai", "location": "/openai"}}}"#;
    let gateway = with_openai(&openai, rbac);
    refused(
        &gateway.send(&hello("user-a", "ghost")),
        500,
        "Model 'ghost' configuration not found",
    );
    assert_eq!(gateway.send(&hello("user-a", "gpt-5")).status(), 200);
}

#[test]
fn a_failover_that_models_lacks_is_not_tried() {
    let openai = Upstream::saying(answers::json_answer(500, r#"{"error":{"message":"down"}}"#));
    let rbac = r#"{"users": {"user-a": {"models": [{"name": "gpt-5", "failover": "ghost"}]}},
                   "models": {"gpt-5": {"provider": "openai", "location": "/openai"}}}"#;
    let gateway = with_openai(&openai, rbac);
    let response = gateway.send(&hello("user-a", "gpt-5"));
    assert_eq!(
        (response.status(), response.text()),
        (500, r#"{"error":{"message":"down"}}"#)
    );
}

#[test]
fn a_failover_need_not_be_a_model_of_the_user_and_is_followed_once() {
    let openai = Upstream::start(|asked, peer| {
        let model = asked.json()["model"].as_str().unwrap_or_default().to_owned();
        peer.send(&match model.as_str() {
            "third" => answers::good(asked, "third"),
            _ => answers::json_answer(400, &format!(r#"{{"error":{{"message":"{model} fails"}}}}"#)),
        });
        crate::harness::Next::Keep
    });
    let rbac = r#"{"users": {"user-a": {"models": [{"name": "first", "failover": "second"}]},
                             "user-b": {"models": [{"name": "first", "failover": "third"}, {"name": "second", "failover": "third"}]}},
                   "models": {"first": {"provider": "openai"}, "second": {"provider": "openai"}, "third": {"provider": "openai"}}}"#;
    let gateway = with_openai(&openai, rbac);
    let response = gateway.send(&hello("user-a", "first"));
    assert_eq!(
        (response.status(), response.text()),
        (400, r#"{"error":{"message":"second fails"}}"#)
    );
    let response = gateway.send(&hello("user-b", "first"));
    assert_eq!(response.json()["choices"][0]["message"]["content"], "third");
}

#[test]
fn a_change_of_the_file_takes_effect_and_a_mistake_in_it_does_not() {
    let gateway = demo("sk-demo");
    assert_eq!(gateway.send(&hello("user-b", CLAUDE)).status(), 404);
    let rbac = text("nginx-demo/rbac.json");
    let claude = format!(r#""models": [{{"name": "gpt-5"}}, {{"name": "{CLAUDE}"}}]"#);
    gateway.write_rbac(&rbac.replace(r#""models": [{"name": "gpt-5"}]"#, &claude));
    gateway.stderr().with("configuration reloaded");
    assert_eq!(gateway.send(&hello("user-b", CLAUDE)).status(), 200);
    gateway.write_rbac(&rbac.replace("anthropic", "antropic"));
    let mistake = gateway.stderr().with("antropic");
    assert!(
        mistake.contains("rbac.json:") && mistake.contains("anthropic"),
        "{mistake}"
    );
    gateway.stderr().with("the previous configuration keeps serving");
    assert_eq!(gateway.send(&hello("user-b", CLAUDE)).status(), 200);
    gateway.stop();
}

#[test]
fn the_path_is_a_prefix_and_everything_else_is_not_found() {
    let gateway = demo("sk-demo");
    let longer = post(
        "/v1/chat/completionsX",
        r#"{"model":"gpt-5","messages":[{"role":"user","content":"Hello"}]}"#,
    );
    assert_eq!(gateway.send(&longer.header("X-User", "user-a")).status(), 200);
    for path in ["/", "/openai", "/anthropic", "/v1/messages", "/v1/models"] {
        assert_eq!(
            gateway
                .send(&post(path, "{}").header("X-User", "user-a"))
                .status(),
            404,
            "{path}"
        );
    }
}

#[test]
fn a_file_that_is_not_json_is_refused_at_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("rbac.json");
    for text in ["", "{", "[]", r#"{"users": {}}"#] {
        fs::write(&file, text).expect("a file can be written");
        let finished = crate::harness::run(&["check", "--rbac", file.to_str().expect("text")], &[]);
        assert_eq!(finished.status.code(), Some(1), "`{text}`: {finished:?}");
        assert!(finished.stderr.contains("rbac.json"), "{}", finished.stderr);
    }
}

#[test]
fn the_example_script_passes() {
    let script = example("nginx-demo/run");
    let port = Port::reserve();
    let output = std::process::Command::new(script)
        .arg(env!("CARGO_BIN_EXE_tollgate"))
        .env("PORT", port.number.to_string())
        .env_remove("RUST_LOG")
        .output()
        .expect("bash runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    assert!(
        text.contains("all four scenarios are as in the demo"),
        "{text}\n{errors}"
    );
}
