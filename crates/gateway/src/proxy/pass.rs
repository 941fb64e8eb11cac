//! Passes one call on.

use super::Upstream;
use crate::error::CallError;
use crate::objects::ObjectRoute;
use crate::pipeline::{Answer, ClientBody, Passing, Record, Worker};

/// Passes a call to a server of an upstream and its answer back, both as they stream.
///
/// # Errors
/// No server could be reached, or none answered in time.
pub async fn pass(
    _worker: &Worker,
    _upstream: &Upstream,
    _route: &ObjectRoute,
    _passing: &Passing,
    _body: ClientBody,
    _record: &mut Record,
) -> Result<Answer, CallError> {
    Err(CallError::gateway("not_built", "not built yet"))
}
