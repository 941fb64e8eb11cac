//! The rules for writing an object that need neither the store nor plugins, in APISIX's order and with its texts.
//!
//! Afterwards the admin crate looks up what the object refers to ([`refs`](super::refs)), asks the plugins, and checks
//! expressions and certificates. Nothing is filled in, with one exception: a number such as `1.0` is written as `1`, because
//! that is how it comes back from APISIX, and because a whole number is what the gateway then reads.

use std::net::Ipv6Addr;
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::refs::id_text;
use super::schema::{self, Schema};
use super::{Consumer, Credential, Kind, PluginSet, Route, Service, Ssl, Upstream};

/// How an object is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// As a whole, under an id that the client gives.
    Put,
    /// As a whole, under an id that the store will give.
    Post,
    /// As the result of a patch: has its times.
    Patch,
}

/// What to do with `filter_func` and `script`, which hold Lua. The gateway cannot run Lua.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lua {
    /// Refuse the object. Ignoring a condition would serve calls that its author has kept out.
    Refuse,
    /// Let it through, for tools that only validate; what APISIX would plainly not load is still refused.
    Keep,
}

/// An object that may be stored as far as this module knows.
#[derive(Clone, Debug, PartialEq)]
pub struct Accepted {
    /// Its id as its [`Kind`] has it; `None` for one that the store will number. Of a credential that came with an id in the
    /// path this is the short id.
    pub id: Option<String>,
    /// Its value, with the id (but for consumers).
    pub value: Map<String, Value>,
}

/// Why an object is not stored. The text is for the client, with status 400.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Neither path nor body have an id.
    #[error("missing {0} id")]
    MissingId(Kind),
    /// The path does not name a plugin.
    #[error("missing plugin name")]
    MissingPluginName,
    /// The id is given where the store chooses it.
    #[error("wrong {0} id, do not need it")]
    NeedlessId(Kind),
    /// Path and body have different ids.
    #[error("wrong {0} id")]
    WrongId(Kind),
    /// Path and body have different usernames.
    #[error("wrong username")]
    WrongUsername,
    /// A property that only the store sets, or one inside another.
    #[error("the property is forbidden:  {0}")]
    Forbidden(String),
    /// `host` beside `hosts`.
    #[error("only one of host or hosts is allowed")]
    BothHosts,
    /// `remote_addr` beside `remote_addrs`.
    #[error("only one of remote_addr or remote_addrs is allowed")]
    BothAddresses,
    /// Against the schema.
    #[error("invalid configuration: {0}")]
    Invalid(String),
    /// A manager of secrets that is not known.
    #[error("invalid secret manager: {0}")]
    UnknownManager(String),
    /// A port that does not exist.
    #[error("invalid port {0}")]
    InvalidPort(String),
    /// `pass_host` is `rewrite`, but to what?
    #[error("`upstream_host` can't be empty when `pass_host` is `rewrite`")]
    MissingUpstreamHost,
    /// A consistent hash of nothing.
    #[error("missing key")]
    MissingKey,
    /// Further certificates without keys, or keys without certificates.
    #[error("mismatched number of certs and keys")]
    UnevenCerts,
    /// A function or script in Lua.
    #[error("failed to load '{field}' string: {reason}")]
    Lua {
        /// `filter_func` or `script`.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

/// Checks an object that is to be written.
///
/// `id_in_path` is what follows the collection in the path: for secrets `<manager>/<id>`, for credentials the id after
/// `credentials/`, for consumers the username, for plugin metadata the plugin's name. An entry of a standalone document has
/// its id in the body.
///
/// # Errors
/// The first rule that the object breaks.
pub fn check(
    kind: Kind,
    write: Write,
    id_in_path: Option<&str>,
    body: Map<String, Value>,
    lua: Lua,
) -> Result<Accepted, Refused> {
    let mut value = as_stored(body);
    set_id(kind, write, id_in_path, &mut value)?;
    if write != Write::Patch {
        check_times(&value)?;
    }
    check_both(kind, &value)?;
    if kind == Kind::Upstream {
        check_addresses(&value)?;
    }
    let value = check_schema(kind, value)?;
    let id = check_id(kind, id_in_path, &value)?;
    match kind {
        Kind::Upstream => check_upstream(&value)?,
        Kind::Ssl => check_ssl(&value)?,
        _ => {}
    }
    if let (Kind::Route | Kind::Service, Some(Value::Object(upstream))) = (kind, value.get("upstream")) {
        check_addresses(upstream)?;
        check_upstream(upstream)?;
    }
    check_lua(&value, "filter_func", lua)?;
    check_lua(&value, "script", lua)?;
    Ok(Accepted { id, value })
}

/// Writes whole numbers as whole numbers, whichever way they came.
fn as_stored(body: Map<String, Value>) -> Map<String, Value> {
    fn whole(value: Value) -> Value {
        match value {
            Value::Number(number) => match number.as_f64() {
                Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < EXACT => {
                    Value::from(float as i64)
                }
                _ => Value::Number(number),
            },
            Value::Array(items) => items.into_iter().map(whole).collect(),
            Value::Object(object) => Value::Object(as_stored(object)),
            plain => plain,
        }
    }
    body.into_iter()
        .map(|(name, value)| (name, whole(value)))
        .collect()
}

/// Brings the ids of path and body together.
fn set_id(
    kind: Kind,
    write: Write,
    in_path: Option<&str>,
    value: &mut Map<String, Value>,
) -> Result<(), Refused> {
    match kind {
        Kind::Consumer => return Ok(()),
        Kind::PluginMetadata => {
            // In a document the entry says itself which plugin it is for.
            let name = in_path.or_else(|| value.get("id").and_then(Value::as_str));
            let name = name.ok_or(Refused::MissingPluginName)?.to_owned();
            value.insert("id".to_owned(), name.into());
            return Ok(());
        }
        _ => {}
    }
    let in_body = value.get("id").filter(|id| **id != Value::Bool(false));
    match (write, in_path, in_body) {
        (Write::Post, None, None) => {
            value.remove("id");
        }
        (Write::Post, _, _) => return Err(Refused::NeedlessId(kind)),
        (_, None, None) => return Err(Refused::MissingId(kind)),
        (_, None, Some(_)) => {}
        (_, Some(path), Some(body)) if id_text(body).as_deref() != Some(path) => {
            return Err(Refused::WrongId(kind));
        }
        (_, Some(path), _) => {
            value.insert("id".to_owned(), path.into());
        }
    }
    Ok(())
}

/// Times are the store's.
fn check_times(value: &Map<String, Value>) -> Result<(), Refused> {
    for (inside, prefix) in [
        (Some(value), ""),
        (value.get("upstream").and_then(Value::as_object), "upstream."),
        (value.get("plugins").and_then(Value::as_object), "plugins."),
    ] {
        for name in ["create_time", "update_time"] {
            if inside.is_some_and(|object| is_given(object, name)) {
                return Err(Refused::Forbidden(format!("{prefix}{name}")));
            }
        }
    }
    Ok(())
}

fn check_both(kind: Kind, value: &Map<String, Value>) -> Result<(), Refused> {
    let both = |one, other| kind == Kind::Route && is_given(value, one) && is_given(value, other);
    if both("host", "hosts") {
        return Err(Refused::BothHosts);
    }
    if both("remote_addr", "remote_addrs") {
        return Err(Refused::BothAddresses);
    }
    Ok(())
}

fn check_schema(kind: Kind, value: Map<String, Value>) -> Result<Map<String, Value>, Refused> {
    let checker = match kind {
        Kind::Secret => {
            let id = value.get("id").and_then(Value::as_str).unwrap_or_default();
            let manager = id.split_once('/').map_or(id, |(manager, _)| manager);
            schema::checker_of_manager(manager).ok_or_else(|| Refused::UnknownManager(manager.to_owned()))?
        }
        kind => schema::checker(kind),
    };
    let whole = Value::Object(value);
    checker.check(&whole).map_err(Refused::Invalid)?;
    check_readable(kind, &whole)?;
    match whole {
        Value::Object(value) => Ok(value),
        _ => Ok(Map::new()),
    }
}

/// Whether the gateway can read the object. A schema lets a reference to a secret pass where the gateway needs to know one of
/// a few words, or the nodes, and what it cannot read it must not keep.
fn check_readable(kind: Kind, value: &Value) -> Result<(), Refused> {
    fn read<'a, T: Deserialize<'a>>(value: &'a Value) -> Result<(), serde_json::Error> {
        T::deserialize(value).map(drop)
    }
    let result = match kind {
        Kind::Route => read::<Route>(value),
        Kind::Service => read::<Service>(value),
        Kind::Upstream => read::<Upstream>(value),
        Kind::Consumer => read::<Consumer>(value),
        Kind::Credential => read::<Credential>(value),
        Kind::ConsumerGroup | Kind::PluginConfig | Kind::GlobalRule => read::<PluginSet>(value),
        Kind::Ssl => read::<Ssl>(value),
        Kind::PluginMetadata | Kind::Secret | Kind::Proto | Kind::StreamRoute => Ok(()),
        // They are read by `governance`, and come by no way of APISIX's.
        Kind::Team | Kind::VirtualKey | Kind::Budget | Kind::Limit => Ok(()),
    };
    result.map_err(|error| Refused::Invalid(error.to_string()))
}

/// The id as text. A schema lets references to secrets pass as ids, and numbers that no path can hold; neither is an id.
fn check_id(
    kind: Kind,
    in_path: Option<&str>,
    value: &Map<String, Value>,
) -> Result<Option<String>, Refused> {
    let invalid = |name: &str, violation: &str| {
        Err(Refused::Invalid(format!(
            "property \"{name}\" validation failed: {violation}"
        )))
    };
    if kind == Kind::Consumer {
        let username = value.get("username").and_then(Value::as_str).unwrap_or_default();
        if schema::is_secret_reference(username) {
            return invalid("username", "a reference to a secret cannot be a name");
        }
        return match in_path {
            Some(path) if path != username => Err(Refused::WrongUsername),
            _ => Ok(Some(username.to_owned())),
        };
    }
    let Some(id) = value.get("id") else {
        return Ok(None);
    };
    let names: Vec<&str> = match (kind, id) {
        (_, Value::Number(number)) => {
            return match number.as_u64() {
                Some(number) => Ok(Some(number.to_string())),
                None => invalid("id", NO_BRANCH),
            };
        }
        (_, Value::String(id)) => id.split('/').collect(),
        _ => return invalid("id", NO_BRANCH),
    };
    let is_shaped = match (kind, names.as_slice()) {
        (Kind::Secret, names) => names.len() == 2,
        (Kind::Credential, [_, "credentials", _]) => true,
        (_, names) => names.len() == 1,
    };
    if !is_shaped || !names.iter().all(|name| is_id(name)) {
        return invalid("id", NO_BRANCH);
    }
    Ok(Some(names.join("/")))
}

fn is_id(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}

/// Addresses of IPv6 in a list of nodes stand in brackets, because a port may follow.
fn check_addresses(upstream: &Map<String, Value>) -> Result<(), Refused> {
    let nodes = upstream.get("nodes").and_then(Value::as_array);
    let is_bare = |node: &Value| {
        let host = node.get("host").and_then(Value::as_str);
        host.is_some_and(|host| host.parse::<Ipv6Addr>().is_ok())
    };
    if nodes.into_iter().flatten().any(is_bare) {
        return Err(Refused::Invalid(
            "IPv6 address must be enclosed with '[' and ']'".to_owned(),
        ));
    }
    Ok(())
}

/// What a check sends must not add a line to its head.
fn check_probes(upstream: &Map<String, Value>) -> Result<(), Refused> {
    let active = upstream.get("checks").and_then(|checks| checks.get("active"));
    let Some(active) = active else { return Ok(()) };
    for field in ["req_headers", "host", "http_path"] {
        let texts: &[Value] = match active.get(field) {
            Some(Value::Array(texts)) => texts,
            Some(text) => std::slice::from_ref(text),
            None => &[],
        };
        let mut texts = texts.iter().filter_map(Value::as_str);
        if texts.any(|text| text.contains(|c: char| c.is_ascii_control() && c != '\t')) {
            return Err(Refused::Invalid(format!(
                "checks.active.{field}: cannot stand in the head of a request"
            )));
        }
    }
    Ok(())
}

fn check_upstream(upstream: &Map<String, Value>) -> Result<(), Refused> {
    let text = |name: &str| upstream.get(name).and_then(Value::as_str);
    if let Some(Value::Object(nodes)) = upstream.get("nodes") {
        for port in nodes.keys().filter_map(|address| port_of(address)) {
            if !port.parse().is_ok_and(|port: u16| port > 0) {
                let shown = port.trim_start_matches('0');
                return Err(Refused::InvalidPort(
                    if shown.is_empty() { "0" } else { shown }.to_owned(),
                ));
            }
        }
    }
    if text("pass_host") == Some("rewrite") && text("upstream_host").is_none_or(str::is_empty) {
        return Err(Refused::MissingUpstreamHost);
    }
    check_probes(upstream)?;
    if text("type") != Some("chash") {
        return Ok(());
    }
    let key_schema = match text("hash_on").unwrap_or("vars") {
        "consumer" => return Ok(()),
        "vars" => &*KEY_VARIABLE,
        "vars_combinations" => &*KEY_TEXT,
        _ => &*KEY_NAME,
    };
    let key = upstream.get("key").ok_or(Refused::MissingKey)?;
    key_schema.check(key).map_err(Refused::Invalid)
}

/// The port of `host:port` or `[address]:port`, if it is a number.
fn port_of(address: &str) -> Option<&str> {
    let port = match address.strip_prefix('[') {
        Some(rest) => rest.rsplit_once("]:")?.1,
        None => match address.rsplit_once(':')? {
            // An address of IPv6 without brackets has no port.
            (host, _) if host.contains(':') => return None,
            (_, port) => port,
        },
    };
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then_some(port)
}

fn check_ssl(ssl: &Map<String, Value>) -> Result<(), Refused> {
    let count = |name: &str| ssl.get(name).and_then(Value::as_array).map_or(0, Vec::len);
    let is_client = ssl.get("type").is_some_and(|role| role == "client");
    if !is_client && count("certs") != count("keys") {
        return Err(Refused::UnevenCerts);
    }
    Ok(())
}

fn check_lua(value: &Map<String, Value>, field: &'static str, lua: Lua) -> Result<(), Refused> {
    let Some(Value::String(text)) = value.get(field) else {
        return Ok(());
    };
    let refuse = |reason: String| Err(Refused::Lua { field, reason });
    if field == "filter_func" && !text.trim_end().ends_with("end") {
        let loaded = format!("return {text}");
        let line = loaded.lines().count();
        let shown = loaded.lines().next().unwrap_or_default();
        let dots = if line > 1 { "..." } else { "" };
        return refuse(format!(
            "[string \"{shown}{dots}\"]:{line}: 'end' expected near '<eof>'"
        ));
    }
    match lua {
        Lua::Refuse if field == "filter_func" => {
            refuse("this gateway does not run Lua; express the condition with 'vars'".to_owned())
        }
        Lua::Refuse => refuse("this gateway does not run Lua; use 'plugins'".to_owned()),
        Lua::Keep => Ok(()),
    }
}

/// Whether a property counts as there, for Lua.
fn is_given(object: &Map<String, Value>, name: &str) -> bool {
    object.get(name).is_some_and(|value| *value != Value::Bool(false))
}

fn pattern(pattern: &str) -> Schema {
    Schema::of_own(&json!({"type": "string", "pattern": pattern}))
}

static KEY_VARIABLE: LazyLock<Schema> = LazyLock::new(|| pattern(KEY_VARIABLE_PATTERN));
static KEY_NAME: LazyLock<Schema> = LazyLock::new(|| pattern("^[a-zA-Z0-9-_]+$"));
static KEY_TEXT: LazyLock<Schema> = LazyLock::new(|| Schema::of_own(&json!({"type": "string"})));

const KEY_VARIABLE_PATTERN: &str = concat!(
    "^((uri|server_name|server_addr|request_uri|remote_port",
    "|remote_addr|query_string|host|hostname|mqtt_client_id)",
    "|arg_[0-9a-zA-z_-]+)$"
);

/// The words of `anyOf` when no branch fits.
const NO_BRANCH: &str = "object matches none of the required";

/// Whole numbers up to here are exact as floating point numbers: 2^53.
const EXACT: f64 = 9_007_199_254_740_992.0;

#[cfg(test)]
mod tests;
