//! `tollgate audit`: what was done to a running gateway, and whether its log of that is whole.

use std::io::Write;

use http::Method;
use serde_json::Value;

use crate::cli::{AuditArguments, Failure};
use crate::sync::Admin;

/// Shows the audit log, or verifies it.
///
/// # Errors
/// The server cannot be read, or the log is broken.
pub fn audit(arguments: &AuditArguments) -> Result<(), Failure> {
    let admin = Admin::new(&arguments.server, &arguments.access)?;
    if arguments.verify {
        return verify(&admin, arguments);
    }
    let mut parameters = vec![format!("limit={}", arguments.limit)];
    for (name, value) in [
        ("since", &arguments.since),
        ("until", &arguments.until),
        ("actor", &arguments.actor),
        ("action", &arguments.action),
        ("object", &arguments.object),
    ] {
        if let Some(value) = value {
            parameters.push(format!("{name}={}", encoded(value)));
        }
    }
    if arguments.csv {
        parameters.push("format=csv".to_owned());
    }
    let answer = ask(&admin, &format!("/tollgate/v1/audit?{}", parameters.join("&")))?;
    let text = if arguments.csv {
        answer.1
    } else {
        let items = answer.0.get("items").and_then(Value::as_array);
        let lines = items.into_iter().flatten().map(|item| {
            if arguments.json {
                format!("{item}\n")
            } else {
                line(item)
            }
        });
        lines.collect()
    };
    // Whoever reads may stop reading, as `head` does.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    Ok(())
}

fn verify(admin: &Admin, arguments: &AuditArguments) -> Result<(), Failure> {
    let path = match &arguments.head {
        None => "/tollgate/v1/audit/verify".to_owned(),
        Some(head) => {
            let (seq, hash) = head.split_once(':').ok_or_else(|| {
                Failure::new("--head: write number and hash of an entry, such as 17:3f…, as an earlier --verify has told them")
            })?;
            format!(
                "/tollgate/v1/audit/verify?seq={}&hash={}",
                encoded(seq),
                encoded(hash)
            )
        }
    };
    let (told, _) = ask(admin, &path)?;
    if told.get("ok") != Some(&Value::Bool(true)) {
        let place = told.get("broken_at").and_then(Value::as_u64).unwrap_or_default();
        return Err(Failure::new(format!(
            "the audit log is broken at entry {place}: it was changed, removed or put elsewhere"
        )));
    }
    let head = told.get("head").unwrap_or(&Value::Null);
    let text = format!(
        "ok: {} entries\nhead: {}:{}\n",
        told.get("entries").unwrap_or(&Value::Null),
        head.get("seq").unwrap_or(&Value::Null),
        head.get("hash").and_then(Value::as_str).unwrap_or_default(),
    );
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    Ok(())
}

fn ask(admin: &Admin, path: &str) -> Result<(Value, String), Failure> {
    let answer = admin.call(&Method::GET, path, None)?;
    if answer.status.is_success() {
        return Ok((answer.body, answer.text));
    }
    let message = answer
        .body
        .get("error")
        .and_then(|error| error.get("message")?.as_str());
    Err(Failure::new(match message {
        Some(message) => format!("the server answered {}: {message}", answer.status.as_u16()),
        None => format!("the server answered {}", answer.status.as_u16()),
    }))
}

/// One entry in a line, and one for each change.
fn line(item: &Value) -> String {
    let word = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or("-");
    let objects: Vec<&str> = item
        .get("objects")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let mut text = format!(
        "{} {} {} ({}, {}) {} {}",
        item.get("seq").unwrap_or(&Value::Null),
        word("time"),
        word("actor"),
        word("role"),
        word("address"),
        word("action"),
        objects.join(" "),
    );
    if let Some(reason) = item.get("reason").and_then(Value::as_str) {
        text.push_str(reason);
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    for change in item
        .get("changes")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        let path = change.get("path").and_then(Value::as_str).unwrap_or_default();
        if !path.is_empty() {
            let side = |name: &str| match change.get(name) {
                None | Some(Value::Null) => "nothing".to_owned(),
                Some(value) => value.to_string(),
            };
            text.push_str(&format!("    {path}: {} -> {}\n", side("from"), side("to")));
        }
    }
    text
}

fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/:".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}
