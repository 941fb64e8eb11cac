//! JSON schemas of objects and of configurations of plugins: what they are, and how a value is held against one.
//!
//! Tools that speak to the Admin API read schemas from it and read its refusals, so both keep APISIX's manner. This module
//! knows no rule that a schema cannot say; those stand beside it.

mod derive;

pub use derive::{of, with_meta};
