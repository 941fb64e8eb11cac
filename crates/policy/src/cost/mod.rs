//! Formulas that say what an answer costs: `input_tokens + cache_read_input_tokens * 0.1 + output_tokens`.
//!
//! The language is what Lua has for one expression over numbers, with Lua's precedence and rounding: `+ - * / % ^`,
//! comparisons, `and`, `or`, `not`, parentheses, and functions such as `max` and `math.floor`. There is nothing to loop
//! over, nothing to keep and nothing to call outside, so a formula can do no harm: its work is bounded by its length.

mod lexer;
mod parser;
mod program;

use thiserror::Error;

use program::Op;

/// Longest formula, in bytes.
pub const MAX_BYTES: usize = 4096;

/// How deep parentheses, calls and signs may be nested.
pub const MAX_DEPTH: usize = 64;

/// A formula over the counts of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct CostExpr {
    ops: Vec<Op>,
    names: Vec<String>,
}

/// What is wrong with a formula, or with its value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CostError {
    /// It is longer than [`MAX_BYTES`].
    #[error("longer than {MAX_BYTES} bytes")]
    TooLong,
    /// It is nested deeper than [`MAX_DEPTH`].
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// It stops where something must follow.
    #[error("something is missing at the end")]
    EndsEarly,
    /// Something stands where it makes no sense.
    #[error("unexpected `{token}` at character {at}")]
    Unexpected {
        /// What stands there.
        token: String,
        /// Where it begins, from 1.
        at: usize,
    },
    /// Something is called that is no function of the language.
    #[error("there is no function `{0}`")]
    NoFunction(String),
    /// A function has the wrong number of arguments.
    #[error("`{name}` does not take {given} arguments")]
    Arguments {
        /// Its name.
        name: &'static str,
        /// How many it was given.
        given: usize,
    },
    /// Something is calculated with true or false.
    #[error("`{0}` needs numbers")]
    NeedsNumbers(&'static str),
    /// The value is true or false.
    #[error("the result is no number")]
    NoNumber,
    /// The value is infinite or undefined, as after a division by 0.
    #[error("the result is not finite")]
    NotFinite,
}

impl CostExpr {
    /// Reads a formula.
    ///
    /// # Errors
    /// It is none, or it is too large.
    pub fn parse(text: &str) -> Result<CostExpr, CostError> {
        if text.len() > MAX_BYTES {
            return Err(CostError::TooLong);
        }
        let (ops, names) = parser::parse(text)?;
        Ok(CostExpr { ops, names })
    }

    /// The names of the counts it asks for, each once, in the order of appearance.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }

    /// The cost, by the counts of an answer. A count that `count_of` does not know is 0. The result is rounded, a half goes
    /// up; below 0 it is 0.
    ///
    /// # Errors
    /// The result is no finite number.
    pub fn cost(&self, count_of: &dyn Fn(&str) -> Option<f64>) -> Result<u64, CostError> {
        let counts: Vec<f64> = self
            .names
            .iter()
            .map(|name| count_of(name).unwrap_or(0.0))
            .collect();
        let value = program::run(&self.ops, &counts)?;
        if !value.is_finite() {
            return Err(CostError::NotFinite);
        }
        // Converting saturates: what is too large for an integer is as much as there can be.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it saturates"
        )]
        Ok((value.max(0.0) + 0.5).floor() as u64)
    }
}

#[cfg(test)]
mod tests;
