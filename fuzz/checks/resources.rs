//! What must hold for any text given as a configuration file or as an object of the Admin API.

use std::collections::HashSet;

use serde_json::{Map, Value};
use tollgate_resources::apisix::{
    detect, log_format_line, lower_bootstrap, lower_standalone, with_admin_key,
};
use tollgate_resources::model::StandaloneFormat;
use tollgate_resources::objects::{Kind, Lua, Write, check, patch, refs, schema};
use tollgate_resources::{Lowered, Mistake, access_log_format, lower_native, lower_rbac, to_yaml};

#[path = "adc.rs"]
mod adc;

/// A name, and what must hold for any bytes given to a parser.
pub(crate) type FuzzTarget = (&'static str, fn(&[u8]));

/// All targets of this crate.
pub(crate) const TARGETS: &[FuzzTarget] = &[
    ("tollgate_yaml", |bytes| of_text(bytes, native)),
    ("rbac_json", |bytes| of_text(bytes, rbac)),
    ("apisix_bootstrap", |bytes| of_text(bytes, bootstrap)),
    ("apisix_standalone", |bytes| of_text(bytes, standalone)),
    ("adc", adc::adc),
    ("manifests", adc::manifests),
    ("admin_json", |bytes| of_text(bytes, object)),
    ("governance", |bytes| of_text(bytes, governed)),
];

fn of_text(bytes: &[u8], check: fn(&str)) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        detect(text);
        check(text);
    }
}

/// What is read of a team, a budget, a limit or a key is written so that it is read as the same, and what is refused names a
/// member.
fn governed(text: &str) {
    use tollgate_resources::governance as own;

    let _ = (own::read_time(text), own::micro_usd(text));
    let Ok(Value::Object(value)) = serde_json::from_str(text) else {
        return;
    };
    let refused = [
        own::team(&value).map(|read| assert_eq!(own::team(&own::team_json(&read)).as_ref(), Ok(&read))),
        own::budget(&value).map(|read| assert_eq!(own::budget(&own::budget_json(&read)).as_ref(), Ok(&read))),
        own::limit(&value).map(|read| assert_eq!(own::limit(&own::limit_json(&read)).as_ref(), Ok(&read))),
        own::virtual_key(&value)
            .map(|read| assert_eq!(own::virtual_key(&own::stored_key_json(&read)).as_ref(), Ok(&read))),
    ];
    for wrong in refused.into_iter().filter_map(Result::err) {
        // A member may have no name.
        let is_named = !wrong.field.is_empty() || value.contains_key("");
        assert!(is_named && wrong.text.contains(&wrong.field));
    }
}

/// What is taken can be dumped, and neither a dump nor a mistake shows the value of a variable.
fn native(text: &str) {
    let _ = access_log_format(text);
    told(lower_native("tollgate.yaml", text, &secret), text);
}

/// The same, with and without a native file beside it.
fn rbac(text: &str) {
    told(lower_rbac("rbac.json", text, None, &secret), text);
    let beside = Some(("tollgate.yaml", "providers: {openai: {key: $env://KEY}}"));
    told(lower_rbac("rbac.json", text, beside, &secret), text);
}

fn told(lowered: Result<Lowered, Vec<Mistake>>, text: &str) {
    if text.contains(SECRET) {
        // Fuzzers learn words from what is compared. What a text says itself may be told.
        return;
    }
    match lowered {
        Ok(Lowered { resources, notes }) => {
            let dump = to_yaml(&resources).expect("what was lowered can be dumped");
            assert!(!dump.contains(SECRET), "a secret in a dump");
            assert!(
                !notes.iter().any(|note| note.contains(SECRET)),
                "a secret in a note"
            );
        }
        Err(mistakes) => {
            assert_told(&mistakes, text);
            for mistake in mistakes {
                assert!(!mistake.to_string().contains(SECRET), "a secret in a mistake");
            }
        }
    }
}

/// The value of every secret.
const SECRET: &str = "a value that nobody may see";

fn secret(name: &str) -> Option<String> {
    match name {
        "NOT_SET" => None,
        // Parts of addresses, which mistakes may repeat.
        "AWS_REGION" | "GOOGLE_CLOUD_LOCATION" | "GOOGLE_CLOUD_PROJECT" => Some("europe-west1".to_owned()),
        _ => Some(SECRET.to_owned()),
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

/// An object of the Admin API: what is accepted fits its schema, and is accepted again as it is, also after a patch that
/// changes nothing. A patch does the same when it is repeated, and what is put at a path is found there.
fn object(text: &str) {
    let Ok(Value::Object(body)) = serde_json::from_str(text) else {
        return;
    };
    for kind in Kind::ALL {
        for (write, id) in [
            (Write::Put, None),
            (Write::Put, Some("1")),
            (Write::Put, Some("vault/1")),
            (Write::Post, None),
            (Write::Patch, Some("1")),
        ] {
            let _ = check(kind, write, id, body.clone(), Lua::Refuse);
            let Ok(accepted) = check(kind, write, id, body.clone(), Lua::Keep) else {
                continue;
            };
            if kind != Kind::Secret {
                let whole = Value::Object(accepted.value.clone());
                assert_eq!(schema::checker(kind).check(&whole), Ok(()));
            }
            refs::references(kind, &accepted.value);
            let mut patched = accepted.value.clone();
            patch::merge(&mut patched, Map::new());
            let again = check(kind, write, id, patched, Lua::Keep);
            assert_eq!(again.as_ref(), Ok(&accepted), "{kind}");
        }
    }
    let mut merged = body.clone();
    patch::merge(&mut merged, body.clone());
    let once = merged.clone();
    patch::merge(&mut merged, body.clone());
    assert_eq!(merged, once, "a patch does the same when it is repeated");
    for name in body.keys().filter(|name| !name.contains('/') && !name.is_empty()) {
        let mut target = Value::Object(body.clone());
        if patch::set(&mut target, &format!("/{name}/a"), Value::from(1)).is_ok() {
            assert_eq!(target[name]["a"], 1);
        }
    }
}

/// There is something to mend, at a place that exists, in one line.
fn assert_told(mistakes: &[Mistake], text: &str) {
    assert!(!mistakes.is_empty(), "refused without a reason");
    let lines = adc::lines_of(text);
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
