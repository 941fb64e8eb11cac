//! `tollgate sync`, `diff`, `validate` and `dump --server`: ADC's files on one side, an Admin API on the other.
//!
//! ```text
//! files -- adc::lower --> wanted --+
//!                                  +--> plan --> changes --> show, calls
//! server -- state --> there -------+
//! ```
//!
//! It knows the Admin API's calls and their order. What the files mean is known by `tollgate_resources::adc`.

mod client;
mod difference;
mod path;
mod plan;
mod show;
mod state;

pub use difference::hidden;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use tollgate_resources::adc::{AdcDocument, Labels, UPSTREAM_OF_SERVICE, lower_adc, to_adc_yaml};
use tollgate_resources::objects::{Kind, ObjectKey};

use crate::cli::{DumpArguments, Failure, FilesArguments, SyncArguments};
use crate::load::env;
pub use client::Admin;
pub use path::segment;
use plan::{Change, is_meant, owned, plan};
use show::{Colours, Progress, show};

/// The file when none is named.
const DEFAULT_FILE: &str = "adc.yaml";

/// The server when none is named.
const DEFAULT_SERVER: &str = "http://127.0.0.1:9180";

/// Changes in a row that get no answer before the others are not tried any more.
const MAX_UNANSWERED: usize = 3;

/// Makes a server's configuration what the files say.
///
/// # Errors
/// Mistakes in the files; the server cannot be read; changes that it refused.
pub fn sync(arguments: &SyncArguments) -> Result<(), Failure> {
    let document = read_files(&arguments.files.files)?;
    let admin = admin(&arguments.files)?;
    let changes = compare(&arguments.files, &document, &admin)?;
    if changes.is_empty() {
        return say("nothing to change");
    }
    show(&changes, Colours::of_output(), &mut std::io::stdout().lock()).map_err(Failure::new)?;
    if arguments.dry_run {
        return say("dry run: nothing was changed");
    }
    let mut failures = Vec::new();
    let (mut tried, mut made, mut unanswered) = (0, 0, 0);
    let progress = Progress::new(changes.len());
    for change in &changes {
        tried += 1;
        match apply(&admin, change) {
            Ok(()) => {
                made += 1;
                unanswered = 0;
            }
            Err(refusal) => {
                unanswered = if refusal.answered { 0 } else { unanswered + 1 };
                failures.push(refusal.text);
            }
        }
        progress.tell(tried);
        if unanswered == MAX_UNANSWERED {
            failures.push("the server does not answer any more; gave up".to_owned());
            break;
        }
    }
    drop(progress);
    say(&format!("{made} of {} changes made", changes.len()))?;
    match failures.is_empty() {
        true => Ok(()),
        false => Err(Failure::all(failures)),
    }
}

/// Shows what [`sync`] would change.
///
/// # Errors
/// Mistakes in the files; the server cannot be read.
pub fn diff(arguments: &FilesArguments) -> Result<(), Failure> {
    let document = read_files(&arguments.files)?;
    let changes = compare(arguments, &document, &admin(arguments)?)?;
    if changes.is_empty() {
        return say("nothing to change");
    }
    show(&changes, Colours::of_output(), &mut std::io::stdout().lock()).map_err(Failure::new)
}

/// Lets the server check the files.
///
/// # Errors
/// Mistakes, found here or there.
pub fn validate(arguments: &FilesArguments) -> Result<(), Failure> {
    let document = read_files(&arguments.files)?;
    let mut objects = document.objects(&labels(arguments));
    objects.retain(|(key, value)| is_meant(key, value, &arguments.selection));
    // Credentials are no part of what the server checks here.
    let sections = [
        Kind::Route,
        Kind::Service,
        Kind::Consumer,
        Kind::Ssl,
        Kind::GlobalRule,
        Kind::StreamRoute,
        Kind::PluginMetadata,
        Kind::Upstream,
    ]
    .map(|kind| {
        let of_kind = objects.iter().filter(|(key, _)| key.kind == kind);
        (kind, of_kind.collect::<Vec<_>>())
    });
    let body: Map<String, Value> = sections
        .iter()
        .map(|(kind, objects)| {
            let list = objects.iter().map(|(key, value)| with_id(key, value)).collect();
            (kind.collection().to_owned(), Value::Array(list))
        })
        .collect();
    let answer = admin(arguments)?.call(
        &Method::POST,
        "/apisix/admin/configs/validate",
        Some(&Value::Object(body)),
    )?;
    match answer.status {
        status if status.is_success() => say(&format!("ok: {} objects", objects.len())),
        StatusCode::NOT_FOUND => Err(Failure::new("this server cannot check a configuration")),
        StatusCode::BAD_REQUEST => {
            let errors = answer.body.get("errors").and_then(Value::as_array);
            let errors: Vec<String> = errors
                .into_iter()
                .flatten()
                .map(|error| {
                    let section = error.get("resource_type").and_then(Value::as_str);
                    let index = error.get("index").and_then(Value::as_u64);
                    let text = error.get("error").and_then(Value::as_str).unwrap_or("refused");
                    let object = sections
                        .iter()
                        .find(|(kind, _)| Some(kind.collection()) == section)
                        .zip(index.and_then(|index| usize::try_from(index).ok()))
                        .and_then(|((_, objects), index)| objects.get(index));
                    match object.and_then(|(key, _)| document.place(key)) {
                        Some(place) => format!("{place}: {text}"),
                        None => format!("{}: {text}", section.unwrap_or("configuration")),
                    }
                })
                .collect();
            Err(match errors.is_empty() {
                true => Failure::new(format!("the server answered {}", answer.reason())),
                false => Failure::all(errors),
            })
        }
        _ => Err(Failure::new(format!("the server answered {}", answer.reason()))),
    }
}

/// Prints what a server has, as a file for [`sync`].
///
/// # Errors
/// The server cannot be read, or the file cannot be written.
pub fn dump(server: &str, arguments: &DumpArguments) -> Result<(), Failure> {
    let admin = Admin::new(server, &arguments.access)?;
    let there = state::read(&admin)?;
    let mut kept = owned(&there, &arguments.selection, |_| false);
    // They are not owned by a file, but services and routes refer to them.
    let referred = there.iter().filter(|(key, value)| match key.kind {
        Kind::PluginConfig => true,
        Kind::Upstream => value
            .get("labels")
            .is_none_or(|labels| labels.get(UPSTREAM_OF_SERVICE).is_none()),
        _ => false,
    });
    kept.extend(referred.map(|(key, _)| key.clone()));
    if arguments.selection.label_selector.is_empty() && arguments.selection.include_resource_type.is_empty() {
        // So that it is told that they are left out.
        kept.extend(there.keys().filter(|key| key.kind == Kind::Route).cloned());
    }
    let objects = there.into_iter().filter(|(key, _)| kept.contains(key));
    let raised = to_adc_yaml(objects).map_err(Failure::new)?;
    let mut notes = std::io::stderr().lock();
    for note in &raised.notes {
        writeln!(notes, "note: {note}").map_err(Failure::new)?;
    }
    match &arguments.output {
        None => std::io::stdout()
            .lock()
            .write_all(raised.yaml.as_bytes())
            .map_err(Failure::new),
        Some(path) => write_private(path, &raised.yaml)
            .map_err(|error| Failure::new(format!("cannot write {}: {error}", path.display()))),
    }
}

/// Writes a file that holds secrets. A file that is there keeps its permissions.
pub fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(text.as_bytes())
}

fn compare(
    arguments: &FilesArguments,
    document: &AdcDocument,
    admin: &Admin,
) -> Result<Vec<Change>, Failure> {
    let there = state::read(admin)?;
    let wanted = document.objects(&labels(arguments));
    Ok(plan(&wanted, &there, &arguments.selection))
}

/// Why a change was not made.
struct Refusal {
    text: String,
    /// Whether the server said anything at all.
    answered: bool,
}

fn apply(admin: &Admin, change: &Change) -> Result<(), Refusal> {
    let refusal = |reason: &str, answered| Refusal {
        text: format!(
            "cannot {} {} {}: {reason}",
            change.action.word(),
            change.key.kind,
            change.name
        ),
        answered,
    };
    for call in &change.calls {
        let answer = admin
            .call(&call.method, &call.path, call.body.as_ref())
            .map_err(|failure| refusal(&failure.reasons().join("; "), false))?;
        // What is to be removed and is not there is as it shall be.
        let gone = call.method == Method::DELETE && answer.status == StatusCode::NOT_FOUND;
        if !answer.status.is_success() && !gone {
            let reason = format!("{} {} answered {}", call.method, call.path, answer.reason());
            return Err(refusal(&reason, true));
        }
    }
    Ok(())
}

fn read_files(files: &[PathBuf]) -> Result<AdcDocument, Failure> {
    let default = [PathBuf::from(DEFAULT_FILE)];
    let files = if files.is_empty() { &default } else { files };
    let mut document = AdcDocument::default();
    let mut mistakes = Vec::new();
    for path in files {
        let name = path.display().to_string();
        let text =
            fs::read_to_string(path).map_err(|error| Failure::new(format!("cannot read {name}: {error}")))?;
        match lower_adc(&name, &text, &env) {
            Err(found) => mistakes.extend(found),
            Ok(other) => match document.merge(other) {
                Ok(merged) => document = merged,
                Err(found) => {
                    mistakes.extend(found);
                    document = AdcDocument::default();
                }
            },
        }
    }
    if !mistakes.is_empty() {
        return Err(Failure::all(mistakes));
    }
    let mut notes = std::io::stderr().lock();
    for note in document.notes() {
        writeln!(notes, "note: {note}").map_err(Failure::new)?;
    }
    Ok(document)
}

/// The server, and what would be written to it to make it what the files say, as `/tollgate/v1/plan` takes it.
///
/// # Errors
/// Mistakes in the files; the server cannot be read.
pub fn planned(arguments: &FilesArguments) -> Result<(Admin, Vec<Value>), Failure> {
    let document = read_files(&arguments.files)?;
    let admin = admin(arguments)?;
    let changes = compare(arguments, &document, &admin)?;
    let calls = changes.iter().flat_map(|change| &change.calls).map(|call| {
        let path = call.path.split('?').next().unwrap_or_default();
        let object = path.strip_prefix("/apisix/admin/").unwrap_or(path);
        match (&call.method, &call.body) {
            (&Method::DELETE, _) | (_, None) => json!({"action": "delete", "object": object}),
            (_, Some(value)) => json!({"action": "put", "object": object, "value": value}),
        }
    });
    let calls = calls.collect();
    Ok((admin, calls))
}

/// The server that arguments name.
///
/// # Errors
/// The address, the key or the certificates cannot be used.
pub fn admin(arguments: &FilesArguments) -> Result<Admin, Failure> {
    let server = arguments.server.clone().or_else(|| env("ADC_SERVER"));
    Admin::new(server.as_deref().unwrap_or(DEFAULT_SERVER), &arguments.access)
}

fn labels(arguments: &FilesArguments) -> Labels {
    Labels {
        managed_by: !arguments.no_managed_by_label,
        selector: arguments.selection.label_selector.iter().cloned().collect(),
    }
}

/// An object as it stands in a list, where no path says its id.
fn with_id(key: &ObjectKey, value: &Map<String, Value>) -> Value {
    let mut value = value.clone();
    if key.kind != Kind::Consumer {
        value.insert("id".to_owned(), json!(key.id));
    }
    Value::Object(value)
}

fn say(text: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout().lock(), "{text}").map_err(Failure::new)
}
