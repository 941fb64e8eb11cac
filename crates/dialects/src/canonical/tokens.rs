//! The answer to a request to count tokens.

use super::Ext;
use crate::Dialect;

/// How many tokens a request has.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenCount {
    /// The dialect it was decoded from; owns `ext`.
    pub origin: Dialect,
    /// All of them.
    pub total: u64,
    /// Of these, those in a cache; `None` if not said.
    pub cached: Option<u64>,
    /// Members beside these, for exact repetition.
    pub ext: Ext,
}
