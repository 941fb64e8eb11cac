//! What the loggers' configurations have in common.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use tollgate_policy::expr::Expr;
use tollgate_resources::objects::schema;
use tollgate_telemetry::delivery::Limits;
use tollgate_telemetry::entry::{Entry, LogFormat};

use super::super::{SchemaType, Setup, Unusable};
use super::Body;

/// The schemas of a logger whose configuration is a `C`, and whose metadata is an `M`. Consumers have none.
pub(super) fn schemas<C: JsonSchema, M: JsonSchema>(kind: SchemaType) -> Option<Value> {
    match kind {
        SchemaType::Route => Some(schema::of::<C>()),
        SchemaType::Metadata => Some(schema::of::<M>()),
        SchemaType::Consumer => None,
    }
}

/// Checks what the schema of a logger cannot say.
pub(super) fn check(conf: &Value, kind: SchemaType) -> Result<(), String> {
    match kind {
        SchemaType::Route => check_expressions(conf),
        SchemaType::Consumer | SchemaType::Metadata => Ok(()),
    }
}

/// What entries tell.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct Content {
    /// Members of entries in place of the usual ones.
    pub(super) log_format: Option<Map<String, Value>>,
    /// Members beside the usual ones.
    pub(super) log_format_extra: Option<Map<String, Value>>,
    /// Whether the request's body is told.
    pub(super) include_req_body: bool,
    /// It is told only where this is true.
    #[schemars(length(min = 1))]
    pub(super) include_req_body_expr: Option<Vec<Vec<Value>>>,
    /// Whether the answer's body is told.
    pub(super) include_resp_body: bool,
    /// It is told only where this is true.
    #[schemars(length(min = 1))]
    pub(super) include_resp_body_expr: Option<Vec<Vec<Value>>>,
    /// Bytes of the request's body at most.
    #[schemars(range(min = 1))]
    pub(super) max_req_body_bytes: u64,
    /// Bytes of the answer's body at most.
    #[schemars(range(min = 1))]
    pub(super) max_resp_body_bytes: u64,
}

impl Default for Content {
    fn default() -> Self {
        Content {
            log_format: None,
            log_format_extra: None,
            include_req_body: false,
            include_req_body_expr: None,
            include_resp_body: false,
            include_resp_body_expr: None,
            max_req_body_bytes: 512 * 1024,
            max_resp_body_bytes: 512 * 1024,
        }
    }
}

/// How entries are gathered and sent.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct Batching {
    /// How often a batch is sent again.
    #[schemars(range(min = 0))]
    pub(super) max_retry_count: u32,
    /// Seconds before it is.
    #[schemars(range(min = 0))]
    pub(super) retry_delay: u64,
    /// Seconds that an entry waits for others at most.
    #[schemars(range(min = 1))]
    pub(super) buffer_duration: u64,
    /// Seconds without an entry after which a batch is sent.
    #[schemars(range(min = 1))]
    pub(super) inactive_timeout: u64,
    /// Entries of a batch at most.
    #[schemars(range(min = 1))]
    pub(super) batch_max_size: u64,
}

impl Default for Batching {
    fn default() -> Self {
        Batching {
            max_retry_count: 0,
            retry_delay: 1,
            buffer_duration: 60,
            inactive_timeout: 5,
            batch_max_size: 1000,
        }
    }
}

/// Metadata of the loggers that batch.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(default)]
pub(super) struct Metadata {
    /// Members of entries in place of the usual ones.
    pub(super) log_format: Option<Map<String, Value>>,
    /// Members beside the usual ones.
    pub(super) log_format_extra: Option<Map<String, Value>>,
    /// Entries that wait at most; more are dropped.
    #[schemars(range(min = 1))]
    pub(super) max_pending_entries: u64,
}

impl Default for Metadata {
    fn default() -> Self {
        Metadata {
            log_format: None,
            log_format_extra: None,
            max_pending_entries: 8192,
        }
    }
}

/// Why expressions of a configuration are refused.
pub(super) fn check_expressions(conf: &Value) -> Result<(), String> {
    for field in ["include_req_body_expr", "include_resp_body_expr"] {
        if let Some(rule) = conf.get(field) {
            Expr::parse(rule)
                .map_err(|error| format!("failed to validate the '{field}' expression: {error}"))?;
        }
    }
    Ok(())
}

impl Content {
    /// What the request's and the answer's body are told of.
    pub(super) fn bodies(&self) -> Result<(Body, Body), Unusable> {
        let body = |is_included, rule: &Option<Vec<Vec<Value>>>, limit: u64| {
            Ok(Body {
                is_included,
                condition: rule
                    .as_ref()
                    .map(|rule| expression(rule.iter().cloned().map(Value::Array)))
                    .transpose()?,
                limit: size(limit),
            })
        };
        Ok((
            body(
                self.include_req_body,
                &self.include_req_body_expr,
                self.max_req_body_bytes,
            )?,
            body(
                self.include_resp_body,
                &self.include_resp_body_expr,
                self.max_resp_body_bytes,
            )?,
        ))
    }

    /// How entries look. What the configuration says itself goes over what the metadata says.
    pub(super) fn entry(
        &self,
        log_format: Option<&Map<String, Value>>,
        log_format_extra: Option<&Map<String, Value>>,
        setup: &Setup<'_>,
    ) -> Entry {
        let read = |format: &Map<String, Value>| LogFormat::read(&Value::Object(format.clone()));
        Entry {
            // One of the configuration counts even if it is empty.
            log_format: self
                .log_format
                .as_ref()
                .or(log_format.filter(|format| !format.is_empty()))
                .map(read),
            log_format_extra: self.log_format_extra.as_ref().or(log_format_extra).map(read),
            unmatched_route_id: None,
            reveals_secrets: setup.strict,
        }
    }
}

/// An expression made of rules.
pub(super) fn expression(rules: impl Iterator<Item = Value>) -> Result<Expr, Unusable> {
    Expr::parse(&Value::Array(rules.collect())).map_err(|error| Unusable(error.to_string()))
}

impl Batching {
    /// The bounds of a queue.
    pub(super) fn limits(&self, metadata: &Metadata) -> Limits {
        let is_single = self.batch_max_size == 1;
        Limits {
            batch_max_size: size(self.batch_max_size),
            inactive_timeout: match is_single {
                true => Duration::ZERO,
                false => Duration::from_secs(self.inactive_timeout),
            },
            buffer_duration: Duration::from_secs(self.buffer_duration),
            max_retry_count: self.max_retry_count,
            retry_delay: Duration::from_secs(self.retry_delay),
            max_pending_entries: size(metadata.max_pending_entries),
            ..Limits::default()
        }
    }
}

/// A number of a configuration as a size.
pub(super) fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Puts entries into an array, or on lines of their own.
pub(super) fn joined(entries: &[bytes::Bytes], is_array: bool) -> Vec<u8> {
    let length: usize = entries.iter().map(|entry| entry.len() + 1).sum();
    let mut all = Vec::with_capacity(length + 1);
    if is_array {
        all.push(b'[');
    }
    for (index, entry) in entries.iter().enumerate() {
        if index > 0 {
            all.push(if is_array { b',' } else { b'\n' });
        }
        all.extend_from_slice(entry);
    }
    if is_array {
        all.push(b']');
    }
    all
}
