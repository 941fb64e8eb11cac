//! What a front end makes of a file without mistakes.

use crate::model::Resources;

/// The resources a file means, and what its author should know about them.
#[derive(Clone, Debug, PartialEq)]
pub struct Lowered {
    /// What the file means.
    pub resources: Resources,
    /// Things that are as they should be but easily missed, one sentence each, such as
    /// `gpt-5: off until OPENAI_API_KEY is set`. To be shown at start.
    pub notes: Vec<String>,
}
