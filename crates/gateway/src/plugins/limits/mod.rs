//! What plugins that limit calls share: what they count by, and where they count.

mod amount;
mod key;
mod policy;
mod redis;
pub use redis::redis_observer;

use serde_json::Value;

use super::{Setup, Unusable};

pub(super) use amount::{Amount, Number};
pub(super) use key::{Key, KeyType};
pub(super) use policy::Policy;
pub(super) use redis::{Counted, check as check_redis, counters, with_redis_fields};

/// The policy that counts in this process.
pub(super) const LOCAL: &str = "local";

/// Refuses policies that count outside of this process.
pub(super) fn only_local(policy: &str) -> Result<(), Unusable> {
    if policy == LOCAL {
        return Ok(());
    }
    Err(Unusable(format!(
        "policy: {policy} needs the counters shared between gateways, which this version does not have; use local"
    )))
}

/// Milliseconds as seconds with up to two decimals.
pub(super) fn seconds(milliseconds: u64) -> String {
    let (whole, hundredths) = (milliseconds / 1000, milliseconds % 1000 / 10);
    match (hundredths / 10, hundredths % 10) {
        (0, 0) => whole.to_string(),
        (tenths, 0) => format!("{whole}.{tenths}"),
        (tenths, rest) => format!("{whole}.{tenths}{rest}"),
    }
}

/// Name of the state of one use of a plugin. It stays the same as long as the configuration means the same, so that saving
/// a route again does not let everybody in anew; a changed configuration counts from the beginning.
pub(super) fn state_name(plugin: &str, setup: &Setup<'_>, conf: &Value) -> String {
    let mut text = String::new();
    canonical(conf, &mut text);
    let checksum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    let mut name = format!("{plugin}/{}/", setup.owner);
    for byte in checksum.as_ref() {
        name.push_str(&format!("{byte:02x}"));
    }
    name
}

/// Writes a value with the keys of its objects in order and without what does not change what is counted: `_meta`, which says
/// when a plugin runs, and passwords, which may be changed without letting everybody in anew.
fn canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields
                .iter()
                .filter(|(key, _)| *key != "_meta" && !key.ends_with("_password"))
                .collect();
            fields.sort_by_key(|(key, _)| *key);
            text.push('{');
            for (key, value) in fields {
                text.push_str(&Value::from(key.as_str()).to_string());
                canonical(value, text);
            }
            text.push('}');
        }
        Value::Array(values) => {
            text.push('[');
            for value in values {
                canonical(value, text);
                text.push(',');
            }
            text.push(']');
        }
        plain => text.push_str(&plain.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::SharedState;
    use super::*;

    #[test]
    fn the_state_follows_what_a_configuration_means() {
        let name = |conf| {
            let state = SharedState::default();
            let setup = Setup {
                owner: "route/1",
                strict: false,
                metadata: None,
                state: &state,
            };
            state_name("limit-count", &setup, &conf)
        };
        let first = name(json!({"count": 1, "time_window": 2}));
        assert!(first.starts_with("limit-count/route/1/"));
        assert_eq!(
            first,
            name(json!({"time_window": 2, "count": 1, "_meta": {"priority": 1}}))
        );
        assert_eq!(
            first,
            name(json!({"time_window": 2, "count": 1, "redis_password": "changed"}))
        );
        assert_ne!(first, name(json!({"count": 2, "time_window": 1})));
        assert_ne!(name(json!([[1], 2])), name(json!([1, [2]])));
    }
}
