//! `sync`, `diff`, `validate` and `dump --server` of the real binary against an Admin API that records its calls.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests count as tests"
)]

#[path = "sync/admin.rs"]
mod admin;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::json;
use tempfile::TempDir;

use admin::{Admin, Call};

const SERVICE: &str = "92d4047478ae948f9786a123330bf22ba96bef63";
const ROUTE: &str = "2c64c8dd88e0e1fbcb4c3cd22598f0d9e68d0eee";
const CREDENTIAL: &str = "a60ea41f64a706763696a583e8f013bfd74d4e12";

const EXAMPLE: &str = "
services:
  - name: ai-proxy-multi-service
    routes:
      - name: ai-proxy-multi-route
        uris: [/anything]
        methods: [POST]
        plugins:
          key-auth: {}
          ai-proxy-multi:
            instances:
              - name: openai-instance
                provider: openai
                weight: 8
                auth: {header: {Authorization: \"Bearer ${OPENAI_API_KEY}\"}}
                options: {model: gpt-4}
consumers:
  - username: johndoe
    credentials:
      - {name: key-auth, type: key-auth, config: {key: john-key}}
";

/// A folder to run in, and a server to talk to.
struct Setup {
    folder: TempDir,
    admin: Admin,
}

impl Setup {
    fn new() -> Setup {
        Setup {
            folder: tempfile::tempdir().expect("a folder"),
            admin: Admin::start(),
        }
    }

    fn with(text: &str) -> Setup {
        let setup = Setup::new();
        setup.file("adc.yaml", text);
        setup
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).expect("a file");
        path
    }

    /// Runs a command in the folder, against the server.
    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_tollgate"))
            .args(arguments)
            .args(["--server", &self.admin.url()])
            .current_dir(self.folder.path())
            .env_clear()
            .env("OPENAI_API_KEY", "sk-openai")
            .env("TOLLGATE_ADMIN_KEY", admin::KEY)
            .output()
            .expect("the binary runs")
    }

    #[track_caller]
    fn good(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(text(&output.stderr), "");
        text(&output.stdout)
    }

    #[track_caller]
    fn bad(&self, arguments: &[&str]) -> (String, String) {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        (text(&output.stdout), text(&output.stderr))
    }

    fn changes(&self) -> Vec<String> {
        self.admin
            .take_changes()
            .iter()
            .map(|call| format!("{} {}", call.method, call.path))
            .collect()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[test]
fn a_first_sync_sends_what_the_files_say_in_a_safe_order() {
    let setup = Setup::with(EXAMPLE);
    let out = setup.good(&["sync"]);
    assert_eq!(
        out,
        "+ service ai-proxy-multi-service\n\
         + route ai-proxy-multi-service.ai-proxy-multi-route\n\
         + consumer johndoe\n\
         + credential johndoe.key-auth\n\
         4 to create, 0 to update, 0 to delete\n\
         4 of 4 changes made\n"
    );
    let put = |path: String, body| Call {
        method: "PUT".to_owned(),
        path: format!("/apisix/admin/{path}"),
        body,
    };
    assert_eq!(
        setup.admin.take_changes(),
        [
            put(
                format!("services/{SERVICE}"),
                json!({"id": SERVICE, "name": "ai-proxy-multi-service", "labels": {"managed-by": "adc"}})
            ),
            put(
                format!("routes/{ROUTE}"),
                json!({
                    "id": ROUTE, "name": "ai-proxy-multi-route", "labels": {"managed-by": "adc"}, "uris": ["/anything"],
                    "methods": ["POST"], "service_id": SERVICE, "status": 1,
                    "plugins": {"key-auth": {}, "ai-proxy-multi": {"instances": [{
                        "name": "openai-instance", "provider": "openai", "weight": 8,
                        "auth": {"header": {"Authorization": "Bearer sk-openai"}}, "options": {"model": "gpt-4"},
                    }]}},
                })
            ),
            put(
                "consumers/johndoe".to_owned(),
                json!({"username": "johndoe", "labels": {"managed-by": "adc"}})
            ),
            put(
                format!("consumers/johndoe/credentials/{CREDENTIAL}"),
                json!({"id": CREDENTIAL, "name": "key-auth", "plugins": {"key-auth": {"key": "john-key"}}})
            ),
        ]
    );
}

#[test]
fn a_second_sync_has_nothing_to_do() {
    let setup = Setup::with(&format!(
        "{EXAMPLE}
global_rules: {{prometheus: {{}}}}
plugin_metadata: {{http-logger: {{log_format: {{host: $host}}}}}}
ssls: [{{snis: [a.example], certificates: [{{certificate: $env://CERT, key: $env://KEY}}]}}]
"
    ));
    setup.good(&["sync"]);
    setup.changes();
    assert_eq!(setup.good(&["sync"]), "nothing to change\n");
    assert_eq!(setup.good(&["diff"]), "nothing to change\n");
    assert_eq!(setup.changes(), [""; 0]);
}

#[test]
fn what_the_adc_command_line_wrote_is_taken_as_it_is() {
    let setup = Setup::with(EXAMPLE);
    setup.good(&["sync"]);
    // It writes an empty upstream for a service that has none, and refers to it.
    setup
        .admin
        .put(&format!("/apisix/upstreams/{SERVICE}"), json!({}));
    setup.admin.put(
        &format!("/apisix/services/{SERVICE}"),
        json!({"id": SERVICE, "name": "ai-proxy-multi-service", "labels": {"managed-by": "adc"}, "upstream_id": SERVICE}),
    );
    assert_eq!(setup.good(&["diff"]), "nothing to change\n");
}

#[test]
fn a_diff_names_the_fields_and_hides_secrets_and_changes_nothing() {
    let setup = Setup::with(EXAMPLE);
    setup.good(&["sync"]);
    setup.changes();
    setup.file(
        "adc.yaml",
        &EXAMPLE
            .replace("weight: 8", "weight: 3")
            .replace("[POST]", "[POST, GET]")
            .replace("john-key", "new-key")
            .replace("          key-auth: {}\n", "")
            .replace("Bearer ${OPENAI_API_KEY}", "Bearer sk-other"),
    );
    let expected = "~ route ai-proxy-multi-service.ai-proxy-multi-route\n  \
           + methods[1]: \"GET\"\n    \
             plugins.ai-proxy-multi.instances[0].auth.header.Authorization: changed, \"***\"\n    \
             plugins.ai-proxy-multi.instances[0].weight: 8 -> 3\n  \
           - plugins.key-auth: {}\n\
         ~ credential johndoe.key-auth\n    \
             plugins.key-auth.key: changed, \"***\"\n\
         0 to create, 2 to update, 0 to delete\n";
    assert_eq!(setup.good(&["diff"]), expected);
    assert_eq!(
        setup.good(&["sync", "--dry-run"]),
        format!("{expected}dry run: nothing was changed\n")
    );
    assert_eq!(setup.changes(), [""; 0]);
    setup.good(&["sync"]);
    assert_eq!(setup.good(&["diff"]), "nothing to change\n");
}

#[test]
fn what_is_no_longer_asked_for_goes_before_what_is_new_comes() {
    let setup = Setup::with(
        "
services:
  - name: old
    upstream: {nodes: [{host: h, port: 80, weight: 1}]}
    upstreams: [{name: more, nodes: []}]
    routes: [{name: r, uris: [/a]}]
consumers:
  - {username: leaver, credentials: [{name: c, type: key-auth, config: {key: k}}]}
  - {username: stayer, credentials: [{name: c, type: key-auth, config: {key: l}}]}
global_rules: {cors: {}}
",
    );
    setup.good(&["sync"]);
    setup.changes();
    setup.file(
        "adc.yaml",
        "
services: [{name: new, routes: [{name: r, uris: [/a]}]}]
consumers: [{username: stayer}]
global_rules: {prometheus: {}}
",
    );
    setup.good(&["sync", "-f", "adc.yaml"]);
    let id = |name: &str| id_of(name);
    assert_eq!(
        setup.changes(),
        [
            format!("DELETE /apisix/admin/routes/{}", id("old.r")),
            format!("DELETE /apisix/admin/services/{}", id("old")),
            format!("DELETE /apisix/admin/upstreams/{}", id("old")),
            format!("DELETE /apisix/admin/upstreams/{}", id("old.more")),
            "DELETE /apisix/admin/consumers/leaver".to_owned(),
            format!("PUT /apisix/admin/services/{}", id("new")),
            format!("PUT /apisix/admin/routes/{}", id("new.r")),
            "DELETE /apisix/admin/global_rules/cors".to_owned(),
            "PUT /apisix/admin/global_rules/prometheus".to_owned(),
            format!(
                "DELETE /apisix/admin/consumers/stayer/credentials/{}",
                id("stayer.c")
            ),
        ]
    );
    assert_eq!(setup.good(&["sync"]), "nothing to change\n");
}

#[test]
fn an_upstream_is_put_before_its_service_and_removed_after_it() {
    let without = "services: [{name: s}]";
    let with = "services: [{name: s, upstream: {nodes: [{host: h, port: 80, weight: 1}]}}]";
    let setup = Setup::with(with);
    let (service, upstream) = (
        format!("/apisix/admin/services/{}", id_of("s")),
        format!("/apisix/admin/upstreams/{}", id_of("s")),
    );
    setup.good(&["sync"]);
    assert_eq!(
        setup.changes(),
        [format!("PUT {upstream}"), format!("PUT {service}")]
    );
    setup.file("adc.yaml", &with.replace("weight: 1", "weight: 2"));
    setup.good(&["sync"]);
    assert_eq!(
        setup.changes(),
        [format!("PUT {upstream}")],
        "the service is as it was"
    );
    setup.file("adc.yaml", without);
    setup.good(&["sync", "--exclude-resource-type", "upstream"]);
    assert_eq!(setup.changes(), [format!("PUT {service}")]);
    setup.file("adc.yaml", with);
    setup.good(&["sync"]);
    setup.changes();
    setup.file("adc.yaml", without);
    setup.good(&["sync"]);
    assert_eq!(
        setup.changes(),
        [format!("PUT {service}"), format!("DELETE {upstream}")]
    );
}

#[test]
fn one_refusal_does_not_stop_the_others_and_all_are_told() {
    let setup = Setup::with(
        "
services: [{name: s, routes: [{name: good, uris: [/a]}, {name: bad, uris: [/b]}]}]
consumers: [{username: c}]
",
    );
    let path = format!("/apisix/admin/routes/{}", id_of("s.bad"));
    setup
        .admin
        .refuse(&path, 400, r#"{"error_msg":"unknown plugin [x]"}"#);
    setup
        .admin
        .refuse("/apisix/admin/consumers/c", 405, "<html>not\nhere</html>");
    let (out, errors) = setup.bad(&["sync"]);
    assert!(out.ends_with("2 of 4 changes made\n"), "{out}");
    assert_eq!(
        errors,
        format!(
            "tollgate: cannot create route s.bad: PUT {path} answered 400: unknown plugin [x]\n\
             tollgate: cannot create consumer c: PUT /apisix/admin/consumers/c answered 405: <html>not here</html>\n"
        )
    );
    setup.admin.refuse_nothing();
    let out = setup.good(&["sync"]);
    assert!(out.ends_with("2 of 2 changes made\n"), "{out}");
}

#[test]
fn what_is_gone_already_counts_as_removed() {
    let setup = Setup::with("consumers: [{username: c}]");
    setup.good(&["sync"]);
    setup.file("adc.yaml", "{}");
    setup
        .admin
        .refuse("/apisix/admin/consumers/c", 404, r#"{"message":"Key not found"}"#);
    assert!(setup.good(&["sync"]).ends_with("1 of 1 changes made\n"));
}

#[test]
fn a_label_selector_keeps_to_objects_with_the_label() {
    let setup = Setup::with("{services: [{name: mine}], global_rules: {cors: {}}}");
    setup.admin.put(
        "/apisix/services/theirs",
        json!({"id": "theirs", "labels": {"team": "billing"}}),
    );
    setup.admin.put(
        "/apisix/routes/theirs-too",
        json!({"uri": "/", "service_id": "theirs"}),
    );
    setup.admin.put(
        "/apisix/consumers/left",
        json!({"username": "left", "labels": {"team": "search"}}),
    );
    setup.admin.put(
        "/apisix/global_rules/prometheus",
        json!({"plugins": {"prometheus": {}}}),
    );
    setup.good(&["sync", "--label-selector", "team=search"]);
    let calls = setup.admin.take_changes();
    let paths: Vec<String> = calls
        .iter()
        .map(|call| format!("{} {}", call.method, call.path))
        .collect();
    assert_eq!(
        paths,
        [
            "DELETE /apisix/admin/consumers/left".to_owned(),
            format!("PUT /apisix/admin/services/{}", id_of("mine")),
            "PUT /apisix/admin/global_rules/cors".to_owned(),
        ]
    );
    assert_eq!(
        calls[1].body["labels"],
        json!({"team": "search", "managed-by": "adc"})
    );
}

#[test]
fn a_consumer_that_gets_the_label_is_as_wanted_at_once() {
    let setup = Setup::with("consumers: [{username: jack}]");
    setup
        .admin
        .put("/apisix/consumers/jack", json!({"username": "jack"}));
    setup.admin.put(
        "/apisix/consumers/jack/credentials/old",
        json!({"plugins": {"key-auth": {"key": "k"}}}),
    );
    setup.good(&["sync", "--label-selector", "team=search"]);
    assert_eq!(
        setup.changes(),
        [
            "PUT /apisix/admin/consumers/jack",
            "DELETE /apisix/admin/consumers/jack/credentials/old"
        ]
    );
    assert_eq!(
        setup.good(&["sync", "--label-selector", "team=search"]),
        "nothing to change\n"
    );
}

#[test]
fn only_the_types_asked_for_are_touched() {
    let setup = Setup::with(EXAMPLE);
    setup
        .admin
        .put("/apisix/global_rules/cors", json!({"plugins": {"cors": {}}}));
    setup.good(&["sync", "--include-resource-type", "consumer"]);
    assert_eq!(
        setup.changes(),
        [
            "PUT /apisix/admin/consumers/johndoe".to_owned(),
            format!("PUT /apisix/admin/consumers/johndoe/credentials/{CREDENTIAL}"),
        ]
    );
    setup.good(&["sync", "--exclude-resource-type", "global_rule,route"]);
    assert_eq!(setup.changes(), [format!("PUT /apisix/admin/services/{SERVICE}")]);
}

#[test]
fn objects_outside_of_services_are_left_alone() {
    let setup = Setup::with("{}");
    setup
        .admin
        .put("/apisix/routes/1", json!({"uri": "/a", "plugins": {}}));
    setup
        .admin
        .put("/apisix/upstreams/1", json!({"nodes": {"h:80": 1}}));
    setup
        .admin
        .put("/apisix/plugin_configs/1", json!({"plugins": {}}));
    assert_eq!(setup.good(&["sync"]), "nothing to change\n");
}

#[test]
fn a_dump_is_a_file_that_changes_nothing() {
    let setup = Setup::with(&format!("{EXAMPLE}global_rules: {{prometheus: {{}}}}\n"));
    setup.good(&["sync"]);
    setup.changes();
    let printed = setup.good(&["dump"]);
    assert!(
        printed.starts_with("services:\n- name: ai-proxy-multi-service\n"),
        "{printed}"
    );
    assert_eq!(setup.good(&["dump", "-o", "adc.yaml"]), "");
    assert_eq!(
        fs::read_to_string(setup.folder.path().join("adc.yaml")).unwrap(),
        printed
    );
    assert_eq!(setup.good(&["sync"]), "nothing to change\n");
    let consumers = setup.good(&["dump", "--include-resource-type", "consumer"]);
    assert!(
        consumers.starts_with("consumers:\n- username: johndoe\n"),
        "{consumers}"
    );
}

#[cfg(unix)]
#[test]
fn a_dumped_file_is_readable_by_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;

    let setup = Setup::new();
    setup.good(&["dump", "-o", "dumped.yaml"]);
    let mode = fs::metadata(setup.folder.path().join("dumped.yaml"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn mistakes_of_all_files_are_told_before_anything_is_called() {
    let setup = Setup::new();
    setup.file("a.yaml", "services: [{name: s, rotes: []}]");
    setup.file("b.yaml", "global_rules: {cors: {x: \"${NOT_SET}\"}}");
    let (_, errors) = setup.bad(&["sync", "-f", "a.yaml", "-f", "b.yaml"]);
    assert!(
        errors.contains("a.yaml:1: services[0].rotes: unknown key `rotes`; did you mean `routes`?"),
        "{errors}"
    );
    assert!(
        errors.contains("b.yaml:1: global_rules.cors.x: environment variable NOT_SET is not set"),
        "{errors}"
    );
    assert_eq!(setup.admin.take_all(), []);
}

#[test]
fn a_server_checks_the_files_and_its_findings_get_their_lines() {
    let setup = Setup::with(EXAMPLE);
    assert_eq!(setup.good(&["validate"]), "ok: 4 objects\n");
    let calls = setup.admin.take_all();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].path, "/apisix/admin/configs/validate");
    assert_eq!(calls[0].body["routes"][0]["id"], ROUTE);
    assert_eq!(calls[0].body["consumers"][0]["username"], "johndoe");
    assert_eq!(calls[0].body["upstreams"], json!([]));
    assert_eq!(
        setup.good(&["validate", "--include-resource-type", "route"]),
        "ok: 1 objects\n"
    );
    assert_eq!(setup.admin.take_all()[0].body["consumers"], json!([]));
    setup.admin.refuse(
        "/apisix/admin/configs/validate",
        400,
        &json!({"error_msg": "Configuration validation failed", "errors": [
            {"resource_type": "routes", "resource_id": ROUTE, "index": 0, "error": "unknown plugin [x]"},
            {"resource_type": "secrets", "index": 7, "error": "odd"},
        ]})
        .to_string(),
    );
    let (_, errors) = setup.bad(&["validate"]);
    assert_eq!(
        errors,
        "tollgate: adc.yaml:5: services[0].routes[0]: unknown plugin [x]\ntollgate: secrets: odd\n"
    );
}

#[test]
fn a_wrong_key_and_an_absent_server_are_told_plainly() {
    let setup = Setup::with(EXAMPLE);
    let (_, errors) = setup.bad(&["diff", "--token", "wrong"]);
    assert_eq!(
        errors,
        "tollgate: GET /apisix/admin/services answered 401: failed to check token; --token or TOLLGATE_ADMIN_KEY gives the key\n"
    );
    let output = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .args(["diff", "--server", "http://127.0.0.1:1"])
        .current_dir(setup.folder.path())
        .env_clear()
        .env("OPENAI_API_KEY", "x")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).starts_with("tollgate: no Admin API at http://127.0.0.1:1: "),
        "{output:?}"
    );
}

#[test]
fn adcs_own_variables_are_read() {
    let setup = Setup::with("{}");
    let output = Command::new(env!("CARGO_BIN_EXE_tollgate"))
        .arg("diff")
        .current_dir(setup.folder.path())
        .env_clear()
        .env("ADC_SERVER", setup.admin.url())
        .env("ADC_TOKEN", admin::KEY)
        .output()
        .unwrap();
    assert_eq!(text(&output.stdout), "nothing to change\n", "{output:?}");
}

/// The id that a name gets.
fn id_of(name: &str) -> String {
    use std::fmt::Write;

    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, name.as_bytes());
    digest.as_ref().iter().fold(String::new(), |mut id, byte| {
        write!(id, "{byte:02x}").unwrap();
        id
    })
}
