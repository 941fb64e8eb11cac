//! A value in a bootstrap file, with its place, read as what a key asks for.
//!
//! APISIX's keys take several forms each and carry siblings that concern NGINX only, so they are read one by one instead
//! of through a type of the whole file. What is not as it should be becomes a mistake, and the key counts as absent.

use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;

use crate::report::{Report, quote};
use crate::tree::{Node, Path, Value, read_all};

/// A value and where it stands.
#[derive(Clone)]
pub(super) struct View<'a> {
    pub(super) path: Path,
    node: &'a Node,
}

impl<'a> View<'a> {
    pub(super) fn root(node: &'a Node) -> View<'a> {
        View {
            path: Path::root(),
            node,
        }
    }

    /// The value of a key; `None` when it is absent or null.
    pub(super) fn get(&self, key: &str) -> Option<View<'a>> {
        self.written(key)
            .filter(|view| !matches!(view.node.value, Value::Null))
    }

    /// The value of a key, be it null; `None` when it is absent.
    pub(super) fn written(&self, key: &str) -> Option<View<'a>> {
        self.node.get(key).map(|node| View {
            path: self.path.key(key),
            node,
        })
    }

    /// The map of a key.
    pub(super) fn section(&self, key: &str, report: &mut Report) -> Option<View<'a>> {
        let view = self.get(key)?;
        if matches!(view.node.value, Value::Map(_)) {
            return Some(view);
        }
        view.wrong("a map", report);
        None
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.node.keys()
    }

    pub(super) fn is_map(&self) -> bool {
        matches!(self.node.value, Value::Map(_))
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self.node.value, Value::List(_))
    }

    /// The value of a key, read as a type of `tollgate.yaml`. What it does not allow becomes a mistake.
    pub(super) fn typed<T: for<'de> Deserialize<'de>>(&self, key: &str, report: &mut Report) -> Option<T> {
        let view = self.get(key)?;
        let found = read_all::<T>(view.node);
        for fault in &found.faults {
            report.fault(&fault.within(&view.path));
        }
        found.value
    }

    /// The truth value of a key. The words are those that older YAML takes for truth values, and APISIX with it.
    pub(super) fn bool(&self, key: &str, report: &mut Report) -> Option<bool> {
        let view = self.get(key)?;
        let value = view.as_bool();
        if value.is_none() {
            view.wrong("`true` or `false`", report);
        }
        value
    }

    pub(super) fn as_bool(&self) -> Option<bool> {
        match &self.node.value {
            Value::Bool(value) => Some(*value),
            Value::Text(text) => match text.as_str() {
                "true" | "on" | "yes" => Some(true),
                "false" | "off" | "no" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// The text of a key.
    pub(super) fn text(&self, key: &str, report: &mut Report) -> Option<&'a str> {
        self.get(key)?.as_text(report)
    }

    pub(super) fn as_text(&self, report: &mut Report) -> Option<&'a str> {
        if let Value::Text(text) = &self.node.value {
            return Some(text);
        }
        self.wrong("text", report);
        None
    }

    /// A number, or text that is one: variables are replaced after the file was parsed.
    pub(super) fn as_number(&self) -> Option<u64> {
        match &self.node.value {
            Value::Unsigned(number) => Some(*number),
            Value::Text(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
            _ => None,
        }
    }

    /// A number, whole or not, or text that is one.
    pub(super) fn as_float(&self) -> Option<f64> {
        match &self.node.value {
            Value::Unsigned(number) => Some(*number as f64),
            Value::Float(number) => Some(*number),
            Value::Text(text) => text.parse().ok().filter(|number: &f64| number.is_finite()),
            _ => None,
        }
    }

    /// A number or text, as it would be written.
    pub(super) fn as_written(&self) -> Option<String> {
        match &self.node.value {
            Value::Unsigned(number) => Some(number.to_string()),
            Value::Text(text) => Some(text.clone()),
            _ => None,
        }
    }

    /// The items of a list.
    pub(super) fn items(&self) -> impl Iterator<Item = View<'a>> {
        self.node.items().iter().map(|item| View {
            path: self.path.index(item.index),
            node: &item.node,
        })
    }

    /// The list of texts of a key.
    pub(super) fn texts(&self, key: &str, report: &mut Report) -> Option<Vec<(Path, &'a str)>> {
        let list = self.get(key)?;
        if !list.is_list() {
            list.wrong("a list", report);
            return None;
        }
        let mut texts = Vec::new();
        for item in list.items() {
            if let Some(text) = item.as_text(report) {
                texts.push((item.path, text));
            }
        }
        Some(texts)
    }

    /// A port.
    pub(super) fn as_port(&self, report: &mut Report) -> Option<u16> {
        let port = self
            .as_number()
            .and_then(|number| u16::try_from(number).ok())
            .filter(|port| *port > 0);
        if port.is_none() {
            self.wrong("a port from 1 to 65535", report);
        }
        port
    }

    /// The address of `{ip, port}`, with defaults for either.
    pub(super) fn address(&self, ip: IpAddr, port: u16, report: &mut Report) -> Option<SocketAddr> {
        let ip = self.ip(ip, report);
        let port = match self.get("port") {
            None => Some(port),
            Some(view) => view.as_port(report),
        };
        Some(SocketAddr::new(ip?, port?))
    }

    /// The address of `{ip}`, with its default.
    pub(super) fn ip(&self, ip: IpAddr, report: &mut Report) -> Option<IpAddr> {
        let Some(view) = self.get("ip") else {
            return Some(ip);
        };
        let text = view.as_text(report)?;
        let bare = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'))
            .unwrap_or(text);
        let ip = bare.parse().ok();
        if ip.is_none() {
            report.mistake(
                &view.path,
                format!("`{}` is no IP address, such as `127.0.0.1` or `::`", quote(text)),
            );
        }
        ip
    }

    /// Records that something else was expected. Text is not repeated: it may be a secret at a wrong place.
    pub(super) fn wrong(&self, expected: &str, report: &mut Report) {
        let found = match &self.node.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a truth value",
            Value::Unsigned(_) | Value::Signed(_) | Value::Float(_) => "a number",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        };
        let hint = match &self.node.value {
            Value::Bool(_) | Value::Unsigned(_) | Value::Signed(_) | Value::Float(_)
                if expected == "text" =>
            {
                "; put it in quotes"
            }
            _ => "",
        };
        report.mistake(&self.path, format!("expected {expected}, found {found}{hint}"));
    }
}
