//! What of a model call's words may be told: how much, and which parts are taken out.

use serde_json::Value;

/// What stands in the place of a part that is taken out.
pub const REDACTED: &str = "[redacted]";

/// How payloads are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadRules {
    /// Bytes of the messages, and of the answer's text, at most; what is longer is cut and marked.
    pub max_bytes: usize,
    /// Parts that are taken out.
    pub redactions: Vec<Redaction>,
}

impl Default for PayloadRules {
    fn default() -> Self {
        PayloadRules {
            max_bytes: 64 * 1024,
            redactions: Vec::new(),
        }
    }
}

/// Names a part of a request's messages, such as `messages[].content`, or the text of the answer, `answer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redaction {
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Member(String),
    EachItem,
}

/// A name that names nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` names no part; write names of members with dots between them and `[]` behind lists, such as messages[].content, or answer"
)]
pub struct RedactionError(pub String);

impl Redaction {
    /// Reads a name: members with dots between them, `[]` for each item of a list.
    ///
    /// # Errors
    /// A member has no name, or something stands behind `[`.
    pub fn parse(text: &str) -> Result<Redaction, RedactionError> {
        let wrong = || RedactionError(text.to_owned());
        let mut steps = Vec::new();
        for part in text.split('.') {
            let name = part.trim_end_matches("[]");
            if name.is_empty() || name.contains(['[', ']', ' ']) {
                return Err(wrong());
            }
            steps.push(Step::Member(name.to_owned()));
            let lists = (part.len() - name.len()) / 2;
            steps.extend((0..lists).map(|_| Step::EachItem));
        }
        Ok(Redaction { steps })
    }
}

impl PayloadRules {
    /// Whether the text of answers is taken out.
    pub fn hides_answer(&self) -> bool {
        let is_answer = |redaction: &Redaction| redaction.steps == [Step::Member(ANSWER.to_owned())];
        self.redactions.iter().any(is_answer)
    }

    /// The member `name` of a request as it may be told; `None` where it is told as it is. What is no JSON is taken out as a
    /// whole where a part of it is to be taken out.
    pub fn redacted(&self, name: &str, raw: &str) -> Option<String> {
        let of_it: Vec<&[Step]> = self
            .redactions
            .iter()
            .filter_map(|redaction| match redaction.steps.split_first() {
                Some((Step::Member(first), rest)) if first == name => Some(rest),
                _ => None,
            })
            .collect();
        if of_it.is_empty() {
            return None;
        }
        let mut value: Value = serde_json::from_str(raw).unwrap_or_default();
        for steps in of_it {
            redact(&mut value, steps);
        }
        Some(value.to_string())
    }
}

/// Takes out what the steps lead to. Strings and lists of parts may stand in each other's place in messages, so a name of a
/// part of a list takes out a string that stands there too.
fn redact(value: &mut Value, steps: &[Step]) {
    let Some((step, rest)) = steps.split_first() else {
        if !value.is_null() {
            *value = REDACTED.into();
        }
        return;
    };
    match (step, value) {
        (Step::Member(name), Value::Object(members)) => {
            if let Some(member) = members.get_mut(name) {
                redact(member, rest);
            }
        }
        (Step::EachItem, Value::Array(items)) => {
            for item in items {
                redact(item, rest);
            }
        }
        (Step::EachItem | Step::Member(_), value @ Value::String(_)) => *value = REDACTED.into(),
        _ => {}
    }
}

/// The name of the text of the answer.
const ANSWER: &str = "answer";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rules(names: &[&str]) -> PayloadRules {
        PayloadRules {
            redactions: names.iter().map(|name| Redaction::parse(name).unwrap()).collect(),
            ..PayloadRules::default()
        }
    }

    #[test]
    fn named_parts_are_taken_out_and_nothing_else() {
        let messages = json!([
            {"role": "system", "content": "be nice"},
            {"role": "user", "content": [{"type": "text", "text": "secret"}, {"type": "image_url", "image_url": {"url": "u"}}]},
        ]);
        let redacted = |names: &[&str]| {
            let text = rules(names).redacted("messages", &messages.to_string())?;
            serde_json::from_str::<Value>(&text).ok()
        };
        assert_eq!(redacted(&[]), None);
        assert_eq!(redacted(&["input", "answer"]), None);
        assert_eq!(redacted(&["messages"]), Some(json!(REDACTED)));
        assert_eq!(
            redacted(&["messages[].content"]),
            Some(json!([{"role": "system", "content": REDACTED}, {"role": "user", "content": REDACTED}]))
        );
        assert_eq!(
            redacted(&["messages[].content[].text", "messages[].content[].image_url.url"]),
            Some(json!([
                {"role": "system", "content": REDACTED},
                {"role": "user", "content": [
                    {"type": "text", "text": REDACTED},
                    {"type": "image_url", "image_url": {"url": REDACTED}},
                ]},
            ]))
        );
    }

    #[test]
    fn a_text_that_stands_where_messages_could_is_taken_out_too() {
        let text = rules(&["input[].content"]).redacted("input", "\"my secret\"");
        assert_eq!(text.as_deref(), Some("\"[redacted]\""));
    }

    #[test]
    fn the_answer_is_hidden_by_its_name_alone() {
        assert!(rules(&["answer"]).hides_answer());
        assert!(!rules(&["messages[].answer"]).hides_answer());
    }

    #[test]
    fn names_that_name_nothing_are_refused() {
        for wrong in [
            "",
            ".",
            "messages..content",
            "[]",
            "messages[0]",
            "messages[].",
            "a b",
        ] {
            assert!(Redaction::parse(wrong).is_err(), "{wrong}");
        }
    }
}
