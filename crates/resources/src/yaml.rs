//! Writes resources as YAML, for people.

use thiserror::Error;

use serde::Serialize;

/// Resources that cannot be written; a fault of the program, not of its user.
#[derive(Debug, Error)]
#[error("the resources cannot be written as YAML: {0}")]
pub struct DumpError(String);

impl DumpError {
    pub(crate) fn new(reason: String) -> DumpError {
        DumpError(reason)
    }
}

/// Writes resources as YAML. Secrets appear as the references they were written as, others as `***`.
///
/// # Errors
/// A value that YAML cannot write.
pub fn to_yaml<T: Serialize>(resources: &T) -> Result<String, DumpError> {
    serde_saphyr::to_string(resources).map_err(|error| DumpError(error.to_string()))
}
