//! `logging` and `loggers`: what log entries tell, and where entries of all calls go.

use schemars::JsonSchema;
use serde::Deserialize;

use super::file::ProviderTlsEntry;
use super::units::{Duration, Measure, Size};
use crate::check;
use crate::json::Json;
use crate::model::{
    HostPort, HttpLog, KafkaLog, KafkaMechanism, KafkaSasl, LogAcks, LogBatch, LogPlace, Logger, Logging,
    SIMULATED_SCHEME, UpstreamTls,
};
use crate::report::{Report, quote};
use crate::secret::SecretRef;
use crate::tree::Path;

/// What log entries tell of model calls.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoggingEntry {
    /// `true` adds `llm_summary` to entries: model, times and tokens. Default: `false`.
    summaries: Option<bool>,
    /// `true` adds `llm_request` and `llm_response_text` to entries: what was asked and answered. Default: `false`.
    payloads: Option<bool>,
    /// Size of the messages, and of the answer's text, at most; what is longer is cut and marked. Default: `64KiB`.
    max_payload: Option<Size>,
    /// Parts of payloads that are taken out, such as `messages[].content`; `answer` is the answer's text.
    #[serde(default)]
    redact: Vec<String>,
}

/// A logger of all calls. Needs one of `file`, `http` and `kafka`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoggerEntry {
    /// The file to which each call adds a line.
    file: Option<String>,
    /// The server that is sent the calls.
    http: Option<HttpLogEntry>,
    /// The Kafka topic in which each call is a message.
    kafka: Option<KafkaLogEntry>,
    /// Members of entries in place of the usual ones: a name each, with `$variable`, a text or an object.
    log_format: Option<Json>,
    /// Members beside the usual ones.
    log_format_extra: Option<Json>,
    /// Size of the request's body in entries at most. Default: it is not in them.
    request_body: Option<Size>,
    /// Size of the answer's body in entries at most. Default: it is not in them.
    response_body: Option<Size>,
}

/// A server that takes entries in POST requests.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpLogEntry {
    /// Its address.
    url: String,
    /// `Authorization` of the requests.
    authorization: Option<SecretRef>,
    /// How long a request may take. Default: `3s`.
    timeout: Option<Duration>,
    /// How the connection to an address of `https` is secured.
    tls: Option<ProviderTlsEntry>,
    /// `true` puts each entry on a line of its own. Default: `false`, a JSON array.
    lines: Option<bool>,
    /// How entries are gathered.
    #[serde(default)]
    batch: LogBatchEntry,
}

/// How entries are gathered and sent.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LogBatchEntry {
    /// Entries of a batch at most. Default: 1000.
    size: Option<usize>,
    /// A batch is sent when no entry came for this long. Default: `5s`.
    inactive: Option<Duration>,
    /// A batch is sent this long after its first entry. Default: `1m`.
    longest: Option<Duration>,
    /// How often a batch is sent again when that fails. Default: 3.
    retries: Option<u32>,
    /// The time before it is. Default: `1s`.
    retry_delay: Option<Duration>,
    /// Entries that wait at most; more are dropped and counted. Default: 8192.
    queue: Option<usize>,
}

/// A Kafka topic.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KafkaLogEntry {
    /// Some brokers of the cluster, as `host:port`.
    brokers: Vec<String>,
    /// The topic.
    topic: String,
    /// Key of the messages, which decides about the partition. Default: none, any partition.
    key: Option<String>,
    /// Who must have stored a message: `leader` or `all`. Default: `leader`.
    acks: Option<LogAcks>,
    /// How long a broker may take. Default: `3s`.
    timeout: Option<Duration>,
    /// How long a message waits for others. Default: `1s`.
    linger: Option<Duration>,
    /// Messages that wait at most while brokers are away; more are dropped and counted. Default: 50000.
    queue: Option<usize>,
    /// How to sign in. Default: nobody signs in.
    sasl: Option<KafkaSaslEntry>,
    /// How connections are secured. Default: not at all.
    tls: Option<ProviderTlsEntry>,
}

/// How to sign in at brokers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KafkaSaslEntry {
    /// `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`. Default: `PLAIN`.
    mechanism: Option<KafkaMechanism>,
    /// The user.
    user: String,
    /// Its password.
    password: SecretRef,
}

/// Lowers `logging` and `loggers`, which stand at these paths.
pub(crate) fn lower(
    logging: Option<&LoggingEntry>,
    loggers: &[LoggerEntry],
    [logging_path, loggers_path]: [&Path; 2],
    report: &mut Report,
) -> Logging {
    let mut lowered = Logging::default();
    if let Some(entry) = logging {
        lowered.summaries = entry.summaries.unwrap_or(false);
        lowered.payloads = entry.payloads.unwrap_or(false);
        lowered.max_payload_bytes = entry
            .max_payload
            .map_or(lowered.max_payload_bytes, Measure::value);
        for (position, name) in entry.redact.iter().enumerate() {
            let path = report.item(&logging_path.key("redact"), position);
            if !names_a_part(name) {
                report.mistake(
                    &path,
                    format!(
                        "`{}` names no part; write names of members with dots between them and `[]` behind lists, such as \
                         `messages[].content`, or `answer`",
                        quote(name)
                    ),
                );
            }
        }
        lowered.redact.clone_from(&entry.redact);
    }
    for (position, entry) in loggers.iter().enumerate() {
        let path = report.item(loggers_path, position);
        lowered.loggers.extend(lower_logger(entry, &path, report));
    }
    lowered
}

/// Whether a name has the form `a.b[].c`.
fn names_a_part(name: &str) -> bool {
    name.split('.').all(|part| {
        let member = part.trim_end_matches("[]");
        !member.is_empty() && !member.contains(['[', ']', ' '])
    })
}

fn lower_logger(entry: &LoggerEntry, path: &Path, report: &mut Report) -> Option<Logger> {
    for (key, format) in [
        ("log_format", &entry.log_format),
        ("log_format_extra", &entry.log_format_extra),
    ] {
        let is_object = |format: &Json| format.text().starts_with('{');
        if format.as_ref().is_some_and(|format| !is_object(format)) {
            report.mistake(&path.key(key), "must be a map of names to values");
        }
    }
    let place = match (&entry.file, &entry.http, &entry.kafka) {
        (Some(file), None, None) => {
            if file.is_empty() {
                report.mistake(&path.key("file"), "the name of the file is empty");
            }
            Some(LogPlace::File(file.clone()))
        }
        (None, Some(http), None) => Some(LogPlace::Http(lower_http(http, &path.key("http"), report))),
        (None, None, Some(kafka)) => Some(LogPlace::Kafka(lower_kafka(kafka, &path.key("kafka"), report))),
        (None, None, None) => {
            let written = ["file", "http", "kafka"]
                .iter()
                .any(|key| report.tree.at(&path.key(key)).is_some());
            if !written {
                report.mistake(path, "name one of `file`, `http` and `kafka`");
            }
            None
        }
        _ => {
            report.mistake(path, "name only one of `file`, `http` and `kafka`");
            None
        }
    };
    Some(Logger {
        place: place?,
        log_format: entry.log_format.clone(),
        log_format_extra: entry.log_format_extra.clone(),
        request_body_bytes: entry.request_body.map(Measure::value),
        response_body_bytes: entry.response_body.map(Measure::value),
    })
}

fn lower_http(entry: &HttpLogEntry, path: &Path, report: &mut Report) -> HttpLog {
    match check::endpoint(&entry.url) {
        Ok(url) if url.starts_with(SIMULATED_SCHEME) => {
            report.mistake(&path.key("url"), "is no address of a log server");
        }
        Ok(_) => {}
        Err(text) => report.mistake(&path.key("url"), text),
    }
    if entry.tls.is_some() && entry.url.starts_with("http:") {
        report.mistake(
            &path.key("tls"),
            "the address is not of `https`, so nothing is secured; remove it",
        );
    }
    let batch_path = path.key("batch");
    for (key, number) in [("size", entry.batch.size), ("queue", entry.batch.queue)] {
        if number == Some(0) {
            report.mistake(&batch_path.key(key), "must be at least 1");
        }
    }
    let default = LogBatch::default();
    let millis = |time: Option<Duration>, default: u64| time.map_or(default, Measure::value);
    HttpLog {
        url: entry.url.clone(),
        authorization: entry.authorization.clone(),
        timeout_ms: millis(entry.timeout, DEFAULT_TIMEOUT_MS),
        tls: entry.tls.as_ref().map_or_else(UpstreamTls::default, tls),
        lines: entry.lines.unwrap_or(false),
        batch: LogBatch {
            size: entry.batch.size.unwrap_or(default.size),
            inactive_ms: millis(entry.batch.inactive, default.inactive_ms),
            longest_ms: millis(entry.batch.longest, default.longest_ms),
            retries: entry.batch.retries.unwrap_or(default.retries),
            retry_delay_ms: millis(entry.batch.retry_delay, default.retry_delay_ms),
            queue: entry.batch.queue.unwrap_or(default.queue),
        },
    }
}

fn lower_kafka(entry: &KafkaLogEntry, path: &Path, report: &mut Report) -> KafkaLog {
    if entry.brokers.is_empty() {
        report.mistake(
            &path.key("brokers"),
            "the list is empty; name at least one broker",
        );
    }
    if entry.topic.is_empty() {
        report.mistake(&path.key("topic"), "the name of the topic is empty");
    }
    if entry.queue == Some(0) {
        report.mistake(&path.key("queue"), "must be at least 1");
    }
    let mut brokers = Vec::new();
    for (position, text) in entry.brokers.iter().enumerate() {
        match HostPort::parse(text, KAFKA_PORT) {
            Some(broker) => brokers.push(broker),
            None => {
                let path = report.item(&path.key("brokers"), position);
                report.mistake(
                    &path,
                    format!("`{}` is no address; write `host:port`", quote(text)),
                );
            }
        }
    }
    KafkaLog {
        brokers,
        topic: entry.topic.clone(),
        key: entry.key.clone(),
        acks: entry.acks.unwrap_or_default(),
        timeout_ms: entry.timeout.map_or(DEFAULT_TIMEOUT_MS, Measure::value),
        linger_ms: entry.linger.map_or(1_000, Measure::value),
        queue: entry.queue.unwrap_or(50_000),
        sasl: entry.sasl.as_ref().map(|sasl| KafkaSasl {
            mechanism: sasl.mechanism.unwrap_or_default(),
            user: sasl.user.clone(),
            password: sasl.password.clone(),
        }),
        tls: entry.tls.as_ref().map(tls),
    }
}

fn tls(entry: &ProviderTlsEntry) -> UpstreamTls {
    UpstreamTls {
        ca_file: entry.ca_file.clone(),
        verify: entry.verify.unwrap_or(true),
    }
}

/// As APISIX's loggers.
const DEFAULT_TIMEOUT_MS: u64 = 3_000;

/// Kafka's own port.
const KAFKA_PORT: u16 = 9092;
