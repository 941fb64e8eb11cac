//! What is kept of one response, under which key, and how it is sealed.

use aws_lc_rs::digest::{SHA256, digest};
use zeroize::Zeroizing;

use crate::cipher::Cipher;
use crate::error::StoreError;
use crate::key::StoreKey;

/// What is kept under one id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Id of the record before it, for what belongs to a chain. At most 65535 bytes.
    pub previous: Option<String>,
    /// The content. The store does not look into it.
    pub body: Vec<u8>,
}

impl Record {
    /// Its bytes; `None` if the id before it is too long.
    pub(crate) fn encode(&self) -> Option<Zeroizing<Vec<u8>>> {
        let previous = self.previous.as_deref().unwrap_or_default();
        let length = u16::try_from(previous.len()).ok()?;
        let mut bytes = Zeroizing::new(Vec::with_capacity(3 + previous.len() + self.body.len()));
        bytes.push(VERSION);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(previous.as_bytes());
        bytes.extend_from_slice(&self.body);
        Some(bytes)
    }

    /// Reads its bytes; `None` if they are none of a record.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (&[VERSION, low, high], rest) = bytes.split_first_chunk::<3>()? else {
            return None;
        };
        let length = usize::from(u16::from_le_bytes([low, high]));
        let (previous, body) = rest.split_at_checked(length)?;
        let previous = String::from_utf8(previous.to_vec()).ok()?;
        Some(Record {
            previous: Some(previous).filter(|previous| !previous.is_empty()),
            body: body.to_vec(),
        })
    }

    /// What it counts against the bounds, in bytes.
    pub(super) fn size(&self) -> usize {
        OVERHEAD + self.previous.as_ref().map_or(0, String::len) + self.body.len()
    }
}

/// Whose a record is, and its id.
#[derive(Clone, Debug)]
pub(super) struct Name {
    pub(super) owner: String,
    pub(super) id: String,
}

impl Name {
    pub(super) fn new(owner: &str, id: &str) -> Self {
        Name {
            owner: owner.to_owned(),
            id: id.to_owned(),
        }
    }

    pub(super) fn key(&self) -> Key {
        Key::new(&self.owner, &self.id)
    }

    /// What a sealed record is bound to.
    fn context(&self) -> Vec<u8> {
        let length = self.owner.len() as u64;
        [
            b"response/".as_slice(),
            &length.to_le_bytes(),
            self.owner.as_bytes(),
            self.id.as_bytes(),
        ]
        .concat()
    }
}

/// The half of a key that all records of one owner share.
pub(super) type OwnerKey = [u8; 16];

/// What a record is found by: a hash of its owner and one of its id. So neither can be taken for a part of the other, both
/// are short, and nobody reads the ids of responses in a file or in Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key(pub(super) [u8; 32]);

impl Key {
    pub(super) fn new(owner: &str, id: &str) -> Self {
        let mut key = [0; 32];
        let (owner_half, id_half) = key.split_at_mut(16);
        owner_half.copy_from_slice(&hash(owner));
        id_half.copy_from_slice(&hash(id));
        Key(key)
    }

    pub(super) fn owner(&self) -> OwnerKey {
        self.halves().0
    }

    pub(super) fn halves(&self) -> ([u8; 16], [u8; 16]) {
        let mut halves = ([0; 16], [0; 16]);
        let (owner, id) = self.0.split_at(16);
        halves.0.copy_from_slice(owner);
        halves.1.copy_from_slice(id);
        halves
    }

    /// The key as Redis knows it.
    pub(super) fn in_redis(&self) -> String {
        let (owner, id) = self.halves();
        format!("tollgate:responses:{}:{}", hex(&owner), hex(&id))
    }
}

/// Where a record stands among those of its owner: the one that expires first comes first.
pub(super) type Place = [u8; 40];

/// The place of a record that expires at this time, in seconds since 1970.
pub(super) fn place(key: &Key, expires_s: u64) -> Place {
    let (owner, id) = key.halves();
    let mut place = [0; 40];
    for (byte, value) in place
        .iter_mut()
        .zip(owner.into_iter().chain(expires_s.to_be_bytes()).chain(id))
    {
        *byte = value;
    }
    place
}

/// The key of the record at a place.
pub(super) fn key_at(place: &Place) -> Key {
    let mut key = [0; 32];
    let bytes = place.iter().take(16).chain(place.iter().skip(24));
    for (byte, value) in key.iter_mut().zip(bytes) {
        *byte = *value;
    }
    Key(key)
}

/// The places of an owner's records that expire before a time.
pub(super) fn places_before(owner: OwnerKey, time_s: u64) -> std::ops::Range<Place> {
    let end = |time_s: u64| {
        let mut key = [0; 32];
        for (byte, value) in key.iter_mut().zip(owner) {
            *byte = value;
        }
        place(&Key(key), time_s)
    };
    end(0)..end(time_s)
}

/// How records are written where others might read them.
pub(super) enum Sealing {
    /// As they are.
    Off,
    /// Encrypted, each with a key of its own.
    On(StoreKey),
}

impl Sealing {
    pub(super) fn seal(&self, name: &Name, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        match self {
            Sealing::Off => Ok([&[PLAIN], plain].concat()),
            Sealing::On(key) => {
                let mut salt = [0; SALT];
                aws_lc_rs::rand::fill(&mut salt).map_err(|_| StoreError::Cryptography)?;
                let sealed = record_cipher(key, &salt)?.seal(&name.context(), plain)?;
                Ok([&[SEALED], salt.as_slice(), sealed.as_slice()].concat())
            }
        }
    }

    /// Reads what was sealed; `None` if it was written with another key or under another name, changed since, or is plain
    /// where it must be sealed.
    pub(super) fn open(&self, name: &Name, written: &[u8]) -> Option<Record> {
        let (&kind, rest) = written.split_first()?;
        match (self, kind) {
            (Sealing::Off, PLAIN) => Record::decode(rest),
            (Sealing::On(key), SEALED) => {
                let (salt, sealed) = rest.split_first_chunk::<SALT>()?;
                let plain = record_cipher(key, salt).ok()?.open(&name.context(), sealed)?;
                Record::decode(&plain)
            }
            _ => None,
        }
    }
}

/// Random nonces are safe for 2^32 records under one key only, and every turn of every conversation is a record. So each has
/// a key of its own, made from the store's key and a random salt.
fn record_cipher(key: &StoreKey, salt: &[u8; SALT]) -> Result<Cipher, StoreError> {
    Cipher::new(&key.derive(salt, b"tollgate responses")?)
}

fn hash(text: &str) -> [u8; 16] {
    let mut half = [0; 16];
    for (byte, value) in half.iter_mut().zip(digest(&SHA256, text.as_bytes()).as_ref()) {
        *byte = *value;
    }
    half
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

const VERSION: u8 = 1;
const PLAIN: u8 = 0;
const SEALED: u8 = 1;
const SALT: usize = 16;
/// What a record needs beside its content: keys, times, seal.
const OVERHEAD: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            previous: Some("resp_1".to_owned()),
            body: b"{}".to_vec(),
        }
    }

    fn sealing(digits: &str) -> Sealing {
        Sealing::On(StoreKey::parse(&digits.repeat(32)).unwrap())
    }

    #[test]
    fn a_record_opens_under_its_own_name_and_key_only() {
        let name = Name::new("a", "resp_2");
        let plain = record().encode().unwrap();
        let written = sealing("5a").seal(&name, &plain).unwrap();
        assert_eq!(sealing("5a").open(&name, &written), Some(record()));
        assert_eq!(sealing("5b").open(&name, &written), None);
        for other in [
            Name::new("b", "resp_2"),
            Name::new("a", "resp_3"),
            Name::new("ar", "esp_2"),
        ] {
            assert_eq!(sealing("5a").open(&other, &written), None);
        }
        assert_ne!(written, sealing("5a").seal(&name, &plain).unwrap());
        for at in 0..written.len() {
            let mut changed = written.clone();
            changed[at] ^= 1;
            assert_eq!(sealing("5a").open(&name, &changed), None, "byte {at}");
            assert_eq!(sealing("5a").open(&name, &written[..at]), None, "cut at {at}");
        }
    }

    #[test]
    fn a_plain_record_is_not_taken_where_records_are_sealed() {
        let name = Name::new("a", "resp_2");
        let written = Sealing::Off.seal(&name, &record().encode().unwrap()).unwrap();
        assert_eq!(Sealing::Off.open(&name, &written), Some(record()));
        assert_eq!(sealing("5a").open(&name, &written), None);
    }

    #[test]
    fn places_are_ordered_by_expiry_within_an_owner_and_tell_their_key() {
        let (first, second, foreign) = (Key::new("a", "1"), Key::new("a", "2"), Key::new("b", "1"));
        let range = places_before(first.owner(), 100);
        assert!(range.contains(&place(&first, 0)));
        assert!(range.contains(&place(&second, 99)));
        assert!(!range.contains(&place(&second, 100)));
        assert!(!range.contains(&place(&foreign, 5)));
        assert!(place(&second, 7) < place(&first, 8));
        assert_eq!(key_at(&place(&second, 7)), second);
    }
}
