//! Parameters that lists have in common.

use super::Problem;
use crate::query::Query;

/// How many items are answered where nothing is said.
const LIMIT: usize = 100;

/// How many may be asked for.
const MOST: usize = 1000;

/// `limit`: how many items are answered at most.
pub(crate) fn limit(query: &Query) -> Result<usize, Problem> {
    match query.first("limit").map(str::parse) {
        None => Ok(LIMIT),
        Some(Ok(limit)) if (1..=MOST).contains(&limit) => Ok(limit),
        Some(_) => Err(Problem::invalid(
            "limit",
            format!("write a number from 1 to {MOST}"),
        )),
    }
}

/// A parameter that is a number.
pub(crate) fn number(query: &Query, name: &str) -> Result<Option<u64>, Problem> {
    match query.first(name).map(str::parse) {
        None => Ok(None),
        Some(Ok(number)) => Ok(Some(number)),
        Some(Err(_)) => Err(Problem::invalid(name, "write a number")),
    }
}
