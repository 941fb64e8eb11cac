//! `consumers`: who may call, and what they may use.

use super::Env;
use super::choice::{AccessEntry, AuthEntry};
use super::file::{ConsumerEntry, File};
use super::models::Models;
use crate::check;
use crate::glob::Glob;
use crate::model::{Consumer, ModelAccess};
use crate::report::{Report, quote, unknown};
use crate::secret::{Secret, SecretRef};
use crate::tree::Path;

/// Lowers `consumers`.
pub(super) fn lower(file: &File, models: &Models, report: &mut Report, env: Env<'_>) -> Vec<Consumer> {
    let keys_needed = matches!(file.auth, None | Some(AuthEntry::Key));
    let mut seen: Vec<(Path, Secret)> = Vec::new();
    let mut consumers = Vec::new();
    let mut in_clear = false;
    for (username, entry) in file.consumers.iter() {
        let path = Path::of(["consumers", username]);
        if let Err(text) = check::username(username) {
            report.mistake(&path, text);
        }
        let keys = written_keys(entry, &path, keys_needed, report);
        for (place, key) in &keys {
            in_clear |= key.variables().next().is_none();
            if let Some(value) = check_key(place, key, report, env) {
                // Two keys given to different people would make them one and the same caller.
                match seen.iter().find(|(_, other)| other.expose() == value.expose()) {
                    Some((other, _)) => report.mistake(place, format!("the same key as {other}")),
                    None => seen.push((place.clone(), value)),
                }
            }
        }
        consumers.push(Consumer {
            username: username.to_owned(),
            keys: keys.into_iter().map(|(_, key)| key.clone()).collect(),
            access: lower_access(entry, &path.key("models"), models, report),
            labels: entry.labels.clone(),
            team: lower_team(entry, file, &path, report),
        });
    }
    if in_clear {
        report.note("consumers: keys are written in clear; `$env://NAME` keeps them out of the file");
    }
    consumers
}

fn lower_team(entry: &ConsumerEntry, file: &File, path: &Path, report: &mut Report) -> Option<String> {
    let team = entry.team.as_ref()?;
    if !file.teams.contains(team) {
        let known: Vec<&str> = file.teams.iter().map(|(name, _)| name).collect();
        report.mistake(&path.key("team"), unknown("team", team, known.iter().copied()));
    }
    Some(team.clone())
}

fn written_keys<'a>(
    entry: &'a ConsumerEntry,
    path: &Path,
    needed: bool,
    report: &mut Report,
) -> Vec<(Path, &'a SecretRef)> {
    let list = path.key("keys");
    let mut keys = Vec::new();
    if let Some(key) = &entry.key {
        keys.push((path.key("key"), key));
    }
    for (position, key) in entry.keys.iter().flatten().enumerate() {
        keys.push((report.item(&list, position), key));
    }
    if entry.key.is_some() && entry.keys.is_some() {
        report.mistake(
            &list,
            "`key` and `keys` stand beside each other; write all of them in `keys`",
        );
    }
    let written = ["key", "keys"]
        .iter()
        .any(|key| report.tree.at(&path.key(key)).is_some());
    let faulty = written && entry.key.is_none() && entry.keys.is_none();
    if keys.is_empty() && entry.keys.is_some() && !faulty {
        report.mistake(
            &list,
            "there is none in it; write one, such as `$env://NAME`, or leave `keys` out",
        );
    } else if keys.is_empty() && needed && !faulty {
        report.note(format!(
            "{path}: has no `key`; only virtual keys call as this consumer, made with `tollgate keys create` or the Admin API"
        ));
    }
    keys
}

fn check_key(path: &Path, key: &SecretRef, report: &mut Report, env: Env<'_>) -> Option<Secret> {
    let value = match key.resolve(env) {
        Ok(value) => value,
        Err(error) => {
            report.mistake(path, format!("{error}; set it, or remove the consumer"));
            return None;
        }
    };
    if value.is_empty() {
        report.mistake(path, "the key is empty; name a variable, such as `$env://NAME`");
        return None;
    }
    if let Err(text) = check::header_value(value.expose()) {
        report.mistake(path, text);
        return None;
    }
    Some(value)
}

fn lower_access(
    entry: &ConsumerEntry,
    list: &Path,
    models: &Models,
    report: &mut Report,
) -> Vec<ModelAccess> {
    let mut access = Vec::new();
    for (position, entry) in entry.models.iter().enumerate() {
        let path = report.item(list, position);
        let (name, name_path, fallback) = match entry {
            AccessEntry::Name(name) => (name, path.clone(), None),
            AccessEntry::Detail(detail) => (&detail.name, path.key("name"), detail.fallback.as_ref()),
        };
        let glob = Glob::new(name.as_str());
        if let Err(text) = check::name(name) {
            report.mistake(&name_path, text);
        } else if glob.is_exact() && !models.knows(name) {
            report.mistake(
                &name_path,
                unknown("model", name, models.written.iter().map(String::as_str)),
            );
        } else if !glob.is_exact()
            && !models
                .written
                .iter()
                .any(|written| written.contains('*') || glob.matches(written))
        {
            report.note(format!(
                "{name_path}: `{}` matches none of the models",
                quote(name)
            ));
        }
        let fallback_path = path.key("fallback");
        let fallback = fallback.map(|fallback| models.check_fallback(fallback, name, &fallback_path, report));
        access.push(ModelAccess { name: glob, fallback });
    }
    access
}
