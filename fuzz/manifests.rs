//! What must hold for any bytes that are taken for Kubernetes manifests.

use tollgate_resources::adc::{Labels, lower_adc, to_adc_yaml};
use tollgate_resources::apisix::lower_standalone;
use tollgate_resources::kubernetes::{lower_manifests, to_apisix_yaml};
use tollgate_resources::model::StandaloneFormat;

use super::adc::ordered;

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
                let lines = text.split('\n').count();
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
