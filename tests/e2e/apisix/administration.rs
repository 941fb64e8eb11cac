//! Who may use the Admin API, and how a gateway without a key makes one up.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use super::{ADMIN_KEY, NodeSetup};
use crate::harness::{Request, Response};

fn routes() -> Request {
    Request::new("GET", "/apisix/admin/routes")
}

#[track_caller]
fn is_closed(response: &Response, description: &str) {
    assert_eq!(response.status(), 401);
    assert_eq!(
        response.json(),
        json!({"error_msg": "failed to check token", "description": description})
    );
    assert!(response.text().ends_with('\n'), "as APISIX's, it ends its line");
}

#[test]
fn without_the_key_nothing_is_told_and_nothing_is_done() {
    let node = NodeSetup::new().start();
    is_closed(&node.ask_with(&routes()), "missing apikey");
    let wrong = routes().header("x-api-key", "guess");
    is_closed(&node.ask_with(&wrong), "wrong apikey");
    is_closed(&node.ask_with(&routes().header("x-api-key", "")), "wrong apikey");
    let query = Request::new("GET", "/apisix/admin/routes?api_key=guess").header("x-api-key", ADMIN_KEY);
    is_closed(&node.ask_with(&query), "wrong apikey");
    let write = Request::new("PUT", "/apisix/admin/routes/1").body(r#"{"uri":"/x","plugins":{}}"#);
    is_closed(&node.ask_with(&write), "missing apikey");
    assert_eq!(node.ask("GET", "/routes", None).json()["total"], json!(0));
    node.stop();
}

#[test]
fn a_key_may_come_in_the_header_the_query_or_a_cookie() {
    let node = NodeSetup::new().start();
    let cookie = format!("a=b; x_api_key={ADMIN_KEY}");
    for request in [
        routes().header("x-api-key", ADMIN_KEY),
        routes().header("cookie", &cookie),
        Request::new("GET", &format!("/apisix/admin/routes?api_key={ADMIN_KEY}")),
    ] {
        assert_eq!(node.ask_with(&request).status(), 200);
    }
    node.stop();
}

#[test]
fn a_viewer_reads_and_does_not_write() {
    let node = NodeSetup::new().start();
    let key = ("x-api-key", "key-of-a-viewer");
    assert_eq!(node.ask_with(&routes().header(key.0, key.1)).status(), 200);
    let write = Request::new("PUT", "/apisix/admin/routes/1").header(key.0, key.1);
    is_closed(
        &node.ask_with(&write.body("{}")),
        "invalid method for role viewer",
    );
    node.stop();
}

#[test]
fn every_answer_tells_the_version_that_adc_looks_for() {
    let node = NodeSetup::new().start();
    let version = |response: &Response| {
        let server = response.header("server").unwrap_or_default();
        let version = server.strip_prefix("APISIX/").unwrap_or_default();
        let numbers: Vec<Option<u64>> = version.split('.').map(|number| number.parse().ok()).collect();
        matches!(numbers[..], [Some(_), Some(_), Some(_)])
    };
    let head = Request::new("HEAD", "/apisix/admin");
    assert!(version(&node.ask("GET", "/routes", None)));
    assert!(version(&node.ask("GET", "/routes/none", None)));
    assert!(version(&node.ask_with(&routes())), "also without a key");
    // A HEAD's answer has no body, so it is read as bytes.
    let mut connection = crate::harness::Connection::open(node.admin());
    connection.write(&head.header("connection", "close").bytes());
    let text = String::from_utf8(connection.until_closed()).expect("a head in ASCII");
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    assert!(text.to_ascii_lowercase().contains("server: apisix/3."), "{text}");
    node.stop();
}

#[test]
fn the_version_is_not_told_where_that_is_not_wanted() {
    let node = NodeSetup::new()
        .and("apisix: {enable_server_tokens: false}")
        .start();
    assert_eq!(node.ask("GET", "/routes", None).header("server"), Some("APISIX"));
    node.stop();
}

/// A bootstrap file that leaves the key to the gateway.
const KEYLESS: &str = "# ours\ndeployment:\n  admin:\n    admin_key:\n      - name: admin\n        key: ''   # made up\n        role: admin\n    \
                       admin_listen: {ip: 127.0.0.1, port: 0}\n";

#[test]
fn a_made_up_key_is_written_into_the_file_where_apisix_s_manual_looks_for_it() {
    let node = NodeSetup::with_config(KEYLESS).start();
    let file = node.file("conf/config.yaml");
    let text = fs::read_to_string(&file).expect("the file");
    let line = text
        .lines()
        .find(|line| line.trim_start().starts_with("key:"))
        .unwrap_or_else(|| panic!("no key in {text}"));
    let key: String = line
        .trim_start()
        .trim_start_matches("key:")
        .trim()
        .chars()
        .filter(|letter| !"'\"".contains(*letter))
        .take_while(char::is_ascii_alphanumeric)
        .collect();
    assert!(key.len() >= 32, "{line}");
    assert!(text.starts_with("# ours\n"), "the rest of the file stays: {text}");
    let mode = fs::metadata(&file).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "only its owner may read the key");
    is_closed(&node.ask_with(&routes()), "missing apikey");
    let with_key = routes().header("x-api-key", &key);
    assert_eq!(node.ask_with(&with_key).status(), 200);
    assert!(
        !node.process.stderr.so_far().contains(&key),
        "the key is not told where logs are kept"
    );
    let node = node.restart();
    assert_eq!(node.ask_with(&with_key).status(), 200, "the key stays");
    node.stop();
}

#[test]
fn a_made_up_key_goes_to_the_data_folder_when_the_file_cannot_take_it() {
    // The file says nothing of keys, so there is no place in it.
    let node =
        NodeSetup::with_config("deployment: {admin: {admin_listen: {ip: 127.0.0.1, port: 0}}}").start();
    let file = node.file("data/admin.key");
    let key = fs::read_to_string(&file).expect("the key's file");
    let mode = fs::metadata(&file).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let response = node.ask_with(&routes().header("x-api-key", key.trim()));
    assert_eq!(response.status(), 200);
    assert!(
        node.process.stderr.so_far().contains("admin.key"),
        "its place is told"
    );
    node.stop();
}

#[test]
fn addresses_that_are_not_on_the_list_are_turned_away() {
    let node = NodeSetup::with_config(&format!(
        "deployment:\n  admin:\n    allow_admin: [10.0.0.0/8]\n    admin_key: [{{name: admin, key: {ADMIN_KEY}, role: admin}}]\n    \
         admin_listen: {{ip: 127.0.0.1, port: 0}}\n"
    ))
    .start();
    assert_eq!(node.ask("GET", "/routes", None).status(), 403);
    node.stop();
}
