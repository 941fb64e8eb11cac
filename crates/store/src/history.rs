//! What was done to the store: a log of entries, each bound to the one before it by its hash, and a version for each write,
//! from which any earlier state can be made again. Here is what is decided in memory; `file.rs` keeps it.
//!
//! ```text
//! anchor <- entry <- entry <- ... <- head          hash = SHA-256(previous hash, number, second, text)
//! ```
//!
//! The head is kept apart, so that cutting off the end is found; the anchor is the last entry that was dropped because of its
//! age, so that dropping the beginning leaves a chain that can be verified.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use tollgate_resources::objects::ObjectKey;
use zeroize::Zeroizing;

use crate::index::{Entry, Index};
use crate::plan::{Applied, Plan};
use crate::record;

/// A SHA-256.
pub type Hash = [u8; 32];

/// What is told about a write. The store does not read the texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notes {
    /// The time, in seconds since 1970.
    pub time_s: u64,
    /// The entry of the log.
    pub entry: String,
    /// What is told of the version, should the write make one.
    pub version: String,
}

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// Its number, from 1; no number is left out.
    pub seq: u64,
    /// When it was written, in seconds since 1970.
    pub time_s: u64,
    /// What its writer said.
    pub text: String,
    /// The hash of the entry before it; zeros for the first.
    pub previous: Hash,
    /// Its own hash.
    pub hash: Hash,
}

/// A place in the log: the number of an entry and its hash. The beginning is 0 and zeros.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Number of the entry.
    pub seq: u64,
    /// Its hash.
    pub hash: Hash,
}

/// What was found when the log was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The last entry that was dropped because of its age; the beginning if none was.
    pub anchor: Place,
    /// The last entry there must be.
    pub head: Place,
    /// Entries that were found to be right.
    pub entries: u64,
    /// The first entry that was changed, removed or put elsewhere; `None` if the log is whole.
    pub broken_at: Option<u64>,
}

/// What a write has made of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// Its number, from 1.
    pub number: u64,
    /// The entry of the log about the write.
    pub seq: u64,
    /// When it was made, in seconds since 1970.
    pub time_s: u64,
    /// What its writer said of it.
    pub text: String,
    /// The objects that the write changed.
    pub objects: Vec<ObjectKey>,
}

/// How an object was.
#[derive(Clone)]
pub struct Earlier {
    /// Which object.
    pub key: ObjectKey,
    /// The object; `None` where there was none.
    pub object: Option<Arc<tollgate_resources::objects::Object>>,
    /// When it would have counted as gone, in seconds since 1970.
    pub expires_s: Option<u64>,
}

/// How much of the past is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Most entries of the log.
    pub entries: u64,
    /// Entries that are older are dropped, in seconds.
    pub entries_s: u64,
    /// Most versions.
    pub versions: u64,
    /// Most bytes of all versions together.
    pub version_bytes: u64,
}

impl Default for Retention {
    /// Beyond a year of the log, and what a large configuration goes through in some months.
    fn default() -> Self {
        Retention {
            entries: 100_000,
            entries_s: 400 * 24 * 60 * 60,
            versions: 1000,
            version_bytes: 256 * 1024 * 1024,
        }
    }
}

/// The state of the past, in memory.
pub(crate) struct History {
    pub(crate) retention: Retention,
    pub(crate) anchor: Place,
    pub(crate) head: Place,
    /// When the oldest entry was written.
    pub(crate) oldest_s: u64,
    /// The number of the first version that is kept, and the sizes of it and of those after it.
    pub(crate) first_version: u64,
    pub(crate) version_sizes: VecDeque<u64>,
    /// Records of others, by name.
    pub(crate) kept: BTreeMap<String, Arc<Zeroizing<Vec<u8>>>>,
    /// Where there is no file.
    pub(crate) memory: Memory,
}

/// The past of a store without a file.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) entries: VecDeque<Logged>,
    pub(crate) versions: VecDeque<Zeroizing<Vec<u8>>>,
}

/// What a write adds to the past.
#[derive(Default)]
pub(crate) struct Addition {
    pub(crate) entry: Option<Logged>,
    /// Number and record.
    pub(crate) version: Option<(u64, Zeroizing<Vec<u8>>)>,
    /// Records of others; `None` removes one.
    pub(crate) kept: Vec<(String, Option<Vec<u8>>)>,
    /// Entries up to this one go.
    pub(crate) anchor: Option<Place>,
    /// When the oldest entry that stays was written.
    pub(crate) oldest_s: Option<u64>,
    /// Versions before this one go.
    pub(crate) first_version: u64,
}

/// Entries that are dropped with one write at most, so that a shorter retention costs no write much.
pub(crate) const DROPPED_AT_ONCE: u64 = 32;

impl Memory {
    /// One entry.
    pub(crate) fn entry(&self, seq: u64) -> Option<Logged> {
        let first = self.entries.front()?.seq;
        let place = usize::try_from(seq.checked_sub(first)?).ok()?;
        self.entries.get(place).cloned()
    }
}

impl Logged {
    /// The entry after a place.
    pub(crate) fn after(place: Place, time_s: u64, text: String) -> Logged {
        let seq = place.seq.saturating_add(1);
        Logged {
            hash: hash(&place.hash, seq, time_s, text.as_bytes()),
            previous: place.hash,
            seq,
            time_s,
            text,
        }
    }

    /// Where it is.
    pub fn place(&self) -> Place {
        Place {
            seq: self.seq,
            hash: self.hash,
        }
    }

    /// Whether it is as it was written, and comes after a place.
    pub(crate) fn follows(&self, place: Place) -> bool {
        place.seq.checked_add(1) == Some(self.seq)
            && self.previous == place.hash
            && self.hash == hash(&self.previous, self.seq, self.time_s, self.text.as_bytes())
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        [
            &self.previous,
            &self.hash,
            self.time_s.to_le_bytes().as_slice(),
            self.text.as_bytes(),
        ]
        .concat()
    }

    pub(crate) fn decode(seq: u64, bytes: &[u8]) -> Option<Logged> {
        let (previous, bytes) = bytes.split_first_chunk()?;
        let (hash, bytes) = bytes.split_first_chunk()?;
        let (time, text) = bytes.split_first_chunk()?;
        Some(Logged {
            seq,
            time_s: u64::from_le_bytes(*time),
            text: str::from_utf8(text).ok()?.to_owned(),
            previous: *previous,
            hash: *hash,
        })
    }
}

impl Place {
    pub(crate) fn encode(self) -> Vec<u8> {
        [self.seq.to_le_bytes().as_slice(), &self.hash].concat()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Place> {
        let (seq, hash) = bytes.split_first_chunk()?;
        Some(Place {
            seq: u64::from_le_bytes(*seq),
            hash: hash.try_into().ok()?,
        })
    }
}

fn hash(previous: &Hash, seq: u64, time_s: u64, text: &[u8]) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(b"tollgate audit 1");
    context.update(previous);
    context.update(&seq.to_le_bytes());
    context.update(&time_s.to_le_bytes());
    context.update(text);
    let mut hash = Hash::default();
    // A SHA-256 has as many bytes.
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

impl Default for History {
    fn default() -> Self {
        History {
            retention: Retention::default(),
            anchor: Place::default(),
            head: Place::default(),
            oldest_s: 0,
            first_version: 1,
            version_sizes: VecDeque::new(),
            kept: BTreeMap::new(),
            memory: Memory::default(),
        }
    }
}

impl History {
    /// The number of the last version; 0 before the first.
    pub(crate) fn last_version(&self) -> u64 {
        let count = self.version_sizes.len() as u64;
        (self.first_version + count).saturating_sub(1)
    }

    pub(crate) fn entries(&self) -> u64 {
        self.head.seq.saturating_sub(self.anchor.seq)
    }

    /// Says which entries go when one of `now_s` is added: the oldest, while they are too many or too old. `read` gives an
    /// entry; one that cannot be read stays, and is found when the log is verified.
    pub(crate) fn drop_old<E>(
        &self,
        addition: &mut Addition,
        now_s: u64,
        read: impl Fn(u64) -> Result<Option<Logged>, E>,
    ) -> Result<(), E> {
        let (mut anchor, mut oldest_s) = (self.anchor, self.oldest_s);
        for _ in 0..DROPPED_AT_ONCE {
            let left = self.head.seq.saturating_sub(anchor.seq);
            let is_due = left >= self.retention.entries.max(1)
                || oldest_s.saturating_add(self.retention.entries_s) < now_s;
            if left == 0 || !is_due {
                break;
            }
            let Some(entry) = read(anchor.seq + 1)?.filter(|entry| entry.follows(anchor)) else {
                break;
            };
            anchor = entry.place();
            oldest_s = match read(anchor.seq + 1)? {
                Some(next) => next.time_s,
                None => now_s,
            };
        }
        if anchor != self.anchor {
            addition.anchor = Some(anchor);
            addition.oldest_s = Some(oldest_s);
        }
        Ok(())
    }

    /// What a write adds.
    pub(crate) fn add(&self, index: &Index, plan: &Plan, notes: Notes) -> Addition {
        let entry = Logged::after(self.head, notes.time_s, notes.entry);
        let number = self.last_version() + 1;
        let version = encode_version(index, plan, entry.seq, notes.time_s, &notes.version);
        let mut first_version = self.first_version;
        let mut sizes = self.version_sizes.iter();
        let mut count = self.version_sizes.len() as u64 + 1;
        let mut bytes = sizes.clone().sum::<u64>() + version.len() as u64;
        while (count > self.retention.versions.max(1) || bytes > self.retention.version_bytes)
            && let Some(oldest) = sizes.next()
        {
            first_version += 1;
            count -= 1;
            bytes -= oldest;
        }
        Addition {
            entry: Some(entry),
            version: Some((number, version)),
            first_version,
            ..Addition::default()
        }
    }

    /// What an entry without a write adds.
    pub(crate) fn tell(
        &self,
        entry: Option<(u64, String)>,
        kept: Vec<(String, Option<Vec<u8>>)>,
    ) -> Addition {
        Addition {
            entry: entry.map(|(time_s, text)| Logged::after(self.head, time_s, text)),
            kept,
            first_version: self.first_version,
            ..Addition::default()
        }
    }

    /// Takes an addition that is durable.
    pub(crate) fn apply(&mut self, addition: Addition, in_memory: bool) {
        if let Some(entry) = addition.entry {
            self.head = entry.place();
            if self.entries() == 1 {
                self.oldest_s = entry.time_s;
            }
            if in_memory {
                self.memory.entries.push_back(entry);
            }
        }
        if let Some(anchor) = addition.anchor {
            self.anchor = anchor;
            let entries = &mut self.memory.entries;
            while entries.front().is_some_and(|entry| entry.seq <= anchor.seq) {
                entries.pop_front();
            }
        }
        if let Some(oldest_s) = addition.oldest_s {
            self.oldest_s = oldest_s;
        }
        if let Some((_, record)) = addition.version {
            self.version_sizes.push_back(record.len() as u64);
            if in_memory {
                self.memory.versions.push_back(record);
            }
        }
        while self.first_version < addition.first_version {
            self.version_sizes.pop_front();
            self.memory.versions.pop_front();
            self.first_version += 1;
        }
        for (name, record) in addition.kept {
            match record {
                Some(record) => self.kept.insert(name, Arc::new(Zeroizing::new(record))),
                None => self.kept.remove(&name),
            };
        }
    }
}

/// The record of a version: entry, second, what is told of it, then each object that changes, as it was before.
fn encode_version(index: &Index, plan: &Plan, seq: u64, time_s: u64, text: &str) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::new());
    bytes.extend_from_slice(&seq.to_le_bytes());
    bytes.extend_from_slice(&time_s.to_le_bytes());
    put_part(&mut bytes, text.as_bytes());
    for key in plan.outcome.keys() {
        put_part(&mut bytes, record::name(key).as_bytes());
        let before = index.entry(key).and_then(record::encode);
        // An object's record is never empty.
        put_part(
            &mut bytes,
            before.as_ref().map_or(&[], |record| record.as_slice()),
        );
    }
    bytes
}

fn put_part(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
    bytes.extend_from_slice(part);
}

/// Reads the record of a version: what is told of it, and how its objects were before. `None` if it is none.
pub(crate) fn decode_version(number: u64, bytes: &[u8]) -> Option<(Version, Vec<Earlier>)> {
    let (seq, bytes) = bytes.split_first_chunk()?;
    let (time, mut bytes) = bytes.split_first_chunk()?;
    let text = str::from_utf8(take_part(&mut bytes)?).ok()?.to_owned();
    let mut before = Vec::new();
    while !bytes.is_empty() {
        let key = record::key_of(str::from_utf8(take_part(&mut bytes)?).ok()?)?;
        let entry: Option<Entry> = match take_part(&mut bytes)? {
            [] => None,
            record => Some(record::decode(key.clone(), record)?),
        };
        before.push(Earlier {
            key,
            expires_s: entry.as_ref().and_then(|entry| entry.expires_s),
            object: entry.map(|entry| entry.object),
        });
    }
    let version = Version {
        number,
        seq: u64::from_le_bytes(*seq),
        time_s: u64::from_le_bytes(*time),
        text,
        objects: before.iter().map(|earlier| earlier.key.clone()).collect(),
    };
    Some((version, before))
}

fn take_part<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let (length, rest) = bytes.split_first_chunk()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (part, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    Some(part)
}

/// What is told of a write that nobody else tells about: the gateway's own.
pub(crate) fn own_notes(action: &str, time_s: u64, applied: &[Applied]) -> Notes {
    let mut objects: Vec<String> = applied.iter().map(|applied| record::name(&applied.key)).collect();
    objects.dedup();
    let changes = objects.len();
    let entry = serde_json::json!({
        "actor": "tollgate",
        "role": "admin",
        "via": "system",
        "address": null,
        "action": action,
        "objects": objects,
        "changes": [],
    });
    let version = serde_json::json!({
        "actor": "tollgate",
        "summary": format!("{action} of {changes} objects"),
    });
    Notes {
        time_s,
        entry: entry.to_string(),
        version: version.to_string(),
    }
}
