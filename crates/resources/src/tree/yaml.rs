//! YAML text into a tree. The parser's budget bounds what aliases may expand to.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{MessageFormatter, Spanned, UserMessageFormatter};

use super::{Entry, Item, MAX_DEPTH, Node, SyntaxError, Value};
use crate::report::quote;

/// Most values in a file once its aliases are expanded. A thousand models with all their settings have about 40,000.
const MAX_NODES: usize = 200_000;

/// Most parser events that aliases may repeat; sharing the settings of a thousand models needs about 20,000.
const MAX_REPLAYED: usize = 50_000;

/// Reads YAML text. Keys given twice, several documents and unknown tags are errors; aliases and merge keys are not.
pub(crate) fn parse_yaml(text: &str) -> Result<Node, SyntaxError> {
    if let Some(error) = SyntaxError::too_long(text) {
        return Err(error);
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_recorded_anchor_events: MAX_REPLAYED,
            max_documents: 1,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: MAX_REPLAYED,
        },
        // `off` and `no` are words in our files; only `true` and `false` are truth values.
        strict_booleans: true,
        reject_unsupported_tags: true,
        // A snippet would repeat the file's text, and with it perhaps a key, into logs.
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options) {
        Ok(raw) => Ok(node(raw)),
        Err(error) => Err(SyntaxError {
            line: error.location().map(|location| to_usize(location.line())),
            text: describe(error.without_snippet()),
        }),
    }
}

/// What is wrong, in our words where the parser speaks of its own affairs.
fn describe(error: &serde_saphyr::Error) -> String {
    use serde_saphyr::Error;
    use serde_saphyr::budget::BudgetBreach;

    match error {
        // What is wrong with the thing that an alias stands for.
        Error::AliasError { error, .. } => describe(error),
        Error::DuplicateMappingKey { key, .. } => match key {
            Some(key) => format!("duplicate key `{}`", quote(key)),
            None => "duplicate key".to_owned(),
        },
        Error::RecursiveReferencesRequireWeakTypes { .. } => "an alias must not contain itself".to_owned(),
        Error::MultipleDocuments { .. }
        | Error::Budget {
            breach: BudgetBreach::Documents { .. },
            ..
        } => "a second document begins here; the file must be one".to_owned(),
        Error::Budget {
            breach: BudgetBreach::Depth { .. },
            ..
        } => format!("nested deeper than {MAX_DEPTH} levels"),
        Error::Budget { .. } | Error::AliasReplayLimitExceeded { .. } => {
            format!("too large once its aliases are expanded (at most {MAX_NODES} values)")
        }
        _ => UserMessageFormatter.format_message(error).into_owned(),
    }
}

fn node(raw: Spanned<Raw>) -> Node {
    let value = match raw.value {
        Raw::Scalar(value) => value,
        Raw::List(items) => Value::List(
            items
                .into_iter()
                .enumerate()
                .map(|(index, item)| Item {
                    index,
                    node: node(item),
                })
                .collect(),
        ),
        Raw::Map(entries) => Value::Map(
            entries
                .into_iter()
                .map(|(key, value)| Entry {
                    key: key.value,
                    line: to_usize(key.referenced.line()),
                    node: node(value),
                })
                .collect(),
        ),
    };
    Node {
        line: to_usize(raw.referenced.line()),
        value,
    }
}

fn to_usize(line: u64) -> usize {
    usize::try_from(line).unwrap_or(usize::MAX)
}

enum Raw {
    Scalar(Value),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Scalar(match u64::try_from(value) {
            Ok(value) => Value::Unsigned(value),
            Err(_) => Value::Signed(value),
        }))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Unsigned(value)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Float(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Text(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            map.push(entry);
        }
        Ok(Raw::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Path;

    fn parse(text: &str) -> Node {
        parse_yaml(text).unwrap_or_else(|error| panic!("{}", error.text))
    }

    fn error(text: &str) -> SyntaxError {
        parse_yaml(text).err().expect("an error")
    }

    #[test]
    fn every_key_and_item_knows_its_line() {
        let tree = parse("# a comment\nmodels:\n  gpt-5:\n    fallback:\n      - a\n      - b\n");
        let fallback = Path::of(["models", "gpt-5", "fallback"]);
        assert_eq!(tree.line(&fallback), 4);
        assert_eq!(tree.line(&fallback.index(1)), 6);
        assert_eq!(tree.line(&Path::of(["models", "gpt-5", "absent"])), 3);
    }

    #[test]
    fn words_that_old_yaml_takes_for_truth_values_stay_words() {
        let tree = parse("{a: off, b: no, c: true, d: \"true\"}");
        assert!(matches!(&tree.get("a").unwrap().value, Value::Text(text) if text == "off"));
        assert!(matches!(&tree.get("b").unwrap().value, Value::Text(text) if text == "no"));
        assert!(matches!(&tree.get("c").unwrap().value, Value::Bool(true)));
        assert!(matches!(&tree.get("d").unwrap().value, Value::Text(text) if text == "true"));
    }

    #[test]
    fn keys_that_look_like_numbers_are_text() {
        assert!(parse("{5: x}").get("5").is_some());
    }

    #[test]
    fn aliases_and_merge_keys_work() {
        let tree = parse("a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: *a\n");
        assert!(tree.at(&Path::of(["b", "x"])).is_some());
        assert_eq!(
            tree.line(&Path::of(["c", "x"])),
            3,
            "an alias stands where it is used"
        );
    }

    #[test]
    fn a_key_given_twice_is_an_error_with_its_line() {
        let error = error("a: 1\nb: 2\na: 3\n");
        assert_eq!(error.line, Some(3));
        assert!(error.text.contains("duplicate"), "{}", error.text);
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for level in 1..12 {
            let previous = vec![format!("*a{}", level - 1); 10].join(", ");
            text.push_str(&format!("a{level}: &a{level} [{previous}]\n"));
        }
        let error = error(&text);
        assert!(
            error.text.starts_with("too large once its aliases are expanded"),
            "{}",
            error.text
        );
    }

    #[test]
    fn deep_nesting_is_refused_before_it_can_overflow_the_stack() {
        error(&"[".repeat(100_000));
        let deep = format!("{}{}", "[".repeat(MAX_DEPTH + 1), "]".repeat(MAX_DEPTH + 1));
        error(&deep);
    }

    #[test]
    fn a_file_beyond_the_size_limit_is_refused() {
        let limit = super::super::MAX_FILE_BYTES;
        let comment = |length: usize| format!("a: 1\n#{}", "x".repeat(length - "a: 1\n#".len()));
        parse(&comment(limit));
        error(&comment(limit + 1));
    }

    #[test]
    fn several_documents_are_refused() {
        error("a: 1\n---\na: 2\n");
    }

    #[test]
    fn an_empty_file_is_null() {
        assert!(matches!(parse("# nothing\n").value, Value::Null));
    }
}
