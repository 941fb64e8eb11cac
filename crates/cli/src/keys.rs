//! `tollgate keys`: virtual keys of a running gateway, through its Admin API.

use std::io::Write as _;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

use crate::cli::{Access, Failure};
use crate::sync::{Admin, segment};

/// Arguments of `keys`.
#[derive(Args)]
pub struct KeysArguments {
    /// What to do.
    #[command(subcommand)]
    pub command: KeysCommand,
}

/// What can be done with keys.
#[derive(Subcommand)]
pub enum KeysCommand {
    /// Make a key; its secret is printed once, on standard output
    Create(CreateArguments),
    /// List keys
    List(ListArguments),
    /// Give a key a new secret, which is printed once
    Rotate(RotateArguments),
    /// Refuse a key's calls from now on
    Disable(OneArguments),
    /// Let a disabled key call again
    Enable(OneArguments),
    /// Remove a key
    Delete(OneArguments),
}

/// Where the gateway is.
#[derive(Args)]
pub struct ServerArguments {
    /// The Admin API
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:9180",
        env = "TOLLGATE_SERVER"
    )]
    pub server: String,
    /// How to talk to it.
    #[command(flatten)]
    pub access: Access,
}

/// Arguments of `keys create`.
#[derive(Args)]
pub struct CreateArguments {
    /// Consumer that the key calls as
    #[arg(long, required_unless_present = "team")]
    pub consumer: Option<String>,
    /// Team that the key calls for
    #[arg(long)]
    pub team: Option<String>,
    /// Name for people
    #[arg(long)]
    pub name: Option<String>,
    /// Id; made up if nothing is said
    #[arg(long)]
    pub id: Option<String>,
    /// A model it may use, or a pattern with `*`; may be given more than once
    #[arg(long = "model", value_name = "MODEL")]
    pub models: Vec<String>,
    /// Until when it may be used, such as 2027-12-31T00:00:00Z
    #[arg(long, value_name = "TIME")]
    pub expires_at: Option<String>,
    /// What it may spend, in US dollars
    #[arg(long, value_name = "USD", requires = "per")]
    pub budget: Option<String>,
    /// In which time: hour, day, week, month or total
    #[arg(long, value_name = "PERIOD", requires = "budget")]
    pub per: Option<String>,
    /// Where the gateway is.
    #[command(flatten)]
    pub server: ServerArguments,
}

/// Arguments of `keys list`.
#[derive(Args)]
pub struct ListArguments {
    /// Only keys of this consumer
    #[arg(long)]
    pub consumer: Option<String>,
    /// Only keys of this team
    #[arg(long)]
    pub team: Option<String>,
    /// Only keys in this state: active, disabled or expired
    #[arg(long)]
    pub state: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// Where the gateway is.
    #[command(flatten)]
    pub server: ServerArguments,
}

/// Arguments of `keys rotate`.
#[derive(Args)]
pub struct RotateArguments {
    /// Id of the key
    pub id: String,
    /// How long the old secret works, such as 24h
    #[arg(long, value_name = "TIME", default_value = "0s")]
    pub grace: String,
    /// Where the gateway is.
    #[command(flatten)]
    pub server: ServerArguments,
}

/// Arguments that name a key.
#[derive(Args)]
pub struct OneArguments {
    /// Id of the key
    pub id: String,
    /// Where the gateway is.
    #[command(flatten)]
    pub server: ServerArguments,
}

/// Does it.
///
/// # Errors
/// The gateway does not answer, or refuses.
pub fn keys(arguments: &KeysArguments) -> Result<(), Failure> {
    match &arguments.command {
        KeysCommand::Create(create) => {
            let key = ask(&create.server, &Method::POST, "keys", Some(&body_of(create)))?;
            secret(&key)
        }
        KeysCommand::List(list) => show(list),
        KeysCommand::Rotate(rotate) => {
            let path = format!("keys/{}/rotate", segment(&rotate.id));
            let key = ask(
                &rotate.server,
                &Method::POST,
                &path,
                Some(&json!({"grace": rotate.grace})),
            )?;
            secret(&key)
        }
        KeysCommand::Disable(one) => switch(one, true),
        KeysCommand::Enable(one) => switch(one, false),
        KeysCommand::Delete(one) => {
            ask(
                &one.server,
                &Method::DELETE,
                &format!("keys/{}", segment(&one.id)),
                None,
            )?;
            say(&format!("removed {}", one.id));
            Ok(())
        }
    }
}

/// For the person who typed the command; programs read standard output.
fn say(text: &str) {
    // Without standard error it has been done all the same.
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn body_of(create: &CreateArguments) -> Value {
    let mut body = Map::new();
    let texts = [
        ("consumer", &create.consumer),
        ("team", &create.team),
        ("name", &create.name),
        ("id", &create.id),
        ("expires_at", &create.expires_at),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            body.insert(name.to_owned(), text.as_str().into());
        }
    }
    if !create.models.is_empty() {
        body.insert("models".to_owned(), create.models.clone().into());
    }
    if let (Some(usd), Some(per)) = (&create.budget, &create.per) {
        body.insert("budget".to_owned(), json!({"usd": usd, "per": per}));
    }
    Value::Object(body)
}

fn switch(one: &OneArguments, disabled: bool) -> Result<(), Failure> {
    let path = format!("keys/{}", segment(&one.id));
    let key = ask(
        &one.server,
        &Method::PATCH,
        &path,
        Some(&json!({"disabled": disabled})),
    )?;
    say(&format!("{} is {}", one.id, text(&key, "state")));
    Ok(())
}

/// Prints the secret alone, so that it can be piped, and what it is beside it.
fn secret(key: &Value) -> Result<(), Failure> {
    say(&format!(
        "key {}; its secret is shown this once:",
        text(key, "id")
    ));
    writeln!(std::io::stdout(), "{}", text(key, "key")).map_err(Failure::new)
}

fn show(list: &ListArguments) -> Result<(), Failure> {
    let filters = [
        ("consumer", &list.consumer),
        ("team", &list.team),
        ("state", &list.state),
    ];
    let mut all = Vec::new();
    let mut after = String::new();
    loop {
        let mut path = format!("keys?limit=1000&after={}", segment(&after));
        for (name, wanted) in filters {
            if let Some(wanted) = wanted {
                path.push_str(&format!("&{name}={}", segment(wanted)));
            }
        }
        let mut page = ask(&list.server, &Method::GET, &path, None)?;
        if let Some(items) = page["items"].as_array_mut() {
            all.append(items);
        }
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut after),
            None => break,
        }
    }
    let mut out = std::io::stdout().lock();
    if list.json {
        return writeln!(out, "{}", Value::Array(all)).map_err(Failure::new);
    }
    let mut lines = vec![
        [
            "ID",
            "PREFIX",
            "STATE",
            "CONSUMER",
            "TEAM",
            "EXPIRES",
            "LAST USED",
            "NAME",
        ]
        .map(str::to_owned),
    ];
    lines.extend(all.iter().map(|key| {
        [
            "id",
            "prefix",
            "state",
            "consumer",
            "team",
            "expires_at",
            "last_used_at",
            "name",
        ]
        .map(|name| text(key, name).to_owned())
    }));
    let width = |column: usize| {
        lines
            .iter()
            .filter_map(|line| line.get(column))
            .map(String::len)
            .max()
    };
    let widths: Vec<usize> = (0..8).map(|column| width(column).unwrap_or(0)).collect();
    for line in &lines {
        let cells = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:width$}"));
        let text = cells.collect::<Vec<_>>().join("  ");
        writeln!(out, "{}", text.trim_end()).map_err(Failure::new)?;
    }
    Ok(())
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn ask(
    server: &ServerArguments,
    method: &Method,
    path: &str,
    body: Option<&Value>,
) -> Result<Value, Failure> {
    let admin = Admin::new(&server.server, &server.access)?;
    let answer = admin.call(method, &format!("/tollgate/v1/{path}"), body)?;
    if answer.status.is_success() {
        return Ok(answer.body);
    }
    let message = answer.body["error"]["message"].as_str().map(str::to_owned);
    Err(Failure::new(message.unwrap_or_else(|| answer.reason())))
}
