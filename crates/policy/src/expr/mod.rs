//! Expressions over a call: the `vars` of routes, `filter` and `match` of plugins, and texts with variables.
//!
//! Knows operators and values as lua-resty-expr defines them, and asks the caller for the values of variables; it does
//! not know where they come from. Everything that can be checked is checked when an expression is read.

mod compare;
mod expression;
pub mod json_path;
mod template;
mod value;

pub use expression::{Expr, ExprError};
pub use template::Template;
pub use value::{Value, Variables};
