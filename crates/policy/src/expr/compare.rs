//! One comparison: an operator and what it compares with, checked and compiled.

use std::net::IpAddr;

use regex::{Regex, RegexBuilder};
use serde_json::Value as Json;

use super::expression::ExprError;
use super::value::{Value, json_number, json_text};
use crate::Networks;

/// An operator with its right side.
#[derive(Debug, Clone)]
pub(super) enum Comparison {
    Equal(Json),
    Unequal(Json),
    Greater(Option<f64>),
    GreaterOrEqual(Option<f64>),
    Less(Option<f64>),
    LessOrEqual(Option<f64>),
    Matches(Regex),
    In(Vec<Json>),
    Has(Json),
    InNetworks(Networks),
}

impl Comparison {
    /// The names of the operators, in lower case.
    pub(super) fn is_operator(name: &str) -> bool {
        matches!(
            name,
            "==" | "~=" | ">" | ">=" | "<" | "<=" | "~~" | "~*" | "in" | "has" | "ipmatch"
        )
    }

    /// Compiles an operator, written in lower case, and its right side.
    pub(super) fn parse(operator: &str, right: &Json) -> Result<Comparison, ExprError> {
        Ok(match operator {
            "==" => Comparison::Equal(right.clone()),
            "~=" => Comparison::Unequal(right.clone()),
            ">" => Comparison::Greater(json_number(right)),
            ">=" => Comparison::GreaterOrEqual(json_number(right)),
            "<" => Comparison::Less(json_number(right)),
            "<=" => Comparison::LessOrEqual(json_number(right)),
            "~~" => Comparison::Matches(regex(right, false)?),
            "~*" => Comparison::Matches(regex(right, true)?),
            "in" => Comparison::In(right.as_array().cloned().unwrap_or_default()),
            "has" => Comparison::Has(right.clone()),
            "ipmatch" => Comparison::InNetworks(networks(right)?),
            other => return Err(ExprError::Operator(other.to_owned())),
        })
    }

    /// Compares the value of a variable, `None` when it has none.
    pub(super) fn holds(&self, left: Option<&Value<'_>>) -> bool {
        let number = || left.and_then(Value::number);
        match self {
            Comparison::Equal(right) => equal_or_same_number(left, right),
            Comparison::Unequal(right) => !equal_or_same_number(left, right),
            Comparison::Greater(right) => both(number(), *right, |left, right| left > right),
            Comparison::GreaterOrEqual(right) => both(number(), *right, |left, right| left >= right),
            Comparison::Less(right) => both(number(), *right, |left, right| left < right),
            Comparison::LessOrEqual(right) => both(number(), *right, |left, right| left <= right),
            Comparison::Matches(regex) => match left {
                Some(Value::Json(json)) if json.is_array() || json.is_object() => false,
                left => left
                    .and_then(Value::to_text)
                    .is_some_and(|text| regex.is_match(&text)),
            },
            Comparison::In(right) => left.is_some_and(|left| right.iter().any(|right| equal(left, right))),
            Comparison::Has(right) => match left {
                Some(Value::Json(json)) => json
                    .as_array()
                    .is_some_and(|items| items.iter().any(|item| equal_json(item, right))),
                _ => false,
            },
            Comparison::InNetworks(networks) => left
                .and_then(Value::to_text)
                .and_then(|text| text.parse::<IpAddr>().ok())
                .is_some_and(|address| networks.contains(address)),
        }
    }
}

/// `==`: a number on the right makes a number of the left side; otherwise the kinds must be the same. `null` on the
/// right means that the variable has no value.
fn equal_or_same_number(left: Option<&Value<'_>>, right: &Json) -> bool {
    match (left, right) {
        (None, right) => right.is_null(),
        (Some(_), Json::Null) => false,
        (Some(left), Json::Number(right)) => left.number() == right.as_f64(),
        (Some(left), right) => equal(left, right),
    }
}

/// Equal and of the same kind: the text `1` is not the number 1.
fn equal(left: &Value<'_>, right: &Json) -> bool {
    match left {
        Value::Text(text) => right.as_str() == Some(text),
        Value::Json(json) => equal_json(json, right),
    }
}

/// Lists and objects are never equal: Lua compares their identity.
fn equal_json(left: &Json, right: &Json) -> bool {
    match (left, right) {
        (Json::Number(left), Json::Number(right)) => left.as_f64() == right.as_f64(),
        (Json::Array(_) | Json::Object(_), _) => false,
        (left, right) => left == right,
    }
}

fn both(left: Option<f64>, right: Option<f64>, compare: impl Fn(f64, f64) -> bool) -> bool {
    left.zip(right).is_some_and(|(left, right)| compare(left, right))
}

fn regex(right: &Json, any_case: bool) -> Result<Regex, ExprError> {
    let text = match right {
        Json::String(_) | Json::Number(_) => json_text(right),
        _ => None,
    };
    let text = text.ok_or(ExprError::Invalid)?;
    RegexBuilder::new(&text)
        .case_insensitive(any_case)
        .size_limit(MAX_REGEX_BYTES)
        .build()
        .map_err(|cause| ExprError::Regex {
            regex: text.into_owned(),
            cause: Box::new(cause),
        })
}

fn networks(right: &Json) -> Result<Networks, ExprError> {
    let list = match right {
        Json::Array(list) => list.as_slice(),
        Json::Null => &[],
        Json::String(text) if text.is_empty() => &[],
        one => std::slice::from_ref(one),
    };
    if list.is_empty() {
        return Err(ExprError::NoAddress);
    }
    Ok(Networks::parse(
        list.iter().map(|item| json_text(item).unwrap_or_default()),
    )?)
}

/// A compiled expression; far above what people write, far below what hurts.
const MAX_REGEX_BYTES: usize = 1 << 20;
