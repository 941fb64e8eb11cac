//! `apisix.node_listen` and `nginx_config`: sockets, limits and logs of the data plane.

use std::net::SocketAddr;

use super::https;
use super::ignored;
use super::places::ANY;
use super::units;
use super::view::View;
use crate::model::{AccessLog, LogFormat, LogPath, Server};
use crate::report::{Report, quote};
use crate::tree::Path;

/// APISIX's port for HTTP.
const DEFAULT_PORT: u16 = 9080;

/// Most worker threads; more than any machine has cores.
const MAX_WORKERS: u64 = 1024;

/// Longest request body that a file may allow, in bytes; the same as in `tollgate.yaml`.
const MAX_BODY_BYTES: u64 = 1024 * 1024 * 1024;

/// Longest time that a file may set, in milliseconds; the same as in `tollgate.yaml`.
const MAX_TIME_MS: u64 = 24 * 3_600_000;

/// What APISIX writes when it is told nothing, so that what reads its log goes on reading ours.
const LOG_FORMAT: &str = concat!(
    r#"$remote_addr - $remote_user [$time_local] $http_host "$request_line" $status $body_bytes_sent $request_time "#,
    r#""$http_referer" "$http_user_agent" $upstream_addr $upstream_status $upstream_response_time "#,
    r#""$upstream_scheme://$upstream_host$upstream_uri""#,
);

/// Lowers what the file says about the data plane.
pub(super) fn lower(root: &View<'_>, report: &mut Report) -> Server {
    let mut server = Server {
        listen: vec![SocketAddr::new(ANY, DEFAULT_PORT)],
        access_log: AccessLog {
            path: LogPath::default(),
            format: LogFormat::Template(LOG_FORMAT.to_owned()),
        },
        ..Server::default()
    };
    if let Some(apisix) = root.section("apisix", report) {
        if let Some(listen) = apisix.get("node_listen") {
            server.listen = lower_listen(&listen, report);
        }
        if let Some(ssl) = apisix.section("ssl", report) {
            server.https = https::lower(&ssl, report);
            check_listeners(&server, report);
        }
    }
    let Some(nginx) = root.section("nginx_config", report) else {
        return server;
    };
    ignored::note(&nginx, &ignored::NGINX, report);
    if let Some(workers) = nginx.get("worker_processes") {
        server.workers = lower_workers(&workers, report);
    }
    set_time(&mut server.drain_ms, &nginx, "worker_shutdown_timeout", report);
    if let Some(http) = nginx.section("http", report) {
        ignored::note(&http, &ignored::HTTP, report);
        set_time(&mut server.idle_timeout_ms, &http, "keepalive_timeout", report);
        set_time(
            &mut server.header_timeout_ms,
            &http,
            "client_header_timeout",
            report,
        );
        set_time(&mut server.body_timeout_ms, &http, "client_body_timeout", report);
        set_time(&mut server.send_timeout_ms, &http, "send_timeout", report);
        if let Some(size) = http.get("client_max_body_size") {
            server.max_body_bytes = lower_body_size(&size, report);
        }
        lower_access_log(&mut server.access_log, &http, report);
    }
    server
}

/// A port, or a list of ports and of `{ip, port}`.
fn lower_listen(listen: &View<'_>, report: &mut Report) -> Vec<SocketAddr> {
    if !listen.is_list() {
        let address = lower_address(listen, report);
        return address.into_iter().collect();
    }
    let mut addresses: Vec<SocketAddr> = Vec::new();
    let mut items = 0;
    for item in listen.items() {
        items += 1;
        match lower_address(&item, report) {
            Some(address) if addresses.contains(&address) => {
                report.mistake(&item.path, format!("{address} is in the list twice"));
            }
            Some(address) => addresses.push(address),
            None => {}
        }
    }
    if items == 0 {
        report.mistake(&listen.path, "the list is empty; name at least one port");
    }
    addresses
}

fn lower_address(view: &View<'_>, report: &mut Report) -> Option<SocketAddr> {
    if !view.is_map() {
        return view.as_port(report).map(|port| SocketAddr::new(ANY, port));
    }
    ignored::note(view, &ignored::LISTEN, report);
    view.address(ANY, DEFAULT_PORT, report)
}

/// The system would refuse the second one at start, with less to go by.
fn check_listeners(server: &Server, report: &mut Report) {
    let Some(https) = &server.https else { return };
    for address in &https.listen {
        if address.port() != 0 && server.listen.contains(address) {
            report.mistake(
                &Path::of(["apisix", "ssl", "listen"]),
                format!("{address} is an address of `apisix.node_listen` too"),
            );
        }
    }
}

fn lower_workers(view: &View<'_>, report: &mut Report) -> Option<usize> {
    if view.as_written().as_deref() == Some("auto") {
        return None;
    }
    let workers = view
        .as_number()
        .filter(|workers| (1..=MAX_WORKERS).contains(workers))
        .and_then(|workers| usize::try_from(workers).ok());
    if workers.is_none() {
        view.wrong(&format!("`auto` or a number from 1 to {MAX_WORKERS}"), report);
    }
    workers
}

fn set_time(slot: &mut u64, parent: &View<'_>, key: &str, report: &mut Report) {
    let Some(view) = parent.get(key) else { return };
    let Some(text) = view.as_written() else {
        view.wrong("a time, such as `60s`", report);
        return;
    };
    match units::milliseconds(&text) {
        Some(0) => report.mistake(&view.path, "must be more than 0"),
        Some(time) if time <= MAX_TIME_MS => *slot = time,
        Some(_) => report.mistake(&view.path, "must be at most 24h"),
        None => view.wrong("a time, such as `60s`", report),
    }
}

fn lower_body_size(view: &View<'_>, report: &mut Report) -> u64 {
    let default = Server::DEFAULT_MAX_BODY_BYTES;
    match view.as_written().as_deref().and_then(units::bytes) {
        // No limit at all would let one client take all memory.
        Some(0) => {
            report.note(format!(
                "{}: 0 is taken as {default} bytes, the gateway's own limit; write a size to change it",
                view.path
            ));
            default
        }
        Some(bytes) if bytes <= MAX_BODY_BYTES => bytes,
        Some(_) => {
            report.note(format!(
                "{}: taken as 1g, the most that can be allowed",
                view.path
            ));
            MAX_BODY_BYTES
        }
        None => {
            view.wrong("a size, such as `10m`", report);
            default
        }
    }
}

fn lower_access_log(log: &mut AccessLog, http: &View<'_>, report: &mut Report) {
    if let Some(path) = http.get("access_log") {
        // Older YAML takes `off` for a truth value.
        if path.as_bool() == Some(false) {
            log.path = LogPath::Off;
        } else if let Some(text) = path.as_text(report) {
            // What follows the path are NGINX's own settings, such as the name of the format.
            log.path = match text.split_whitespace().next() {
                None => {
                    report.mistake(&path.path, "the path is empty (allowed: off, or a file)");
                    LogPath::default()
                }
                Some("/dev/stdout" | "/proc/self/fd/1") => LogPath::Stdout,
                Some(text) => LogPath::new(text),
            };
        }
    }
    if http.bool("enable_access_log", report) == Some(false) {
        log.path = LogPath::Off;
    }
    if let Some(format) = http.get("access_log_format")
        && let Some(text) = format.as_text(report)
    {
        log.format = lower_log_format(text, &format.path, report);
    }
    if let Some(escape) = http.text("access_log_format_escape", report)
        && escape != "default"
    {
        report.note(format!(
            "nginx_config.http.access_log_format_escape: `{}` is ignored: values are escaped as with `default`",
            quote(escape)
        ));
    }
}

/// APISIX writes the format between single quotes into NGINX's file, where a backslash before a quote or another
/// backslash disappears. A block of YAML ends with a line break, which belongs to the block.
fn lower_log_format(text: &str, path: &Path, report: &mut Report) -> LogFormat {
    let mut format = String::with_capacity(text.len());
    let mut characters = text.trim_end_matches(['\r', '\n']).chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next_if(|next| matches!(next, '"' | '\'' | '\\')) {
                Some(next) => format.push(next),
                None => format.push(character),
            },
            other => format.push(other),
        }
    }
    if format.is_empty() {
        report.mistake(
            path,
            "the format is empty; write a text with $variables, or `enable_access_log: false`",
        );
    }
    if format.chars().any(char::is_control) {
        report.mistake(
            path,
            "the format must not contain line breaks or other control characters",
        );
    }
    LogFormat::Template(format)
}
