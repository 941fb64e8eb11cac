//! A map of a manifest, read key by key. Whatever was not asked for is unknown, so the keys are written down once.

use serde_json::{Map, Value as Json};

use super::Lowering;
use crate::report::{Report, unknown};
use crate::tree::{Node, Path, Value};

/// A value and where it stands.
#[derive(Clone)]
pub(super) struct At<'a> {
    pub(super) path: Path,
    pub(super) node: &'a Node,
}

/// A map, and what was asked of it.
pub(super) struct Fields<'a> {
    pub(super) path: Path,
    node: &'a Node,
    asked: Vec<&'static str>,
}

impl<'a> At<'a> {
    pub(super) fn fields(self, report: &mut Report) -> Option<Fields<'a>> {
        match self.node.value {
            Value::Map(_) => Some(Fields {
                path: self.path,
                node: self.node,
                asked: Vec::new(),
            }),
            _ => {
                report.mistake(&self.path, "expected a map");
                None
            }
        }
    }

    pub(super) fn items(&self) -> impl Iterator<Item = At<'a>> + use<'a> {
        let path = self.path.clone();
        self.node.items().iter().map(move |item| At {
            path: path.index(item.index),
            node: &item.node,
        })
    }

    /// The text, which is not empty.
    pub(super) fn text(&self, report: &mut Report) -> Option<&'a str> {
        match &self.node.value {
            Value::Text(text) if text.is_empty() => report.mistake(&self.path, "must not be empty"),
            Value::Text(text) => return Some(text),
            Value::Null | Value::List(_) | Value::Map(_) => report.mistake(&self.path, "expected text"),
            _ => report.mistake(&self.path, "expected text; put it in quotes"),
        }
        None
    }

    /// A whole number within limits.
    pub(super) fn whole(&self, least: i64, most: i64, report: &mut Report) -> Option<i64> {
        let number = match &self.node.value {
            Value::Unsigned(number) => i64::try_from(*number).ok(),
            Value::Signed(number) => Some(*number),
            _ => None,
        };
        let number = number.filter(|number| (least..=most).contains(number));
        if number.is_none() {
            let text = match most {
                i64::MAX => "expected a whole number".to_owned(),
                _ => format!("expected a whole number from {least} to {most}"),
            };
            report.mistake(&self.path, text);
        }
        number
    }

    /// The value as JSON.
    pub(super) fn json(&self, report: &mut Report) -> Json {
        match &self.node.value {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Unsigned(number) => Json::from(*number),
            Value::Signed(number) => Json::from(*number),
            Value::Float(number) if number.is_finite() => Json::from(*number),
            Value::Float(_) => {
                report.mistake(&self.path, "a number that JSON cannot write");
                Json::Null
            }
            Value::Text(text) => Json::String(text.clone()),
            Value::List(_) => self.items().map(|item| item.json(report)).collect(),
            Value::Map(_) => Json::Object(self.json_map(report)),
        }
    }

    fn json_map(&self, report: &mut Report) -> Map<String, Json> {
        let Value::Map(entries) = &self.node.value else {
            return Map::new();
        };
        entries
            .iter()
            .map(|entry| {
                let at = At {
                    path: self.path.key(&entry.key),
                    node: &entry.node,
                };
                (entry.key.clone(), at.json(report))
            })
            .collect()
    }

    /// The value as a JSON object; nothing counts as an empty one.
    pub(super) fn json_object(&self, report: &mut Report) -> Map<String, Json> {
        match self.node.value {
            Value::Null | Value::Map(_) => {}
            _ => report.mistake(&self.path, "expected a map"),
        }
        self.json_map(report)
    }
}

impl<'a> Fields<'a> {
    /// The value of a key; `None` when it is absent or null.
    pub(super) fn get(&mut self, key: &'static str) -> Option<At<'a>> {
        self.asked.push(key);
        let node = self.node.get(key)?;
        (!matches!(node.value, Value::Null)).then(|| At {
            path: self.path.key(key),
            node,
        })
    }

    pub(super) fn map(&mut self, key: &'static str, report: &mut Report) -> Option<Fields<'a>> {
        self.get(key)?.fields(report)
    }

    /// The items of a list; none when it is absent.
    pub(super) fn list(&mut self, key: &'static str, report: &mut Report) -> Vec<At<'a>> {
        let Some(at) = self.get(key) else {
            return Vec::new();
        };
        if !matches!(at.node.value, Value::List(_)) {
            report.mistake(&at.path, "expected a list");
        }
        at.items().collect()
    }

    pub(super) fn text(&mut self, key: &'static str, report: &mut Report) -> Option<&'a str> {
        self.get(key)?.text(report)
    }

    /// A text that has to be there.
    pub(super) fn needed_text(&mut self, key: &'static str, report: &mut Report) -> Option<&'a str> {
        match self.get(key) {
            Some(at) => at.text(report),
            None => {
                self.missing(key, report);
                None
            }
        }
    }

    /// One of these words.
    pub(super) fn word(
        &mut self,
        key: &'static str,
        words: &[&'static str],
        report: &mut Report,
    ) -> Option<&'static str> {
        let text = self.text(key, report)?;
        let found = words.iter().find(|word| **word == text).copied();
        if found.is_none() {
            let path = self.path.key(key);
            report.mistake(&path, unknown("word", text, words.iter().copied()));
        }
        found
    }

    pub(super) fn texts(&mut self, key: &'static str, report: &mut Report) -> Vec<String> {
        let items = self.list(key, report);
        items
            .iter()
            .filter_map(|item| item.text(report).map(str::to_owned))
            .collect()
    }

    /// A truth value, with the words that Kubernetes' YAML takes for one.
    pub(super) fn bool(&mut self, key: &'static str, report: &mut Report) -> Option<bool> {
        let at = self.get(key)?;
        match &at.node.value {
            Value::Bool(value) => return Some(*value),
            Value::Text(text) if matches!(text.as_str(), "yes" | "on") => return Some(true),
            Value::Text(text) if matches!(text.as_str(), "no" | "off") => return Some(false),
            _ => report.mistake(&at.path, "expected `true` or `false`"),
        }
        None
    }

    pub(super) fn whole(
        &mut self,
        key: &'static str,
        least: i64,
        most: i64,
        report: &mut Report,
    ) -> Option<i64> {
        self.get(key)?.whole(least, most, report)
    }

    /// A length of time such as `1m30s`, in seconds and above 0.
    pub(super) fn seconds(&mut self, key: &'static str, report: &mut Report) -> Option<Json> {
        let at = self.get(key)?;
        let text = at.text(report)?;
        let seconds = seconds(text);
        if seconds.is_none() {
            report.mistake(
                &at.path,
                "expected a duration above 0 such as `60s`, `500ms` or `1m30s`",
            );
        }
        seconds
    }

    pub(super) fn missing(&self, key: &str, report: &mut Report) {
        report.mistake(&self.path.key(key), "missing");
    }

    /// The keys that were asked for are all there are, but for those that Kubernetes knows and that have no effect here.
    pub(super) fn end(self, without_effect: &[&'static str], lowering: &mut Lowering<'_, '_>) {
        for key in self.node.keys() {
            let path = self.path.key(key);
            if without_effect.contains(&key) {
                lowering.note(&path, "has no effect here");
            } else if !self.asked.contains(&key) {
                let known = self.asked.iter().chain(without_effect).copied();
                lowering.report.mistake(&path, unknown("key", key, known));
            }
        }
    }
}

/// A duration as Go writes it, in seconds.
fn seconds(text: &str) -> Option<Json> {
    let mut millis: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let factor = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        let part = number.parse::<u64>().ok()?.checked_mul(factor)?;
        millis = millis.checked_add(part)?;
        rest = tail;
    }
    match (millis / 1000, millis % 1000) {
        (0, 0) => None,
        (seconds, 0) => Some(seconds.into()),
        (seconds, millis) => format!("{seconds}.{millis:03}")
            .parse::<f64>()
            .ok()
            .map(Json::from),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::seconds;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, expected) in [
            ("60s", Some(json!(60))),
            ("1m30s", Some(json!(90))),
            ("500ms", Some(json!(0.5))),
            ("1h0m0s", Some(json!(3600))),
            ("0s", None),
            ("", None),
            ("60", None),
            ("-1s", None),
            ("s", None),
            ("1d", None),
            ("99999999999999999999s", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
    }
}
