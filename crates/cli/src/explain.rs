//! `tollgate explain`: what would become of a call.

use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};

use http::Method;
use serde_json::{Map, Value, json};
use tollgate_gateway::Question;
use tollgate_resources::SecretRef;

use crate::cli::{ExplainArguments, Failure};
use crate::offline;
use crate::secret_files::lookup;
use crate::sync::Admin;

/// Explains a call by a configuration or by a running gateway.
///
/// # Errors
/// The configuration has mistakes, the server does not answer, or there is no such request.
pub fn explain(arguments: &ExplainArguments) -> Result<(), Failure> {
    let question = question(arguments)?;
    let told = match &arguments.server {
        Some(server) => ask(server, arguments, &question)?,
        None => {
            let (gateway, _) = offline::gateway(&arguments.source)?;
            let question = Question::of_json(question).map_err(Failure::new)?;
            gateway.explain(question).map_err(Failure::new)?
        }
    };
    let text = if arguments.json {
        format!("{told:#}\n")
    } else {
        for_people(&told)
    };
    // Whoever reads may stop reading, as `head` does.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    Ok(())
}

/// The call, as the Admin API takes it.
fn question(arguments: &ExplainArguments) -> Result<Value, Failure> {
    let mut headers = Map::new();
    for header in &arguments.header {
        let (name, value) = header.split_once(':').ok_or_else(|| {
            Failure::new(format!(
                "--header `{header}`: write it as in `Host: api.example.com`"
            ))
        })?;
        headers.insert(name.trim().to_ascii_lowercase(), value.trim().into());
    }
    if let Some(key) = &arguments.key {
        let key = SecretRef::new(key).map_err(Failure::new)?;
        let key = key.resolve(&lookup).map_err(Failure::new)?;
        headers.insert(
            "authorization".to_owned(),
            format!("Bearer {}", key.expose()).into(),
        );
    }
    let body = match (&arguments.data, &arguments.model) {
        (Some(data), _) => Value::String(read(data)?),
        (None, Some(model)) => {
            let prompt = arguments.prompt.as_deref().unwrap_or("Hello");
            json!({"model": model, "messages": [{"role": "user", "content": prompt}]})
        }
        (None, None) if arguments.method == "GET" => Value::Null,
        (None, None) => {
            return Err(Failure::new(
                "say what is asked for: --model NAME, or --data with the body of the call",
            ));
        }
    };
    Ok(json!({
        "method": arguments.method,
        "path": arguments.path,
        "headers": headers,
        "body": body,
        "client": arguments.client,
    }))
}

fn read(data: &str) -> Result<String, Failure> {
    let failed = |error: std::io::Error| Failure::new(format!("--data {data}: {error}"));
    match data.strip_prefix('@') {
        None => Ok(data.to_owned()),
        Some("-") => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map_err(failed)?;
            Ok(text)
        }
        Some(file) => fs::read_to_string(file).map_err(failed),
    }
}

fn ask(server: &str, arguments: &ExplainArguments, question: &Value) -> Result<Value, Failure> {
    let path = "/tollgate/v1/explain";
    let answer = Admin::new(server, &arguments.access)?.call(&Method::POST, path, Some(question))?;
    if !answer.status.is_success() {
        return Err(Failure::new(format!("{path}: {}", answer.reason())));
    }
    Ok(answer.body)
}

/// What matters most, a line each.
fn for_people(told: &Value) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // A String takes whatever is written.
        let _ = writeln!(text, "{name:<10} {}", clean(&value));
    };
    let word = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let route = &told["route"];
    if route.is_null() {
        line("route", "none".to_owned());
    } else {
        let name = route["name"]
            .as_str()
            .map(|name| format!(" ({name})"))
            .unwrap_or_default();
        line(
            "route",
            format!("{}{name}, of the {}", word(&route["id"]), word(&route["from"])),
        );
    }
    let credential = told["credential"]
        .as_str()
        .map(|id| format!(", by credential {id}"));
    line(
        "consumer",
        word(&told["consumer"]) + &credential.unwrap_or_default(),
    );
    if told["operation"].is_string() {
        let streamed = if told["stream"] == true { ", streamed" } else { "" };
        line(
            "asks for",
            format!(
                "{} of {} in {}{streamed}, about {} input tokens",
                word(&told["operation"]),
                word(&told["model"]),
                word(&told["dialect"]),
                told["estimated_input_tokens"]
            ),
        );
    }
    for plugin in list(&told["plugins"]).filter(|plugin| plugin["says"] != "next") {
        let status = plugin["status"]
            .as_u64()
            .map(|status| format!(" {status} {}", word(&plugin["code"])));
        line(
            "plugin",
            format!(
                "{}: {}{}",
                word(&plugin["name"]),
                word(&plugin["says"]),
                status.unwrap_or_default()
            ),
        );
    }
    for (name, value) in told["answer_headers"].as_object().into_iter().flatten() {
        line("tells", format!("{name}: {}", value.as_str().unwrap_or_default()));
    }
    let request = &told["request"];
    for model in list(&told["models"]) {
        line(
            "model",
            format!("{}, by {}", word(&model["name"]), word(&model["chosen_by"])),
        );
        for instance in list(&model["instances"]) {
            let is_chosen = request["instance"] == instance["name"] && request["model"] == model["name"];
            let state = match (
                instance["usable"] == true,
                instance["standing"].as_str(),
                instance["state"].as_str(),
            ) {
                (true, ..) => "takes calls".to_owned(),
                (false, Some("in_service"), Some(state)) => state.to_owned(),
                (false, Some("in_service"), None) => "ill by checks".to_owned(),
                (false, standing, _) => standing.unwrap_or("-").to_owned(),
            };
            line(
                if is_chosen { "  chosen" } else { "  instance" },
                format!(
                    "{} at {}, {state}",
                    word(&instance["name"]),
                    word(&instance["provider"])
                ),
            );
        }
    }
    for loss in list(&told["losses"]) {
        line("loses", word(&loss["effect"]));
    }
    if !request.is_null() {
        line(
            "sends",
            format!("{} {}", word(&request["method"]), word(&request["url"])),
        );
        for (name, value) in request["headers"].as_object().into_iter().flatten() {
            line("", format!("{name}: {}", value.as_str().unwrap_or_default()));
        }
        line("", word(&request["body"]));
    }
    let answer = &told["answer"];
    if !answer.is_null() {
        line(
            "answers",
            format!("{} by itself: {}", answer["status"], word(&answer["body"])),
        );
    }
    for note in list(&told["notes"]) {
        line("note", word(note));
    }
    text
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Without what a terminal would obey.
fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}
