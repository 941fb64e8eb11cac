//! Changes to a part of a stored value: by an object that is merged into it, or at a path within it.
//!
//! The result is checked as a whole by [`check`](super::check::check) before it is stored.

use serde_json::{Map, Value};

/// The longest path that is followed. No object has that many levels, and a value without such a bound could be nested so
/// deeply that looking at it overflows the stack.
const MAX_PATH_PARTS: usize = 100;

/// A path that leads through something that has no parts, or that goes too deep.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid sub-path: /{0}")]
pub struct InvalidPath(String);

/// Merges a patch into a value: objects into objects, everything else replaces what was there, and null deletes.
///
/// An empty object replaces too: `{"plugins": {}}` leaves no plugin. Lua takes it for a list, so this is how APISIX is asked
/// to clear one.
pub fn merge(target: &mut Map<String, Value>, patch: Map<String, Value>) {
    for (name, value) in patch {
        match (target.get_mut(&name), value) {
            (_, Value::Null) => {
                target.remove(&name);
            }
            (Some(Value::Object(old)), Value::Object(new)) if !old.is_empty() && !new.is_empty() => {
                merge(old, new);
            }
            (_, Value::Object(new)) => {
                let mut fresh = Map::new();
                merge(&mut fresh, new);
                target.insert(name, Value::Object(fresh));
            }
            (_, value) => {
                target.insert(name, value);
            }
        }
    }
}

/// Puts a value at a path such as `plugins/ai-proxy/options`, with or without a slash before it. Objects on the way that do
/// not exist are created; what stood at the path is replaced, also by null. An empty path replaces everything.
///
/// Lists have no parts to name, in APISIX neither: it would make an object of them that no schema takes.
///
/// # Errors
/// The beginning of the path that leads to something other than an object, or that is longer than any object is deep. The
/// target may then be partly changed, and must not be stored.
pub fn set(target: &mut Value, path: &str, value: Value) -> Result<(), InvalidPath> {
    let path = path.trim_matches('/');
    if let Some((too_far, _)) = path.match_indices('/').nth(MAX_PATH_PARTS - 1) {
        return Err(InvalidPath(path[..too_far].to_owned()));
    }
    let mut place = target;
    if !path.is_empty() {
        let mut walked = 0;
        for name in path.split('/') {
            let Value::Object(object) = place else {
                let shown = if walked == 0 { path } else { &path[..walked - 1] };
                return Err(InvalidPath(shown.to_owned()));
            };
            walked += name.len() + 1;
            let is_last = walked > path.len();
            place = object.entry(name).or_insert_with(|| {
                if is_last {
                    Value::Null
                } else {
                    Value::Object(Map::new())
                }
            });
        }
    }
    *place = value;
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn merged(target: Value, patch: Value) -> Value {
        let (Value::Object(mut target), Value::Object(patch)) = (target, patch) else {
            panic!("objects");
        };
        merge(&mut target, patch);
        Value::Object(target)
    }

    fn put(mut target: Value, path: &str, value: Value) -> Result<Value, String> {
        set(&mut target, path, value).map_err(|error| error.to_string())?;
        Ok(target)
    }

    #[test]
    fn objects_are_merged_and_everything_else_is_replaced() {
        let route = json!({
            "uri": "/a", "methods": ["GET", "PUT"], "desc": "old",
            "upstream": {"nodes": {"a:80": 1, "b:80": 1}, "type": "roundrobin"},
        });
        let patch = json!({
            "methods": ["POST"], "desc": null, "unknown": null,
            "upstream": {"nodes": {"a:80": null, "c:80": 2}}, "labels": {"env": "x", "none": null},
        });
        assert_eq!(
            merged(route, patch),
            json!({
                "uri": "/a", "methods": ["POST"],
                "upstream": {"nodes": {"b:80": 1, "c:80": 2}, "type": "roundrobin"}, "labels": {"env": "x"},
            })
        );
    }

    #[test]
    fn an_empty_object_clears_and_an_array_replaces_an_object() {
        assert_eq!(
            merged(json!({"plugins": {"a": {}}}), json!({"plugins": {}})),
            json!({"plugins": {}})
        );
        assert_eq!(
            merged(json!({"nodes": {"a:80": 1}}), json!({"nodes": []})),
            json!({"nodes": []})
        );
        assert_eq!(
            merged(json!({"nodes": [1]}), json!({"nodes": {"a:80": 1}})),
            json!({"nodes": {"a:80": 1}})
        );
    }

    #[test]
    fn a_path_replaces_what_it_names_and_creates_what_is_missing() {
        let route = json!({"plugins": {"ai-proxy": {"options": {"model": "a", "seed": 1}}}});
        let options = json!({"model": "b"});
        assert_eq!(
            put(route.clone(), "plugins/ai-proxy/options", options.clone()),
            Ok(json!({"plugins": {"ai-proxy": {"options": options}}}))
        );
        assert_eq!(put(json!({}), "/a/b", json!([1])), Ok(json!({"a": {"b": [1]}})));
        assert_eq!(put(route, "/", json!({"uri": "/b"})), Ok(json!({"uri": "/b"})));
        assert_eq!(put(json!({"a": 1}), "a", json!(null)), Ok(json!({"a": null})));
    }

    #[test]
    fn a_path_through_something_without_parts_is_refused() {
        let route = json!({"uri": "/a", "upstream": {"nodes": [{"host": "a"}]}});
        for (path, text) in [
            ("uri/a", "invalid sub-path: /uri"),
            ("uri/a/b", "invalid sub-path: /uri"),
            ("upstream/nodes/0/host", "invalid sub-path: /upstream/nodes"),
            ("upstream/nodes/1", "invalid sub-path: /upstream/nodes"),
        ] {
            assert_eq!(put(route.clone(), path, json!(1)), Err(text.to_owned()), "{path}");
        }
    }

    #[test]
    fn a_path_deeper_than_any_object_is_refused_before_anything_is_made() {
        let path = |parts: usize| vec!["a"; parts].join("/");
        assert!(put(json!({}), &path(MAX_PATH_PARTS), json!(1)).is_ok());
        for parts in [MAX_PATH_PARTS + 1, 100_000] {
            let mut target = json!({});
            let refused = set(&mut target, &path(parts), json!(1)).unwrap_err();
            assert_eq!(refused, InvalidPath(path(MAX_PATH_PARTS)));
            assert_eq!(target, json!({}));
        }
    }

    fn any_object() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            (0..3).prop_map(Value::from),
            prop::collection::vec((0..3).prop_map(Value::from), 0..3).prop_map(Value::from),
        ];
        let value = leaf.prop_recursive(3, 12, 3, |inner| {
            prop::collection::btree_map("[a-c]", inner, 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect()))
        });
        prop::collection::btree_map("[a-c]", value, 0..4)
            .prop_map(|members| Value::Object(members.into_iter().collect()))
    }

    fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
        value.pointer(&format!("/{path}"))
    }

    /// Every leaf of the patch is in the result, and every null of it is not.
    fn holds(patch: &Value, result: &Value) -> bool {
        let (Value::Object(patch), Value::Object(result)) = (patch, result) else {
            return patch == result;
        };
        patch.iter().all(|(name, value)| match (value, result.get(name)) {
            (Value::Null, found) => found.is_none(),
            (value, Some(found)) => holds(value, found),
            (_, None) => false,
        })
    }

    proptest! {
        #[test]
        fn what_the_patch_says_holds_and_saying_it_again_changes_nothing(
            target in any_object(), patch in any_object(),
        ) {
            let once = merged(target.clone(), patch.clone());
            prop_assert!(holds(&patch, &once));
            for (name, value) in target.as_object().unwrap() {
                if patch.get(name).is_none() {
                    prop_assert_eq!(once.get(name), Some(value), "what the patch does not name stays");
                }
            }
            prop_assert_eq!(merged(once.clone(), patch), once);
        }

        #[test]
        fn what_was_set_at_a_path_is_found_there(
            target in any_object(), path in "[a-d](/[a-d]){0,3}", value in any_object(),
        ) {
            match put(target, &path, value.clone()) {
                Ok(result) => prop_assert_eq!(at(&result, &path), Some(&value)),
                Err(text) => prop_assert!(text.starts_with("invalid sub-path: /")),
            }
        }
    }
}
