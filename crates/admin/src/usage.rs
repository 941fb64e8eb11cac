//! Usage of calls: `/tollgate/v1/usage`, `/tollgate/v1/usage/calls` and `/tollgate/v1/usage/calls/{request_id}`.
//!
//! Questions are answered on threads of their own, a few at a time, each with a time limit: they keep neither calls nor other
//! requests of the Admin API waiting.

use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Map, Value, json};
use tokio::sync::Semaphore;
use tollgate_telemetry::ledger::{Call, Calls, Column, Group, Kind, Measure, QueryError, Reader, Usage};

use crate::answer::Answer;
use crate::errors::Refusal;
use crate::query::Query;
use crate::v1::Reach;

/// Questions that are answered at once; others wait.
pub(crate) const AT_ONCE: usize = 4;

const CSV: HeaderValue = HeaderValue::from_static("text/csv; charset=utf-8");

/// Whether a path belongs to this.
pub(crate) fn is_usage(segments: &[String]) -> bool {
    matches!(segments, [first, second, third, ..] if first == "tollgate" && second == "v1" && third == "usage")
}

/// How an answer is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Csv,
}

/// Answers a question about usage. Its key has been checked; `reach` says which calls its sender is told of.
pub(crate) async fn answer(
    method: &Method,
    segments: &[String],
    query: &Query,
    reader: Option<Reader>,
    reach: Reach,
    now_s: u64,
    at_once: &Arc<Semaphore>,
) -> Result<Answer, Refusal> {
    if method != Method::GET {
        return Err(Refusal::Method {
            method: method.to_string(),
            word: "usage",
        });
    }
    let reader = reader.ok_or_else(is_off)?;
    let now = i64::try_from(now_s).unwrap_or(i64::MAX);
    let path: Vec<&str> = segments.iter().skip(3).map(String::as_str).collect();
    let parameters = || {
        query
            .iter()
            .filter(|(name, _)| !matches!(*name, "api_key" | "format"))
    };
    match path.as_slice() {
        [] => {
            let format = format(query)?;
            let mut usage = Usage::of(parameters(), now).map_err(|error| refusal(&error))?;
            usage.teams = reach.teams;
            let report = blocking(at_once, move || reader.usage(&usage)).await?;
            Ok(match format {
                Format::Json => Answer::text(StatusCode::OK, report.json()),
                Format::Csv => Answer::text(StatusCode::OK, report.csv()).with(CONTENT_TYPE, CSV),
            })
        }
        ["calls"] => {
            let format = format(query)?;
            let mut calls = Calls::of(parameters(), now).map_err(|error| refusal(&error))?;
            calls.teams.clone_from(&reach.teams);
            let asked = calls.clone();
            let mut found = blocking(at_once, move || reader.calls(&asked)).await?;
            found.iter_mut().for_each(|call| reach.show(call));
            match format {
                Format::Json => list(&found, calls.next(&found).as_deref()),
                Format::Csv => {
                    let lines: String = found.iter().map(Call::csv).collect();
                    Ok(Answer::text(StatusCode::OK, Call::csv_head() + &lines).with(CONTENT_TYPE, CSV))
                }
            }
        }
        ["calls", id] => {
            let id = (*id).to_owned();
            let teams = reach.teams.clone();
            let found = blocking(at_once, move || reader.call(&id, teams.as_deref())).await?;
            let mut call = found.ok_or(Refusal::NoObject)?;
            reach.show(&mut call);
            let text = serde_json::to_string(&call).map_err(|_| Refusal::Fault)?;
            Ok(Answer::text(StatusCode::OK, text + "\n"))
        }
        _ => Err(Refusal::NoPath),
    }
}

impl Reach {
    /// Leaves out of a call what was charged to budgets above those that may be seen.
    fn show(&self, call: &mut Call) {
        if self.teams.is_some() {
            call.keep_charges(|budget| self.budgets.contains(budget));
        }
    }
}

fn list(calls: &[Call], next: Option<&str>) -> Result<Answer, Refusal> {
    let calls = serde_json::to_string(calls).map_err(|_| Refusal::Fault)?;
    let next = json!(next);
    // The calls are not read again: a provider's usage object stays as it was.
    Ok(Answer::text(
        StatusCode::OK,
        format!("{{\"calls\":{calls},\"next\":{next}}}\n"),
    ))
}

fn format(query: &Query) -> Result<Format, Refusal> {
    match query.first("format") {
        None | Some("json") => Ok(Format::Json),
        Some("csv") => Ok(Format::Csv),
        Some(_) => Err(Refusal::Invalid("format: write json or csv".to_owned())),
    }
}

pub(crate) async fn blocking<T: Send + 'static>(
    at_once: &Arc<Semaphore>,
    ask: impl FnOnce() -> Result<T, QueryError> + Send + 'static,
) -> Result<T, Refusal> {
    // Held by the thread that answers, also when the client has gone.
    let permit = Arc::clone(at_once)
        .acquire_owned()
        .await
        .map_err(|_| Refusal::Fault)?;
    let asked = tokio::task::spawn_blocking(move || {
        let answer = ask();
        drop(permit);
        answer
    });
    asked
        .await
        .map_err(|_| Refusal::Fault)?
        .map_err(|error| refusal(&error))
}

/// Usage is not kept.
pub(crate) fn is_off() -> Refusal {
    refusal(&QueryError::Off)
}

fn refusal(error: &QueryError) -> Refusal {
    let text = error.to_string();
    match error {
        QueryError::Asked { .. } => Refusal::Invalid(text),
        QueryError::Off => Refusal::Missing(text),
        QueryError::Slow(_) | QueryError::Store(_) => Refusal::Store(text),
    }
}

/// Adds the paths to the description of the Admin API.
pub(crate) fn describe(paths: &mut Map<String, Value>) {
    let text = json!({"type": "string"});
    let parameter = |name: &str, description: &str, schema: &Value| json!({"name": name, "in": "query", "description": description, "schema": schema});
    let time = |name: &str, default: &str| {
        parameter(
            name,
            &format!(
                "how long ago (`30m`, `24h`, `7d`, `4w`), a day (`2026-11-01`) or a time (`2026-11-01T12:00:00Z`), UTC; {default} where nothing is said"
            ),
            &text,
        )
    };
    let keys: Vec<&str> = Group::all()
        .filter(|group| matches!(group, Group::Key(_)))
        .map(Group::name)
        .collect();
    let chosen: Vec<Value> = keys
        .iter()
        .map(|name| parameter(name, "only calls that have this", &text))
        .collect();
    let format = parameter(
        "format",
        "how the answer is written",
        &json!({"enum": ["json", "csv"]}),
    );
    let words: Vec<&str> = Group::all().map(Group::name).collect();
    let by = parameter(
        "by",
        &format!(
            "groups, with commas between them, of: {}; `consumer,model` where nothing is said",
            words.join(", ")
        ),
        &text,
    );
    let sums: Map<String, Value> = Measure::ALL
        .iter()
        .map(|measure| {
            let meaning = json!({"type": "integer", "description": measure.meaning()});
            (measure.name().to_owned(), meaning)
        })
        .collect();
    let report = json!({
        "type": "object",
        "properties": {
            "since": {"type": "string", "description": "from when on; whole hours"},
            "until": {"type": "string", "description": "until when; whole hours"},
            "by": {"type": "array", "items": {"type": "string"}},
            "rows": {
                "type": "array",
                "description": "each with its groups by name, and the sums",
                "items": {"type": "object", "properties": sums},
            },
            "totals": {"type": "object", "properties": sums},
            "notes": {"type": "array", "items": {"type": "string"}},
        },
    });
    let call = json!({"type": "object", "properties": Column::ALL
        .iter()
        .map(|column| {
            let kind = match column.kind() {
                Kind::Id => json!("string"),
                Kind::Text => json!(["string", "null"]),
                Kind::Json => json!(["object", "array", "null"]),
                Kind::Count => json!("integer"),
                Kind::Number => json!(["integer", "null"]),
            };
            (column.name().to_owned(), json!({"type": kind, "description": column.meaning()}))
        })
        .collect::<Map<String, Value>>()});
    let operation = |summary: &str, schema: &Value, parameters: Vec<Value>| {
        json!({
            "servers": [{"url": "/tollgate/v1"}],
            "get": {
                "tags": ["usage"],
                "summary": summary,
                "parameters": parameters,
                "responses": {
                    "200": {
                        "description": "The answer.",
                        "content": {"application/json": {"schema": schema}, "text/csv": {}},
                    },
                    "400": {"$ref": "#/components/responses/refused"},
                    "401": {"$ref": "#/components/responses/unauthorized"},
                    "404": {"$ref": "#/components/responses/unknown"},
                    "503": {"$ref": "#/components/responses/unavailable"},
                },
            },
        })
    };
    let mut parameters = vec![by, time("since", "`7d`"), time("until", "now"), format.clone()];
    parameters.extend(chosen.iter().cloned());
    paths.insert(
        "/usage".to_owned(),
        operation("Adds up usage and costs of calls.", &report, parameters),
    );
    let mut parameters = vec![
        time("since", "`24h`"),
        time("until", "now"),
        parameter(
            "limit",
            "calls of an answer; 100 where nothing is said",
            &json!({"type": "integer", "minimum": 1, "maximum": 1000}),
        ),
        parameter("after", "`next` of the answer before", &text),
        format,
        parameter("end_user", "only calls that have this", &text),
        parameter("error_code", "only calls that have this", &text),
    ];
    parameters.extend(chosen);
    let calls = json!({
        "type": "object",
        "properties": {
            "calls": {"type": "array", "items": call},
            "next": {"type": ["string", "null"], "description": "for `after`; null at the end"},
        },
    });
    paths.insert(
        "/usage/calls".to_owned(),
        operation("Lists calls, the newest first.", &calls, parameters),
    );
    let id = json!({"name": "request_id", "in": "path", "required": true, "schema": text});
    paths.insert(
        "/usage/calls/{request_id}".to_owned(),
        operation("Reads a call.", &call, vec![id]),
    );
}
