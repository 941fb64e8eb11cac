//! ADC: the calls that its command line was recorded to make, and our own commands for the same files.

use std::fs;

use serde_json::{Value, json};

use super::node::CHAT;
use super::{ADMIN_KEY, Node, NodeSetup};
use crate::harness::{Finished, Upstream, example, post, run};

const SERVICE: &str = "92d4047478ae948f9786a123330bf22ba96bef63";
const ROUTE: &str = "2c64c8dd88e0e1fbcb4c3cd22598f0d9e68d0eee";
const CREDENTIAL: &str = "a60ea41f64a706763696a583e8f013bfd74d4e12";

/// The lists that ADC reads before it compares.
const LISTS: [&str; 9] = [
    "services",
    "routes",
    "upstreams",
    "ssls",
    "consumers",
    "plugin_configs",
    "global_rules",
    "plugin_metadata",
    "stream_routes",
];

/// The objects of a kind, as ADC reads them.
#[track_caller]
fn list(node: &Node, kind: &str) -> Vec<Value> {
    let response = node.ask("GET", &format!("/{kind}"), None);
    if kind == "stream_routes" && response.status() >= 400 {
        return Vec::new();
    }
    assert_eq!(response.status(), 200, "{kind}: {}", response.text());
    let body = response.json();
    let items = body["list"]
        .as_array()
        .unwrap_or_else(|| panic!("{kind}: {body}"));
    items
        .iter()
        .map(|item| {
            assert!(item["key"].is_string(), "{item}");
            item["value"].clone()
        })
        .collect()
}

/// A value without what the server adds.
fn as_sent(value: &Value) -> Value {
    let mut value = value.clone();
    if let Some(members) = value.as_object_mut() {
        members.remove("create_time");
        members.remove("update_time");
    }
    value
}

#[test]
fn the_recorded_calls_of_a_sync_succeed_and_what_is_read_back_is_what_was_sent() {
    let upstream = Upstream::good("served");
    let node = NodeSetup::new().start();
    for kind in LISTS {
        assert_eq!(list(&node, kind), Vec::<Value>::new(), "{kind}");
    }
    // A service without an upstream: ADC puts one without a body.
    let empty = node.ask("PUT", &format!("/upstreams/{SERVICE}"), None);
    assert!(matches!(empty.status(), 200 | 201), "{}", empty.text());
    let managed = json!({"managed-by": "adc"});
    let service =
        json!({"id": SERVICE, "name": "ai-proxy-multi-service", "labels": managed, "upstream_id": SERVICE});
    let multi = json!({
        "fallback_strategy": ["rate_limiting"],
        "instances": [{
            "name": "openai-instance", "provider": "openai-compatible", "weight": 0,
            "auth": {"header": {"Authorization": "Bearer k"}}, "options": {"model": "gpt-4", "temperature": 0.5},
            "override": {"endpoint": upstream.base()},
        }],
    });
    let route = json!({
        "id": ROUTE, "name": "ai-proxy-multi-route", "labels": managed, "uris": ["/anything"], "methods": ["POST"],
        "service_id": SERVICE, "plugins": {"key-auth": {}, "ai-proxy-multi": multi}, "status": 1,
    });
    let consumer = json!({"username": "johndoe", "labels": managed, "plugins": {}});
    let credential =
        json!({"id": CREDENTIAL, "name": "key-auth", "plugins": {"key-auth": {"key": "john-key"}}});
    let credentials = "/consumers/johndoe/credentials";
    let writes = [
        (format!("/services/{SERVICE}"), &service),
        (format!("/routes/{ROUTE}"), &route),
        ("/consumers/johndoe".to_owned(), &consumer),
        (format!("{credentials}/{CREDENTIAL}"), &credential),
    ];
    for (path, body) in &writes {
        assert_eq!(node.put(path, body).status(), 201, "{path}");
    }
    // Rules come without an id in the body.
    let rule = json!({"plugins": {"cors": {}}});
    node.put("/global_rules/cors", &rule);
    // A second run reads, and finds what it sent.
    assert_eq!(
        list(&node, "services").iter().map(as_sent).collect::<Vec<_>>(),
        [service]
    );
    assert_eq!(
        list(&node, "routes").iter().map(as_sent).collect::<Vec<_>>(),
        [route]
    );
    assert_eq!(
        list(&node, "consumers").iter().map(as_sent).collect::<Vec<_>>(),
        [consumer]
    );
    let own = list(&node, "consumers/johndoe/credentials");
    assert_eq!(own.iter().map(as_sent).collect::<Vec<_>>(), [credential]);
    let rules = list(&node, "global_rules");
    assert_eq!(
        rules.iter().map(as_sent).collect::<Vec<_>>(),
        [json!({"id": "cors", "plugins": {"cors": {}}})]
    );
    let upstreams = list(&node, "upstreams");
    assert_eq!(upstreams.len(), 1);
    assert_eq!(upstreams[0].get("nodes"), None, "an empty upstream stays empty");

    assert_eq!(node.chat("/anything").status(), 401);
    let called = node.send(&post("/anything", CHAT).header("apikey", "john-key"));
    assert_eq!(called.status(), 200, "{}", called.text());

    // Everything is removed in ADC's order: a consumer before its credentials, a service before its upstream.
    for path in [
        format!("/routes/{ROUTE}"),
        format!("/services/{SERVICE}"),
        format!("/upstreams/{SERVICE}"),
        "/consumers/johndoe".to_owned(),
        "/global_rules/cors".to_owned(),
        format!("{credentials}/{CREDENTIAL}"),
    ] {
        let response = node.ask("DELETE", &path, None);
        assert_eq!(response.status(), 200, "{path}: {}", response.text());
        assert_eq!(response.json()["deleted"], "1", "{path}");
    }
    for kind in LISTS {
        assert_eq!(list(&node, kind), Vec::<Value>::new(), "{kind}");
    }
    node.stop();
}

#[test]
fn a_deployment_is_checked_as_a_whole_without_being_changed() {
    let node = NodeSetup::new().start();
    let good = json!({"routes": [{"id": "r", "uri": "/x", "plugins": {"key-auth": {}}}]});
    let response = node.ask("POST", "/configs/validate", Some(&good));
    assert_eq!((response.status(), response.json()), (200, json!({})));
    let bad = json!({
        "routes": [{"id": "r", "uri": "/x", "plugins": {"key-auth": {}}}, {"id": "s", "uri": 1}],
        "consumers": [{"username": "no good"}],
    });
    let response = node.ask("POST", "/configs/validate", Some(&bad));
    assert_eq!(response.status(), 400);
    let body = response.json();
    assert_eq!(body["error_msg"], "Configuration validation failed");
    let errors = body["errors"].as_array().map_or(&[][..], Vec::as_slice);
    let mut places: Vec<String> = errors
        .iter()
        .map(|error| {
            format!(
                "{}[{}]",
                error["resource_type"].as_str().unwrap_or("?"),
                error["index"]
            )
        })
        .collect();
    places.sort();
    assert_eq!(places, ["consumers[0]", "routes[1]"], "{body}");
    assert_eq!(list(&node, "routes"), Vec::<Value>::new());
    node.stop();
}

/// Our own command with a file of `examples/adc`, or another one.
#[track_caller]
fn command(name: &str, node: &Node, arguments: &[&str]) -> Finished {
    let server = format!("http://{}", node.admin());
    let mut all = vec![name, "--server", &server, "--token", ADMIN_KEY];
    all.extend(arguments);
    let keys = [
        ("OPENAI_API_KEY", "sk-openai"),
        ("DEEPSEEK_API_KEY", "sk-deepseek"),
        ("AZ_OPENAI_API_KEY", "az-key"),
    ];
    run(&all, &keys)
}

#[track_caller]
fn succeeds(finished: &Finished) -> &str {
    assert!(finished.status.success(), "{finished:?}");
    for secret in ["sk-openai", "sk-deepseek", "az-key", "john-key"] {
        assert!(!finished.stdout.contains(secret), "{}", finished.stdout);
    }
    &finished.stdout
}

#[test]
fn every_file_of_the_examples_is_brought_over_once_and_read_back_the_same() {
    for name in [
        "load-balancing",
        "max-tokens",
        "embeddings",
        "consumers",
        "logging",
    ] {
        let node = NodeSetup::new().start();
        let file = example(&format!("adc/{name}.yaml"));
        let file = ["-f", file.to_str().expect("text")];
        let shown = command("diff", &node, &file);
        assert!(succeeds(&shown).contains("+ route ai-proxy-multi-service.ai-proxy-multi-route"));
        assert_eq!(
            list(&node, "routes"),
            Vec::<Value>::new(),
            "a diff changes nothing"
        );
        let valid = command("validate", &node, &file);
        succeeds(&valid);
        succeeds(&command("sync", &node, &file));
        assert_eq!(list(&node, "routes")[0]["id"], ROUTE);
        assert_eq!(list(&node, "services")[0]["id"], SERVICE);
        let again = command("sync", &node, &file);
        assert!(
            succeeds(&again).contains("nothing to change"),
            "{name}: {}",
            again.stdout
        );

        let dumped = node.file("dumped.yaml");
        let dumped = dumped.to_str().expect("text");
        succeeds(&command("dump", &node, &["-o", dumped]));
        let back = command("diff", &node, &["-f", dumped]);
        assert!(
            succeeds(&back).contains("nothing to change"),
            "{name}: {}",
            back.stdout
        );
        node.stop();
    }
}

#[test]
fn a_sync_removes_what_the_file_no_longer_says_and_what_it_brings_is_served_at_once() {
    let upstream = Upstream::good("served");
    let node = NodeSetup::new().start();
    let text = fs::read_to_string(example("adc/consumers.yaml")).expect("the example");
    let near = format!(
        "                  override: {{endpoint: \"{}\"}}\n                  options:\n",
        upstream.base()
    );
    let text = text
        .replace("provider: openai\n", "provider: openai-compatible\n")
        .replace("provider: deepseek\n", "provider: openai-compatible\n")
        .replace("                  options:\n", &near);
    let file = node.file("adc.yaml");
    let path = file.to_str().expect("text");
    fs::write(&file, &text).expect("a file can be written");
    succeeds(&command("sync", &node, &["-f", path]));
    let call = |key: &str| node.send(&post("/anything", CHAT).header("apikey", key)).status();
    assert_eq!(
        (call("john-key"), call("jane-key"), call("none")),
        (200, 200, 401)
    );
    assert_eq!(list(&node, "consumers/johndoe/credentials")[0]["id"], CREDENTIAL);

    let (before, after) = text.split_once("  - username: janedoe").expect("two consumers");
    let (_, services) = after.split_once("services:").expect("services");
    fs::write(&file, format!("{before}services:{services}")).expect("a file can be written");
    let shown = command("diff", &node, &["-f", path]);
    assert!(
        succeeds(&shown).contains("- consumer janedoe"),
        "{}",
        shown.stdout
    );
    succeeds(&command("sync", &node, &["-f", path]));
    assert_eq!((call("john-key"), call("jane-key")), (200, 401));

    fs::write(&file, "services: []\nconsumers: []\n").expect("a file can be written");
    succeeds(&command("sync", &node, &["-f", path]));
    for kind in LISTS {
        assert_eq!(list(&node, kind), Vec::<Value>::new(), "{kind}");
    }
    assert_eq!(call("john-key"), 404);
    node.stop();
}

#[test]
fn a_wrong_key_is_told_and_changes_nothing() {
    let node = NodeSetup::new().start();
    let file = example("adc/load-balancing.yaml");
    let server = format!("http://{}", node.admin());
    let finished = run(
        &[
            "sync",
            "--server",
            &server,
            "--token",
            "guess",
            "-f",
            file.to_str().expect("text"),
        ],
        &[("OPENAI_API_KEY", "a"), ("DEEPSEEK_API_KEY", "b")],
    );
    assert_eq!(finished.status.code(), Some(1), "{finished:?}");
    assert!(
        finished.stderr.contains("401: failed to check token"),
        "{}",
        finished.stderr
    );
    assert_eq!(list(&node, "routes"), Vec::<Value>::new());
    node.stop();
}
