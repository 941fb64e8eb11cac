//! JSON schemas of objects and of configurations of plugins: what they are, and how a value is held against one.
//!
//! Tools that speak to the Admin API read schemas from it and read its refusals, so both keep APISIX's manner. This module
//! knows no rule that a schema cannot say; those stand beside it.

mod checker;
mod derive;
mod documents;
mod equality;
mod words;

pub use checker::Schema;
pub use checker::is_secret_reference;
pub use derive::{of, with_meta};
pub use documents::{checker, checker_of_manager, kind, of_manager};
pub(super) use words::number_text;

#[cfg(test)]
mod tests;
