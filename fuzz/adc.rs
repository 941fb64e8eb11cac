//! What must hold for any bytes that are taken for an `adc.yaml`.

use serde_json::{Map, Value};
use tollgate_resources::adc::{Labels, lower_adc, normalised, to_adc_yaml};
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

/// In one order and one form.
pub(crate) fn ordered(objects: Vec<(ObjectKey, Map<String, Value>)>) -> Vec<(ObjectKey, Map<String, Value>)> {
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
