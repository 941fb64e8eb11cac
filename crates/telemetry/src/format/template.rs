//! nginx-style formats: literal text with `$name` and `${name}` in it.

use super::suggest;
use super::time::Zone;
use super::variables::{self, Variable};
use crate::record::CallRecord;

/// A parsed nginx-style format.
#[derive(Clone, Debug)]
pub struct Template {
    pieces: Vec<Piece>,
    pub(super) zone: Zone,
}

#[derive(Clone, Debug)]
enum Piece {
    Literal(Box<str>),
    Variable(Variable),
}

/// Why a format was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text} at position {position}")]
pub struct FormatError {
    /// The byte offset in the format's text.
    pub position: usize,
    /// What is wrong and, where one is near, what may have been meant.
    pub text: String,
}

impl Template {
    /// Parses a format. Space and line breaks at its end are ignored, so that block strings of YAML work.
    pub(super) fn parse(text: &str) -> Result<Template, FormatError> {
        let text = text.trim_end();
        if text.is_empty() {
            return Err(FormatError {
                position: 0,
                text: "the format is empty".to_owned(),
            });
        }
        if let Some(position) = text.bytes().position(|byte| byte < 0x20 && byte != b'\t') {
            let text = "a control character or line break; one call is one line".to_owned();
            return Err(FormatError { position, text });
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((literal, from_name)) = rest.split_once('$') {
            push_literal(&mut pieces, literal);
            let position = text.len() - from_name.len() - 1;
            let (name, after) = split_name(from_name).map_err(|problem| FormatError {
                position,
                text: problem.to_owned(),
            })?;
            let variable = Variable::named(name).ok_or_else(|| FormatError {
                position,
                text: unknown_variable(name),
            })?;
            pieces.push(Piece::Variable(variable));
            rest = after;
        }
        push_literal(&mut pieces, rest);
        Ok(Template {
            pieces,
            zone: Zone::Local,
        })
    }

    /// Appends the call's values, without a line break.
    pub(super) fn write(&self, record: &CallRecord<'_>, out: &mut Vec<u8>) {
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Variable(variable) => variable.write(record, self.zone, out),
            }
        }
    }
}

fn push_literal(pieces: &mut Vec<Piece>, literal: &str) {
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal.into()));
    }
}

/// Splits `name...` or `{name}...`, the text after a `$`.
fn split_name(text: &str) -> Result<(&str, &str), &'static str> {
    if let Some(braced) = text.strip_prefix('{') {
        let (name, after) = braced.split_once('}').ok_or("`${` without its `}`")?;
        return match name.bytes().all(is_name_byte) && !name.is_empty() {
            true => Ok((name, after)),
            false => Err("no variable name between `${` and `}`"),
        };
    }
    let end = text
        .bytes()
        .position(|byte| !is_name_byte(byte))
        .unwrap_or(text.len());
    match text.split_at_checked(end) {
        Some((name, after)) if !name.is_empty() => Ok((name, after)),
        _ => Err("`$` without a variable name after it"),
    }
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn unknown_variable(name: &str) -> String {
    match suggest::nearest(name, variables::names()) {
        Some(known) => format!("unknown variable `${name}`; did you mean `${known}`?"),
        None => format!("unknown variable `${name}`"),
    }
}
