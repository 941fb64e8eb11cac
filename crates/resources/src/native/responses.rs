//! `responses`: where conversations of OpenAI's Responses API are kept.

use super::file::{RedisEntry, ResponsesEntry};
use super::units::Measure;
use crate::model::{HostPort, Redis, RedisServers, Responses, ResponsesHome, UpstreamTls};
use crate::report::{Report, quote};
use crate::tree::Path;

/// Redis' own port.
const REDIS_PORT: u16 = 6379;

/// Lowers `responses`.
pub(super) fn lower(entry: Option<&ResponsesEntry>, report: &mut Report) -> Responses {
    let mut responses = Responses::default();
    let Some(entry) = entry else {
        return responses;
    };
    let path = Path::of(["responses"]);
    responses.store = entry.store;
    responses.ttl_s = entry.ttl.map_or(responses.ttl_s, Measure::value);
    responses.max_size_bytes = entry.max_size.map(Measure::value);
    responses.max_turn_bytes = entry.max_turn.map_or(responses.max_turn_bytes, Measure::value);
    if let Some(size) = responses.max_size_bytes {
        match entry.max_turn {
            Some(turn) if turn.value() > size => {
                report.mistake(&path.key("max_turn"), "must be at most `max_size`");
            }
            _ => responses.max_turn_bytes = responses.max_turn_bytes.min(size),
        }
    }
    if let Some(redis) = &entry.redis {
        if responses.store.is_some_and(|store| store != ResponsesHome::Redis) {
            report.mistake(
                &path.key("redis"),
                "conversations are kept elsewhere; write `store: redis`, or remove it",
            );
        }
        responses.store = Some(ResponsesHome::Redis);
        responses.redis = lower_redis(redis, &path.key("redis"), report);
    }
    let redis_written = report.tree.at(&path.key("redis")).is_some();
    match responses.store {
        Some(ResponsesHome::Redis) => {
            if !redis_written {
                report.mistake(
                    &path.key("redis"),
                    "missing; say where Redis is, such as `{address: localhost:6379}`",
                );
            }
            if entry.max_size.is_some() {
                report.mistake(
                    &path.key("max_size"),
                    "has no effect on Redis, whose `maxmemory` decides; remove it",
                );
            }
        }
        Some(ResponsesHome::Passthrough | ResponsesHome::Off) => {
            let written = [
                ("ttl", entry.ttl.is_some()),
                ("max_size", entry.max_size.is_some()),
                ("max_turn", entry.max_turn.is_some()),
            ];
            for (key, _) in written.iter().filter(|(_, is_written)| *is_written) {
                report.mistake(&path.key(key), "nothing is kept by the gateway; remove it");
            }
        }
        Some(ResponsesHome::Embedded | ResponsesHome::Memory) | None => {}
    }
    responses
}

/// Lowers where a Redis is, which stands at `path`.
pub(super) fn lower_redis(entry: &RedisEntry, path: &Path, report: &mut Report) -> Option<Redis> {
    let servers = lower_servers(entry, path, report);
    if entry.sentinels.is_none() {
        let alone = [
            ("master", entry.master.is_some()),
            ("sentinel_username", entry.sentinel_username.is_some()),
            ("sentinel_password", entry.sentinel_password.is_some()),
        ];
        for (key, _) in alone.iter().filter(|(_, is_written)| *is_written) {
            report.mistake(&path.key(key), "stands beside `sentinels` only");
        }
    }
    if entry.cluster.is_some() && entry.database.is_some_and(|database| database != 0) {
        report.mistake(&path.key("database"), "a cluster has the database 0 only");
    }
    for (key, password) in [
        ("password", &entry.password),
        ("sentinel_password", &entry.sentinel_password),
    ] {
        match password {
            Some(password) if password.is_empty() => report.mistake(
                &path.key(key),
                "the password is empty; name a variable, such as `$env://NAME`, or leave it out",
            ),
            Some(password) if password.variables().next().is_none() => report.note(format!(
                "{path}.{key}: written in clear; `$env://NAME` keeps it out of the file"
            )),
            _ => {}
        }
    }
    if entry.username.is_some() && entry.password.is_none() {
        report.mistake(&path.key("password"), "missing; a user signs in with a password");
    }
    let tls = entry.tls.as_ref().map(|tls| {
        if tls.ca_file.as_ref().is_some_and(String::is_empty) {
            report.mistake(&path.key("tls").key("ca_file"), "the name of the file is empty");
        }
        UpstreamTls {
            ca_file: tls.ca_file.clone(),
            verify: tls.verify.unwrap_or(true),
        }
    });
    Some(Redis {
        servers: servers?,
        username: entry.username.clone(),
        password: entry.password.clone(),
        sentinel_username: entry.sentinel_username.clone(),
        sentinel_password: entry.sentinel_password.clone(),
        database: entry.database.unwrap_or(0),
        timeout_ms: entry
            .timeout
            .map_or(Responses::DEFAULT_REDIS_TIMEOUT_MS, Measure::value),
        tls,
    })
}

fn lower_servers(entry: &RedisEntry, path: &Path, report: &mut Report) -> Option<RedisServers> {
    match (&entry.address, &entry.cluster, &entry.sentinels) {
        (Some(one), None, None) => address(one, &path.key("address"), report).map(RedisServers::One),
        (None, Some(nodes), None) => {
            addresses(nodes, &path.key("cluster"), report).map(RedisServers::Cluster)
        }
        (None, None, Some(sentinels)) => {
            let addresses = addresses(sentinels, &path.key("sentinels"), report);
            let master = entry.master.clone().filter(|master| !master.is_empty());
            if master.is_none() {
                report.mistake(
                    &path.key("master"),
                    "missing; by which name do the sentinels know the master?",
                );
            }
            Some(RedisServers::Sentinels {
                addresses: addresses?,
                master: master?,
            })
        }
        (None, None, None) => {
            let written = ["address", "cluster", "sentinels"]
                .iter()
                .any(|key| report.tree.at(&path.key(key)).is_some());
            if !written {
                report.mistake(path, "name one of `address`, `cluster` and `sentinels`");
            }
            None
        }
        _ => {
            report.mistake(path, "name only one of `address`, `cluster` and `sentinels`");
            None
        }
    }
}

fn addresses(texts: &[String], path: &Path, report: &mut Report) -> Option<Vec<HostPort>> {
    if texts.is_empty() {
        report.mistake(path, "the list is empty; name at least one address");
        return None;
    }
    let places: Vec<Path> = (0..texts.len())
        .map(|position| report.item(path, position))
        .collect();
    let read: Vec<_> = texts
        .iter()
        .zip(&places)
        .map(|(text, place)| address(text, place, report))
        .collect();
    read.into_iter().collect()
}

fn address(text: &str, path: &Path, report: &mut Report) -> Option<HostPort> {
    let address = HostPort::parse(text, REDIS_PORT);
    if address.is_none() {
        report.mistake(
            path,
            format!("`{}` is no address; write `host:port`", quote(text)),
        );
    }
    address
}
