//! What is in the file, who may open it, and what a file that is not right is told.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::common::{key, open, put, route};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use redb::{Database, ReadableDatabase, TableDefinition};
use tempfile::tempdir;
use tollgate_resources::objects::{Kind, ObjectKey};
use tollgate_store::{Store, StoreError, StoreKey};

const OBJECTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("objects");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

#[test]
fn secrets_are_not_in_the_file_and_neither_is_their_base64() {
    let secret = "sk-live-0123456789abcdefghijklmnop";
    let directory = tempdir().unwrap();
    let store = open(directory.path());
    store
        .write(vec![put(route("found-in-clear"), secret)], 0)
        .unwrap();
    store.write(vec![put(route("found-in-clear"), "x")], 0).unwrap();
    store.write(vec![put(route("other"), secret)], 0).unwrap();
    drop(store);

    let bytes = fs::read(directory.path().join("tollgate.db")).unwrap();
    let contains = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(
        contains("found-in-clear"),
        "ids are in clear, or this test looks at the wrong file"
    );
    assert!(!contains(secret));
    for shift in 0..3 {
        // Base64 depends on where the secret begins in what is encoded; its ends depend on what is around it.
        let encoded = STANDARD.encode([&"   "[..shift], secret].concat());
        assert!(!contains(&encoded[4..encoded.len() - 4]));
    }
}

#[test]
fn no_debug_output_or_error_shows_a_value() {
    let directory = tempdir().unwrap();
    let store = open(directory.path());
    let change = put(route("1"), "planted-secret");
    let shown = format!("{change:?}");
    let applied = store.write(vec![change], 0).unwrap();
    let error = store.write_if(&[(route("1"), None)], Vec::new(), 0).unwrap_err();

    let shown = format!("{shown} {applied:?} {store:?} {error:?} {error}");

    assert!(
        shown.contains("Route") && !shown.contains("planted-secret"),
        "{shown}"
    );
}

#[test]
fn the_file_and_its_directory_are_for_their_owner_only() {
    let parent = tempdir().unwrap();
    let directory = parent.path().join("a/b");

    drop(open(&directory));

    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(mode(&directory.join("tollgate.db")), 0o600);
}

#[test]
fn a_second_store_cannot_open_the_file_until_the_first_is_gone() {
    let directory = tempdir().unwrap();
    let store = open(directory.path());
    store.write(vec![put(route("1"), "x")], 0).unwrap();

    let error = Store::open(directory.path(), &key(), 0).unwrap_err();

    assert!(matches!(error, StoreError::Locked { .. }), "{error:?}");
    assert!(
        error
            .to_string()
            .contains("tollgate.db is in use by another process"),
        "{error}"
    );
    drop(store);
    assert!(open(directory.path()).get(&route("1")).is_some());
}

#[test]
fn nothing_is_written_into_a_file_that_was_moved_deleted_or_replaced() {
    let directory = tempdir().unwrap();
    let (path, away) = (
        directory.path().join("tollgate.db"),
        directory.path().join("away"),
    );
    let store = open(directory.path());
    store.write(vec![put(route("kept"), "x")], 0).unwrap();
    let refuses = || {
        let error = store.write(vec![put(route("new"), "x")], 0).unwrap_err();
        assert!(matches!(error, StoreError::Moved { .. }), "{error}");
        assert!(store.get(&route("new")).is_none());
    };
    fs::rename(&path, &away).unwrap();
    refuses();
    fs::write(&path, "somebody else's").unwrap();
    refuses();
    assert_eq!(fs::read_to_string(&path).unwrap(), "somebody else's");
    // Put back, it goes on.
    fs::rename(&away, &path).unwrap();
    store.write(vec![put(route("new"), "x")], 0).unwrap();
    drop(store);
    assert!(open(directory.path()).get(&route("new")).is_some());
}

#[test]
fn another_key_is_told_so_and_harms_nothing() {
    let directory = tempdir().unwrap();
    open(directory.path())
        .write(vec![put(route("1"), "x")], 0)
        .unwrap();

    let other = StoreKey::parse(&"a5".repeat(32)).unwrap();
    let error = Store::open(directory.path(), &other, 0).unwrap_err();

    assert!(matches!(error, StoreError::WrongKey { .. }), "{error:?}");
    assert!(open(directory.path()).get(&route("1")).is_some());
}

#[test]
fn records_that_were_swapped_are_refused_by_name() {
    let directory = tempdir().unwrap();
    open(directory.path())
        .write(vec![put(route("1"), "one"), put(route("2"), "two")], 0)
        .unwrap();

    change_record(directory.path(), |one, two| (two, one));

    assert_corrupt(directory.path());
}

#[test]
fn a_record_with_any_changed_byte_is_refused_by_name() {
    let directory = tempdir().unwrap();
    open(directory.path())
        .write(vec![put(route("1"), "one"), put(route("2"), "two")], 0)
        .unwrap();
    let mut length = 0;
    change_record(directory.path(), |one, two| {
        length = one.len();
        (one, two)
    });
    assert!(open(directory.path()).get(&route("1")).is_some());

    for position in 0..length {
        let flip = |mut one: Vec<u8>, two| {
            one[position] ^= 1;
            (one, two)
        };
        change_record(directory.path(), flip);
        assert_corrupt(directory.path());
        change_record(directory.path(), flip);
    }
    change_record(directory.path(), |_, two| (Vec::new(), two));
    assert_corrupt(directory.path());
}

#[test]
fn damage_anywhere_in_the_file_is_an_error_or_does_no_harm() {
    let directory = tempdir().unwrap();
    let store = open(directory.path());
    for number in 0..40 {
        let text = "x".repeat(number * 50);
        store
            .write(vec![put(route(&number.to_string()), &text)], 0)
            .unwrap();
    }
    let whole = store.all();
    drop(store);
    let bytes = fs::read(directory.path().join("tollgate.db")).unwrap();

    let mut refused = 0;
    for step in 0..150 {
        // The first positions are the header; the others are spread over the file.
        let position = if step < 40 {
            step * 8
        } else {
            step * 7919 % bytes.len()
        };
        let mut damaged = bytes.clone();
        damaged[position] ^= 0x81;
        let directory = tempdir().unwrap();
        fs::write(directory.path().join("tollgate.db"), damaged).unwrap();

        match Store::open(directory.path(), &key(), 0) {
            Ok(store) => assert!(store.all() == whole, "lost something by damage at {position}"),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 0);
}

#[test]
fn the_file_of_a_newer_version_is_refused_and_left_alone() {
    let directory = tempdir().unwrap();
    drop(open(directory.path()));
    set_meta(directory.path(), "format", &3_u64.to_le_bytes());

    let error = Store::open(directory.path(), &key(), 0).unwrap_err();

    assert!(
        matches!(
            error,
            StoreError::NewerFormat {
                found: 3,
                known: 2,
                ..
            }
        ),
        "{error:?}"
    );
    assert!(error.to_string().contains("use the newer binary"), "{error}");
    set_meta(directory.path(), "format", &2_u64.to_le_bytes());
    assert!(Store::open(directory.path(), &key(), 0).is_ok());
}

#[test]
fn a_revision_that_cannot_be_is_refused() {
    let directory = tempdir().unwrap();
    drop(open(directory.path()));
    set_meta(directory.path(), "revision", &u64::MAX.to_le_bytes());

    assert_damaged(directory.path());
}

#[test]
fn an_object_of_an_unknown_kind_is_refused() {
    let directory = tempdir().unwrap();
    drop(open(directory.path()));
    let database = Database::open(directory.path().join("tollgate.db")).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction
        .open_table(OBJECTS)
        .unwrap()
        .insert("cats/1", &b"x"[..])
        .unwrap();
    transaction.commit().unwrap();
    drop(database);

    assert_damaged(directory.path());
}

#[test]
fn files_that_are_no_stores_are_refused_and_left_alone() {
    for bytes in [b"".to_vec(), b"routes: []".to_vec(), vec![0; 1 << 20]] {
        let directory = tempdir().unwrap();
        let path = directory.path().join("tollgate.db");
        fs::write(&path, &bytes).unwrap();

        let error = Store::open(directory.path(), &key(), 0).unwrap_err();

        assert!(error.to_string().contains("tollgate.db"), "{error}");
        assert!(
            matches!(error, StoreError::Damaged { .. } | StoreError::Io { .. }),
            "{error:?}"
        );
        assert!(fs::read(&path).unwrap() == bytes);
    }
}

#[test]
fn a_database_of_something_else_is_refused() {
    let directory = tempdir().unwrap();
    drop(Database::create(directory.path().join("tollgate.db")).unwrap());

    assert_damaged(directory.path());
}

#[test]
fn a_store_that_was_never_finished_is_made_anew() {
    let directory = tempdir().unwrap();
    fs::write(directory.path().join("tollgate.db.new"), "half a database").unwrap();

    drop(open(directory.path()));

    assert_eq!(open(directory.path()).revision(), 0);
    assert!(!directory.path().join("tollgate.db.new").exists());
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let parent = tempdir().unwrap();
    fs::write(parent.path().join("file"), "").unwrap();

    let error = Store::open(&parent.path().join("file/data"), &key(), 0).unwrap_err();

    assert!(matches!(error, StoreError::Io { .. }), "{error:?}");
    assert!(error.to_string().contains("file/data"), "{error}");
}

fn assert_corrupt(directory: &Path) {
    let error = Store::open(directory, &key(), 0).unwrap_err();
    assert!(
        matches!(&error, StoreError::Corrupt { key } if key.kind == Kind::Route),
        "{error:?}"
    );
    assert!(
        error
            .to_string()
            .contains(&ObjectKey::new(Kind::Route, "1").to_string()),
        "{error}"
    );
}

fn assert_damaged(directory: &Path) {
    let error = Store::open(directory, &key(), 0).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
}

/// Changes the records of routes 1 and 2 behind the store's back.
fn change_record(directory: &Path, change: impl FnOnce(Vec<u8>, Vec<u8>) -> (Vec<u8>, Vec<u8>)) {
    let database = Database::open(directory.join("tollgate.db")).unwrap();
    let read = database.begin_read().unwrap().open_table(OBJECTS).unwrap();
    let record = |name| read.get(name).unwrap().unwrap().value().to_vec();
    let (one, two) = change(record("routes/1"), record("routes/2"));
    let transaction = database.begin_write().unwrap();
    {
        let mut objects = transaction.open_table(OBJECTS).unwrap();
        objects.insert("routes/1", one.as_slice()).unwrap();
        objects.insert("routes/2", two.as_slice()).unwrap();
    }
    transaction.commit().unwrap();
}

fn set_meta(directory: &Path, name: &str, bytes: &[u8]) {
    let database = Database::open(directory.join("tollgate.db")).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(META).unwrap().insert(name, bytes).unwrap();
    transaction.commit().unwrap();
}
