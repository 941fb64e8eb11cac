//! A finished call as expressions see it.

use serde_json::Value as Json;
use tollgate_policy::expr::{Value, Variables};
use tollgate_telemetry::CallRecord;
use tollgate_telemetry::entry::{Told, lookup};

/// The variables of a finished call.
pub(super) struct RecordVariables<'a>(pub(super) &'a CallRecord<'a>);

impl Variables for RecordVariables<'_> {
    fn get(&self, name: &str) -> Option<Value<'_>> {
        Some(match lookup(self.0, name)? {
            Told::Text(text) => Value::Text(text),
            Told::Number(number) => Value::from(Json::from(number)),
            Told::Bytes(bytes) => Value::Text(String::from_utf8_lossy(bytes)),
        })
    }
}
