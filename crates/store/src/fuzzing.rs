//! Doors for the fuzz targets to parsers that nobody else has to reach. Not part of the crate's interface.

use tollgate_resources::objects::{Kind, ObjectKey};

use crate::record;
use crate::responses::Record;

/// Reads the bytes of a stored object and writes them again; `None` if they are none.
pub fn object(bytes: &[u8]) -> Option<Vec<u8>> {
    let entry = record::decode(ObjectKey::new(Kind::Route, "1"), bytes)?;
    record::encode(&entry).map(|bytes| bytes.to_vec())
}

/// Reads the name of a stored object and writes it again; `None` if it is none.
pub fn name(text: &str) -> Option<String> {
    record::key_of(text).map(|key| record::name(&key))
}

/// Reads the bytes of a turn of a conversation and writes them again; `None` if they are none.
pub fn turn(bytes: &[u8]) -> Option<Vec<u8>> {
    Record::decode(bytes)?.encode().map(|bytes| bytes.to_vec())
}

pub use crate::counters::redis::fuzz_answer as redis_answer;
