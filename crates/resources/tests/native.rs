//! What `tollgate.yaml` lowers into, and what is said about a wrong one.
//!
//! `right/<case>.yaml` lowers into `right/<case>.json`; `wrong/<case>.yaml` is refused with the lines of
//! `wrong/<case>.txt`. `UPDATE=1` rewrites the expected files, to be reviewed like code.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::path::{Path, PathBuf};

use tollgate_resources::{Lowered, Mistake, QUICKSTART, QUICKSTART_NAME, lower_native, native_schema};

#[test]
fn every_right_file_lowers_into_its_dump() {
    for case in cases("right") {
        let lowered =
            lower(&case).unwrap_or_else(|mistakes| panic!("{}: {}", case.display(), lines(&mistakes)));
        compare(&case.with_extension("json"), &dump(&lowered));
    }
}

#[test]
fn every_wrong_file_is_refused_with_all_its_mistakes() {
    for case in cases("wrong") {
        let mistakes = lower(&case)
            .err()
            .unwrap_or_else(|| panic!("{} was taken", case.display()));
        let text = lines(&mistakes);
        assert!(
            !text.contains("sk-planted"),
            "{}: a secret is shown:\n{text}",
            case.display()
        );
        compare(&case.with_extension("txt"), &text);
    }
}

#[test]
fn the_quickstart_serves_the_simulated_models_without_any_key() {
    let lowered = lower_native(QUICKSTART_NAME, QUICKSTART, &|_| None).unwrap();
    let models = lowered.resources.routes[0].plugins.ai_models.as_ref().unwrap();
    assert_eq!(
        models.models.names().collect::<Vec<_>>(),
        ["simulated", "simulated-embedding"]
    );
    assert!(
        lowered
            .notes
            .contains(&"gpt-5: off until OPENAI_API_KEY is set".to_owned()),
        "{:?}",
        lowered.notes
    );
    assert!(
        lowered
            .resources
            .server
            .listen
            .iter()
            .all(|address| address.ip().is_loopback())
    );
}

#[test]
fn the_quickstart_lights_up_a_vendor_when_its_key_is_set() {
    let env = |name: &str| (name == "OPENAI_API_KEY").then(|| "sk-1".to_owned());
    let lowered = lower_native(QUICKSTART_NAME, QUICKSTART, &env).unwrap();
    let models = &lowered.resources.routes[0]
        .plugins
        .ai_models
        .as_ref()
        .unwrap()
        .models;
    assert!(models.contains("gpt-5") && !models.contains("claude-sonnet-4-5"));
    assert!(
        models.get("gpt-5").unwrap().fallback.is_empty(),
        "a fallback that is off is left out"
    );
}

#[test]
fn every_example_of_the_manual_is_right() {
    let manual = fs::read_to_string(repository().join("docs/configuration.md")).unwrap();
    let mut examples = 0;
    for rest in manual.split("```yaml\n").skip(1) {
        let (example, _) = rest.split_once("```").unwrap();
        if example.contains("models:") {
            examples += 1;
            lower_native("docs/configuration.md", example, &env)
                .unwrap_or_else(|mistakes| panic!("{example}\n{}", lines(&mistakes)));
        }
    }
    assert!(examples >= 3, "the manual has {examples} examples");
}

#[test]
fn the_manual_mentions_every_key_of_the_file() {
    let manual = fs::read_to_string(repository().join("docs/configuration.md")).unwrap();
    let mut missing = Vec::new();
    keys(&native_schema(), &mut |key| {
        if !manual.contains(&format!("`{key}`")) {
            missing.push(key.to_owned());
        }
    });
    assert!(
        missing.is_empty(),
        "docs/configuration.md does not mention {missing:?}"
    );
}

#[test]
fn the_committed_schema_is_the_schema_of_the_types() {
    let schema = serde_json::to_string_pretty(&native_schema()).unwrap() + "\n";
    compare(&repository().join("docs/tollgate.schema.json"), &schema);
}

#[test]
fn every_key_of_the_schema_has_a_description() {
    fn look(schema: &serde_json::Value, path: &str, missing: &mut Vec<String>) {
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            if property.get("description").is_none() {
                missing.push(format!("{path}.{key}"));
            }
        }
        for (name, definition) in schema["$defs"].as_object().into_iter().flatten() {
            if definition.get("description").is_none() {
                missing.push(name.clone());
            }
            look(definition, name, missing);
        }
    }
    let mut missing = Vec::new();
    look(&native_schema(), "", &mut missing);
    assert!(missing.is_empty(), "no description: {missing:?}");
}

proptest::proptest! {
    /// A wrong file is refused, whatever is wrong with it; it never ends the process.
    #[test]
    fn any_text_is_taken_or_refused(lines in proptest::collection::vec(FRAGMENT, 0..12)) {
        let text = lines.join("\n");
        for mistake in lower_native("tollgate.yaml", &text, &env).err().unwrap_or_default() {
            let shown = mistake.to_string();
            assert!(!shown.contains("sk-planted") || text.contains("sk-planted"), "{shown}");
        }
    }
}

/// Lines that are nearly right, so that many of their combinations get far.
const FRAGMENT: &str = "(models:|providers:|consumers:|server:|auth:| *[a-e]:| {0,6}(- )?(provider|instances|fallback|key|keys|models|\
    endpoint|kind|listen|weight|options|name|timeouts|total): ?(openai|\\[a, b\\]|\\{a: 1\\}|-1|\\$env://EMPTY|5s|\\*|&x a|\\*x|null)?|\\PC{0,20})";

fn keys(schema: &serde_json::Value, found: &mut dyn FnMut(&str)) {
    match schema {
        serde_json::Value::Object(object) => {
            for key in object
                .get("properties")
                .and_then(|value| value.as_object())
                .into_iter()
                .flatten()
            {
                found(key.0);
            }
            object.values().for_each(|value| keys(value, found));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|value| keys(value, found)),
        _ => {}
    }
}

fn lower(case: &Path) -> Result<Lowered, Vec<Mistake>> {
    let text = fs::read_to_string(case).unwrap();
    lower_native("tollgate.yaml", &text, &env)
}

/// The environment of all cases.
fn env(name: &str) -> Option<String> {
    let value = match name {
        "OPENAI_API_KEY" => "sk-planted-openai",
        "ANTHROPIC_API_KEY" => "sk-planted-anthropic",
        "GEMINI_API_KEY" => "sk-planted-gemini",
        "GCP_SERVICE_ACCOUNT" => "{\"private_key\":\"sk-planted\\n\"}\n",
        "GOOGLE_CLOUD_PROJECT" => "a-project",
        "AWS_SECRET" => "sk-planted-amazon",
        "AWS_REGION" => "eu-central-1",
        "ODD_REGION" => "eu central",
        "LOCAL_KEY" => "sk-planted-local",
        "USER_A_KEY" => "sk-planted-a",
        "USER_A_NEW_KEY" => "sk-planted-a-new",
        "USER_B_KEY" => "sk-planted-b",
        "SAME_AS_A" => "sk-planted-a",
        "TWO_LINES" => "sk-planted\n",
        "EMPTY" => "",
        _ => return None,
    };
    Some(value.to_owned())
}

fn dump(lowered: &Lowered) -> String {
    #[derive(serde::Serialize)]
    struct Dump<'a> {
        resources: &'a tollgate_resources::Resources,
        notes: &'a [String],
    }
    let dump = Dump {
        resources: &lowered.resources,
        notes: &lowered.notes,
    };
    let text = serde_json::to_string_pretty(&dump).unwrap() + "\n";
    assert!(!text.contains("sk-planted"), "a secret is shown:\n{text}");
    text
}

fn lines(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(|mistake| format!("{mistake}\n")).collect()
}

fn cases(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let mut cases: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    cases.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    cases.sort();
    assert!(!cases.is_empty());
    cases
}

fn compare(file: &Path, actual: &str) {
    if std::env::var_os("UPDATE").is_some() {
        fs::write(file, actual).unwrap();
        return;
    }
    let expected = fs::read_to_string(file).unwrap_or_default();
    assert!(
        expected == actual,
        "{} differs; UPDATE=1 rewrites it. Now:\n{actual}",
        file.display()
    );
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
