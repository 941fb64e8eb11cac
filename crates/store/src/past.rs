//! The past in the file: the log, the versions and the records of others, each sealed for its place.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;

use redb::{
    Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction,
};
use zeroize::Zeroizing;

use crate::cipher::Cipher;
use crate::error::StoreError;
use crate::history::{Addition, History, Logged, Place};

/// An addition as it goes into the file.
pub(crate) struct Sealed {
    entry: Option<(u64, Vec<u8>)>,
    version: Option<(u64, Vec<u8>)>,
    kept: Vec<(String, Option<Vec<u8>>)>,
    head: Option<Vec<u8>>,
    anchor: Option<Vec<u8>>,
    dropped_entries: RangeInclusive<u64>,
    dropped_versions: std::ops::Range<u64>,
}

/// A table as it is.
type Records = Vec<(u64, Vec<u8>)>;

/// Makes the tables of an empty past.
pub(crate) fn create(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(LOG)?;
    transaction.open_table(VERSIONS)?;
    transaction.open_table(KEPT)?;
    transaction.open_table(PLACES)?;
    Ok(())
}

/// Encrypts an addition to what is there.
pub(crate) fn seal(cipher: &Cipher, history: &History, addition: &Addition) -> Result<Sealed, StoreError> {
    let entry = match &addition.entry {
        Some(entry) => Some((
            entry.seq,
            cipher.seal(&entry_context(entry.seq), &entry.encode())?,
        )),
        None => None,
    };
    let version = match &addition.version {
        Some((number, record)) => Some((*number, cipher.seal(&version_context(*number), record)?)),
        None => None,
    };
    let mut kept = Vec::with_capacity(addition.kept.len());
    for (name, record) in &addition.kept {
        let sealed = match record {
            Some(record) => Some(cipher.seal(&kept_context(name), record)?),
            None => None,
        };
        kept.push((name.clone(), sealed));
    }
    let place = |name: &str, place: Option<Place>| match place {
        Some(place) => cipher.seal(&place_context(name), &place.encode()).map(Some),
        None => Ok(None),
    };
    Ok(Sealed {
        entry,
        version,
        kept,
        head: place(HEAD, addition.entry.as_ref().map(Logged::place))?,
        anchor: place(ANCHOR, addition.anchor)?,
        dropped_entries: history.anchor.seq + 1
            ..=addition.anchor.map_or(history.anchor.seq, |anchor| anchor.seq),
        dropped_versions: history.first_version..addition.first_version,
    })
}

/// Writes an addition.
pub(crate) fn write(transaction: &WriteTransaction, sealed: &Sealed) -> Result<(), redb::Error> {
    let mut log = transaction.open_table(LOG)?;
    for seq in sealed.dropped_entries.clone() {
        log.remove(seq)?;
    }
    if let Some((seq, record)) = &sealed.entry {
        log.insert(seq, record.as_slice())?;
    }
    let mut versions = transaction.open_table(VERSIONS)?;
    for number in sealed.dropped_versions.clone() {
        versions.remove(number)?;
    }
    if let Some((number, record)) = &sealed.version {
        versions.insert(number, record.as_slice())?;
    }
    let mut places = transaction.open_table(PLACES)?;
    for (name, place) in [(HEAD, &sealed.head), (ANCHOR, &sealed.anchor)] {
        if let Some(place) = place {
            places.insert(name, place.as_slice())?;
        }
    }
    if !sealed.kept.is_empty() {
        let mut kept = transaction.open_table(KEPT)?;
        for (name, record) in &sealed.kept {
            match record {
                Some(record) => kept.insert(name.as_str(), record.as_slice())?,
                None => kept.remove(name.as_str())?,
            };
        }
    }
    Ok(())
}

/// The log and the versions up to where a history knows of, as they are in the file.
pub(crate) fn read(database: &Database, history: &History) -> Result<(Records, Records), redb::Error> {
    let transaction = database.begin_read()?;
    let entries = history.anchor.seq + 1..history.head.seq + 1;
    let versions = history.first_version..history.last_version() + 1;
    Ok((
        records(&transaction.open_table(LOG)?, entries)?,
        records(&transaction.open_table(VERSIONS)?, versions)?,
    ))
}

/// Puts the past back to what a history knows.
pub(crate) fn restore(
    cipher: &Cipher,
    history: &History,
    entries: Records,
    versions: Records,
) -> Result<impl FnOnce(&WriteTransaction) -> Result<(), redb::Error> + use<>, StoreError> {
    let mut kept = Vec::with_capacity(history.kept.len());
    for (name, record) in &history.kept {
        kept.push((name.clone(), cipher.seal(&kept_context(name), record)?));
    }
    let mut places = Vec::new();
    for (name, place) in [(HEAD, history.head), (ANCHOR, history.anchor)] {
        places.push((name, cipher.seal(&place_context(name), &place.encode())?));
    }
    Ok(move |transaction: &WriteTransaction| {
        for (table, records) in [(LOG, entries), (VERSIONS, versions)] {
            transaction.delete_table(table)?;
            let mut table = transaction.open_table(table)?;
            for (number, record) in records {
                table.insert(number, record.as_slice())?;
            }
        }
        transaction.delete_table(KEPT)?;
        let mut table = transaction.open_table(KEPT)?;
        for (name, record) in &kept {
            table.insert(name.as_str(), record.as_slice())?;
        }
        let mut table = transaction.open_table(PLACES)?;
        for (name, place) in &places {
            table.insert(*name, place.as_slice())?;
        }
        Ok(())
    })
}

/// What there is to know of the past without reading all of it. The reason if it cannot be.
pub(crate) fn load(database: &Database, cipher: &Cipher) -> Result<Result<History, String>, redb::Error> {
    let transaction = database.begin_read()?;
    let places = transaction.open_table(PLACES)?;
    let place = |name: &str| -> Result<Result<Place, String>, redb::Error> {
        let Some(sealed) = places.get(name)? else {
            return Ok(Ok(Place::default()));
        };
        let place = cipher
            .open(&place_context(name), sealed.value())
            .and_then(|plain| Place::decode(&plain));
        Ok(place.ok_or_else(|| format!("the {name} of its audit log was changed")))
    };
    let (head, anchor) = match (place(HEAD)?, place(ANCHOR)?) {
        (Ok(head), Ok(anchor)) => (head, anchor),
        (Err(reason), _) | (_, Err(reason)) => return Ok(Err(reason)),
    };
    let mut history = History {
        head,
        anchor,
        ..History::default()
    };
    let versions = transaction.open_table(VERSIONS)?;
    let mut sizes = VecDeque::new();
    for version in versions.iter()? {
        let (number, record) = version?;
        if sizes.is_empty() {
            history.first_version = number.value();
        }
        sizes.push_back(record.value().len() as u64);
    }
    if versions.len()? != sizes.len() as u64 {
        return Ok(Err("versions are missing".to_owned()));
    }
    history.version_sizes = sizes;
    let kept = transaction.open_table(KEPT)?;
    for record in kept.iter()? {
        let (name, sealed) = record?;
        let name = name.value().to_owned();
        match cipher.open(&kept_context(&name), sealed.value()) {
            Some(plain) => history.kept.insert(name, Arc::new(plain)),
            None => return Ok(Err("a kept record was changed".to_owned())),
        };
    }
    drop(transaction);
    if let Some(oldest) = entry(database, cipher, history.anchor.seq + 1)? {
        history.oldest_s = oldest.time_s;
    }
    Ok(Ok(history))
}

/// One entry of the log; `None` if it is not there, or not what was put there.
pub(crate) fn entry(database: &Database, cipher: &Cipher, seq: u64) -> Result<Option<Logged>, redb::Error> {
    let log = database.begin_read()?.open_table(LOG)?;
    let sealed = log.get(seq)?;
    Ok(sealed
        .and_then(|sealed| cipher.open(&entry_context(seq), sealed.value()))
        .and_then(|plain| Logged::decode(seq, &plain)))
}

/// Some entries of the log, `None` as above.
pub(crate) fn entries(
    database: &Database,
    cipher: &Cipher,
    numbers: RangeInclusive<u64>,
) -> Result<Vec<(u64, Option<Logged>)>, redb::Error> {
    let log = database.begin_read()?.open_table(LOG)?;
    let mut entries = Vec::new();
    for seq in numbers {
        let sealed = log.get(seq)?;
        let entry = sealed
            .and_then(|sealed| cipher.open(&entry_context(seq), sealed.value()))
            .and_then(|plain| Logged::decode(seq, &plain));
        entries.push((seq, entry));
    }
    Ok(entries)
}

/// The record of a version; `None` if it is not there, or not what was put there.
pub(crate) fn version(
    database: &Database,
    cipher: &Cipher,
    number: u64,
) -> Result<Option<Zeroizing<Vec<u8>>>, redb::Error> {
    let versions = database.begin_read()?.open_table(VERSIONS)?;
    let sealed = versions.get(number)?;
    Ok(sealed.and_then(|sealed| cipher.open(&version_context(number), sealed.value())))
}

fn records(
    table: &impl ReadableTable<u64, &'static [u8]>,
    numbers: std::ops::Range<u64>,
) -> Result<Records, redb::Error> {
    let mut records = Vec::new();
    for record in table.range(numbers)? {
        let (number, record) = record?;
        records.push((number.value(), record.value().to_vec()));
    }
    Ok(records)
}

pub(crate) fn entry_context(seq: u64) -> Vec<u8> {
    format!("audit/{seq}").into_bytes()
}

fn version_context(number: u64) -> Vec<u8> {
    format!("version/{number}").into_bytes()
}

fn kept_context(name: &str) -> Vec<u8> {
    format!("kept/{name}").into_bytes()
}

fn place_context(name: &str) -> Vec<u8> {
    format!("place/{name}").into_bytes()
}

/// Numbers to sealed entries.
pub(crate) const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("audit");
/// Numbers to sealed versions.
const VERSIONS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("versions");
/// Names to sealed records of others.
const KEPT: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("kept");
/// The ends of the log.
const PLACES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("audit_places");
const HEAD: &str = "head";
const ANCHOR: &str = "anchor";
