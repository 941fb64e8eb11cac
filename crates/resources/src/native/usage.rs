//! `usage`: where usage of calls is kept, and for how long. The same in `tollgate.yaml` and below `tollgate` in APISIX's
//! `config.yaml`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::units::{Duration, Kept, Measure, Size};
use crate::model::{Usage, UsageStore};
use crate::report::Report;
use crate::secret::SecretRef;
use crate::tree::Path;

/// The longest interval, in milliseconds.
const MAX_INTERVAL_MS: u64 = 60_000;

/// The smallest room for calls that wait, in bytes.
const MIN_WAITING: u64 = 1024 * 1024;

/// Where usage of calls is kept, for `tollgate usage` and the Admin API.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UsageEntry {
    /// Where: a file, the address of a PostgreSQL database (`postgres://user:password@host/database?sslmode=require`, or a
    /// variable that holds it, `$env://NAME`), or `off`. Default: the file `usage.db` in the data directory.
    pub(crate) store: Option<String>,
    /// PEM file of the authorities that PostgreSQL's certificate is checked with. Default: the public ones.
    pub(crate) ca_file: Option<String>,
    /// How long a call waits for others before it is written. A crash loses the calls of this time at most. Default: `1s`.
    pub(crate) flush_interval: Option<Duration>,
    /// Size of the calls that wait at most while the store takes none. Default: `64MiB`.
    pub(crate) max_waiting: Option<Size>,
    /// How long single calls are kept. Default: `30d`.
    pub(crate) keep_calls: Option<Kept>,
    /// How long hourly sums are kept. Default: `90d`.
    pub(crate) keep_hours: Option<Kept>,
    /// How long daily sums are kept. Default: `400d`.
    pub(crate) keep_days: Option<Kept>,
}

/// Lowers `usage`, which stands at `path`.
pub(crate) fn lower(entry: Option<&UsageEntry>, path: &Path, report: &mut Report) -> Usage {
    let mut usage = Usage::default();
    let Some(entry) = entry else {
        return usage;
    };
    let store = match &entry.store {
        Some(text) => store(text, &path.key("store"), report),
        None => Some(UsageStore::Embedded),
    };
    usage.flush_interval_ms = entry
        .flush_interval
        .map_or(usage.flush_interval_ms, Measure::value);
    usage.max_waiting_bytes = entry.max_waiting.map_or(usage.max_waiting_bytes, Measure::value);
    usage.keep_calls_s = entry.keep_calls.map_or(usage.keep_calls_s, Measure::value);
    usage.keep_hours_s = entry
        .keep_hours
        .map_or(usage.keep_hours_s.max(usage.keep_calls_s), Measure::value);
    usage.keep_days_s = entry
        .keep_days
        .map_or(usage.keep_days_s.max(usage.keep_hours_s), Measure::value);
    if usage.flush_interval_ms > MAX_INTERVAL_MS {
        report.mistake(
            &path.key("flush_interval"),
            "must be at most `1m`: a crash loses what was not written",
        );
    }
    if usage.max_waiting_bytes < MIN_WAITING {
        report.mistake(&path.key("max_waiting"), "must be at least `1MiB`");
    }
    // A cost that is computed anew changes the sums that a call is part of, so they have to be there.
    if usage.keep_hours_s < usage.keep_calls_s {
        report.mistake(&path.key("keep_hours"), "must be at least `keep_calls`");
    }
    if usage.keep_days_s < usage.keep_hours_s {
        report.mistake(&path.key("keep_days"), "must be at least `keep_hours`");
    }
    // What a wrong store would have been, nobody knows.
    let Some(store) = store else {
        return usage;
    };
    usage.store = store;
    match (&entry.ca_file, &usage.store) {
        (Some(file), _) if file.is_empty() => {
            report.mistake(&path.key("ca_file"), "the name of the file is empty");
        }
        (Some(_), UsageStore::Embedded | UsageStore::File(_) | UsageStore::Off) => {
            report.mistake(
                &path.key("ca_file"),
                "is for PostgreSQL only; write its address as `store`, or remove it",
            );
        }
        (file, _) => usage.ca_file.clone_from(file),
    }
    if usage.store == UsageStore::Off {
        let written = [
            ("flush_interval", entry.flush_interval.is_some()),
            ("max_waiting", entry.max_waiting.is_some()),
            ("keep_calls", entry.keep_calls.is_some()),
            ("keep_hours", entry.keep_hours.is_some()),
            ("keep_days", entry.keep_days.is_some()),
        ];
        for (key, _) in written.iter().filter(|(_, is_written)| *is_written) {
            report.mistake(&path.key(key), "nothing is kept; remove it");
        }
    }
    usage
}

fn store(text: &str, path: &Path, report: &mut Report) -> Option<UsageStore> {
    let is_address = text.starts_with("postgres://") || text.starts_with("postgresql://");
    let has_variable = text.contains("$env://");
    if text.is_empty() {
        report.mistake(
            path,
            "is empty; write a file, the address of a PostgreSQL database, or `off`",
        );
        return None;
    }
    if text == "off" {
        return Some(UsageStore::Off);
    }
    if !is_address && !has_variable {
        if text.contains("://") {
            report.mistake(
                path,
                "is no address of a PostgreSQL database, which begins with `postgres://`",
            );
            return None;
        }
        return Some(UsageStore::File(text.to_owned()));
    }
    match SecretRef::new(text) {
        Ok(address) => {
            let has_password = text
                .split_once('@')
                .is_some_and(|(before, _)| before.matches(':').count() > 1);
            if has_password && !has_variable {
                report.note(format!(
                    "{path}: the password is written in clear; `$env://NAME` keeps it out of the file"
                ));
            }
            Some(UsageStore::Postgres(address))
        }
        Err(error) => {
            report.mistake(path, error.to_string());
            None
        }
    }
}
