//! What the tests of the store share.

use std::path::Path;

use serde_json::{Map, Value, json};
use tollgate_resources::objects::{Kind, ObjectKey};
use tollgate_store::{Change, Store, StoreKey};

pub fn key() -> StoreKey {
    StoreKey::parse(&"5a".repeat(32)).unwrap()
}

pub fn open(directory: &Path) -> Store {
    Store::open(directory, &key(), 0).unwrap()
}

pub fn route(id: &str) -> ObjectKey {
    ObjectKey::new(Kind::Route, id)
}

pub fn value(text: &str) -> Map<String, Value> {
    let mut value = Map::new();
    value.insert("desc".to_owned(), json!(text));
    value
}

pub fn put(key: ObjectKey, text: &str) -> Change {
    Change::Put {
        key,
        value: value(text),
        ttl_s: None,
    }
}
