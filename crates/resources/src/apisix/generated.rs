//! A generated key of the Admin API, written into the bootstrap file at its place.
//!
//! APISIX does so, and people read the key from there: `yq '.deployment.admin.admin_key[0].key' conf/config.yaml`.

use crate::tree::{Path, Value, parse_yaml};

/// The text of a bootstrap file with `key` as the `index`th key of `deployment.admin.admin_key` (counted from 0), which was
/// empty. Everything else, comments included, stays as it is. `None` when the file does not write that key out as empty
/// (`''`, `""` or nothing), so that there is no place for it.
pub fn with_admin_key(text: &str, index: usize, key: &str) -> Option<String> {
    let path = Path::of(["deployment", "admin", "admin_key"])
        .index(index)
        .key("key");
    let tree = parse_yaml(text).ok()?;
    match &tree.at(&path)?.value {
        Value::Null => {}
        Value::Text(old) if old.is_empty() => {}
        _ => return None,
    }
    let number = tree.line(&path).checked_sub(1)?;
    let start: usize = text.split_inclusive('\n').take(number).map(str::len).sum();
    let line = text.get(start..)?.split('\n').next()?;
    // A line may hold several keys. The right one is known by what the file means afterwards.
    line.match_indices("key:").find_map(|(at, word)| {
        let value_at = start + at + word.len();
        let after = text.get(value_at..)?;
        let rest = after.trim_start_matches([' ', '\t']);
        let rest = rest
            .strip_prefix("''")
            .or_else(|| rest.strip_prefix("\"\""))
            .unwrap_or(after);
        let written = format!("{} '{key}'{rest}", text.get(..value_at)?);
        let tree = parse_yaml(&written).ok()?;
        matches!(&tree.at(&path)?.value, Value::Text(new) if new == key).then_some(written)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_key_takes_the_place_of_the_empty_one_and_nothing_else_changes() {
        let text = include_str!("../../../../conf/config.yaml");
        assert_eq!(
            with_admin_key(text, 0, "0123abc").unwrap(),
            text.replace("key: ''  ", "key: '0123abc'  ")
        );
        let text = "deployment: {admin: {admin_key: [{key: x, role: admin}, {name: a-key, key: \"\", role: viewer}]}} # c\n";
        assert_eq!(
            with_admin_key(text, 1, "k").unwrap(),
            text.replace("key: \"\"", "key: 'k'")
        );
        let text =
            "deployment:\n  admin:\n    admin_key:\n      -\n        key: # none\n        role: admin\n";
        assert_eq!(
            with_admin_key(text, 0, "k").unwrap(),
            text.replace("key: # none", "key: 'k' # none")
        );
    }

    #[test]
    fn a_key_that_is_given_or_not_written_out_has_no_place() {
        let file = |item: &str| format!("deployment: {{admin: {{admin_key: [{item}]}}}}");
        assert_eq!(with_admin_key(&file("{key: given}"), 0, "k"), None);
        assert_eq!(with_admin_key(&file("{role: admin}"), 0, "k"), None);
        assert_eq!(with_admin_key(&file("{key: ''}"), 1, "k"), None);
        assert_eq!(with_admin_key("", 0, "k"), None);
    }
}
