//! Boolean expressions in lua-resty-expr's notation: `[["arg_age", ">", 18], ["OR", […], […]]]`.

use serde_json::Value as Json;
use thiserror::Error;

use super::compare::Comparison;
use super::json_path::{self, PathError};
use super::value::Variables;
use crate::InvalidNetwork;

/// An expression, read and checked.
#[derive(Debug, Clone)]
pub struct Expr {
    /// An empty expression holds for every call.
    root: Option<Node>,
    variables: Vec<String>,
}

/// Why a value is not an expression. Texts are those of APISIX where it refuses the same.
#[derive(Debug, Error)]
pub enum ExprError {
    /// There is no expression.
    #[error("missing argument rule")]
    Missing,
    /// A comparison stands alone: write `[["name", "==", "value"]]`.
    #[error("rule should be wrapped inside brackets")]
    NotWrapped,
    /// An empty list, or a logical operator with less than two operands.
    #[error("rule too short")]
    TooShort,
    /// Not of the form `[name, operator, value]`.
    #[error("invalid expression")]
    Invalid,
    /// Four parts, but the second one is not `!`.
    #[error("bad 'not' expression")]
    Not,
    /// There is no such operator.
    #[error("invalid operator '{0}'")]
    Operator(String),
    /// `ipmatch` without an address.
    #[error("invalid ip address")]
    NoAddress,
    /// `ipmatch` with a text that is no address.
    #[error(transparent)]
    Address(#[from] InvalidNetwork),
    /// A regular expression that cannot be compiled. Look-around and back-references are not available.
    #[error("invalid regular expression '{regex}'")]
    Regex {
        /// As it was written.
        regex: String,
        /// What is wrong with it.
        #[source]
        cause: Box<regex::Error>,
    },
    /// A variable `post_arg.…` with a JSONPath that cannot be read.
    #[error("invalid expression: {0}")]
    Path(#[from] PathError),
    /// Write it flatter.
    #[error("the expression is nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
}

impl Expr {
    /// Reads an expression. The empty list holds always.
    ///
    /// # Errors
    /// The value is no expression; the error says why in the words of APISIX, without the part
    /// `failed to validate the 'vars' expression: ` before it.
    pub fn parse(rule: &Json) -> Result<Expr, ExprError> {
        let items = match rule {
            Json::Array(items) => items,
            Json::Null => return Err(ExprError::Missing),
            _ => return Err(ExprError::Invalid),
        };
        let mut variables = Vec::new();
        let root = match items.first() {
            None => None,
            Some(Json::Array(_)) => Some(Node::parse(rule, &mut variables, MAX_DEPTH)?),
            Some(first) if logic(first).is_some() => Some(Node::parse(rule, &mut variables, MAX_DEPTH)?),
            Some(_) => return Err(ExprError::NotWrapped),
        };
        Ok(Expr { root, variables })
    }

    /// Whether the expression holds for a call. Variables are asked for only as far as they matter.
    pub fn eval(&self, call: &dyn Variables) -> bool {
        self.root.as_ref().is_none_or(|root| root.eval(call))
    }

    /// The names of the variables, each once, in the order of appearance.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.variables.iter().map(String::as_str)
    }
}

#[derive(Debug, Clone)]
enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    NotAll(Vec<Node>),
    NotAny(Vec<Node>),
    Compare {
        variable: String,
        comparison: Comparison,
        negated: bool,
    },
}

impl Node {
    fn parse(rule: &Json, variables: &mut Vec<String>, depth: usize) -> Result<Node, ExprError> {
        let depth = depth.checked_sub(1).ok_or(ExprError::TooDeep)?;
        let items = match rule {
            Json::Array(items) => items,
            Json::Object(_) => return Err(ExprError::TooShort),
            _ => return Err(ExprError::Invalid),
        };
        let (first, operands) = items.split_first().ok_or(ExprError::TooShort)?;
        let mut all = |operands: &[Json]| -> Result<Vec<Node>, ExprError> {
            operands
                .iter()
                .map(|rule| Node::parse(rule, variables, depth))
                .collect()
        };
        if first.is_array() || first.is_object() {
            return Ok(Node::All(all(items)?));
        }
        let Some(logic) = logic(first) else {
            return Node::comparison(items, variables);
        };
        if operands.len() < 2 {
            return Err(ExprError::TooShort);
        }
        Ok(logic(all(operands)?))
    }

    fn comparison(items: &[Json], variables: &mut Vec<String>) -> Result<Node, ExprError> {
        let (variable, operator, right, negated) = match items {
            [variable, not, operator, right] if not == "!" => (variable, operator, Some(right), true),
            [_, _, _, _] => return Err(ExprError::Not),
            [variable, operator] => (variable, operator, None, false),
            [variable, operator, right, ..] => (variable, operator, Some(right), false),
            _ => return Err(ExprError::Invalid),
        };
        let variable = variable.as_str().ok_or(ExprError::Invalid)?;
        let operator_text = match operator {
            Json::String(text) => text.to_ascii_lowercase(),
            Json::Number(number) => number.to_string(),
            _ => return Err(ExprError::Invalid),
        };
        let comparison = match right {
            // An old short form: `["arg_k", "v"]` compares for equality.
            None if !Comparison::is_operator(&operator_text) => {
                let text = operator.as_str().map_or(operator_text, str::to_owned);
                Comparison::parse("==", &Json::String(text))?
            }
            right => Comparison::parse(&operator_text, right.unwrap_or(&Json::Null))?,
        };
        if let Some(path) = variable.strip_prefix("post_arg.") {
            json_path::check_field(path)?;
        }
        if !variables.iter().any(|known| known == variable) {
            variables.push(variable.to_owned());
        }
        Ok(Node::Compare {
            variable: variable.to_owned(),
            comparison,
            negated,
        })
    }

    fn eval(&self, call: &dyn Variables) -> bool {
        match self {
            Node::All(nodes) => nodes.iter().all(|node| node.eval(call)),
            Node::Any(nodes) => nodes.iter().any(|node| node.eval(call)),
            Node::NotAll(nodes) => !nodes.iter().all(|node| node.eval(call)),
            Node::NotAny(nodes) => !nodes.iter().any(|node| node.eval(call)),
            Node::Compare {
                variable,
                comparison,
                negated,
            } => comparison.holds(call.get(variable).as_ref()) != *negated,
        }
    }
}

/// What a logical operator makes of its operands.
fn logic(first: &Json) -> Option<fn(Vec<Node>) -> Node> {
    let name = first.as_str()?.to_ascii_uppercase();
    Some(match name.as_str() {
        "AND" => Node::All,
        "OR" => Node::Any,
        "!AND" => Node::NotAll,
        "!OR" => Node::NotAny,
        _ => return None,
    })
}

/// Levels of lists; evaluation goes down as deep.
const MAX_DEPTH: usize = 64;
