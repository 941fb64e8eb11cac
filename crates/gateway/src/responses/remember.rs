//! Keeps an answer with what was asked, and shows the client what it asked for.

use bytes::Bytes;
use tollgate_dialects::scan::{Edit, scan};
use tollgate_store::responses::ResponseStore;

use super::expand::Asked;
use super::turn::{edited, records};

/// Into how many parts the time to live is divided: within one of them, the turns before are not renewed twice.
const PARTS_OF_TTL: u64 = 100;

/// An answer as the client gets it, and what is to be kept of it.
pub(super) struct Shown {
    /// The response object with the client's own `store` and `previous_response_id`.
    pub(super) response: Bytes,
    /// Whether it has ended so that it can be continued.
    pub(super) is_final: bool,
}

/// Puts into a response object what the client has asked for, where the provider was asked otherwise. `None` if it is no object.
pub(super) fn shown(response: &[u8], asked: &Asked) -> Option<Shown> {
    let members = scan(response).ok()?;
    let is_final = matches!(
        members.value(response, "status"),
        // Some servers leave it out of whole answers.
        None | Some("\"completed\"" | "\"incomplete\"")
    );
    Some(Shown {
        response: edited(response, &members, &edits(asked)),
        is_final,
    })
}

fn edits(asked: &Asked) -> Vec<Edit<'static>> {
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let mut edits = vec![
        Edit {
            key: "id",
            value: Some(text(&asked.id)),
        },
        Edit {
            key: "store",
            value: Some(asked.store.to_string()),
        },
    ];
    if let Some(previous) = &asked.previous {
        edits.push(Edit {
            key: "previous_response_id",
            value: Some(text(previous)),
        });
    }
    edits
}

/// Keeps an answer, and the turns before it for as long. Does not wait.
pub(super) fn remember(
    store: &ResponseStore,
    response: &[u8],
    asked: &Asked,
    now_s: u64,
) -> Result<(), NotKept> {
    let response = std::str::from_utf8(response).map_err(|_| NotKept::NotUnderstood)?;
    let records = records(
        asked.previous.as_deref(),
        &asked.input,
        &asked.id,
        response,
        now_s,
    );
    let part = (store.ttl_s() / PARTS_OF_TTL).max(1);
    let renew: &[String] = if now_s / part == asked.previous_kept_s / part {
        &[]
    } else {
        &asked.before
    };
    store
        .remember(&asked.owner, records, renew)
        .map_err(|_| NotKept::Told)
}

/// Why an answer is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotKept {
    /// It is no answer that can be continued.
    NotUnderstood,
    /// The store has told it.
    Told,
}
