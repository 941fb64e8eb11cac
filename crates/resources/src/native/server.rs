//! `server`: sockets, limits and logs of the process itself.

use std::net::SocketAddr;

use super::choice::OneOrMore;
use super::file::{AccessLogEntry, EgressEntry, ServerEntry};
use super::units::Measure;
use crate::egress;
use crate::model::{AccessLog, Egress, LogFormat, LogPath, Server, ServerTls};
use crate::report::{Report, quote};
use crate::tree::Path;

/// Most worker threads; more than any machine has cores.
const MAX_WORKERS: u64 = 1024;

/// Most header lines a configuration may allow.
const MAX_HEADERS: u64 = 10_000;

/// Longest head a configuration may allow, in bytes: it is held in memory for every connection.
const MAX_HEADER_BYTES: u64 = 1024 * 1024;

/// Shortest head a configuration may allow, in bytes.
const MIN_HEADER_BYTES: u64 = 8 * 1024;

/// Shortest and longest target that a configuration may allow, in bytes. The HTTP library takes none of 64 KiB.
const URI_BYTES: std::ops::RangeInclusive<u64> = 512..=32 * 1024;

/// Least memory that a configuration may allow, in bytes: what the process needs before its first call.
const MIN_MEMORY_BYTES: u64 = 64 * 1024 * 1024;

/// Most connections that a configuration may allow: more than a machine has ports.
const MAX_CONNECTIONS: u64 = 10_000_000;

/// Most calls at once on one connection that a configuration may allow.
const MAX_STREAMS: u64 = 10_000;

/// Most wrong keys of one address in a minute that a configuration may allow.
const MAX_WRONG_KEYS: u64 = 10_000_000;

/// Lowers `server`.
pub(crate) fn lower_server(entry: &ServerEntry, report: &mut Report) -> Server {
    let path = Path::of(["server"]);
    let default = Server::default();
    check_range(entry.workers, 1, MAX_WORKERS, &path.key("workers"), report);
    check_range(
        entry.max_headers,
        1,
        MAX_HEADERS,
        &path.key("max_headers"),
        report,
    );
    let max_header = entry.max_header.map(Measure::value);
    if max_header.is_some_and(|bytes| !(MIN_HEADER_BYTES..=MAX_HEADER_BYTES).contains(&bytes)) {
        report.mistake(&path.key("max_header"), "must be from 8KiB to 1MiB");
    }
    let max_uri = entry.max_uri.map(Measure::value);
    if max_uri.is_some_and(|bytes| !URI_BYTES.contains(&bytes)) {
        report.mistake(&path.key("max_uri"), "must be from 512B to 32KiB");
    }
    let max_memory = entry.max_memory.map(Measure::value);
    if max_memory.is_some_and(|bytes| bytes < MIN_MEMORY_BYTES) {
        report.mistake(&path.key("max_memory"), "must be at least 64MiB");
    }
    for (key, value, most) in [
        ("max_calls", entry.max_calls, MAX_CONNECTIONS),
        ("max_connections", entry.max_connections, MAX_CONNECTIONS),
        ("max_streams", entry.max_streams, MAX_STREAMS),
    ] {
        check_range(value, 1, most, &path.key(key), report);
    }
    let max_wrong_keys = lower_max_wrong_keys(entry.max_wrong_keys, &path, report);
    let tls = entry.tls.as_ref().map(|tls| {
        for (key, file) in [("cert_file", &tls.cert_file), ("key_file", &tls.key_file)] {
            if file.is_empty() {
                report.mistake(&path.key("tls").key(key), "the name of the file is empty");
            }
        }
        ServerTls {
            cert_file: tls.cert_file.clone(),
            key_file: tls.key_file.clone(),
        }
    });
    Server {
        listen: lower_listen(entry.listen.as_ref(), &path.key("listen"), report),
        tls,
        https: None,
        max_body_bytes: entry.max_body.map_or(default.max_body_bytes, Measure::value),
        max_header_bytes: max_header.unwrap_or(default.max_header_bytes),
        max_headers: entry.max_headers.unwrap_or(default.max_headers),
        max_uri_bytes: max_uri.unwrap_or(default.max_uri_bytes),
        max_connections: entry.max_connections.and_then(|most| usize::try_from(most).ok()),
        max_streams: entry
            .max_streams
            .and_then(|most| u32::try_from(most).ok())
            .unwrap_or(default.max_streams),
        max_wrong_keys: max_wrong_keys.unwrap_or(default.max_wrong_keys),
        egress: lower_egress(entry.egress.as_ref(), &path.key("egress"), report),
        handshake_timeout_ms: entry
            .handshake_timeout
            .map_or(default.handshake_timeout_ms, Measure::value),
        header_timeout_ms: entry
            .header_timeout
            .map_or(default.header_timeout_ms, Measure::value),
        body_timeout_ms: entry.body_timeout.map_or(default.body_timeout_ms, Measure::value),
        idle_timeout_ms: entry.idle_timeout.map_or(default.idle_timeout_ms, Measure::value),
        send_timeout_ms: entry.send_timeout.map_or(default.send_timeout_ms, Measure::value),
        half_close: entry.half_close.unwrap_or(default.half_close),
        keep_alive_ms: entry.keep_alive.map_or(default.keep_alive_ms, Measure::value),
        drain_ms: entry.drain.map_or(default.drain_ms, Measure::value),
        upgrade_timeout_ms: entry
            .upgrade_timeout
            .map_or(default.upgrade_timeout_ms, Measure::value),
        upgrade_drain_ms: entry
            .upgrade_drain
            .map_or(default.upgrade_drain_ms, Measure::value),
        max_memory_bytes: max_memory,
        max_calls: entry.max_calls,
        workers: entry.workers.and_then(|workers| usize::try_from(workers).ok()),
        access_log: lower_access_log(entry.access_log.as_ref(), &path.key("access_log"), report),
    }
}

/// Lowers `max_wrong_keys`: what was said of it, if anything was; 0 is none.
pub(crate) fn lower_max_wrong_keys(
    written: Option<u64>,
    section: &Path,
    report: &mut Report,
) -> Option<Option<u32>> {
    let most = written?;
    check_range(
        Some(most),
        0,
        MAX_WRONG_KEYS,
        &section.key("max_wrong_keys"),
        report,
    );
    Some(u32::try_from(most).ok().filter(|most| *most > 0))
}

/// Lowers `egress`.
pub(crate) fn lower_egress(entry: Option<&EgressEntry>, path: &Path, report: &mut Report) -> Egress {
    let Some(entry) = entry else {
        return Egress::default();
    };
    let mut lists = vec![("deny", &entry.deny)];
    lists.extend(entry.allow.as_ref().map(|allow| ("allow", allow)));
    for (key, texts) in lists {
        let list = path.key(key);
        for (position, text) in texts.iter().enumerate() {
            let one = Egress {
                deny: vec![text.clone()],
                ..Egress::default()
            };
            if egress::Egress::new(&one).is_err() {
                let problem = format!("`{}` {}", quote(text), egress::NO_PLACE);
                report.mistake(&report.item(&list, position), problem);
            }
        }
    }
    Egress {
        allow: entry.allow.clone(),
        deny: entry.deny.clone(),
        metadata: entry.metadata,
    }
}

fn lower_listen(entry: Option<&OneOrMore>, path: &Path, report: &mut Report) -> Vec<SocketAddr> {
    let Some(entry) = entry else {
        return vec![Server::DEFAULT_LISTEN];
    };
    let texts: Vec<(Path, &String)> = match entry {
        OneOrMore::One(text) => vec![(path.clone(), text)],
        OneOrMore::More(texts) => texts
            .iter()
            .enumerate()
            .map(|(position, text)| (report.item(path, position), text))
            .collect(),
    };
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for (path, text) in &texts {
        match text.parse::<SocketAddr>() {
            Ok(address) if addresses.contains(&address) => {
                report.mistake(path, format!("{address} is in the list twice"));
            }
            Ok(address) => addresses.push(address),
            Err(_) => report.mistake(
                path,
                format!(
                    "`{}` is no IP address with port, such as `127.0.0.1:8080` or `[::]:8080`; `0.0.0.0:8080` listens \
                     on all addresses of this machine",
                    quote(text)
                ),
            ),
        }
    }
    let written = report.tree.at(path).map_or(0, |node| node.items().len());
    if texts.is_empty() && written == 0 {
        report.mistake(path, "the list is empty; name at least one address");
    }
    addresses
}

fn lower_access_log(entry: Option<&AccessLogEntry>, path: &Path, report: &mut Report) -> AccessLog {
    let Some(entry) = entry else {
        return AccessLog::default();
    };
    if entry.path.as_ref().is_some_and(String::is_empty) {
        report.mistake(
            &path.key("path"),
            "the path is empty (allowed: stdout, off, or a file)",
        );
    }
    if let Some(format) = &entry.format {
        if format.is_empty() {
            report.mistake(
                &path.key("format"),
                "the format is empty (allowed: json, combined, or a text with $variables)",
            );
        }
        if format.chars().any(char::is_control) {
            report.mistake(
                &path.key("format"),
                "the format must not contain line breaks or other control characters",
            );
        }
    }
    AccessLog {
        path: entry.path.as_deref().map(LogPath::new).unwrap_or_default(),
        format: entry.format.as_deref().map(LogFormat::new).unwrap_or_default(),
    }
}

fn check_range(value: Option<u64>, least: u64, most: u64, path: &Path, report: &mut Report) {
    if value.is_some_and(|value| !(least..=most).contains(&value)) {
        report.mistake(path, format!("must be from {least} to {most}"));
    }
}
