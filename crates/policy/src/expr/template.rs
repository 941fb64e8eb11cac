//! Texts with variables: `$http_x-${arg_y ?? none}`, used for the keys of limits and of consistent hashing.

use std::borrow::Cow;

use super::value::Variables;

/// A text with variables.
///
/// `$name` takes letters, digits, `_` and `.`; `${name}` takes anything but `}`, and `${name ?? text}` stands for the text
/// when the variable has no value. `\$` is not a variable. What cannot be read as a variable is text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable { name: String, default: Option<String> },
}

impl Template {
    /// Reads a template; every text is one.
    pub fn parse(text: &str) -> Template {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(position) = rest.find('$') {
            let (before, from) = rest.split_at(position);
            literal.push_str(before);
            let after = from.get(1..).unwrap_or_default();
            match variable(after).filter(|_| !literal.ends_with('\\')) {
                Some((part, after)) => {
                    push_text(&mut parts, &mut literal);
                    parts.push(part);
                    rest = after;
                }
                None => {
                    literal.push('$');
                    rest = after;
                }
            }
        }
        literal.push_str(rest);
        push_text(&mut parts, &mut literal);
        Template { parts }
    }

    /// The text for a call, and how many variables had a value or a default. Those without leave nothing.
    pub fn render(&self, call: &dyn Variables) -> (String, usize) {
        let mut text = String::new();
        let mut resolved = 0;
        for part in &self.parts {
            let (name, default) = match part {
                Part::Text(literal) => {
                    text.push_str(literal);
                    continue;
                }
                Part::Variable { name, default } => (name, default),
            };
            let value = call.get(name);
            let value = value.as_ref().and_then(|value| value.to_text());
            if let Some(value) = value.or_else(|| default.as_deref().map(Cow::Borrowed)) {
                text.push_str(&value);
                resolved += 1;
            }
        }
        (text, resolved)
    }

    /// The names of the variables in the order of appearance.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Variable { name, .. } => Some(name.as_str()),
        })
    }
}

fn push_text(parts: &mut Vec<Part>, literal: &mut String) {
    if !literal.is_empty() {
        parts.push(Part::Text(std::mem::take(literal)));
    }
}

/// Reads what stands behind a `$`, and returns it with what follows.
fn variable(text: &str) -> Option<(Part, &str)> {
    if let Some(inner) = text.strip_prefix('{') {
        let (inner, after) = inner.split_once('}')?;
        let (name, default) = match inner.split_once("??") {
            // A default that is empty is no default, and of several the first counts, as in APISIX.
            Some((name, default)) => (name, default.split("??").next().map(str::trim)),
            None => (inner, None),
        };
        let name = name.trim();
        let part = Part::Variable {
            name: name.to_owned(),
            default: default.filter(|default| !default.is_empty()).map(str::to_owned),
        };
        return (!name.is_empty()).then_some((part, after));
    }
    let end = text
        .find(|character: char| !(character.is_ascii_alphanumeric() || matches!(character, '_' | '.')))
        .unwrap_or(text.len());
    let (name, after) = text.split_at(end);
    let part = Part::Variable {
        name: name.to_owned(),
        default: None,
    };
    (!name.is_empty()).then_some((part, after))
}

#[cfg(test)]
mod tests {
    use super::Template;
    use crate::expr::{Value, Variables};
    use serde_json::json;

    struct Call;

    impl Variables for Call {
        fn get(&self, name: &str) -> Option<Value<'_>> {
            match name {
                "remote_addr" => Some("1.2.3.4".into()),
                "empty" => Some("".into()),
                "http_x" => Some("x".into()),
                "post_arg.n" => Some(json!(5.0).into()),
                "null" => Some(json!(null).into()),
                _ => None,
            }
        }
    }

    #[test]
    fn variables_are_replaced_and_counted() {
        for (template, text, resolved) in [
            ("", "", 0),
            ("plain", "plain", 0),
            ("$remote_addr", "1.2.3.4", 1),
            ("${remote_addr}", "1.2.3.4", 1),
            ("${ remote_addr }", "1.2.3.4", 1),
            ("a-$remote_addr-${http_x}b", "a-1.2.3.4-xb", 2),
            ("$http_x$http_x", "xx", 2),
            ("$http_x-${arg_y ?? none}", "x-none", 2),
            ("${http_x ?? none}", "x", 1),
            ("${http_x??none}", "x", 1),
            ("${arg_y??a b ?? c}", "a b", 1),
            ("${arg_y ?? }", "", 0),
            ("${empty ?? none}", "", 1),
            ("$arg_y", "", 0),
            ("$post_arg.n!", "5!", 1),
            ("${null ?? none}", "none", 1),
            (r"\$remote_addr", r"\$remote_addr", 0),
            ("$$http_x", "$x", 1),
            ("$", "$", 0),
            ("100 $ for you", "100 $ for you", 0),
            ("${}", "${}", 0),
            ("${ }", "${ }", 0),
            ("${open", "${open", 0),
            ("é$http_xé", "éxé", 1),
        ] {
            let rendered = Template::parse(template).render(&Call);
            assert_eq!(rendered, (text.to_owned(), resolved), "{template}");
        }
    }

    #[test]
    fn names_are_told() {
        let template = Template::parse("a$b.c-${d ?? e}");
        assert_eq!(template.variables().collect::<Vec<_>>(), ["b.c", "d"]);
    }
}
