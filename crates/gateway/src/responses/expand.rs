//! Puts the conversation so far into a request that refers to it.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use http::StatusCode;
use tollgate_dialects::canonical::ErrorKind;
use tollgate_dialects::scan::{Edit, Members};
use tollgate_store::responses::{ChainError, Reach, ResponseStore, ResponseStoreError};

use super::turn::{self, Turn, array, edited, is_response_id, items, text_member};
use crate::error::CallError;

/// Most turns of a conversation.
const MAX_TURNS: usize = 1000;

/// Most responses that references in one request may lead to.
const MAX_REFERRED: usize = 100;

/// A request as it goes on, and what must be known to keep its answer.
#[derive(Debug)]
pub struct Expanded {
    /// The body with the whole conversation in `input`, without `previous_response_id`, and, for an answer, with `store: false`.
    pub body: Bytes,
    /// What is known of the turn.
    pub asked: Asked,
}

/// What is known of a turn before its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Who asks.
    pub owner: String,
    /// The id of the answer, as the client is to know it. Not the provider's own: some servers give the same one again
    /// and again, and then one conversation would go on with another one's words.
    pub id: String,
    /// Whether the answer is to be kept.
    pub store: bool,
    /// What the client wrote as `previous_response_id`.
    pub previous: Option<String>,
    /// Its own input: an array of items.
    pub input: String,
    /// Ids of the turns before it, first turn first.
    pub before: Vec<String>,
    /// When the turn before it was kept, in seconds since 1970.
    pub previous_kept_s: u64,
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// An answer, which may be kept.
    Answer,
    /// A count of its tokens: it says nothing about `store`.
    Count,
}

/// Reads what a request says about its conversation, and puts the conversation into it. `id` becomes that of the answer;
/// `max_bytes` is the bound of the body that comes out.
///
/// # Errors
/// The turn before is not known, or not to this owner; a member is of a wrong type, or asks for what only a provider's own
/// state can do; the conversation is too long; the store cannot be read.
pub async fn expand(
    store: Option<&ResponseStore>,
    owner: &str,
    id: String,
    purpose: Purpose,
    (body, members): (&Bytes, &Members),
    max_bytes: usize,
) -> Result<Expanded, CallError> {
    refuse_state_of_providers(body, members)?;
    let wants_store = match members.value(body, "store") {
        None | Some("null" | "true") => true,
        Some("false") => false,
        Some(_) => return Err(wrong_type("store", "true or false")),
    };
    let previous = match members.value(body, "previous_response_id") {
        None | Some("null") => None,
        Some(_) => match members.string(body, "previous_response_id") {
            Some(Ok(id)) => Some(id.into_owned()),
            _ => return Err(wrong_type("previous_response_id", "a string")),
        },
    };
    let mut asked = Asked {
        owner: owner.to_owned(),
        id,
        store: wants_store && store.is_some() && purpose == Purpose::Answer,
        input: own_input(body, members)?,
        previous,
        before: Vec::new(),
        previous_kept_s: 0,
    };
    let history = match (&asked.previous, store) {
        (None, _) => Vec::new(),
        (Some(_), None) => return Err(not_kept()),
        (Some(id), Some(store)) => history(store, owner, id, max_bytes).await?,
    };
    asked.previous_kept_s = history.last().map_or(0, |(_, turn)| turn.kept_s());
    asked.input = with_references_resolved(store, &asked, &history).await?;
    let is_changed = !history.is_empty() || refers(body);
    let mut edits = Vec::new();
    if purpose == Purpose::Answer {
        edits.push(Edit {
            key: "store",
            value: Some("false".to_owned()),
        });
    }
    if asked.previous.is_some() {
        edits.push(Edit {
            key: "previous_response_id",
            value: None,
        });
    }
    if is_changed {
        let before = history.iter().flat_map(|(_, turn)| [turn.input(), turn.output()]);
        let before = before.flatten().filter(|item| is_of_use(item));
        let input = array(before.chain(items(&asked.input)));
        let own = members.value(body, "input").map_or(0, str::len);
        if input.len() + body.len().saturating_sub(own) > max_bytes {
            return Err(too_large(max_bytes));
        }
        edits.push(Edit {
            key: "input",
            value: Some(input),
        });
    }
    asked.before = history.into_iter().map(|(id, _)| id).collect();
    Ok(Expanded {
        body: edited(body, members, &edits),
        asked,
    })
}

/// What lives in a provider's account cannot be carried to another one.
fn refuse_state_of_providers(body: &[u8], members: &Members) -> Result<(), CallError> {
    let says = |name: &str| members.value(body, name).is_some_and(|value| value != "null");
    if says("conversation") {
        return Err(unsupported(
            "conversation",
            "conversations of a provider's account are not supported; go on with `previous_response_id`",
        ));
    }
    if members.is_true(body, "background") {
        return Err(unsupported(
            "background",
            "answers in the background are not supported; leave `background` out",
        ));
    }
    Ok(())
}

/// The items of the request itself, as an array.
fn own_input(body: &[u8], members: &Members) -> Result<String, CallError> {
    match members.value(body, "input") {
        None | Some("null") => Ok("[]".to_owned()),
        Some(array) if array.starts_with('[') => Ok(array.to_owned()),
        Some(text) if text.starts_with('"') => Ok(format!("[{{\"role\":\"user\",\"content\":{text}}}]")),
        Some(_) => Err(wrong_type("input", "a string or an array")),
    }
}

async fn history(
    store: &ResponseStore,
    owner: &str,
    id: &str,
    max_bytes: usize,
) -> Result<Vec<(String, Turn)>, CallError> {
    if !is_response_id(id) {
        return Err(not_found(id, None));
    }
    let reach = Reach {
        max_records: MAX_TURNS,
        max_bytes: max_bytes.saturating_mul(2),
    };
    let chain = match store.chain(owner, id, reach).await {
        Ok(chain) => chain,
        Err(ChainError::Missing { id: missing }) => {
            return Err(not_found(id, Some(missing).filter(|missing| missing != id)));
        }
        Err(ChainError::TooLong(turns)) => return Err(too_long(turns)),
        Err(ChainError::TooLarge(_)) => return Err(too_large(max_bytes)),
        Err(ChainError::Store(error)) => return Err(unavailable(&error)),
    };
    let mut history = Vec::with_capacity(chain.len());
    for (turn_id, record) in chain {
        match Turn::read(record) {
            Some(turn) => history.push((turn_id, turn)),
            None => return Err(not_found(id, Some(turn_id))),
        }
    }
    Ok(history)
}

/// Whether an item says anything to whoever reads it. Reasoning without its content is the name of something that only its
/// maker knows, and only where it keeps it.
fn is_of_use(item: &str) -> bool {
    if !item.contains("\"reasoning\"") || text_member(item, "type").as_deref() != Some("reasoning") {
        return true;
    }
    ["encrypted_content", "content"].iter().any(|name| {
        tollgate_dialects::scan::nested(item, name)
            .is_some_and(|content| !matches!(content, "null" | "[]" | "\"\""))
    })
}

/// Whether a request may refer to items by their ids.
fn refers(body: &[u8]) -> bool {
    memchr::memmem::find(body, b"item_reference").is_some()
}

/// The own input with each reference to an item replaced by the item. One that is in the conversation already is left out.
async fn with_references_resolved(
    store: Option<&ResponseStore>,
    asked: &Asked,
    history: &[(String, Turn)],
) -> Result<String, CallError> {
    if !refers(asked.input.as_bytes()) {
        return Ok(asked.input.clone());
    }
    let mut known: HashSet<String> = HashSet::new();
    for (_, turn) in history {
        let said = turn.input().into_iter().chain(turn.output());
        known.extend(said.filter_map(|item| text_member(item, "id")));
    }
    let mut found: HashMap<String, String> = HashMap::new();
    let mut looked_up = 0;
    let mut resolved: Vec<String> = Vec::new();
    for item in items(&asked.input) {
        let Some(id) = reference(item) else {
            resolved.push(item.to_owned());
            continue;
        };
        if known.contains(&id) {
            continue;
        }
        if !found.contains_key(&id) {
            looked_up += 1;
            if let Some(store) = store.filter(|_| looked_up <= MAX_REFERRED) {
                look_up(store, &asked.owner, &id, &mut found).await?;
            }
        }
        match found.get(&id) {
            Some(item) if is_of_use(item) => resolved.push(item.clone()),
            Some(_) => {}
            None => return Err(item_not_found(&id)),
        }
    }
    Ok(array(resolved.iter().map(String::as_str)))
}

/// The id an item refers to, if it is a reference.
fn reference(item: &str) -> Option<String> {
    if !item.contains("item_reference") {
        return None;
    }
    // `type` may be left out.
    match text_member(item, "type").as_deref() {
        Some("item_reference") => text_member(item, "id"),
        _ => None,
    }
}

/// Finds the response an item belongs to, and all items of it.
async fn look_up(
    store: &ResponseStore,
    owner: &str,
    id: &str,
    found: &mut HashMap<String, String>,
) -> Result<(), CallError> {
    let get = async |id: &str| store.get(owner, id).await.map_err(|error| unavailable(&error));
    let Some(pointer) = get(&turn::item_id(id)).await? else {
        return Ok(());
    };
    let Some(response_id) = &pointer.previous else {
        return Ok(());
    };
    let Some(turn) = get(response_id).await?.and_then(Turn::read) else {
        return Ok(());
    };
    for item in turn.output() {
        if let Some(id) = text_member(item, "id") {
            found.insert(id, item.to_owned());
        }
    }
    Ok(())
}

fn not_found(id: &str, missing: Option<String>) -> CallError {
    let because = missing.map_or_else(String::new, |missing| {
        format!(" An earlier turn of its conversation, '{missing}', is not kept any more.")
    });
    bad_request(
        "previous_response_not_found",
        format!("Previous response with id '{id}' not found.{because}"),
    )
    .at("previous_response_id")
}

fn not_kept() -> CallError {
    unsupported(
        "previous_response_id",
        "this gateway keeps no conversations; send the whole conversation in `input`",
    )
}

fn item_not_found(id: &str) -> CallError {
    bad_request("item_not_found", format!("Item with id '{id}' not found.")).at("input")
}

fn too_long(turns: usize) -> CallError {
    bad_request(
        "conversation_too_long",
        format!("the conversation has more than {turns} turns; begin a new one"),
    )
    .at("previous_response_id")
}

fn too_large(max_bytes: usize) -> CallError {
    CallError::client(
        StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::TooLarge,
        "conversation_too_large",
        format!("the request with its conversation is larger than {max_bytes} bytes; begin a new one"),
    )
    .at("previous_response_id")
}

fn wrong_type(name: &'static str, expected: &str) -> CallError {
    bad_request("invalid_type", format!("`{name}` must be {expected}")).at(name)
}

fn unsupported(name: &'static str, message: &'static str) -> CallError {
    CallError::client(
        StatusCode::BAD_REQUEST,
        ErrorKind::BadRequest,
        "unsupported_parameter",
        message,
    )
    .at(name)
}

fn bad_request(code: &'static str, message: String) -> CallError {
    CallError::client(StatusCode::BAD_REQUEST, ErrorKind::BadRequest, code, message)
}

/// The store cannot be asked.
pub(super) fn unavailable(error: &ResponseStoreError) -> CallError {
    let mut call = CallError::gateway(
        "conversation_store_unavailable",
        "conversations cannot be read at the moment; try again later",
    );
    call.status = StatusCode::SERVICE_UNAVAILABLE;
    call.kind = ErrorKind::Overloaded;
    call.detail = Some(error.to_string());
    call
}
