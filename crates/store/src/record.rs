//! The bytes of one stored object, before encryption: three little-endian numbers (revision of creation, revision of the
//! last change, second of expiry), then the value as JSON. The JSON stands alone, not inside an envelope, so that every
//! value that was parsed from JSON can be parsed again: the parser limits the depth.

use std::sync::Arc;

use serde_json::{Map, Value};
use tollgate_resources::objects::{Kind, Object, ObjectKey};
use zeroize::Zeroizing;

use crate::index::Entry;

/// Writes the record of an object; `None` if the value is no JSON, which a map of values always is.
pub(crate) fn encode(entry: &Entry) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    let object = &entry.object;
    for number in [
        object.created_index,
        object.modified_index,
        entry.expires_s.unwrap_or(NEVER),
    ] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    serde_json::to_writer(&mut *bytes, &object.value).ok()?;
    Some(bytes)
}

/// Reads the record of an object, `None` if it is none.
pub(crate) fn decode(key: ObjectKey, bytes: &[u8]) -> Option<Entry> {
    let (created, bytes) = bytes.split_first_chunk()?;
    let (modified, bytes) = bytes.split_first_chunk()?;
    let (expires, json) = bytes.split_first_chunk()?;
    let value: Map<String, Value> = serde_json::from_slice(json).ok()?;
    let object = Object {
        key,
        value,
        created_index: u64::from_le_bytes(*created),
        modified_index: u64::from_le_bytes(*modified),
    };
    Some(Entry {
        object: Arc::new(object),
        expires_s: Some(u64::from_le_bytes(*expires)).filter(|second| *second != NEVER),
    })
}

/// The key of an object in the file, such as `routes/1` or `credentials/jack/credentials/c1`. Stays in clear.
pub(crate) fn name(key: &ObjectKey) -> String {
    format!("{}/{}", key.kind.collection(), key.id)
}

/// The key that a name in the file stands for.
pub(crate) fn key_of(name: &str) -> Option<ObjectKey> {
    let (collection, id) = name.split_once('/')?;
    let kind = Kind::ALL
        .into_iter()
        .chain(Kind::OWN)
        .find(|kind| kind.collection() == collection)?;
    Some(ObjectKey::new(kind, id))
}

/// The second of expiry of an object that stays.
pub(crate) const NEVER: u64 = u64::MAX;
