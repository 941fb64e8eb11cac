//! What is answered from kept conversations: a response, its input, and its end.

use bytes::Bytes;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tollgate_dialects::canonical::ErrorKind;
use tollgate_dialects::scan::{Edit, scan};
use tollgate_store::responses::{ChainError, Reach, ResponseStore};

use super::expand::unavailable;
use super::items::named;
use super::turn::{Turn, edited, is_response_id};
use crate::error::CallError;
use crate::plugins::query;

/// Items in one list, if the client does not say.
const DEFAULT_LIMIT: usize = 20;

/// Most items in one list.
const MAX_LIMIT: usize = 100;

/// How far a conversation is followed for the list of its items.
const REACH: Reach = Reach {
    max_records: 1000,
    max_bytes: 256 * 1024 * 1024,
};

/// What is asked of a kept response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// `/v1/responses/{id}`.
    Response(String),
    /// `/v1/responses/{id}/input_items`.
    InputItems(String),
}

impl Question {
    /// Reads what stands behind `/v1/responses/`.
    pub fn read(below: &str) -> Option<Self> {
        match below.split_once('/') {
            None if !below.is_empty() => Some(Question::Response(below.to_owned())),
            Some((id, "input_items")) if !id.is_empty() => Some(Question::InputItems(id.to_owned())),
            _ => None,
        }
    }

    /// Whether it can be asked by this method.
    pub fn allows(&self, method: &Method) -> bool {
        match self {
            Question::Response(_) => [Method::GET, Method::HEAD, Method::DELETE].contains(method),
            Question::InputItems(_) => [Method::GET, Method::HEAD].contains(method),
        }
    }
}

/// Answers a question with JSON.
///
/// # Errors
/// There is no such response of this owner, an argument is wrong, or the store cannot be read.
pub async fn answer(
    store: &ResponseStore,
    owner: &str,
    question: &Question,
    method: &Method,
    arguments: &str,
) -> Result<Bytes, CallError> {
    match question {
        Question::Response(id) if *method == Method::DELETE => delete(store, owner, id).await,
        Question::Response(id) => retrieve(store, owner, id, arguments).await,
        Question::InputItems(id) => input_items(store, owner, id, arguments).await,
    }
}

async fn retrieve(store: &ResponseStore, owner: &str, id: &str, arguments: &str) -> Result<Bytes, CallError> {
    if query::first(arguments, "stream").is_some_and(|value| value == "true") {
        return Err(bad_argument(
            "stream",
            "an answer that has ended cannot be streamed again",
        ));
    }
    let turn = turn(store, owner, id).await?;
    Ok(Bytes::copy_from_slice(turn.response().as_bytes()))
}

async fn delete(store: &ResponseStore, owner: &str, id: &str) -> Result<Bytes, CallError> {
    if !is_response_id(id)
        || !store
            .delete(owner, id)
            .await
            .map_err(|error| unavailable(&error))?
    {
        return Err(not_found(id));
    }
    let deleted = json!({ "id": id, "object": "response", "deleted": true });
    Ok(deleted.to_string().into())
}

async fn input_items(
    store: &ResponseStore,
    owner: &str,
    id: &str,
    arguments: &str,
) -> Result<Bytes, CallError> {
    let page = Page::read(arguments)?;
    if !is_response_id(id) {
        return Err(not_found(id));
    }
    let chain = match store.chain(owner, id, REACH).await {
        Ok(chain) => chain,
        Err(ChainError::Missing { id: missing }) if missing == id => return Err(not_found(id)),
        // What is left of it: the turn's own input.
        Err(ChainError::Missing { .. } | ChainError::TooLong(_) | ChainError::TooLarge(_)) => {
            let record = store.get(owner, id).await.map_err(|error| unavailable(&error))?;
            vec![(id.to_owned(), record.ok_or_else(|| not_found(id))?)]
        }
        Err(ChainError::Store(error)) => return Err(unavailable(&error)),
    };
    let mut list = Vec::new();
    let last = chain.len().saturating_sub(1);
    for (place, (turn_id, record)) in chain.into_iter().enumerate() {
        let Some(turn) = Turn::read(record) else {
            continue;
        };
        let inputs = turn.input().into_iter().enumerate();
        list.extend(inputs.map(|(index, item)| named(item, &turn_id, index)));
        // The last answer is no input.
        if place < last {
            let outputs = turn.output().into_iter().enumerate();
            list.extend(outputs.map(|(index, item)| named(item, &format!("{turn_id}/output"), index)));
        }
    }
    page.of(list)
}

async fn turn(store: &ResponseStore, owner: &str, id: &str) -> Result<Turn, CallError> {
    if !is_response_id(id) {
        return Err(not_found(id));
    }
    let record = store.get(owner, id).await.map_err(|error| unavailable(&error))?;
    record.and_then(Turn::read).ok_or_else(|| not_found(id))
}

/// The part of a list that is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    limit: usize,
    is_ascending: bool,
    after: Option<String>,
}

impl Page {
    pub(crate) fn read(arguments: &str) -> Result<Self, CallError> {
        let limit = match query::first(arguments, "limit") {
            None => DEFAULT_LIMIT,
            Some(text) => match text.parse() {
                Ok(limit @ 1..=MAX_LIMIT) => limit,
                _ => return Err(bad_argument("limit", "must be a number from 1 to 100")),
            },
        };
        let is_ascending = match query::first(arguments, "order").as_deref() {
            None | Some("desc") => false,
            Some("asc") => true,
            Some(_) => return Err(bad_argument("order", "must be `asc` or `desc`")),
        };
        let after = query::first(arguments, "after").map(|after| after.into_owned());
        Ok(Page {
            limit,
            is_ascending,
            after: after.filter(|after| !after.is_empty()),
        })
    }

    /// Writes the page of a list of items with their ids, first item first.
    fn of(self, mut list: Vec<(String, String)>) -> Result<Bytes, CallError> {
        if !self.is_ascending {
            list.reverse();
        }
        let begin = match &self.after {
            None => 0,
            Some(after) => match list.iter().position(|(id, _)| id == after) {
                Some(place) => place + 1,
                None => return Err(bad_argument("after", "names no item of this list")),
            },
        };
        let page: Vec<_> = list.iter().skip(begin).take(self.limit).collect();
        let has_more = begin + page.len() < list.len();
        let id = |item: Option<&&(String, String)>| item.map_or(Value::Null, |(id, _)| id.as_str().into());
        let frame = json!({
            "object": "list",
            "data": [],
            "first_id": id(page.first()),
            "last_id": id(page.last()),
            "has_more": has_more,
        });
        let data: Vec<&str> = page.iter().map(|(_, item)| item.as_str()).collect();
        let frame = frame.to_string().into_bytes();
        let members = scan(&frame).unwrap_or_default();
        let edit = Edit {
            key: "data",
            value: Some(format!("[{}]", data.join(","))),
        };
        Ok(edited(&frame, &members, &[edit]))
    }
}

fn not_found(id: &str) -> CallError {
    CallError::client(
        StatusCode::NOT_FOUND,
        ErrorKind::NotFound,
        "response_not_found",
        format!("Response with id '{id}' not found."),
    )
}

fn bad_argument(name: &'static str, problem: &str) -> CallError {
    CallError::client(
        StatusCode::BAD_REQUEST,
        ErrorKind::BadRequest,
        "invalid_argument",
        format!("`{name}`: {problem}"),
    )
    .at(name)
}
