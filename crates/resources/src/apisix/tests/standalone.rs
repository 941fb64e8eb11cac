use serde_json::{Value as Json, json};

use super::{env, lines};
use crate::apisix::{Standalone, lower_standalone};
use crate::model::StandaloneFormat;

fn objects(text: &str, format: StandaloneFormat) -> Vec<(String, Json)> {
    standalone(text, format)
        .objects
        .into_iter()
        .map(|(key, value)| (key.path(), Json::Object(value)))
        .collect()
}

fn standalone(text: &str, format: StandaloneFormat) -> Standalone {
    lower_standalone("apisix.yaml", text, format, &env)
        .unwrap_or_else(|mistakes| panic!("{}", lines(&mistakes)))
}

fn standalone_mistakes(text: &str, format: StandaloneFormat) -> String {
    match lower_standalone("apisix.yaml", text, format, &env) {
        Ok(_) => panic!("taken: {text}"),
        Err(mistakes) => lines(&mistakes),
    }
}

#[test]
fn objects_of_a_standalone_file_get_their_keys() {
    let text = "routes:
  - {id: 1, uri: /a, plugins: {ai-proxy: {provider: openai}}}
  - {uri: /b}
upstreams: [{id: u, nodes: {\"127.0.0.1:80\": 1}}]
consumers:
  - {username: jack}
  - {id: jack/credentials/c1, plugins: {key-auth: {key: k}}}
plugin_metadata: [{id: http-logger, log_format: {}}]
secrets: [{id: vault/1, uri: x}]
global_rules:
routes_conf_version: 3
#END
";
    assert_eq!(
        objects(text, StandaloneFormat::Yaml),
        [
            (
                "/apisix/routes/1".to_owned(),
                json!({"id": 1, "uri": "/a", "plugins": {"ai-proxy": {"provider": "openai"}}})
            ),
            ("/apisix/routes/arr_2".to_owned(), json!({"uri": "/b"})),
            (
                "/apisix/upstreams/u".to_owned(),
                json!({"id": "u", "nodes": {"127.0.0.1:80": 1}})
            ),
            ("/apisix/consumers/jack".to_owned(), json!({"username": "jack"})),
            (
                "/apisix/consumers/jack/credentials/c1".to_owned(),
                json!({"id": "jack/credentials/c1", "plugins": {"key-auth": {"key": "k"}}})
            ),
            (
                "/apisix/plugin_metadata/http-logger".to_owned(),
                json!({"id": "http-logger", "log_format": {}})
            ),
            (
                "/apisix/secrets/vault/1".to_owned(),
                json!({"id": "vault/1", "uri": "x"})
            ),
        ]
    );
    let json = r#"{"services":[{"name":"s"}],"plugins":[{"name":"ai-proxy"},{"name":"mqtt-proxy","stream":true}],"rotes":[]}"#;
    let file = standalone(json, StandaloneFormat::Json);
    assert_eq!(file.objects[0].0.path(), "/apisix/services/arr_1");
    assert_eq!(file.plugins, Some(vec!["ai-proxy".to_owned()]));
    assert_eq!(file.notes, ["ignored: rotes"]);
}

#[test]
fn the_end_marker_stands_within_the_last_ten_bytes() {
    let marked = |end: &str| {
        lower_standalone(
            "apisix.yaml",
            &format!("routes: []\n{end}"),
            StandaloneFormat::Yaml,
            &env,
        )
    };
    for end in ["#END", "#END\n", "#END \t\r\n\n\n"] {
        assert!(marked(end).is_ok(), "{end:?}");
    }
    for end in ["", "# END\n", "#END\n#\n", "#EN", "#END\n\n\n\n\n\n\n"] {
        let mistakes = marked(end).err().expect("refused");
        assert_eq!(
            lines(&mistakes),
            "apisix.yaml: missing valid end flag: the last line must be `#END`, within the last 10 bytes of the file",
            "{end:?}"
        );
    }
    assert!(objects("{}", StandaloneFormat::Json).is_empty());
}

#[test]
fn what_is_no_object_is_a_mistake_with_its_index() {
    assert_eq!(
        standalone_mistakes(
            "routes:\n  - {id: 1}\n  - 5\n  - {id: 1}\n  - {id: [x]}\nservices: {}\nconsumers:\n  - {id: a/credentials/}\n#END",
            StandaloneFormat::Yaml
        ),
        "apisix.yaml:3: routes[1]: expected an object\n\
         apisix.yaml:4: routes[2]: the route `1` is in the file twice, first as routes[0]\n\
         apisix.yaml:5: routes[3].id: must be text or a whole number\n\
         apisix.yaml:6: services: expected a list, found a map\n\
         apisix.yaml:8: consumers[0].id: `a/credentials/` is not of the form `<username>/credentials/<id>`"
    );
    assert_eq!(
        standalone_mistakes("[]", StandaloneFormat::Json),
        "apisix.yaml:1: expected a map, found a list"
    );
}

#[test]
fn quotes_decide_about_the_type_of_a_variable_in_yaml() {
    let text = "routes: [{id: r, priority: ${{PORT}}, desc: \"${{PORT}}\", name: '${{NONE:=a b}}', uri: $env://KEY}]\n#END";
    let expected = json!({"id": "r", "priority": 9081, "desc": "9081", "name": "a b", "uri": "$env://KEY"});
    assert_eq!(objects(text, StandaloneFormat::Yaml)[0].1, expected);
}

#[test]
fn a_whole_variable_in_json_takes_the_type_it_looks_like() {
    let text = r#"{"routes":[{"id":"r","priority":"${{PORT}}","key":"${{KEY}}","on":"${{NONE:=true}}","rate":"${{NONE:=1.5}}","${{ROLE}}":"${{PORT}} "}]}"#;
    assert_eq!(
        objects(text, StandaloneFormat::Json)[0].1,
        json!({"id": "r", "priority": 9081, "key": "00012345", "on": true, "rate": 1.5, "admin": "9081 "})
    );
}

#[test]
fn mistakes_after_a_variable_of_several_lines_name_the_line_of_the_file() {
    assert_eq!(
        standalone_mistakes(
            "# ${{TWO_LINES}}: 0\nroutes:\n  - 5\n#END",
            StandaloneFormat::Yaml
        ),
        "apisix.yaml:3: routes[0]: expected an object\n".trim_end()
    );
    assert_eq!(
        standalone_mistakes("routes: []\nx: ${{NONE}}\n#END", StandaloneFormat::Yaml),
        "apisix.yaml:2: environment variable NONE is not set; set it, or write `${{NONE:=default}}`"
    );
}

#[test]
fn openings_without_an_end_are_text() {
    let text = format!("routes: [{{id: r, desc: \"{}\"}}]\n#END", "${{A".repeat(20_000));
    assert_eq!(
        objects(&text, StandaloneFormat::Yaml)[0].1["desc"],
        json!("${{A".repeat(20_000))
    );
}
