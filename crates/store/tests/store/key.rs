//! Where the key comes from, and what happens when it is not there or not one.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use tempfile::tempdir;
use tollgate_store::{KeyError, Store, StoreError, StoreKey};

#[test]
fn hexadecimal_and_base64_name_the_same_key() {
    let bytes: Vec<u8> = (0..32).map(|number| number * 8 + 7).collect();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let directory = tempdir().unwrap();
    Store::open(directory.path(), &StoreKey::parse(&hex).unwrap(), 0).unwrap();

    for text in [
        hex.to_uppercase(),
        format!("  {hex}\n"),
        STANDARD.encode(&bytes),
        STANDARD.encode(&bytes).trim_end_matches('=').to_owned(),
        URL_SAFE_NO_PAD.encode(&bytes),
    ] {
        let key = StoreKey::parse(&text).unwrap();
        assert!(Store::open(directory.path(), &key, 0).is_ok(), "{text}");
    }
}

#[test]
fn text_that_is_no_key_is_refused_without_repeating_it() {
    let not_hex = "g".repeat(64);
    for text in [
        "",
        "secret",
        &"a".repeat(63),
        &"a".repeat(65),
        &not_hex,
        &STANDARD.encode([1; 31]),
        &STANDARD.encode([1; 33]),
    ] {
        let error = StoreKey::parse(text).unwrap_err();
        assert!(matches!(error, KeyError::Malformed), "{text}: {error:?}");
        let words = format!("{error} {error:?}");
        assert!(text.is_empty() || !words.contains(text), "{words}");
    }
}

#[test]
fn a_key_shows_nothing_of_itself() {
    let key = StoreKey::parse(&"5a".repeat(32)).unwrap();

    assert_eq!(format!("{key:?}"), "StoreKey(..)");
}

#[test]
fn a_generated_key_is_for_its_owner_only_and_opens_the_store_again() {
    let parent = tempdir().unwrap();
    let directory = parent.path().join("data");

    let key = StoreKey::load_or_generate(&directory).unwrap();
    drop(Store::open(&directory, &key, 0).unwrap());
    let again = StoreKey::load_or_generate(&directory).unwrap();

    assert!(Store::open(&directory, &again, 0).is_ok());
    let file = directory.join("store.key");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(
        fs::metadata(&directory).unwrap().permissions().mode() & 0o777,
        0o700
    );
    assert_eq!(fs::read_to_string(file).unwrap().trim_end().len(), 64);
}

#[test]
fn two_generated_keys_differ() {
    let (one, other) = (tempdir().unwrap(), tempdir().unwrap());
    Store::open(one.path(), &StoreKey::load_or_generate(one.path()).unwrap(), 0).unwrap();

    let key = StoreKey::load_or_generate(other.path()).unwrap();

    let error = Store::open(one.path(), &key, 0).unwrap_err();
    assert!(matches!(error, StoreError::WrongKey { .. }), "{error:?}");
}

#[test]
fn a_store_whose_key_file_is_gone_does_not_get_a_new_key() {
    let directory = tempdir().unwrap();
    let key = StoreKey::load_or_generate(directory.path()).unwrap();
    drop(Store::open(directory.path(), &key, 0).unwrap());
    fs::remove_file(directory.path().join("store.key")).unwrap();

    let error = StoreKey::load_or_generate(directory.path()).unwrap_err();

    assert!(matches!(error, KeyError::Missing { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("store.key") && text.contains("restore"), "{text}");
    assert!(!directory.path().join("store.key").exists());
}

#[test]
fn a_key_file_that_others_may_read_is_used_all_the_same() {
    let directory = tempdir().unwrap();
    StoreKey::load_or_generate(directory.path()).unwrap();
    fs::set_permissions(directory.path().join("store.key"), Permissions::from_mode(0o644)).unwrap();

    assert!(StoreKey::load_or_generate(directory.path()).is_ok());
}

#[test]
fn a_key_file_without_a_key_is_named_and_left_alone() {
    for text in ["", "half a ke", "\u{fe}"] {
        let directory = tempdir().unwrap();
        let file = directory.path().join("store.key");
        fs::write(&file, text).unwrap();

        let error = StoreKey::load_or_generate(directory.path()).unwrap_err();

        assert!(error.to_string().contains("store.key"), "{error}");
        assert_eq!(fs::read_to_string(&file).unwrap(), text);
    }
}
