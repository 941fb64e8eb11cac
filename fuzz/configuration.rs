//! What must hold for any text given as a configuration file, one function per parser. Used by the fuzz targets and, over
//! the checked-in corpora, by an ordinary test of the resources.

use std::collections::HashSet;

use tollgate_resources::Mistake;
use tollgate_resources::apisix::{
    detect, log_format_line, lower_bootstrap, lower_standalone, with_admin_key,
};
use tollgate_resources::model::StandaloneFormat;

#[path = "adc.rs"]
mod adc;

/// Runs the checks of a target.
///
/// # Panics
/// A check has failed, or there is no such target.
pub(crate) fn run(target: &str, bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    detect(text);
    match target {
        "apisix_bootstrap" => bootstrap(text),
        "apisix_standalone" => standalone(text),
        "adc" => adc::adc(bytes),
        other => panic!("no fuzz target is called {other}"),
    }
}

/// What is taken can be run: there is somewhere to listen, and somebody may call.
fn bootstrap(text: &str) {
    log_format_line(text);
    with_admin_key(text, 0, "generated");
    match lower_bootstrap("config.yaml", text, &env) {
        Ok(file) => {
            assert!(!file.server.listen.is_empty(), "no address to listen on");
            if let Some(admin) = &file.admin {
                assert!(!admin.listen.is_empty(), "no address for the Admin API");
                assert!(!admin.key_required || !admin.keys.is_empty(), "nobody may call");
            }
        }
        Err(mistakes) => assert_told(&mistakes, text),
    }
}

/// What is taken has each key once.
fn standalone(text: &str) {
    for format in [StandaloneFormat::Yaml, StandaloneFormat::Json] {
        match lower_standalone("apisix.yaml", text, format, &env) {
            Ok(file) => {
                let keys: HashSet<_> = file.objects.iter().map(|(key, _)| key).collect();
                assert_eq!(keys.len(), file.objects.len(), "a key appears twice");
                assert!(keys.iter().all(|key| !key.id.is_empty()), "an id is empty");
            }
            Err(mistakes) => assert_told(&mistakes, text),
        }
    }
}

/// There is something to mend, at a place that exists, in one line.
fn assert_told(mistakes: &[Mistake], text: &str) {
    assert!(!mistakes.is_empty(), "refused without a reason");
    let lines = text.split('\n').count();
    for mistake in mistakes {
        assert!(
            mistake.line.is_none_or(|line| line <= lines),
            "{mistake}: no such line"
        );
        assert!(!mistake.to_string().contains('\n'), "{mistake}: several lines");
    }
}

fn env(name: &str) -> Option<String> {
    match name {
        "PORT" => Some("9080".to_owned()),
        "LINES" => Some("a\nb: [\n".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}
