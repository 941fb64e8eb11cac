//! What must hold for any bytes that are taken for an `adc.yaml` or for manifests of Kubernetes.

use serde_json::{Map, Value};
use tollgate_resources::adc::{Labels, lower_adc, normalised, to_adc_yaml};
use tollgate_resources::apisix::lower_standalone;
use tollgate_resources::kubernetes::{lower_manifests, to_apisix_yaml};
use tollgate_resources::model::StandaloneFormat;
use tollgate_resources::objects::ObjectKey;

/// What can be read can be written, and what was written says the same.
pub(crate) fn adc(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let env = |name: &str| (name != "NOT_SET").then(|| format!("value of {name}"));
    for name in ["adc.yaml", "adc.json"] {
        let document = match lower_adc(name, text, &env) {
            Ok(document) => document,
            Err(mistakes) => {
                assert!(!mistakes.is_empty(), "refused without a reason");
                continue;
            }
        };
        let before = document.objects(&Labels::default());
        let raised = to_adc_yaml(before.clone()).expect("objects of a file can be written");
        let again = lower_adc("again.yaml", &raised.yaml, &|_| None).unwrap_or_else(|mistakes| {
            panic!("{mistakes:?}\n{}", raised.yaml);
        });
        let after = again.objects(&Labels::default());
        assert!(
            ordered(before) == ordered(after),
            "another meaning:\n{}",
            raised.yaml
        );
    }
}

/// What is taken says the same as ADC's file and as APISIX's; what is refused names lines that exist.
pub(crate) fn manifests(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    for name in ["manifests.yaml", "manifests.json"] {
        let objects = match lower_manifests(name, text) {
            Ok(found) => found.objects,
            Err(mistakes) => {
                assert!(!mistakes.is_empty(), "refused without a reason");
                let lines = lines_of(text);
                for mistake in mistakes {
                    assert!(
                        mistake.line.is_none_or(|line| line <= lines),
                        "{mistake}: no such line"
                    );
                }
                continue;
            }
        };
        let raised = to_adc_yaml(objects.clone()).expect("objects can be written");
        let again = lower_adc("adc.yaml", &raised.yaml, &|_| None).unwrap_or_else(|mistakes| {
            panic!("{mistakes:?}\n{}", raised.yaml);
        });
        let after = again.objects(&Labels::default());
        assert!(
            ordered(objects.clone()) == ordered(after),
            "another meaning:\n{}",
            raised.yaml
        );
        let written = to_apisix_yaml(objects.clone()).expect("objects can be written");
        if !written.notes.is_empty() {
            continue;
        }
        let again = lower_standalone("apisix.yaml", &written.yaml, StandaloneFormat::Yaml, &|_| None);
        let after = again.unwrap_or_else(|mistakes| panic!("{mistakes:?}\n{}", written.yaml));
        assert!(
            ordered(objects) == ordered(after.objects),
            "another meaning:\n{}",
            written.yaml
        );
    }
}

/// In one order and one form.
fn ordered(objects: Vec<(ObjectKey, Map<String, Value>)>) -> Vec<(ObjectKey, Map<String, Value>)> {
    let mut objects: Vec<_> = objects
        .into_iter()
        .map(|(key, value)| {
            let value = normalised(key.kind, value);
            (key, value)
        })
        .collect();
    objects.sort_by(|(a, _), (b, _)| a.cmp(b));
    objects
}

/// The lines that a text has for who reads YAML: a carriage return ends one too.
pub(crate) fn lines_of(text: &str) -> usize {
    text.replace("\r\n", "\n").split(['\n', '\r']).count()
}
