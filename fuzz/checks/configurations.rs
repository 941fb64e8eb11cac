//! What must hold for any configuration of a plugin, any `ssl` object and any address of a provider, and for what those send
//! who are named there.

use std::sync::LazyLock;

use serde_json::Value;
use tollgate_gateway::ai::config;
use tollgate_gateway::plugins::{PLUGINS, SchemaType, Spec};
use tollgate_gateway::providers::simulated::Profile;
use tollgate_gateway::upstream::{Endpoint, TlsSettings};
use tollgate_gateway::{check_expression, check_ssl, fuzzing};
use tollgate_resources::objects::schema::Schema;

/// A plugin, and the schemas of what it is configured with.
type Schemas = (&'static Spec, Vec<(SchemaType, Schema)>);

/// An object with configurations by the name of their plugin. A configuration that fits its schema is accepted or refused with
/// a reason.
pub(super) fn plugins(bytes: &[u8]) {
    static SCHEMAS: LazyLock<Vec<Schemas>> = LazyLock::new(|| {
        let kinds = [SchemaType::Route, SchemaType::Consumer, SchemaType::Metadata];
        let of = |spec: &'static Spec| {
            let schemas = kinds.into_iter().filter_map(|kind| {
                let schema = (spec.schema)(kind)?;
                Some((kind, Schema::new(&schema).expect("a schema")))
            });
            (spec, schemas.collect())
        };
        PLUGINS.iter().map(|spec| of(spec)).collect()
    });
    let Ok(Value::Object(confs)) = serde_json::from_slice(bytes) else {
        return;
    };
    for (name, conf) in &confs {
        if name == "vars" {
            let _ = check_expression(conf);
        }
        let Some((spec, schemas)) = SCHEMAS.iter().find(|(spec, _)| spec.name == name) else {
            continue;
        };
        for (kind, schema) in schemas {
            let verdict = schema.check(conf).and_then(|()| (spec.check)(conf, *kind));
            assert_ne!(verdict, Err(String::new()), "{name} is refused without a reason");
        }
    }
}

/// An `ssl` object is accepted or refused with a reason that does not repeat it.
pub(super) fn ssl(bytes: &[u8]) {
    let Ok(Value::Object(object)) = serde_json::from_slice(bytes) else {
        return;
    };
    if let Err(reason) = check_ssl(&object) {
        assert!(!reason.is_empty(), "refused without a reason");
        if let Some(key) = object
            .get("key")
            .and_then(Value::as_str)
            .filter(|key| key.len() > 40)
        {
            assert!(!reason.contains(key), "the reason repeats the key");
        }
    }
}

/// An address that is taken has a host and no password, however it is read.
pub(super) fn address(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let tls = TlsSettings {
        ca_file: None,
        verify: true,
    };
    if let Ok(endpoint) = config::Endpoint::parse(text) {
        assert!(
            !endpoint.host.is_empty() && !endpoint.authority.contains('@'),
            "{text}"
        );
        assert!(endpoint.port != 0, "{text}");
    }
    if let Ok(endpoint) = Endpoint::parse(text, &tls) {
        assert!(
            endpoint.authority.as_bytes().iter().all(|byte| *byte != b'@'),
            "{text}"
        );
    }
    let _ = Profile::parse(text);
}

/// The first line is a key and a reference, the rest an answer of a manager of secrets.
pub(super) fn secret(bytes: &[u8]) {
    let end = bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(bytes.len());
    let (key, answer) = bytes.split_at(end);
    if let Ok(key) = std::str::from_utf8(key) {
        fuzzing::secret_answer(answer, key);
    }
}

/// An answer with vectors has as many as were asked for, or none.
pub(super) fn vectors(bytes: &[u8]) {
    for count in [1, 3] {
        assert!(fuzzing::vectors(bytes, count).is_none_or(|found| found == count));
    }
}
