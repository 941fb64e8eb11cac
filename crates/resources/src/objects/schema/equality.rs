//! Equality as JSON means it: 1 and 1.0 are the same number, and the order of an object's members says nothing.

use std::collections::BTreeMap;

use serde_json::Value;

/// Whether two values are equal.
pub(super) fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(_), Value::Number(_)) => one == other || identity(one) == identity(other),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let has_same =
                |(name, value): (&String, &Value)| other.get(name).is_some_and(|found| same(value, found));
            one.len() == other.len() && one.iter().all(has_same)
        }
        _ => one == other,
    }
}

/// The first two items that are equal, counted from 1; plain values come before lists and objects.
pub(super) fn equal_items(items: &[Value]) -> Option<(usize, usize)> {
    let mut seen = BTreeMap::new();
    let mut nested: Option<(usize, usize)> = None;
    for (index, item) in (1..).zip(items) {
        let first = *seen.entry(identity(item)).or_insert(index);
        if first == index {
            continue;
        }
        if !item.is_object() && !item.is_array() {
            return Some((first, index));
        }
        if nested.is_none_or(|(earliest, _)| first < earliest) {
            nested = Some((first, index));
        }
    }
    nested
}

/// A text that two values share only if they are equal.
fn identity(value: &Value) -> String {
    match value {
        Value::Number(number) if number.is_f64() => {
            let float = number.as_f64().unwrap_or(f64::NAN);
            if float.fract() == 0.0 && float.abs() < 1e18 {
                format!("{float:.0}").replace("-0", "0")
            } else {
                number.to_string()
            }
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(identity).collect();
            format!("[{}]", items.join(","))
        }
        Value::Object(object) => {
            let mut members: Vec<String> = object
                .iter()
                .map(|(name, value)| format!("{name:?}:{}", identity(value)))
                .collect();
            members.sort_unstable();
            format!("{{{}}}", members.join(","))
        }
        plain => plain.to_string(),
    }
}
