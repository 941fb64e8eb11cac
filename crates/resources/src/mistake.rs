//! One mistake in a configuration, said so that its author can mend it.

use std::fmt;

/// One mistake: where it is, what is wrong and what is allowed.
///
/// Displays as `tollgate.yaml:12: models.gpt-5.provider: unknown provider ‘opnai’; did you mean …`. The text never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// Name of the file as the user gave it.
    pub file: String,
    /// Line of the file, starting at 1, when it is known.
    pub line: Option<usize>,
    /// Path of the field, such as `models.gpt-5.provider`; empty when the whole file is meant.
    pub path: String,
    /// What is wrong and what is allowed.
    pub text: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.path.is_empty() {
            write!(f, ": {}", self.path)?;
        }
        write!(f, ": {}", self.text)
    }
}

impl std::error::Error for Mistake {}
