//! The audit log: `/tollgate/v1/audit` and `/tollgate/v1/audit/verify`.

use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Map, Value, json};
use tollgate_store::{Logged, Place, Store};

use super::{Asked, Problem, parameter};
use crate::actor::Actor;
use crate::admin::{Admin, DataPlane};
use crate::answer::Answer;
use crate::sessions::hex;
use crate::settings::Role;
use crate::time;

const CSV: HeaderValue = HeaderValue::from_static("text/csv; charset=utf-8");

/// Entries that are read at once while others wait for the store.
const AT_ONCE: u64 = 500;

/// Which entries are wanted.
struct Wanted {
    since_s: u64,
    until_s: u64,
    actor: Option<String>,
    action: Option<String>,
    object: Option<String>,
    /// Whether entries about people who come and go are shown.
    people: bool,
    limit: usize,
    below: Option<u64>,
}

impl<D: DataPlane> Admin<D> {
    /// Answers a request below `/tollgate/v1/audit`.
    pub(crate) async fn audit(self: &Arc<Self>, asked: &Asked<'_>) -> Result<Answer, Problem> {
        readable(&asked.actor)?;
        if *asked.method != Method::GET {
            return Err(Problem::method("GET"));
        }
        match asked.path.as_slice() {
            [_] => {
                let is_csv = match asked.query.first("format") {
                    None | Some("json") => false,
                    Some("csv") => true,
                    Some(_) => return Err(Problem::invalid("format", "write json or csv")),
                };
                let wanted = Wanted::of(asked, self.now_s())?;
                let store = Arc::clone(&self.store);
                let (items, next) = self.look(move || wanted.find(&store)).await?;
                if is_csv {
                    return Ok(Answer::text(StatusCode::OK, csv(&items)).with(CONTENT_TYPE, CSV));
                }
                Ok(Answer::json(
                    StatusCode::OK,
                    json!({"items": items, "next": next.map(|seq| seq.to_string())}),
                ))
            }
            [_, "verify"] => {
                asked.only_parameters(&["seq", "hash"])?;
                let noted = noted(asked)?;
                let store = Arc::clone(&self.store);
                let told = self.look(move || verify(&store, noted)).await?;
                Ok(Answer::json(StatusCode::OK, told))
            }
            _ => Err(Problem::unknown("there are /audit and /audit/verify")),
        }
    }
}

/// Refuses those who may not read what others have done.
pub(super) fn readable(actor: &Actor) -> Result<(), Problem> {
    if actor.reads_all() {
        return Ok(());
    }
    Err(Problem::forbidden(
        "the role team_admin sees its teams only, not what others have changed",
    ))
}

impl Wanted {
    fn of(asked: &Asked<'_>, now_s: u64) -> Result<Wanted, Problem> {
        asked.only_parameters(&[
            "since", "until", "actor", "action", "object", "limit", "after", "format",
        ])?;
        let time = |name: &str, default: u64| match asked.query.first(name) {
            None => Ok(default),
            Some(text) => time::parse(text, now_s).map_err(|error| Problem::invalid(name, error)),
        };
        let text = |name: &str| asked.query.first(name).map(str::to_owned);
        Ok(Wanted {
            since_s: time("since", 0)?,
            until_s: time("until", u64::MAX)?,
            actor: text("actor"),
            action: text("action"),
            object: text("object"),
            people: asked.actor.role == Role::Admin,
            limit: parameter::limit(asked.query)?,
            below: parameter::number(asked.query, "after")?,
        })
    }

    fn find(&self, store: &Store) -> Result<(Vec<Value>, Option<u64>), Problem> {
        let mut items = Vec::new();
        let mut below = self.below;
        loop {
            let entries = store.log(below, AT_ONCE).map_err(|error| Problem::from(&error))?;
            let Some((last, _)) = entries.last() else {
                return Ok((items, None));
            };
            below = Some(*last);
            for (seq, entry) in entries {
                let Some(entry) = entry else {
                    // It is not what was written: told, whatever is asked for.
                    items.push(json!({"seq": seq, "unreadable": true}));
                    continue;
                };
                if entry.time_s < self.since_s {
                    return Ok((items, None));
                }
                if entry.time_s < self.until_s
                    && let Some(item) = self.item(&entry)
                {
                    if items.len() == self.limit {
                        return Ok((items, Some(seq + 1)));
                    }
                    items.push(item);
                }
            }
        }
    }

    fn item(&self, entry: &Logged) -> Option<Value> {
        let mut item: Map<String, Value> = serde_json::from_str(&entry.text).unwrap_or_default();
        let is = |name: &str, wanted: &Option<String>| {
            wanted
                .as_deref()
                .is_none_or(|wanted| item.get(name).and_then(Value::as_str) == Some(wanted))
        };
        let is_about = |wanted: &str| {
            let objects = item.get("objects").and_then(Value::as_array);
            objects.is_some_and(|objects| objects.iter().any(|object| object.as_str() == Some(wanted)))
        };
        let is_person = item
            .get("action")
            .and_then(Value::as_str)
            .is_some_and(|action| action.starts_with("sign_"));
        let wanted = is("actor", &self.actor)
            && is("action", &self.action)
            && self.object.as_deref().is_none_or(is_about)
            && (self.people || !is_person);
        if !wanted {
            return None;
        }
        item.insert("seq".to_owned(), entry.seq.into());
        item.insert("time".to_owned(), time::text(entry.time_s).into());
        item.insert("hash".to_owned(), hex(&entry.hash).into());
        item.insert("previous".to_owned(), hex(&entry.previous).into());
        Some(Value::Object(item))
    }
}

/// An entry that somebody has noted earlier, to see whether it is still the same.
fn noted(asked: &Asked<'_>) -> Result<Option<(u64, String)>, Problem> {
    match (parameter::number(asked.query, "seq")?, asked.query.first("hash")) {
        (None, None) => Ok(None),
        (Some(seq), Some(hash)) => Ok(Some((seq, hash.to_ascii_lowercase()))),
        (Some(_), None) => Err(Problem::invalid("hash", "write the hash that entry had")),
        (None, Some(_)) => Err(Problem::invalid(
            "seq",
            "write the number of the entry with that hash",
        )),
    }
}

fn verify(store: &Store, noted: Option<(u64, String)>) -> Result<Value, Problem> {
    let verified = store.verify().map_err(|error| Problem::from(&error))?;
    let place = |place: Place| json!({"seq": place.seq, "hash": hex(&place.hash)});
    let mut broken_at = verified.broken_at;
    if let Some((seq, hash)) = noted {
        let found = if seq == verified.anchor.seq {
            Some(verified.anchor.hash)
        } else {
            let entries = store
                .log(Some(seq.saturating_add(1)), 1)
                .map_err(|error| Problem::from(&error))?;
            let entry = entries.into_iter().find(|(found, _)| *found == seq);
            entry.and_then(|(_, entry)| entry).map(|entry| entry.hash)
        };
        if seq < verified.anchor.seq {
            return Err(Problem::invalid(
                "seq",
                format!(
                    "entries up to {} were dropped because of their age",
                    verified.anchor.seq
                ),
            ));
        }
        if found.is_none_or(|found| hex(&found) != hash) {
            broken_at = Some(broken_at.map_or(seq, |broken_at| broken_at.min(seq)));
        }
    }
    Ok(json!({
        "ok": broken_at.is_none(),
        "entries": verified.entries,
        "broken_at": broken_at,
        "anchor": place(verified.anchor),
        "head": place(verified.head),
    }))
}

/// One line for each entry, after a head.
fn csv(items: &[Value]) -> String {
    const COLUMNS: [&str; 11] = [
        "seq", "time", "actor", "role", "via", "address", "action", "objects", "changes", "hash", "previous",
    ];
    let mut text = COLUMNS.join(",") + "\n";
    for item in items {
        let cells = COLUMNS.map(|column| match item.get(column) {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => cell(text),
            Some(Value::Array(list)) if column == "objects" => {
                let names: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
                cell(&names.join(" "))
            }
            Some(other) => cell(&other.to_string()),
        });
        text.push_str(&cells.join(","));
        text.push('\n');
    }
    text
}

/// A cell in quotes. One that begins like a formula gets a `'` before it, so that no spreadsheet computes it.
fn cell(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        "'"
    } else {
        ""
    };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

/// Describes the paths.
pub(crate) fn describe(paths: &mut Map<String, Value>) {
    let text = json!({"type": "string"});
    let parameter = |name: &str, description: &str, schema: Value| json!({"name": name, "in": "query", "description": description, "schema": schema});
    let entry = json!({
        "type": "object",
        "properties": {
            "seq": {"type": "integer", "description": "its number; none is left out"},
            "time": {"type": "string", "format": "date-time"},
            "actor": text,
            "role": text,
            "via": {"enum": ["key", "oidc", "file", "system", "open"]},
            "address": {"type": ["string", "null"]},
            "action": {"type": "string", "description": "create, update, delete, replace, rollback, expire, reload, drain, disable, enable, sign_in, sign_in_refused, sign_out"},
            "object": {"type": ["string", "null"], "description": "such as `routes/1`; null for several"},
            "objects": {"type": "array", "items": text},
            "changes": {"type": "array", "items": {"type": "object", "properties": {
                "object": text, "path": text, "from": {}, "to": {},
            }}},
            "changes_left_out": {"type": "integer", "description": "changes beyond 64 KiB; the version has them"},
            "reason": {"type": "string", "description": "why a sign-in was refused"},
            "hash": {"type": "string", "description": "SHA-256 over the previous hash and this entry, in hexadecimal digits"},
            "previous": text,
        },
    });
    let list = json!({"type": "object", "properties": {
        "items": {"type": "array", "items": entry},
        "next": {"type": ["string", "null"], "description": "for `after`; null at the end"},
    }});
    paths.insert("/audit".to_owned(), json!({"get": {
        "tags": ["audit"],
        "summary": "Lists what was done, the newest first. Sign-ins are shown to administrators only.",
        "parameters": [
            parameter("since", "a time (`2026-11-21T13:00:00Z`), or how long ago (`30m`, `24h`, `7d`)", text.clone()),
            parameter("until", "the same", text.clone()),
            parameter("actor", "only what this one did", text.clone()),
            parameter("action", "only this", text.clone()),
            parameter("object", "only what was done to this, such as `routes/1`", text.clone()),
            parameter("limit", "entries of an answer; 100 where nothing is said", json!({"type": "integer", "minimum": 1, "maximum": 1000})),
            parameter("after", "`next` of the answer before", text.clone()),
            parameter("format", "how the answer is written", json!({"enum": ["json", "csv"]})),
        ],
        "responses": {
            "200": {"description": "The entries.", "content": {"application/json": {"schema": list}, "text/csv": {}}},
            "400": {"$ref": "#/components/responses/refused"},
            "401": {"$ref": "#/components/responses/unauthorized"},
            "403": {"$ref": "#/components/responses/forbidden"},
        },
    }}));
    let place = json!({"type": "object", "properties": {"seq": {"type": "integer"}, "hash": text}});
    paths.insert("/audit/verify".to_owned(), json!({"get": {
        "tags": ["audit"],
        "summary": "Says whether an entry was changed, removed or put elsewhere.",
        "parameters": [
            parameter("seq", "number of an entry whose hash was noted elsewhere; needs `hash`", json!({"type": "integer"})),
            parameter("hash", "that hash", text),
        ],
        "responses": {
            "200": {"description": "What was found.", "content": {"application/json": {"schema": {"type": "object", "properties": {
                "ok": {"type": "boolean"},
                "entries": {"type": "integer", "description": "entries that were found right"},
                "broken_at": {"type": ["integer", "null"], "description": "the first entry that is not what was written, or not there"},
                "anchor": place,
                "head": place,
            }}}}},
            "401": {"$ref": "#/components/responses/unauthorized"},
            "403": {"$ref": "#/components/responses/forbidden"},
        },
    }}));
}
