//! The Admin API beside a configuration of our own, and what `dump` shows of files with objects.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use super::node::chat_route;
use crate::harness::{Connection, Process, Request, Upstream, post, run};

#[test]
fn routes_of_the_admin_api_are_served_beside_models_of_the_configuration() {
    let directory = tempfile::tempdir().expect("a directory");
    let data = directory.path().join("data");
    let process = Process::start(
        &[
            "run",
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--data-dir",
            data.to_str().expect("text"),
        ],
        &[],
    );
    process.stderr.with("  configuration  ");
    let told = process.stderr.so_far();
    let address = |line: &str| -> SocketAddr {
        let line = told.lines().find(|told| told.contains(line)).expect("a line");
        let address = line.split("http://").nth(1).expect("an address");
        address
            .split('/')
            .next()
            .expect("text")
            .trim()
            .parse()
            .expect("an address")
    };
    let (calls, admin) = (address("listening on"), address("Admin API"));
    let key_file = data.join("admin.key");
    let mode = fs::metadata(&key_file).expect("a key file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(
        told.contains(&key_file.display().to_string()),
        "its place is told: {told}"
    );
    let key = fs::read_to_string(&key_file).expect("a key");
    assert!(!told.contains(key.trim()), "but not the key");

    let upstream = Upstream::good("from the object");
    let put = |key: &str| {
        let request = Request::new("PUT", "/apisix/admin/routes/1")
            .header("x-api-key", key)
            .body(chat_route("/mine", &upstream.base()).to_string());
        Connection::open(admin).send(&request)
    };
    assert_eq!(put("wrong").status(), 401);
    assert_eq!(put(key.trim()).status(), 201);
    let of_object = Connection::open(calls).send(&post("/mine", super::node::CHAT));
    assert_eq!(
        of_object.json()["choices"][0]["message"]["content"],
        "from the object"
    );
    let of_model = Connection::open(calls).send(&post(
        "/v1/chat/completions",
        json!({"model": "simulated", "messages": [{"role": "user", "content": "Hello"}]}).to_string(),
    ));
    assert_eq!(of_model.status(), 200, "{}", of_model.text());
    process.stop();
}

#[test]
fn dump_shows_objects_of_files_without_their_secrets() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("apisix.yaml");
    let text = "routes:\n  - id: chat\n    uri: /chat\n    plugins:\n      ai-proxy:\n        provider: openai\n        \
                auth: {header: {Authorization: Bearer sk-planted}}\nconsumers:\n  - username: jack\n    \
                plugins: {key-auth: {key: jacks-planted-key}}\n#END\n";
    fs::write(&file, text).expect("a file can be written");
    for format in ["yaml", "json"] {
        let dumped = run(
            &[
                "dump",
                "--config",
                file.to_str().expect("text"),
                "--format",
                format,
            ],
            &[],
        );
        assert_eq!(dumped.status.code(), Some(0), "{}", dumped.stderr);
        for shown in ["/chat", "ai-proxy", "jack", "openai"] {
            assert!(dumped.stdout.contains(shown), "{shown}: {}", dumped.stdout);
        }
        assert!(!dumped.stdout.contains("planted"), "{}", dumped.stdout);
        if format == "json" {
            let value: Value = serde_json::from_str(&dumped.stdout).expect("JSON");
            assert_eq!(value["routes"][0]["id"], "chat");
        }
    }
}
