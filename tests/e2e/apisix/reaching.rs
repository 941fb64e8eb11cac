//! Upstreams that are elsewhere than DNS says, vouched for by other authorities than the built-in ones.

use std::fs;

use serde_json::json;

use super::vendors::Vendors;
use super::{ADMIN_KEY, NodeSetup};
use crate::harness::{Dialect, answers, run};

/// A route to OpenAI.
fn to_openai() -> serde_json::Value {
    json!({"uri": "/chat", "plugins": {"ai-proxy": {
        "provider": "openai", "auth": {"header": {"Authorization": "Bearer k"}}, "options": {"model": "gpt-4"},
    }}})
}

#[test]
fn a_peer_that_cannot_show_the_vendor_s_name_gets_no_key() {
    let mut vendors = Vendors::new(&["api.openai.com.example"]);
    let peer = vendors.peer("api.openai.com", |_| Ok(()), |_| String::new());
    let node = vendors.known_to(NodeSetup::new()).start();
    node.put("/routes/1", &to_openai());
    let response = node.chat("/chat");
    assert_eq!(response.status(), 502, "{}", response.text());
    assert_eq!(
        response.header("x-tollgate-attempts"),
        Some("ai-proxy-openai=tls_error")
    );
    peer.was_not_asked();
    node.stop();
}

#[test]
fn authorities_of_the_file_count_for_upstreams_without_plugins_too() {
    let mut vendors = Vendors::new(&["backend.internal"]);
    let _peer = vendors.peer(
        "backend.internal",
        |_| Ok(()),
        |_| answers::whole(Dialect::OpenAi, "of the backend"),
    );
    let node = vendors.known_to(NodeSetup::new()).start();
    let upstream = json!({
        "scheme": "https", "nodes": {"backend.internal:443": 1}, "pass_host": "node", "tls": {"verify": true},
    });
    node.put("/routes/1", &json!({"uri": "/chat", "upstream": upstream}));
    let response = node.chat("/chat");
    assert_eq!(response.status(), 200, "{}", response.text());
    assert!(response.text().contains("of the backend"));
    node.stop();
}

#[test]
fn a_file_of_authorities_that_cannot_be_read_is_told_before_anything_is_served() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = directory.path().join("config.yaml");
    let text = format!(
        "deployment: {{admin: {{admin_key: [{{name: admin, key: {ADMIN_KEY}, role: admin}}], admin_listen: {{port: 0}}}}}}\n\
         tollgate: {{data_dir: {}, ca_file: /nowhere.pem}}\n",
        directory.path().join("data").display()
    );
    fs::write(&config, text).expect("a file can be written");
    let config = config.to_str().expect("text");
    for arguments in [
        &["run", "--listen", "127.0.0.1:0", "--config", config][..],
        &["check", "--config", config],
    ] {
        let finished = run(arguments, &[]);
        assert_eq!(finished.status.code(), Some(1));
        assert!(
            finished.stderr.contains("tollgate.ca_file") && finished.stderr.contains("/nowhere.pem"),
            "{}",
            finished.stderr
        );
    }
}
