//! The NGINX demo's `rbac.json`, taken unchanged.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends at the first surprise"
)]

use tollgate_resources::model::{AiAuth, AiModels, Compat, FallbackOn, LogFormat};
use tollgate_resources::{Lowered, Mistake, lower_rbac};

const DEMO: &str = r#"{
  "users": {
    "user-a": {
      "models": [
        {"name": "gpt-5", "failover": "claude-sonnet-4-20250514"},
        {"name": "claude-sonnet-4-20250514"}
      ]
    },
    "user-b": {"models": [{"name": "gpt-5"}]}
  },
  "models": {
    "gpt-5": {"provider": "openai", "location": "/openai"},
    "claude-sonnet-4-20250514": {"provider": "anthropic", "location": "/anthropic"}
  }
}"#;

#[test]
fn the_demo_file_lowers_into_users_known_by_x_user_and_models_with_failover_per_user() {
    let lowered = lower(DEMO, None).unwrap();
    let route = &lowered.resources.routes[0];
    assert_eq!(route.uris[0].as_str(), "/v1/chat/completions*");
    assert_eq!(
        route.plugins.ai_auth,
        Some(AiAuth::Header {
            name: "x-user".to_owned()
        })
    );

    let models = models(&lowered);
    assert_eq!(models.compat, Compat::NginxDemo);
    let claude = models.models.get("claude-sonnet-4-20250514").unwrap();
    assert_eq!(claude.fallback_on, FallbackOn::EveryStatusBut200);
    assert_eq!(claude.max_output_tokens, Some(512));
    assert!(claude.fallback.is_empty());
    assert_eq!(claude.instances[0].endpoint, "https://api.anthropic.com/v1");
    assert_eq!(models.models.get("gpt-5").unwrap().max_output_tokens, None);

    let [user_a, user_b] = &lowered.resources.consumers[..] else {
        panic!("two consumers")
    };
    let access = user_a.access_to("gpt-5").unwrap();
    assert_eq!(
        access.fallback.as_deref(),
        Some(&["claude-sonnet-4-20250514".to_owned()][..])
    );
    assert!(user_b.access_to("gpt-5").unwrap().fallback.is_none());
    assert!(user_b.access_to("claude-sonnet-4-20250514").is_none());
}

#[test]
fn it_listens_on_the_port_of_the_demo_on_this_machine_and_logs_its_format() {
    let lowered = lower(DEMO, None).unwrap();
    assert_eq!(
        lowered.resources.server.listen,
        ["127.0.0.1:4242".parse().unwrap()]
    );
    let LogFormat::Template(format) = &lowered.resources.server.access_log.format else {
        panic!("a template")
    };
    assert!(
        format.ends_with("total_tokens=$ai_proxy_response_total_tokens"),
        "{format}"
    );
    assert!(notes(&lowered).contains("believed, not verified"));
}

#[test]
fn without_keys_it_starts_and_says_so() {
    let lowered = lower_rbac("rbac.json", DEMO, None, &|_| None).unwrap();
    let models = models(&lowered);
    assert_eq!(models.models.len(), 2);
    assert!(
        models.models.get("gpt-5").unwrap().instances[0]
            .credential
            .is_none()
    );
    assert!(notes(&lowered).contains("openai: requests go out without a key until OPENAI_API_KEY is set"));
}

#[test]
fn a_native_file_beside_it_says_where_providers_are_and_where_to_listen() {
    let native = "
providers:
  openai: {endpoint: http://127.0.0.1:9001/v1, key: $env://OTHER}
server: {listen: 0.0.0.0:4242, access_log: {format: json}, max_body: 1MiB}
on_loss: strict
";
    let lowered = lower(DEMO, Some(native)).unwrap();
    let instance = &models(&lowered).models.get("gpt-5").unwrap().instances[0];
    assert_eq!(instance.endpoint, "http://127.0.0.1:9001/v1");
    assert_eq!(instance.credential.as_ref().unwrap().to_string(), "$env://OTHER");
    let server = &lowered.resources.server;
    assert_eq!(server.listen, ["0.0.0.0:4242".parse().unwrap()]);
    assert_eq!(
        (server.max_body_bytes, &server.access_log.format),
        (1024 * 1024, &LogFormat::Json)
    );
}

#[test]
fn a_users_model_that_is_not_in_models_is_answered_at_the_call_and_only_noted_now() {
    let text = r#"{"users": {"a": {"models": [{"name": "x"}]}}, "models": {}}"#;
    let lowered = lower(text, None).unwrap();
    assert!(lowered.resources.consumers[0].access_to("x").is_some());
    assert!(notes(&lowered).contains("`x` is not in `models`"));
}

#[test]
fn a_failover_may_be_a_model_the_user_has_no_access_to() {
    let text = r#"{"users": {"a": {"models": [{"name": "x", "failover": "y"}]}},
        "models": {"x": {"provider": "openai"}, "y": {"provider": "anthropic"}}}"#;
    let lowered = lower(text, None).unwrap();
    assert_eq!(
        lowered.resources.consumers[0].access[0].fallback.as_deref(),
        Some(&["y".to_owned()][..])
    );
}

#[test]
fn a_failover_that_is_not_in_models_is_not_tried_and_noted() {
    let text = r#"{"users": {"a": {"models": [{"name": "x", "failover": "gone"}]}},
        "models": {"x": {"provider": "openai"}}}"#;
    let lowered = lower(text, None).unwrap();
    assert_eq!(
        lowered.resources.consumers[0].access[0].fallback,
        Some(Vec::new())
    );
    assert!(notes(&lowered).contains("the failover `gone` is not in `models`"));
}

#[test]
fn an_empty_or_null_failover_is_none() {
    let text = r#"{"users": {"a": {"models": [{"name": "x", "failover": ""}, {"name": "y", "failover": null}]}},
        "models": {"x": {"provider": "openai"}, "y": {"provider": "openai"}}}"#;
    let lowered = lower(text, None).unwrap();
    assert!(
        lowered.resources.consumers[0]
            .access
            .iter()
            .all(|access| access.fallback.is_none())
    );
}

#[test]
fn unknown_keys_are_ignored_and_noted() {
    let text = r#"{"version": 1, "users": {"a": {"team": "x", "models": []}},
        "models": {"x": {"provider": "openai", "location": "/openai", "price": 5}}}"#;
    let notes = notes(&lower(text, None).unwrap());
    for ignored in [
        "version: ignored",
        "users.a.team: ignored",
        "models.x.price: ignored",
    ] {
        assert!(notes.contains(ignored), "{notes}");
    }
    assert!(!notes.contains("location"), "{notes}");
}

#[test]
fn all_mistakes_are_told_with_their_lines() {
    let text = r#"{
  "users": {
    "a": {"models": [{"name": "*"}, {"failover": "x"}, "x", {"name": 5}]},
    "b": {},
    "c": []
  },
  "models": {
    "x": {"provider": "opnai"},
    "y": {"location": "/y"},
    "z": "openai"
  }
}"#;
    assert_eq!(
        mistakes(lower(text, None)),
        "\
rbac.json:3: users.a.models[0].name: `*` is a pattern; name one model
rbac.json:3: users.a.models[1].name: missing
rbac.json:3: users.a.models[2]: expected an object
rbac.json:3: users.a.models[3].name: expected text
rbac.json:4: users.b.models: expected a list of objects such as `{\"name\": \"gpt-5\"}`
rbac.json:5: users.c: expected an object
rbac.json:8: models.x.provider: unknown provider `opnai`; did you mean `openai`? (allowed: openai, anthropic, gemini, vertex, bedrock, cohere, simulated)
rbac.json:9: models.y.provider: missing
rbac.json:10: models.z: expected an object
"
    );
}

#[test]
fn mistakes_of_the_native_file_beside_it_carry_that_files_name() {
    let native = "models: {x: {provider: openai}}\nauth: none\nproviders: {openai: {key: $env://OTHER, hedaers: {}}}\n";
    assert_eq!(
        mistakes(lower("{}", Some(native))),
        "\
rbac.json:1: models: missing
rbac.json:1: users: missing
tollgate.yaml:1: models: has no place beside an rbac.json, which says it already; remove it
tollgate.yaml:2: auth: has no place beside an rbac.json, which says it already; remove it
tollgate.yaml:3: providers.openai.hedaers: unknown key `hedaers`; did you mean `headers`? (allowed: kind, key, aws, region, project, endpoint, headers, optional, tls, http2, dialects)
"
    );
}

#[test]
fn a_text_that_is_no_json_is_one_mistake_with_its_line() {
    assert_eq!(
        mistakes(lower("{\n  \"users\": {,}\n}", None)),
        "rbac.json:2: key must be a string\n"
    );
    assert_eq!(
        mistakes(lower("", None)),
        "rbac.json:1: EOF while parsing a value\n"
    );
    assert_eq!(
        mistakes(lower("[]", None)),
        "rbac.json:1: expected an object with `users` and `models`\n"
    );
}

fn lower(text: &str, native: Option<&str>) -> Result<Lowered, Vec<Mistake>> {
    let env = |name: &str| {
        ["OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OTHER"]
            .contains(&name)
            .then(|| "sk-1".to_owned())
    };
    let beside = native.map(|text| ("tollgate.yaml", text));
    lower_rbac("rbac.json", text, beside, &env)
}

fn models(lowered: &Lowered) -> &AiModels {
    lowered.resources.routes[0].plugins.ai_models.as_ref().unwrap()
}

fn notes(lowered: &Lowered) -> String {
    lowered.notes.join("\n")
}

fn mistakes(lowered: Result<Lowered, Vec<Mistake>>) -> String {
    lowered
        .expect_err("mistakes")
        .iter()
        .map(|mistake| format!("{mistake}\n"))
        .collect()
}
