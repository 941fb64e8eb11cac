use std::net::SocketAddr;

use serde_json::json;

use super::{env, lines};
use crate::apisix::{Bootstrap, FileKind, detect, log_format_line, lower_bootstrap};
use crate::model::{AdminRole, ConfigProvider, LogFormat, LogPath, Server, StandaloneFormat};

fn bootstrap(text: &str) -> Bootstrap {
    lower_bootstrap("conf/config.yaml", text, &env).unwrap_or_else(|mistakes| panic!("{}", lines(&mistakes)))
}

fn refused(text: &str) -> String {
    match lower_bootstrap("config.yaml", text, &env) {
        Ok(_) => panic!("taken: {text}"),
        Err(mistakes) => lines(&mistakes),
    }
}

fn addresses(listen: &[SocketAddr]) -> Vec<String> {
    listen.iter().map(SocketAddr::to_string).collect()
}

fn log_format(text: &str) -> String {
    match bootstrap(text).server.access_log.format {
        LogFormat::Template(template) => template,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_empty_file_means_the_ports_of_apisix_and_a_generated_key() {
    for text in ["", "# nothing\n", "apisix:\n"] {
        let file = bootstrap(text);
        assert_eq!(addresses(&file.server.listen), ["0.0.0.0:9080"]);
        let admin = file.admin.expect("the Admin API is on");
        assert_eq!(addresses(&admin.listen), ["127.0.0.1:9180"]);
        assert_eq!(admin.allow, ["127.0.0.0/24"]);
        assert!(admin.key_required && !admin.cors && admin.tls.is_none());
        assert_eq!(admin.max_body_bytes, 1_572_864);
        let keys: Vec<_> = admin
            .keys
            .iter()
            .map(|key| (key.name.as_str(), key.key.is_none(), key.role))
            .collect();
        assert_eq!(keys, [("admin", true, AdminRole::Admin)]);
        assert_eq!(file.deployment.provider, ConfigProvider::Embedded);
        assert_eq!(file.notes, [""; 0]);
    }
}

#[test]
fn the_default_file_of_the_repository_is_taken_without_a_note() {
    let text = include_str!("../../../../../conf/config.yaml");
    let file = bootstrap(text);
    assert_eq!(file.notes, [""; 0]);
    let mut default = bootstrap("");
    default.server.access_log.path = LogPath::Stdout;
    assert_eq!(file, default);
    assert_eq!(detect(text), FileKind::Bootstrap);
}

#[test]
fn the_log_format_with_llm_variables_is_passed_through_unchanged() {
    let text = r#"nginx_config:
  http:
    access_log_format: "$remote_addr - $remote_user [$time_local] $http_host \"$request_line\" $status $body_bytes_sent $request_time \"$http_referer\" \"$http_user_agent\" $upstream_addr $upstream_status $apisix_upstream_response_time \"$upstream_scheme://$upstream_host$upstream_uri\" \"$apisix_request_id\" \"$request_type\" \"$llm_time_to_first_token\" \"$llm_model\" \"$request_llm_model\"  \"$llm_prompt_tokens\" \"$llm_completion_tokens\""
"#;
    assert_eq!(
        log_format(text),
        concat!(
            r#"$remote_addr - $remote_user [$time_local] $http_host "$request_line" $status $body_bytes_sent "#,
            r#"$request_time "$http_referer" "$http_user_agent" $upstream_addr $upstream_status "#,
            r#"$apisix_upstream_response_time "$upstream_scheme://$upstream_host$upstream_uri" "#,
            r#""$apisix_request_id" "$request_type" "$llm_time_to_first_token" "$llm_model" "#,
            r#""$request_llm_model"  "$llm_prompt_tokens" "$llm_completion_tokens""#,
        )
    );
    assert_eq!(log_format_line(text), Some(3));
}

#[test]
fn a_log_format_in_a_block_loses_its_line_break_and_nginx_escapes() {
    let text = "nginx_config:\n  http:\n    access_log_format: |\n      \"$remote_addr \\\"$request\\\" a\\b\\\\c\"\n";
    assert_eq!(log_format(text), r#""$remote_addr "$request" a\b\c""#);
    assert_eq!(
        refused("nginx_config: {http: {access_log_format: \"a\\nb\"}}"),
        "config.yaml:1: nginx_config.http.access_log_format: the format must not contain line breaks or other control \
         characters"
    );
}

#[test]
fn the_access_log_goes_where_the_file_says() {
    let path = |http: &str| {
        bootstrap(&format!("nginx_config: {{http: {{{http}}}}}"))
            .server
            .access_log
            .path
    };
    assert_eq!(path("charset: utf-8"), LogPath::Stdout);
    assert_eq!(path("access_log: /dev/stdout"), LogPath::Stdout);
    assert_eq!(
        path("access_log: logs/access.log"),
        LogPath::File("logs/access.log".to_owned())
    );
    assert_eq!(
        path("access_log: logs/access.log main"),
        LogPath::File("logs/access.log".to_owned())
    );
    assert_eq!(path("access_log: off"), LogPath::Off);
    assert_eq!(path("access_log: false"), LogPath::Off);
    assert_eq!(
        path("access_log: logs/a.log, enable_access_log: false"),
        LogPath::Off
    );
}

#[test]
fn listeners_are_ports_or_addresses() {
    let listen = |value: &str| {
        addresses(
            &bootstrap(&format!("apisix:\n  node_listen: {value}\n"))
                .server
                .listen,
        )
    };
    assert_eq!(listen("9081"), ["0.0.0.0:9081"]);
    assert_eq!(listen("[9080, 9081]"), ["0.0.0.0:9080", "0.0.0.0:9081"]);
    assert_eq!(
        listen("[{port: 9082, enable_http2: true}, {ip: 127.0.0.2, port: 1}, {ip: '::1'}]"),
        ["0.0.0.0:9082", "127.0.0.2:1", "[::1]:9080"]
    );
    assert_eq!(
        listen("\n    - ${{PORT}}\n    - ${{NONE:=9083}}"),
        ["0.0.0.0:9081", "0.0.0.0:9083"]
    );
    assert_eq!(
        refused(
            "apisix:\n  node_listen:\n    - 0\n    - 65536\n    - x\n    - {ip: localhost}\n    - 9080\n    - 9080\n"
        ),
        "config.yaml:3: apisix.node_listen[0]: expected a port from 1 to 65535, found a number\n\
         config.yaml:4: apisix.node_listen[1]: expected a port from 1 to 65535, found a number\n\
         config.yaml:5: apisix.node_listen[2]: expected a port from 1 to 65535, found text\n\
         config.yaml:6: apisix.node_listen[3].ip: `localhost` is no IP address, such as `127.0.0.1` or `::`\n\
         config.yaml:8: apisix.node_listen[5]: 0.0.0.0:9080 is in the list twice"
    );
    assert!(refused("apisix: {node_listen: []}").contains("the list is empty"));
}

#[test]
fn limits_of_nginx_become_limits_of_the_gateway() {
    let server = bootstrap(
        "nginx_config:
  worker_processes: 4
  worker_shutdown_timeout: 240s
  http:
    client_max_body_size: 10m
    client_header_timeout: 5s
    client_body_timeout: 90
    send_timeout: 7s
    keepalive_timeout: 1m
",
    )
    .server;
    assert_eq!(server.workers, Some(4));
    assert_eq!(server.drain_ms, 240_000);
    assert_eq!(server.max_body_bytes, 10 * 1024 * 1024);
    assert_eq!(server.header_timeout_ms, 5_000);
    assert_eq!(server.send_timeout_ms, 7_000);
    assert_eq!(server.body_timeout_ms, 90_000);
    assert_eq!(server.idle_timeout_ms, 60_000);
    assert_eq!(
        bootstrap("nginx_config: {worker_processes: auto}").server.workers,
        None
    );
    assert_eq!(
        refused(
            "nginx_config:\n  worker_processes: 0\n  http:\n    keepalive_timeout: 0s\n    client_body_timeout: 25h\n    client_max_body_size: 1mb\n"
        ),
        "config.yaml:2: nginx_config.worker_processes: expected `auto` or a number from 1 to 1024, found a number\n\
         config.yaml:4: nginx_config.http.keepalive_timeout: must be more than 0\n\
         config.yaml:5: nginx_config.http.client_body_timeout: must be at most 24h\n\
         config.yaml:6: nginx_config.http.client_max_body_size: expected a size, such as `10m`, found text"
    );
}

#[test]
fn an_unlimited_body_keeps_a_limit_and_says_so() {
    let file = bootstrap("nginx_config: {http: {client_max_body_size: 0}}");
    assert_eq!(file.server.max_body_bytes, Server::DEFAULT_MAX_BODY_BYTES);
    assert_eq!(
        file.notes,
        [
            "nginx_config.http.client_max_body_size: 0 is taken as 33554432 bytes, the gateway's own limit; write a size to \
             change it"
        ]
    );
    let file = bootstrap("nginx_config: {http: {client_max_body_size: 1g}}");
    assert_eq!((file.server.max_body_bytes, file.notes.len()), (1 << 30, 0));
    let file = bootstrap("nginx_config: {http: {client_max_body_size: 1025m}}");
    assert_eq!((file.server.max_body_bytes, file.notes.len()), (1 << 30, 1));
}

#[test]
fn keys_of_the_admin_api_have_names_roles_and_secrets() {
    let file = bootstrap(
        "deployment:
  admin:
    admin_key:
      - {name: admin, key: $env://ADMIN_KEY, role: admin}
      - name: from-variable
        key: \"${{KEY}}\"
        role: ${{ROLE}}
      - {key: '', role: viewer}
",
    );
    let keys = file.admin.unwrap().keys;
    let shown: Vec<_> = keys
        .iter()
        .map(|key| {
            let secret = key
                .key
                .as_ref()
                .map(|key| match key.resolve(&|_| Some("from-env".to_owned())) {
                    Ok(secret) => secret.expose().to_owned(),
                    Err(error) => error.to_string(),
                });
            (key.name.as_str(), secret, key.role)
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("admin", Some("from-env".to_owned()), AdminRole::Admin),
            ("from-variable", Some("00012345".to_owned()), AdminRole::Admin),
            ("viewer", None, AdminRole::Viewer),
        ]
    );
    assert!(!format!("{keys:?}").contains("12345"), "a key is shown");
}

#[test]
fn wrong_keys_of_the_admin_api_are_mistakes_that_do_not_show_them() {
    let text = refused(
        "deployment:
  admin:
    admin_key:
      - {name: a, key: sk-planted, role: admn}
      - {name: b, key: 123456}
      - sk-planted
",
    );
    assert_eq!(
        text,
        "config.yaml:4: deployment.admin.admin_key[0].role: unknown role `admn`; did you mean `admin`? (allowed: admin, viewer, editor, team_admin)\n\
         config.yaml:5: deployment.admin.admin_key[1].key: expected text, found a number; put it in quotes\n\
         config.yaml:5: deployment.admin.admin_key[1].role: missing (allowed: admin, viewer, editor, team_admin)\n\
         config.yaml:6: deployment.admin.admin_key[2]: expected a map, such as `{name: admin, key: '', role: admin}`, found text"
    );
    assert!(refused("deployment: {admin: {admin_key: []}}").contains("at least one key"));
    assert!(refused("deployment: {admin: {admin_key: }}").contains("at least one key"));
    let open = bootstrap("deployment: {admin: {admin_key: [], admin_key_required: false}}");
    assert!(open.admin.unwrap().keys.is_empty());
    assert_eq!(open.notes.len(), 1);
}

#[test]
fn an_admin_api_that_anybody_could_change_everything_through_is_refused() {
    let admin = |more: &str| format!("deployment: {{admin: {{admin_key_required: false, {more}}}}}");
    for open in [
        "allow_admin: []",
        "allow_admin: [0.0.0.0/0]",
        "allow_admin: ['::/0'], admin_listen: {ip: 192.0.2.1, port: 1}",
    ] {
        let text = refused(&admin(open));
        assert!(
            text.starts_with(
                "config.yaml:1: deployment.admin.admin_key_required: false, and any address may call on "
            ),
            "{open}: {text}"
        );
    }
    for closed in [
        "allow_admin: [10.0.0.0/8]",
        "allow_admin: [], admin_listen: {ip: 127.0.0.1}",
        "allow_admin: [], admin_listen: {ip: '::1'}",
        "admin_listen: {ip: 0.0.0.0}",
    ] {
        bootstrap(&admin(closed));
    }
    // As APISIX, and where there is no Admin API.
    let open = admin("allow_admin: []");
    bootstrap(&format!("{open}\ncompat: {{apisix: strict}}\n"));
    bootstrap(&format!("{open}\napisix: {{enable_admin: false}}\n"));
}

#[test]
fn pages_of_other_origins_may_use_the_admin_api_where_that_is_said_or_apisix_is_followed() {
    let cors = |text: &str| bootstrap(text).admin.unwrap().cors;
    assert!(!cors(""));
    assert!(cors("deployment: {admin: {enable_admin_cors: true}}"));
    assert!(cors("compat: {apisix: strict}"));
    assert!(!cors(
        "{compat: {apisix: strict}, deployment: {admin: {enable_admin_cors: false}}}"
    ));
}

#[test]
fn the_admin_api_listens_where_allowed_callers_can_reach_it() {
    let listen = |admin: &str| {
        addresses(
            &bootstrap(&format!("deployment: {{admin: {{{admin}}}}}"))
                .admin
                .unwrap()
                .listen,
        )
    };
    assert_eq!(listen("admin_listen: {port: 9181}"), ["127.0.0.1:9181"]);
    assert_eq!(listen("admin_listen: {port: 0}"), ["127.0.0.1:0"]);
    assert_eq!(listen("admin_listen: {ip: 0.0.0.0}"), ["0.0.0.0:9180"]);
    assert_eq!(listen("allow_admin: [127.0.0.1, 10.0.0.0/8]"), ["0.0.0.0:9180"]);
    assert_eq!(listen("allow_admin: [127.0.0.0/0]"), ["0.0.0.0:9180"]);
    assert_eq!(listen("allow_admin: []"), ["0.0.0.0:9180"]);
    assert_eq!(
        bootstrap("deployment: {admin: {allow_admin: }}").notes,
        ["deployment.admin.allow_admin: empty, so any address may call the Admin API"]
    );
    assert_eq!(
        refused("deployment:\n  admin:\n    allow_admin:\n      - 127.0.0.0/24\n      - 10.0.0.0/33\n"),
        "config.yaml:5: deployment.admin.allow_admin[1]: `10.0.0.0/33` is no IP address or network, such as `127.0.0.1` or \
         `10.0.0.0/8`"
    );
    assert!(
        refused("deployment: {admin: {admin_listen: {ip: 0.0.0.0, port: 9080}}}").contains("node_listen")
    );
}

#[test]
fn https_for_the_admin_api_needs_a_certificate() {
    let file = bootstrap(
        "deployment: {admin: {https_admin: true, admin_api_mtls: {admin_ssl_cert: a.pem, admin_ssl_cert_key: k.pem, \
         admin_ssl_ca_cert: ''}}}",
    );
    let tls = file.admin.unwrap().tls.unwrap();
    assert_eq!(
        (tls.cert_file.as_str(), tls.key_file.as_str(), tls.client_ca_file),
        ("a.pem", "k.pem", None)
    );
    assert!(refused("deployment: {admin: {https_admin: true}}").contains("admin_ssl_cert_key"));
}

#[test]
fn the_role_decides_about_the_admin_api_and_the_source() {
    let of = |text: &str| {
        let file = bootstrap(text);
        (file.admin.is_some(), file.deployment.provider)
    };
    let file = |path: &str, format| ConfigProvider::File {
        path: path.to_owned(),
        format,
    };
    assert_eq!(
        of("deployment: {role: traditional, role_traditional: {config_provider: yaml}}"),
        (true, ConfigProvider::InMemory)
    );
    assert_eq!(
        of("apisix: {enable_admin: false}\ndeployment: {role_traditional: {config_provider: yaml}}"),
        (false, file("conf/apisix.yaml", StandaloneFormat::Yaml))
    );
    assert_eq!(
        of("deployment: {role: data_plane, role_data_plane: {config_provider: yaml}}"),
        (false, file("conf/apisix.yaml", StandaloneFormat::Yaml))
    );
    assert_eq!(
        of("deployment: {role: data_plane, role_data_plane: {config_provider: json}}"),
        (false, file("conf/apisix.json", StandaloneFormat::Json))
    );
    assert_eq!(
        of(
            "apisix: {enable_admin: false}\ndeployment: {role: control_plane, role_control_plane: {config_provider: etcd}}"
        ),
        (true, ConfigProvider::Embedded)
    );
    assert_eq!(
        of("apisix: {enable_admin: false}"),
        (false, ConfigProvider::Embedded)
    );
    assert_eq!(
        refused("deployment:\n  role: data_plane\n  role_data_plane:\n    config_provider: xds\n"),
        "config.yaml:4: deployment.role_data_plane.config_provider: unknown provider `xds` (allowed: etcd, yaml, json)"
    );
    assert!(refused("deployment: {role: tradtional}").contains("did you mean `traditional`?"));
}

#[test]
fn the_control_api_is_where_the_file_wants_it() {
    let control = |apisix: &str| bootstrap(&format!("apisix: {{{apisix}}}")).deployment.control;
    assert_eq!(control(""), None);
    let usual = "127.0.0.1:9090".parse().ok();
    assert_eq!(control("enable_control: true"), usual);
    assert_eq!(control("control: {ip: 127.0.0.1}"), usual);
    assert_eq!(control("control: {port: 0}"), "127.0.0.1:0".parse().ok());
    assert_eq!(control("enable_control: false, control: {port: 9092}"), None);
}

#[test]
fn what_concerns_the_whole_process_is_kept() {
    let deployment = bootstrap(
        "apisix:
  enable_server_tokens: false
  trusted_addresses: [127.0.0.1, 172.18.0.0/16]
  data_encryption: {enable_encrypt_fields: false}
  status: {ip: 0.0.0.0}
  control: {port: 9092}
plugins: [ai-proxy, key-auth]
plugin_attr: {prometheus: {export_addr: {ip: 0.0.0.0, port: 9091}}}
tollgate: {data_dir: /var/lib/tollgate}
nginx_config: {http: {real_ip_header: X-Forwarded-For, real_ip_from: ['10.0.0.0/8', 'unix:'], real_ip_recursive: 'on'}}
compat: {apisix: strict}
",
    )
    .deployment;
    assert_eq!(
        serde_json::to_value(&deployment).unwrap(),
        json!({
            "provider": "embedded",
            "data_dir": "/var/lib/tollgate",
            "strict": true,
            "trusted_addresses": ["127.0.0.1", "172.18.0.0/16"],
            "real_ip": {"header": "x-forwarded-for", "from": ["10.0.0.0/8"], "recursive": true},
            "plugins": ["ai-proxy", "key-auth"],
            "encrypt_fields": false,
            "server_tokens": false,
            "prometheus": "0.0.0.0:9091",
            "status": "0.0.0.0:7085",
            "control": "127.0.0.1:9092",
        })
    );
}

#[test]
fn wrong_keys_and_egress_are_as_in_our_own_file_and_apisix_to_the_letter_counts_no_keys() {
    let server = |text: &str| bootstrap(text).server;
    assert_eq!(server("").max_wrong_keys, Some(Server::DEFAULT_MAX_WRONG_KEYS));
    assert_eq!(server("tollgate: {max_wrong_keys: 7}\n").max_wrong_keys, Some(7));
    assert_eq!(server("tollgate: {max_wrong_keys: 0}\n").max_wrong_keys, None);
    let strict = "compat: {apisix: strict}\n";
    assert_eq!(server(strict).max_wrong_keys, None);
    let set = format!("{strict}tollgate: {{max_wrong_keys: 7}}\n");
    assert_eq!(server(&set).max_wrong_keys, Some(7));
    let egress = server("tollgate: {egress: {allow: [10.0.0.0/8], metadata: true}}\n").egress;
    assert_eq!(
        serde_json::to_value(egress).unwrap(),
        json!({"allow": ["10.0.0.0/8"], "deny": [], "metadata": true})
    );
    let text = refused("tollgate:\n  egress:\n    deny:\n    - 10.0.0.0/33\n    alow: []\n");
    for expected in [
        "config.yaml:4: tollgate.egress.deny[0]: `10.0.0.0/33` is no IP address, network or name, such as ",
        "config.yaml:5: tollgate.egress.alow: unknown key `alow`; did you mean `allow`?",
    ] {
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn loggers_of_all_calls_are_as_in_our_own_file() {
    let logging = bootstrap("tollgate: {logging: {summaries: true}, loggers: [{file: calls.log}]}\n")
        .own
        .logging;
    let logging = serde_json::to_value(logging).unwrap();
    assert_eq!(logging["summaries"], true);
    assert_eq!(logging["loggers"][0]["file"], "calls.log");
    assert_eq!(
        refused("tollgate:\n  loggers:\n    - file: a\n    - http: {url: nowhere, tineout: 1s}\n"),
        "config.yaml:4: tollgate.loggers[1].http.tineout: unknown key `tineout`; did you mean `timeout`? (allowed: url, \
         authorization, timeout, tls, lines, batch)\n\
         config.yaml:4: tollgate.loggers[1].http.url: `nowhere` is no http or https URL, such as `https://llm.example.com/v1`"
    );
}

#[test]
fn calls_are_traced_as_in_our_own_file() {
    let traces = bootstrap("tollgate: {traces: {endpoint: 'http://collector:4318', sample: 0.5}}\n")
        .own
        .traces;
    let traces = serde_json::to_value(traces).unwrap();
    assert_eq!(traces["endpoint"], "http://collector:4318");
    assert_eq!(traces["protocol"], "http");
    assert_eq!(traces["sample"], 0.5);
    assert_eq!(traces["service_name"], "tollgate");
    assert_eq!(
        refused("tollgate:\n  traces:\n    endpoint: nowhere\n    smaple: 1\n"),
        "config.yaml:3: tollgate.traces.endpoint: `nowhere` is no http or https URL, such as `https://llm.example.com/v1`\n\
         config.yaml:4: tollgate.traces.smaple: unknown key `smaple`; did you mean `sample`? (allowed: endpoint, protocol, \
         headers, tls, sample, always_on_error, prompts, logs, service_name, resource, timeout, flush_interval, batch, queue, \
         queue_size)"
    );
}

#[test]
fn prices_are_as_in_our_own_file() {
    let prices =
        bootstrap("tollgate: {prices: {unknown: refuse, models: {own: {input: 1.25, output: 10}}}}\n")
            .own
            .prices;
    let prices = serde_json::to_value(prices).unwrap();
    assert_eq!(prices["unknown"], "refuse");
    assert!(prices["models"]["own"].is_object(), "{prices}");
    let text = refused("tollgate:\n  prices:\n    models: {own: {inptu: 1}}\n");
    let expected =
        "config.yaml:3: tollgate.prices.models.own.inptu: unknown key `inptu`; did you mean `input`?";
    assert!(text.lines().any(|line| line.starts_with(expected)), "{text}");
}

#[test]
fn what_is_said_about_metrics_is_kept() {
    let file = bootstrap(
        "plugin_attr:
  prometheus:
    export_uri: /numbers
    metric_prefix: gw_
    default_buckets: [0.5, 10, '100']
    llm_prompt_tokens_buckets: [100]
    refresh_interval: 15
    metrics:
      http_status: {extra_labels: [{addr: $upstream_addr}, {team: $http_x_team}], expire: 60}
      bandwidth: {expire: 0}
tollgate: {metrics: {labels: {consumer: false}, max_models: 10, max_series: 20, expire: 1h}}
",
    );
    assert_eq!(
        serde_json::to_value(&file.deployment.prometheus_attributes).unwrap(),
        json!({
            "export_uri": "/numbers",
            "metric_prefix": "gw_",
            "default_buckets": [0.5, 10.0, 100.0],
            "llm_prompt_tokens_buckets": [100.0],
            "metrics": {
                "bandwidth": {"expire_s": 0},
                "http_status": {
                    "extra_labels": [["addr", "$upstream_addr"], ["team", "$http_x_team"]],
                    "expire_s": 60
                }
            }
        })
    );
    assert_eq!(
        serde_json::to_value(&file.deployment.metrics).unwrap(),
        json!({
            "labels": {"consumer": false, "model": true, "upstream_model": true, "instance": true},
            "max_models": 10,
            "max_series": 20,
            "expire_s": 3600
        })
    );
    assert_eq!(file.notes, ["plugin_attr.prometheus: ignored: refresh_interval"]);
}

#[test]
fn what_cannot_be_in_metrics_is_a_mistake_with_its_line() {
    let text = refused(
        "plugin_attr:
  prometheus:
    export_uri: numbers
    metric_prefix: 1-
    default_buckets: [x]
    metrics: {http_status: {extra_labels: [{a-b: $x}, text], expire: soon}}
tollgate: {metrics: {label: {}, max_models: 0, expire: never}}
",
    );
    for expected in [
        "config.yaml:3: plugin_attr.prometheus.export_uri: a path begins with `/`",
        "config.yaml:4: plugin_attr.prometheus.metric_prefix: `1-` cannot begin a name; use letters, digits and `_`",
        "config.yaml:5: plugin_attr.prometheus.default_buckets[0]: expected a number from 0",
        "config.yaml:6: plugin_attr.prometheus.metrics.http_status.extra_labels[0].a-b: `a-b` is no name of a label",
        "config.yaml:6: plugin_attr.prometheus.metrics.http_status.extra_labels[1]: expected a label with its variable",
        "config.yaml:6: plugin_attr.prometheus.metrics.http_status.expire: expected a number of seconds",
        "config.yaml:7: tollgate.metrics.label: unknown key `label`; did you mean `labels`?",
        "config.yaml:7: tollgate.metrics.max_models: expected a number from 1 to 100000",
        "config.yaml:7: tollgate.metrics.expire: expected a time with its unit",
    ] {
        assert!(
            text.lines().any(|line| line.starts_with(expected)),
            "{expected}\n{text}"
        );
    }
}

#[test]
fn upstreams_may_be_elsewhere_than_dns_says_and_vouched_for_by_others() {
    let deployment = bootstrap(
        "tollgate:
  resolve: {\"API.openai.com:443\": \"127.0.0.1:4443\", \"vendor:80\": \"[::1]:80\"}
  ca_file: ca.pem
",
    )
    .deployment;
    let resolve = serde_json::to_value(&deployment.resolve).unwrap();
    assert_eq!(
        resolve,
        json!({"api.openai.com:443": "127.0.0.1:4443", "vendor:80": "[::1]:80"})
    );
    assert_eq!(deployment.ca_file.as_deref(), Some("ca.pem"));
    assert_eq!(
        refused(
            "tollgate:
  resolve:
    api.openai.com: 127.0.0.1:1
    https://api.openai.com:443: 127.0.0.1:1
    api.openai.com:0: 127.0.0.1:1
    api.openai.com:443: 127.0.0.1
  ca_file: ''
"
        ),
        "config.yaml:3: tollgate.resolve.api.openai.com: `api.openai.com` is no host with a port, such as `api.openai.com:443`\n\
         config.yaml:4: tollgate.resolve.https://api.openai.com:443: `https://api.openai.com:443` is no host with a port, such as \
         `api.openai.com:443`\n\
         config.yaml:5: tollgate.resolve.api.openai.com:0: `api.openai.com:0` is no host with a port, such as `api.openai.com:443`\n\
         config.yaml:6: tollgate.resolve.api.openai.com:443: `127.0.0.1` is no address with a port, such as `10.0.0.7:443` or \
         `[fd00::7]:443`\n\
         config.yaml:7: tollgate.ca_file: the name of the file is empty"
    );
}

#[test]
fn calls_come_in_over_tls_where_the_file_says_so() {
    let https = |ssl: &str| {
        let file = bootstrap(&format!("apisix: {ssl}\n"));
        (serde_json::to_value(&file.server.https).unwrap(), file.notes)
    };
    assert_eq!(https("{}"), (json!(null), vec![]));
    assert_eq!(https("{ssl: {enable: false}}"), (json!(null), vec![]));
    let both = json!(["TLSv1.2", "TLSv1.3"]);
    assert_eq!(
        https("{ssl: {enable: true}}").0,
        json!({"listen": ["0.0.0.0:9443"], "versions": both})
    );
    assert_eq!(
        https(
            "{ssl: {listen: [{port: 9443}, {ip: 127.0.0.3, port: 0}], fallback_sni: a.com, ssl_protocols: TLSv1.1 TLSv1.3}}"
        ),
        (
            json!({"listen": ["0.0.0.0:9443", "127.0.0.3:0"], "fallback_name": "a.com", "versions": ["TLSv1.3"]}),
            vec!["apisix.ssl.ssl_protocols: TLSv1.1 is ignored: it is not spoken here".to_owned()]
        )
    );
    assert_eq!(
        refused(
            "apisix:\n  node_listen: 9443\n  ssl:\n    listen: 9443\n    ssl_protocols: TLSv1.4\n    fallback_sni: ''\n"
        ),
        "config.yaml:4: apisix.ssl.listen: expected a list with at least one listener, such as `{port: 9443}`, found a number\n\
         config.yaml:5: apisix.ssl.ssl_protocols: names no version that is spoken here; write `TLSv1.2 TLSv1.3`\n\
         config.yaml:5: apisix.ssl.ssl_protocols: unknown version `TLSv1.4`; did you mean `TLSv1.2`? (allowed: TLSv1.2, TLSv1.3)\n\
         config.yaml:6: apisix.ssl.fallback_sni: the name is empty"
    );
    assert_eq!(
        refused("apisix: {node_listen: 9443, ssl: {listen: [{port: 9443}, {port: 9443}]}}"),
        "config.yaml:1: apisix.ssl.listen: 0.0.0.0:9443 is an address of `apisix.node_listen` too\n\
         config.yaml:1: apisix.ssl.listen[1]: 0.0.0.0:9443 is in the list twice"
    );
    assert!(
        refused("{apisix: {ssl: {}}, deployment: {admin: {admin_listen: {ip: 0.0.0.0, port: 9443}}}}")
            .contains("apisix.ssl.listen")
    );
}

#[test]
fn further_authorities_may_vouch_for_upstreams() {
    let trusted = |word: &str| {
        let file = bootstrap(&format!("apisix: {{ssl: {{ssl_trusted_certificate: {word}}}}}\n"));
        serde_json::to_value(file.deployment.trusted_certificates).unwrap()
    };
    assert_eq!(trusted("system"), json!("system"));
    assert_eq!(trusted("ca.pem"), json!({"file": "ca.pem"}));
    assert!(
        refused("apisix: {ssl: {ssl_trusted_certificate: ''}}").contains("the name of the file is empty")
    );
}

#[test]
fn ignored_keys_are_told_once_for_each_section() {
    let file = bootstrap(
        "apisix:
  node_listn: 9080
  router: {http: radixtree_uri}
  enable_ipv6: true
  ssl: {listen: [{port: 9443}], ssl_ciphers: HIGH}
nginx_config:
  error_log: logs/error.log
  http: {charset: utf-8, access_log_buffer: 1, access_log_format_escape: json}
deployment:
  etcd: {host: [http://127.0.0.1:2379]}
stream_plugins: []
discovery: {}
",
    );
    assert_eq!(
        file.notes,
        [
            "ignored: stream_plugins, discovery",
            "deployment.etcd: ignored: the embedded store is used instead",
            "apisix.ssl: ignored: ssl_ciphers",
            "nginx_config: ignored: error_log",
            "nginx_config.http: ignored: charset, access_log_buffer",
            "nginx_config.http.access_log_format_escape: `json` is ignored: values are escaped as with `default`",
            "apisix: ignored: node_listn (did you mean `node_listen`?), router, enable_ipv6",
        ]
    );
}

#[test]
fn an_unknown_section_and_a_misspelt_key_of_ours_are_mistakes() {
    let text = refused("apisx: {}\ntollgate: {datadir: x}\ncompat: {apisix: stirct}\n");
    let expected = [
        "config.yaml:1: apisx: unknown key `apisx`; did you mean `apisix`? (allowed: ",
        "config.yaml:2: tollgate.datadir: unknown key `datadir`; did you mean `data_dir`? (allowed: data_dir, resolve, ca_file",
        "config.yaml:3: compat.apisix: unknown word `stirct`; did you mean `strict`? (allowed: strict, lenient)",
    ];
    for (line, expected) in text.lines().zip(expected) {
        assert!(line.starts_with(expected), "{line}");
    }
    assert_eq!(text.lines().count(), expected.len());
}

#[test]
fn a_variable_that_is_not_set_is_named_with_its_line() {
    assert_eq!(
        refused(
            "# ${{IN_A_COMMENT}}\napisix:\n  node_listen: ${{ NONE }}\n  ${{OTHER}}: 1\n  router: ${{A B}}\n"
        ),
        "config.yaml:3: apisix.node_listen: environment variable NONE is not set; set it, or write `${{NONE:=default}}`\n\
         config.yaml:4: apisix.${{OTHER}}: environment variable OTHER is not set; set it, or write `${{OTHER:=default}}`\n\
         config.yaml:5: apisix.router: `A B` is no name of an environment variable; write `${{NAME}}` or `${{NAME:=default}}`"
    );
}

#[test]
fn a_variable_cannot_change_the_structure_of_the_bootstrap_file() {
    let file = bootstrap("tollgate:\n  data_dir: ${{HOSTILE}}\n");
    assert_eq!(file.deployment.data_dir, "x\nroutes: []\n# ");
    let keys = bootstrap(
        "deployment:\n  admin:\n    admin_key:\n      - {name: a, key: '${{EMPTY}}', role: admin}\n",
    );
    assert!(keys.admin.unwrap().keys[0].key.is_none());
    assert_eq!(
        bootstrap("${{NONE:=apisix}}: {node_listen: 1}").server.listen[0].port(),
        1
    );
    assert!(refused("apisix: {}\n${{NONE:=apisix}}: {}\n").contains("duplicate key"));
}
