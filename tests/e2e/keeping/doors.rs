//! The doors of the Admin API: what nobody without a key gets through, whatever is written on the paper.

use std::fs;

use serde_json::{Value, json};

use crate::apisix::{ADMIN_KEY, Node, NodeSetup};
use crate::harness::{Connection, Request, Response, answers, run};

/// Spellings of the way up out of a folder.
const UP: [&str; 9] = [
    "../",
    "..%2f",
    "%2e%2e/",
    "%2e%2e%2f",
    "%252e%252e%252f",
    "..%5c",
    "..\\",
    "....//",
    "..%c0%af",
];

fn listing() -> Value {
    json!({"list": [], "total": 0})
}

fn send(address: std::net::SocketAddr, request: &Request) -> Response {
    Connection::open(address).send(request)
}

#[test]
fn no_spelling_of_a_path_leads_to_a_file_or_around_the_key_on_either_port() {
    let node = NodeSetup::new().start();
    let planted = fs::read_to_string(node.file("conf/config.yaml")).expect("a file");
    for up in UP {
        for path in [
            format!("/{}etc/passwd", up.repeat(8)),
            format!("/apisix/admin/{}conf/config.yaml", up.repeat(4)),
            format!("/apisix/admin/routes/{}routes", up),
            format!("/status/{up}apisix/admin/routes"),
            format!("/metrics/{up}apisix/admin/routes"),
            format!("/apisix/admin/schema/{up}{up}{up}conf/config.yaml"),
            format!("/apisix/admin/plugins/{up}{up}{up}conf/config.yaml"),
        ] {
            for address in [node.admin(), node.calls] {
                for key in ["", ADMIN_KEY] {
                    let response = send(address, &Request::new("GET", &path).header("x-api-key", key));
                    let (status, text) = (response.status(), response.text());
                    assert!(
                        (400..500).contains(&status),
                        "{path} at {address} with `{key}`: {status} {text}"
                    );
                    assert!(
                        !text.contains("root:") && !text.contains("admin_key"),
                        "{path}: {text}"
                    );
                    assert!(!text.contains(&planted), "{path}: {text}");
                }
            }
        }
    }
    assert_eq!(node.ask("GET", "/routes", None).json(), listing());
    node.stop();
}

#[test]
fn the_admin_api_is_not_on_the_port_of_calls_and_no_key_of_a_consumer_opens_it() {
    let node = NodeSetup::new().start();
    node.put(
        "/consumers",
        &json!({"username": "jack", "plugins": {"key-auth": {"key": "key-of-jack"}}}),
    );
    for method in ["GET", "PUT", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS"] {
        for path in [
            "/apisix/admin/routes/1",
            "/apisix/admin/consumers",
            "/tollgate/v1/usage",
            "/metrics",
            "/status",
        ] {
            let request = Request::new(method, path)
                .header("x-api-key", ADMIN_KEY)
                .header("connection", "close");
            let mut connection = Connection::open(node.calls);
            connection.write(&request.body(r#"{"uri":"/x"}"#).bytes());
            let answer = String::from_utf8_lossy(&connection.until_closed()).into_owned();
            assert!(answer.starts_with("HTTP/1.1 4"), "{method} {path}: {answer}");
        }
    }
    let keys = [
        "key-of-jack",
        "",
        " ",
        "KEY-OF-THE-ADMIN-API",
        "key-of-the-admin-ap",
        "key-of-the-admin-api2",
    ];
    for key in keys {
        for header in ["x-api-key", "apikey", "authorization", "cookie"] {
            let value = match header {
                "authorization" => format!("Bearer {key}"),
                "cookie" => format!("x_api_key={key}"),
                _ => key.to_owned(),
            };
            for (method, path) in [
                ("GET", "/apisix/admin/routes"),
                ("PUT", "/apisix/admin/routes/1"),
                ("GET", "/tollgate/v1/usage"),
            ] {
                let request = Request::new(method, path).header(header, &value);
                assert_eq!(
                    node.ask_with(&request).status(),
                    401,
                    "{method} {path} {header}: {value}"
                );
            }
        }
    }
    node.stop();
}

#[test]
fn a_page_of_another_origin_cannot_write_through_the_browser_of_somebody_with_the_cookie() {
    let node = NodeSetup::new().start();
    let cookie = format!("x_api_key={ADMIN_KEY}");
    let write = |origin: &str| {
        let request = Request::new("PUT", "/apisix/admin/routes/1")
            .header("cookie", &cookie)
            .header("origin", origin)
            .header("content-type", "text/plain")
            .body(r#"{"uri": "/x", "plugins": {}}"#);
        node.ask_with(&request)
    };
    for origin in ["http://elsewhere.example", "null", "http://gateway.test:81"] {
        let response = write(origin);
        assert_eq!(response.status(), 403, "{origin}: {}", response.text());
        assert_eq!(response.header("access-control-allow-origin"), None);
    }
    let preflight =
        Request::new("OPTIONS", "/apisix/admin/routes/1").header("origin", "http://elsewhere.example");
    assert_eq!(node.ask_with(&preflight).status(), 403);
    assert_eq!(node.ask("GET", "/routes", None).json(), listing());
    assert_eq!(write("http://gateway.test").status(), 201, "its own pages");
    node.stop();
}

#[test]
fn bodies_that_are_broken_deep_huge_or_of_a_wrong_type_change_nothing() {
    let node = NodeSetup::new().start();
    let calls = node.send(&Request::new("GET", "/x")).status();
    let deep = |open: &str, close: &str| {
        format!(
            "{{\"uri\": \"/x\", \"labels\": {}{}}}",
            open.repeat(100_000),
            close.repeat(100_000)
        )
    };
    let bodies = [
        ("{".to_owned(), "invalid request body"),
        ("[]".to_owned(), "expected object, got array"),
        ("7".to_owned(), "expected object, got number"),
        ("null".to_owned(), "expected object, got null"),
        ("{\"uri\": 7}".to_owned(), "uri"),
        ("{\"uri\": \"/x\", \"colour\": 1}".to_owned(), "colour"),
        (
            "{\"uri\": \"/x\", \"plugins\": {\"nobody\": {}}}".to_owned(),
            "nobody",
        ),
        (
            "{\"uri\": \"/x\", \"plugins\": {\"limit-count\": {\"count\": -1, \"time_window\": 1}}}"
                .to_owned(),
            "count",
        ),
        ("{\"uri\": \"/x\", \"upstream_id\": \"gone\"}".to_owned(), "gone"),
        (deep("[", "]"), "invalid request body"),
        (deep("{\"a\":", "}").replace(":}", ":1}"), "invalid request body"),
        (
            format!("{{\"uri\": \"/{}\"}}", "x".repeat(2_000_000)),
            "greater than the maximum size",
        ),
    ];
    for (body, told) in &bodies {
        let request = Request::new("PUT", "/apisix/admin/routes/1")
            .header("x-api-key", ADMIN_KEY)
            .body(body.as_str());
        let response = node.ask_with(&request);
        let start: String = body.chars().take(80).collect();
        assert_eq!(response.status(), 400, "{start}: {}", response.text());
        assert!(
            response.text().contains(told),
            "{start}: {told}\n{}",
            response.text()
        );
    }
    // 60 MB are refused before they are sent.
    let mut connection = Connection::open(node.admin());
    let head = format!(
        "PUT /apisix/admin/routes/1 HTTP/1.1\r\nhost: gateway.test\r\nx-api-key: {ADMIN_KEY}\r\ncontent-length: 60000000\r\n\r\n"
    );
    connection.write(head.as_bytes());
    assert_eq!(connection.response().expect("an answer").status(), 400);
    // So is what does not say how long it is.
    let mut connection = Connection::open(node.admin());
    let head = format!(
        "PUT /apisix/admin/routes/1 HTTP/1.1\r\nhost: gateway.test\r\nx-api-key: {ADMIN_KEY}\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    connection.write(head.as_bytes());
    for _ in 0..40 {
        connection.write(&answers::chunk(vec![b' '; 100_000]));
    }
    assert_eq!(connection.response().expect("an answer").status(), 400);
    for id in ["a b", "a%00b", &"x".repeat(65), "ü", "a;b", "<script>"] {
        let path = format!("/apisix/admin/routes/{id}");
        let request = Request::new("PUT", &path)
            .header("x-api-key", ADMIN_KEY)
            .body(r#"{"uri":"/x","plugins":{}}"#);
        let mut connection = Connection::open(node.admin());
        connection.write(&request.header("connection", "close").bytes());
        let answer = String::from_utf8_lossy(&connection.until_closed()).into_owned();
        assert!(answer.starts_with("HTTP/1.1 4"), "{id}: {answer}");
    }
    assert_eq!(node.ask("GET", "/routes", None).json(), listing());
    assert_eq!(node.send(&Request::new("GET", "/x")).status(), calls);
    node.stop();
}

#[test]
fn writers_at_the_same_time_lose_no_change_of_each_other() {
    let node = NodeSetup::new().start();
    node.put(
        "/routes/1",
        &json!({"uri": "/x", "plugins": {}, "labels": {"n": "0"}}),
    );
    let admin = node.admin();
    // Each adds one to the number it has read, and reads again when it is told that somebody was faster.
    let add = || {
        loop {
            let path = "/apisix/admin/routes/1";
            let read = send(admin, &Request::new("GET", path).header("x-api-key", ADMIN_KEY));
            let number: u32 = read.json()["value"]["labels"]["n"]
                .as_str()
                .and_then(|number| number.parse().ok())
                .expect("a number");
            let body = json!({"uri": "/x", "plugins": {}, "labels": {"n": (number + 1).to_string()}});
            let write = Request::new("PUT", path)
                .header("x-api-key", ADMIN_KEY)
                .header("if-match", read.header("etag").expect("a revision"))
                .body(body.to_string());
            match send(admin, &write).status() {
                200 => return,
                412 => {}
                other => panic!("{other}"),
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..10).for_each(|_| add()));
        }
    });
    assert_eq!(
        node.ask("GET", "/routes/1", None).json()["value"]["labels"]["n"],
        "40"
    );
    node.stop();
}

/// Starts a node with these settings of the Admin API, and asserts that it refuses to.
#[track_caller]
fn refuses_to_start(admin: &str, env: &[(&str, &str)], told: &str) {
    let folder = tempfile::tempdir().expect("a directory");
    let config = folder.path().join("config.yaml");
    let data = folder.path().join("data");
    fs::write(
        &config,
        format!(
            "deployment: {{admin: {{{admin}}}}}\ntollgate: {{data_dir: {}}}\n",
            data.display()
        ),
    )
    .expect("a file");
    let config = config.to_str().expect("text");
    let finished = run(&["run", "--listen", "127.0.0.1:0", "--config", config], env);
    assert_eq!(finished.status.code(), Some(1), "{admin}: {finished:?}");
    assert!(finished.stderr.contains(told), "{admin}: {}", finished.stderr);
}

#[test]
fn a_door_that_stands_open_is_no_door_to_start_with() {
    const KNOWN: &str = "edd1c9f034335f136f87ad84b625c8f1";
    let key = |key: &str| {
        format!("admin_listen: {{ip: 127.0.0.1, port: 0}}, admin_key: [{{name: a, role: admin, key: {key}}}]")
    };
    refuses_to_start(&key(KNOWN), &[], "everybody knows");
    refuses_to_start(&key("$env://K"), &[("K", KNOWN)], "everybody knows");
    refuses_to_start(&key("$env://K"), &[("K", "")], "K");
    refuses_to_start(&key("$env://K"), &[], "K");
    refuses_to_start(&key("'  '"), &[], "is empty");
    for open in ["0.0.0.0", "'::'"] {
        refuses_to_start(
            &format!("admin_key_required: false, allow_admin: [], admin_listen: {{ip: {open}, port: 0}}"),
            &[],
            "any address may call",
        );
    }
}

#[test]
fn a_key_that_could_not_be_written_whole_is_made_up_anew() {
    let directory = tempfile::tempdir().expect("a directory");
    fs::create_dir_all(directory.path().join("data")).expect("a directory");
    fs::create_dir_all(directory.path().join("conf")).expect("a directory");
    fs::write(directory.path().join("data/admin.key"), "\n").expect("a file");
    let node = NodeSetup::with_config("deployment: {admin: {admin_listen: {ip: 127.0.0.1, port: 0}}}")
        .start_with(directory);
    let key = fs::read_to_string(node.file("data/admin.key")).expect("a key");
    assert_eq!(key.trim().len(), 40);
    let request = Request::new("GET", "/apisix/admin/routes").header("x-api-key", key.trim());
    assert_eq!(node.ask_with(&request).status(), 200);
    node.stop();
}

/// Files that want more than to be read.
fn hostile_imports() -> Vec<(&'static str, String)> {
    let bomb: String = (1..9)
        .map(|level| {
            format!(
                "a{level}: &a{level} [{}]\n",
                vec![format!("*a{}", level - 1); 10].join(", ")
            )
        })
        .collect();
    vec![
        (
            "an alias bomb",
            format!("a0: &a0 [x, x]\n{bomb}services: []\nroutes: []\n"),
        ),
        (
            "depth",
            format!("services: {}{}\n", "[".repeat(100_000), "]".repeat(100_000)),
        ),
        ("size", format!("services: []\n#{}\n", "x".repeat(100_000_000))),
        (
            "a tag that runs code",
            "services: !!python/object/apply:os.system ['touch planted-file']\n".to_owned(),
        ),
        (
            "a tag that reads a file",
            "services: !include /etc/passwd\n".to_owned(),
        ),
        (
            "a tag of another kind",
            "apiVersion: v1\nkind: !!js/function 'x'\n".to_owned(),
        ),
        ("JSON that is no object", "[[[[".to_owned()),
    ]
}

#[test]
fn hostile_files_are_refused_by_whoever_reads_them_and_run_nothing() {
    let node: Node = NodeSetup::new().start();
    let server = format!("http://{}", node.admin());
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("adc.yaml");
    for (what, text) in hostile_imports() {
        fs::write(&path, text).expect("a file");
        let file = path.to_str().expect("text");
        for arguments in [
            &["run", "--listen", "127.0.0.1:0", "--config", file][..],
            &["check", "--config", file],
            &["convert", "kubernetes", "-f", file],
            &["sync", "--server", &server, "--token", ADMIN_KEY, "-f", file],
            &["diff", "--server", &server, "--token", ADMIN_KEY, "-f", file],
        ] {
            let finished = run(arguments, &[]);
            let told = &finished.stderr;
            assert!(
                matches!(finished.status.code(), Some(1 | 2)),
                "{what} {arguments:?}: {finished:?}"
            );
            assert!(
                !told.contains("panicked") && !told.contains("root:"),
                "{what} {arguments:?}: {told}"
            );
            assert!(told.len() < 10_000, "{what} {arguments:?}: {} bytes", told.len());
        }
    }
    assert!(!std::path::Path::new("planted-file").exists());
    assert_eq!(node.ask("GET", "/routes", None).json(), listing());
    node.stop();
}
