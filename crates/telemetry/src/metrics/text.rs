//! Prometheus' text format, version 0.0.4.

use std::fmt::{Display, Write};

/// Writes what a metric is.
pub(super) fn head(text: &mut String, name: &str, help: &str, kind: &str) {
    text.push_str("# HELP ");
    text.push_str(name);
    text.push(' ');
    escape(text, help, false);
    text.push_str("\n# TYPE ");
    text.push_str(name);
    text.push(' ');
    text.push_str(kind);
    text.push('\n');
}

/// Label names with their values, escaped: `a="1",b="2"`; empty if there are none.
pub(super) fn labels(text: &mut String, names: &[impl AsRef<str>], values: &[Box<str>]) {
    for (number, (name, value)) in names.iter().zip(values).enumerate() {
        if number > 0 {
            text.push(',');
        }
        text.push_str(name.as_ref());
        text.push_str("=\"");
        escape(text, value, true);
        text.push('"');
    }
}

/// Writes one number of a metric. `labels` are as [`labels`] writes them; `more` is a last label, as `le` is.
pub(super) fn line(
    text: &mut String,
    name: [&str; 2],
    labels: &str,
    more: Option<&dyn Display>,
    number: impl Display,
) {
    text.push_str(name[0]);
    text.push_str(name[1]);
    if !labels.is_empty() || more.is_some() {
        text.push('{');
        text.push_str(labels);
        if let Some(bound) = more {
            if !labels.is_empty() {
                text.push(',');
            }
            // Writing to a string never fails.
            let _ = write!(text, "le=\"{bound}\"");
        }
        text.push('}');
    }
    let _ = writeln!(text, " {number}");
}

/// A whole number of a small unit, shown in a larger one: exactly, without needless zeros. The larger one is `per` small
/// ones, a power of ten.
pub(super) struct Decimal {
    pub(super) number: u64,
    pub(super) per: u64,
}

impl Display for Decimal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let per = self.per.max(1);
        let (whole, mut rest) = (self.number / per, self.number % per);
        write!(formatter, "{whole}")?;
        if rest == 0 {
            return Ok(());
        }
        let mut digits = per.ilog10() as usize;
        while rest.is_multiple_of(10) {
            rest /= 10;
            digits -= 1;
        }
        write!(formatter, ".{rest:0digits$}")
    }
}

fn escape(text: &mut String, plain: &str, quoted: bool) {
    let is_special = |byte: u8| matches!(byte, b'\\' | b'\n') || (quoted && byte == b'"');
    // Nearly always nothing is to be escaped.
    if !plain.bytes().any(is_special) {
        text.push_str(plain);
        return;
    }
    for character in plain.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '"' if quoted => text.push_str("\\\""),
            _ => text.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Decimal;

    #[test]
    fn numbers_are_shown_in_larger_units_exactly() {
        for (number, per, shown) in [
            (0, 1, "0"),
            (7, 1, "7"),
            (0, 1_000, "0"),
            (1, 1_000_000, "0.000001"),
            (1_500, 1_000, "1.5"),
            (1_050, 1_000, "1.05"),
            (2_000, 1_000, "2"),
            (u64::MAX, 1_000_000, "18446744073709.551615"),
        ] {
            assert_eq!(Decimal { number, per }.to_string(), shown);
        }
    }
}
