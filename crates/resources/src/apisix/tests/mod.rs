mod bootstrap;
mod standalone;

use super::*;
use crate::mistake::Mistake;
use crate::model::StandaloneFormat;

fn env(name: &str) -> Option<String> {
    match name {
        "PORT" => Some("9081".to_owned()),
        "KEY" => Some("00012345".to_owned()),
        "ROLE" => Some("admin".to_owned()),
        "EMPTY" => Some(String::new()),
        "TWO_LINES" => Some("a\nb".to_owned()),
        "HOSTILE" => Some("x\nroutes: []\n# ".to_owned()),
        _ => None,
    }
}

fn lines(mistakes: &[Mistake]) -> String {
    mistakes
        .iter()
        .map(Mistake::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn every_file_finds_its_front_end() {
    let cases = [
        ("models: {gpt-5: {provider: openai}}", FileKind::Native),
        ("consumers: {a: {key: k}}\nserver: {}", FileKind::Native),
        ("consumers: {a: {key: k}}", FileKind::Native),
        ("models: [broken", FileKind::Native),
        ("deployment: {}", FileKind::Bootstrap),
        ("nginx_config:\n  http: {", FileKind::Bootstrap),
        ("plugins: [ai-proxy]", FileKind::Bootstrap),
        ("routes: []\n#END\n", FileKind::Standalone),
        ("routes: [broken\n#END\n", FileKind::Standalone),
        ("#END", FileKind::Standalone),
        ("services: [{routes: []}]\n#END", FileKind::Standalone),
        ("routes:\n  - uri: /a\n", FileKind::Standalone),
        ("{\"routes\": [{\"uri\": \"/a\"}]}", FileKind::Standalone),
        ("services: [{name: s, routes: [{uris: [/a]}]}]", FileKind::Adc),
        ("consumers: [{username: a, credentials: []}]", FileKind::Adc),
        ("global_rules: {prometheus: {}}", FileKind::Adc),
        ("consumers: [{username: a}]", FileKind::Standalone),
        ("apiVersion: v1\nkind: Secret\n", FileKind::Kubernetes),
        (
            "# c\n---\nmetadata: {}\n---\napiVersion: v1\nkind: Secret\n---\nx: 1\n",
            FileKind::Kubernetes,
        ),
        (
            "{\"apiVersion\": \"v1\", \"kind\": \"List\"}",
            FileKind::Kubernetes,
        ),
        ("apiVersion: v1\n---\nkind: x\n", FileKind::Unknown),
        ("", FileKind::Unknown),
        ("hello", FileKind::Unknown),
        ("[1]", FileKind::Unknown),
    ];
    for (text, kind) in cases {
        assert_eq!(detect(text), kind, "{text}");
    }
}

#[test]
fn the_examples_of_the_manual_are_taken_without_a_note() {
    let manual = include_str!("../../../../../docs/apisix.md");
    let set = |_: &str| Some("x".to_owned());
    let mut kinds = Vec::new();
    for block in manual.split("```yaml\n").skip(1) {
        let text = block.split("\n```").next().unwrap();
        kinds.push(detect(text));
        let notes = match detect(text) {
            FileKind::Bootstrap => lower_bootstrap("config.yaml", text, &set).map(|file| file.notes),
            _ => lower_standalone("apisix.yaml", text, StandaloneFormat::Yaml, &set).map(|file| file.notes),
        };
        match notes {
            Ok(notes) => assert_eq!(notes, [""; 0]),
            Err(mistakes) => panic!("{}", lines(&mistakes)),
        }
    }
    assert_eq!(kinds, [FileKind::Bootstrap, FileKind::Standalone]);
}
