//! Usage of calls: where it is kept while the gateway runs, and `tollgate usage`, which shows it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Method;
use tollgate_gateway::upstream::{TlsSettings, client_config};
use tollgate_resources::model::{self, Deployment, UsageStore};
use tollgate_telemetry::Metrics;
use tollgate_telemetry::ledger::{Call, Calls, Column, Keep, Ledger, Place, Reader, Report, Settings, Usage};

use crate::cli::{Failure, Source, UsageArguments};
use crate::load::Loaded;
use crate::secret_files::lookup;
use crate::sync::Admin;

/// Usage that is kept: what writes it, and what reads it.
#[derive(Clone)]
pub struct Kept {
    /// What writes it.
    pub ledger: Ledger,
    /// What reads it.
    pub reader: Reader,
}

/// Begins to keep usage as a configuration wants it; nothing where it wants none.
///
/// A gateway that was told nothing about usage, nor where to keep its things, serves calls also where it may write nothing:
/// it says that usage is not kept.
///
/// # Errors
/// The place that was asked for cannot be used, or a newer tollgate has written it.
pub fn begin(
    usage: &model::Usage,
    deployment: &Deployment,
    metrics: &Metrics,
) -> Result<Option<Kept>, Failure> {
    if usage.store == UsageStore::Off {
        return Ok(None);
    }
    match start(usage, deployment, metrics) {
        Err(failure) if usage.is_default() && deployment.data_dir == Deployment::DEFAULT_DATA_DIR => {
            tracing::warn!(
                "usage of calls is not kept: {}; name a folder with --data-dir, or write `usage: {{store: off}}`",
                failure.reasons().join("; ")
            );
            Ok(None)
        }
        started => started.map(Some),
    }
}

/// Opens the place that a configuration means and begins to write.
///
/// # Errors
/// The file cannot be used, or a newer tollgate has written it.
fn start(usage: &model::Usage, deployment: &Deployment, metrics: &Metrics) -> Result<Kept, Failure> {
    let place = place(usage, &deployment.data_dir)?;
    let settings = Settings {
        flush_interval: Duration::from_millis(usage.flush_interval_ms),
        max_waiting_bytes: usize::try_from(usage.max_waiting_bytes).unwrap_or(usize::MAX),
        keep: Keep {
            calls: Duration::from_secs(usage.keep_calls_s),
            hours: Duration::from_secs(usage.keep_hours_s),
            days: Duration::from_secs(usage.keep_days_s),
        },
        ..Settings::new(place.clone())
    };
    let ledger =
        Ledger::start(&settings, metrics).map_err(|error| Failure::new(format!("usage.store: {error}")))?;
    tracing::info!(place = %place, "usage of calls is kept");
    let reader = Reader::new(place);
    Ok(Kept { ledger, reader })
}

/// Where usage is kept by a configuration.
///
/// # Errors
/// It is kept nowhere, a variable is not set, or the address of a database cannot be read.
pub fn place(usage: &model::Usage, data_dir: &str) -> Result<Place, Failure> {
    let failed = |reason: &dyn std::fmt::Display| Failure::new(format!("usage.store: {reason}"));
    Ok(match &usage.store {
        UsageStore::Off => return Err(failed(&"usage is not kept (`off`)")),
        UsageStore::Embedded => Place::File(in_folder(data_dir)),
        UsageStore::File(file) => Place::File(file.into()),
        UsageStore::Postgres(address) => {
            let address = address.resolve(&lookup).map_err(|missing| failed(&missing))?;
            if !Place::is_postgres(address.expose()) {
                return Ok(Place::File(address.expose().into()));
            }
            let settings = TlsSettings {
                ca_file: usage.ca_file.clone(),
                verify: true,
            };
            let tls = client_config(&settings, None)
                .map_err(|error| Failure::new(format!("usage.ca_file: {error}")))?;
            let mut tls = (*tls).clone();
            // PostgreSQL 17 knows a name for its protocol here; older ones end the connection at any other.
            tls.alpn_protocols.clear();
            Place::postgres(address.expose(), tls.into()).map_err(|error| failed(&error))?
        }
    })
}

fn in_folder(data_dir: &str) -> PathBuf {
    Path::new(data_dir).join(model::Usage::FILE)
}

/// The place that a command means: a folder, a configuration's, or the usual folder.
///
/// # Errors
/// The configuration has mistakes, or keeps nothing.
pub fn place_of(data_dir: Option<&str>, config: Option<&Path>) -> Result<(Place, Option<Loaded>), Failure> {
    let Some(config) = config else {
        let folder = data_dir.unwrap_or(Deployment::DEFAULT_DATA_DIR);
        return Ok((Place::File(in_folder(folder)), None));
    };
    let source = Source {
        config: Some(config.to_owned()),
        rbac: None,
    };
    let loaded = source.load()?;
    let folder = data_dir.unwrap_or(&loaded.deployment.data_dir);
    let place = place(&loaded.resources.usage, folder)?;
    Ok((place, Some(loaded)))
}

/// Shows usage.
///
/// # Errors
/// The question is wrong, or nothing can be read.
pub fn usage(arguments: &UsageArguments) -> Result<(), Failure> {
    let text = match &arguments.server {
        Some(server) => ask_server(server, arguments)?,
        None => ask_here(arguments)?,
    };
    // Whoever reads may stop reading, as `head` does.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    Ok(())
}

/// The parameters of a question, by the names of the Admin API.
fn parameters(arguments: &UsageArguments) -> Vec<(&'static str, &str)> {
    let choice = &arguments.choice;
    [
        ("since", &arguments.since),
        ("until", &arguments.until),
        ("consumer", &choice.consumer),
        ("credential", &choice.credential),
        ("route", &choice.route),
        ("service", &choice.service),
        ("provider", &choice.provider),
        ("instance", &choice.instance),
        ("model", &choice.model),
        ("model_asked", &choice.model_asked),
        ("outcome", &choice.outcome),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value.as_deref()?)))
    .collect()
}

fn ask_here(arguments: &UsageArguments) -> Result<String, Failure> {
    let (place, _) = place_of(arguments.data_dir.as_deref(), arguments.config.as_deref())?;
    let reader = Reader::new(place);
    let now = now_s();
    let by = arguments.by.join(",");
    let mut parameters = parameters(arguments);
    let limit = arguments.limit.to_string();
    if arguments.calls {
        parameters.push(("limit", &limit));
        let asked = Calls::of(parameters, now).map_err(Failure::new)?;
        let found = reader.calls(&asked).map_err(Failure::new)?;
        return calls_text(&found, arguments);
    }
    if !by.is_empty() {
        parameters.push(("by", &by));
    }
    let asked = Usage::of(parameters, now).map_err(Failure::new)?;
    let report = reader.usage(&asked).map_err(Failure::new)?;
    Ok(report_text(&report, arguments))
}

fn report_text(report: &Report, arguments: &UsageArguments) -> String {
    match (arguments.json, arguments.csv) {
        (true, _) => report.json(),
        (_, true) => report.csv(),
        _ => report.table(),
    }
}

/// Calls as JSON lines, as CSV, or one short line each for people.
fn calls_text(calls: &[Call], arguments: &UsageArguments) -> Result<String, Failure> {
    if arguments.csv {
        return Ok(Call::csv_head() + &calls.iter().map(Call::csv).collect::<String>());
    }
    let mut text = String::new();
    for call in calls {
        if arguments.json {
            text.push_str(&serde_json::to_string(call).map_err(Failure::new)?);
            text.push('\n');
        } else {
            text.push_str(&short(&serde_json::to_value(call).map_err(Failure::new)?));
        }
    }
    Ok(text)
}

/// A call for people: when, what, who, how much.
fn short(call: &serde_json::Value) -> String {
    let of = |column: Column| match call.get(column.name()) {
        Some(serde_json::Value::String(text)) => text.chars().filter(|c| !c.is_control()).collect(),
        None | Some(serde_json::Value::Null) => "-".to_owned(),
        Some(other) => other.to_string(),
    };
    let cost = call.get("cost_usd").and_then(serde_json::Value::as_str);
    format!(
        "{} {} {} {} {} {}+{} tokens {} {} ms {}\n",
        call.get("time")
            .and_then(serde_json::Value::as_str)
            .unwrap_or("-"),
        of(Column::RequestId),
        of(Column::Consumer),
        of(Column::ModelServed),
        of(Column::Status),
        of(Column::InputTokens),
        of(Column::OutputTokens),
        cost.map_or_else(|| "cost unknown".to_owned(), |usd| format!("{usd} USD")),
        of(Column::Latency),
        of(Column::Outcome),
    )
}

fn ask_server(server: &str, arguments: &UsageArguments) -> Result<String, Failure> {
    let admin = Admin::new(server, &arguments.access)?;
    let by = arguments.by.join(",");
    let limit = arguments.limit.to_string();
    let mut parameters = parameters(arguments);
    let mut path = "/tollgate/v1/usage".to_owned();
    if arguments.calls {
        path.push_str("/calls");
        parameters.push(("limit", &limit));
    } else if !by.is_empty() {
        parameters.push(("by", &by));
    }
    if arguments.csv {
        parameters.push(("format", "csv"));
    }
    for (number, (name, value)) in parameters.iter().enumerate() {
        path.push(if number == 0 { '?' } else { '&' });
        path.push_str(name);
        path.push('=');
        encode(value, &mut path);
    }
    let answer = admin.call(&Method::GET, &path, None)?;
    if !answer.status.is_success() {
        return Err(Failure::new(format!("{path}: {}", answer.reason())));
    }
    if arguments.csv {
        return Ok(answer.text);
    }
    if arguments.calls {
        let calls = answer.body.get("calls").and_then(serde_json::Value::as_array);
        let lines = calls.into_iter().flatten().map(|call| match arguments.json {
            true => format!("{call}\n"),
            false => short(call),
        });
        return Ok(lines.collect());
    }
    if arguments.json {
        return Ok(format!("{}\n", answer.body));
    }
    let report = Report::from_json(&answer.body.to_string())
        .map_err(|error| Failure::new(format!("{path}: the answer is no report: {error}")))?;
    Ok(report.table())
}

/// Percent-encodes a value of a query.
fn encode(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b',' | b':' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
}

/// The time, in seconds since 1970.
pub fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
