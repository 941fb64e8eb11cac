//! Prometheus' text format.

use std::fmt::Display;

/// Writes what a metric is.
pub(super) fn head(text: &mut String, name: &str, help: &str, kind: &str) {
    text.push_str("# HELP ");
    text.push_str(name);
    text.push(' ');
    for character in help.chars() {
        escape(text, character, false);
    }
    text.push_str("\n# TYPE ");
    text.push_str(name);
    text.push(' ');
    text.push_str(kind);
    text.push('\n');
}

/// Writes one number of a metric.
pub(super) fn line(text: &mut String, name: &str, labels: &[&str], values: &[String], number: impl Display) {
    text.push_str(name);
    for (number, (label, value)) in labels.iter().zip(values).enumerate() {
        text.push(if number == 0 { '{' } else { ',' });
        text.push_str(label);
        text.push_str("=\"");
        for character in value.chars() {
            escape(text, character, true);
        }
        text.push('"');
    }
    if !labels.is_empty() {
        text.push('}');
    }
    text.push(' ');
    text.push_str(&number.to_string());
    text.push('\n');
}

fn escape(text: &mut String, character: char, quoted: bool) {
    match character {
        '\\' => text.push_str("\\\\"),
        '\n' => text.push_str("\\n"),
        '"' if quoted => text.push_str("\\\""),
        _ => text.push(character),
    }
}
