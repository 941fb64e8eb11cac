//! The key that the store is encrypted with: from the environment, or from a file beside the store.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use crate::disk;
use crate::error::StoreError;

/// The 256-bit key of a store. Zeroed on drop; its `Debug` shows nothing of it.
///
/// Keep it apart from backups of the store's file: with both, everything can be read; without it, nothing.
pub struct StoreKey(Zeroizing<[u8; LENGTH]>);

/// Why there is no key. Never carries any of the key's text.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The text is not a key.
    #[error(
        "a store key is 32 bytes, written as 64 hexadecimal digits or in base64; make one with `openssl rand -hex 32`"
    )]
    Malformed,
    /// The key file's text is not a key.
    #[error(
        "{} does not hold a store key (64 hexadecimal digits): restore it from a backup; \
         if there is no store beside it yet, remove it and a new one is made",
        path.display()
    )]
    MalformedFile {
        /// The key file.
        path: PathBuf,
    },
    /// There is a store, but no key to read it with.
    #[error(
        "{} exists but its key {} does not: restore the key file, or pass the key that the store was created with, \
         or move the store away to start with an empty one",
        store.display(),
        path.display()
    )]
    Missing {
        /// The key file that is missing.
        path: PathBuf,
        /// The store's file.
        store: PathBuf,
    },
    /// The disk refused.
    #[error("cannot use {}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The system gives no random numbers, so no key can be made.
    #[error("cannot make a store key: the system has no random numbers")]
    NoRandomness,
}

impl StoreKey {
    /// Reads a key from text, such as the value of an environment variable: 64 hexadecimal digits, or 32 bytes in base64
    /// (standard or URL-safe, padded or not). White space around it is ignored.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        let key = if text.len() == 2 * LENGTH {
            from_hex(text)
        } else {
            from_base64(text)
        };
        key.map(StoreKey).ok_or(KeyError::Malformed)
    }

    /// Reads `<directory>/store.key`. Makes one (mode 0600, durable when this returns) if neither it nor a store exists.
    ///
    /// A key file that others than its owner may read is used, with a warning in the log.
    pub fn load_or_generate(directory: &Path) -> Result<Self, KeyError> {
        let path = disk::key_file(directory);
        if let Some(key) = load(&path)? {
            return Ok(key);
        }
        let store = directory.join(disk::STORE_FILE);
        for store in [&store, &directory.join(disk::RESPONSES_FILE)] {
            if store.try_exists().map_err(io_error(store))? {
                let store = store.clone();
                return Err(KeyError::Missing { path, store });
            }
        }
        disk::create_directory(directory).map_err(io_error(directory))?;
        generate(&path)?;
        disk::sync_directory(directory).map_err(io_error(directory))?;
        // Read back what is there now: a process that was faster than this one may have made it.
        load(&path)?.ok_or(KeyError::Missing { path, store })
    }

    /// A key of its own for one purpose, made from this one and a salt.
    pub(crate) fn derive(&self, salt: &[u8], purpose: &[u8]) -> Result<StoreKey, StoreError> {
        let mut key = Zeroizing::new([0; LENGTH]);
        Salt::new(HKDF_SHA256, salt)
            .extract(self.bytes())
            .expand(&[purpose], HKDF_SHA256)
            .and_then(|derived| derived.fill(key.as_mut()))
            .map_err(|_| StoreError::Cryptography)?;
        Ok(StoreKey(key))
    }

    pub(crate) fn bytes(&self) -> &[u8; LENGTH] {
        &self.0
    }
}

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreKey(..)")
    }
}

fn load(path: &Path) -> Result<Option<StoreKey>, KeyError> {
    let text = match fs::read(path) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(path)(error)),
    };
    let mode = fs::metadata(path).map_err(io_error(path))?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(
            file = %path.display(),
            mode = format!("{:o}", mode & 0o777),
            "the store's key file is open to others than its owner; chmod 600 it"
        );
    }
    let malformed = || KeyError::MalformedFile {
        path: path.to_owned(),
    };
    let text = str::from_utf8(&text).map_err(|_| malformed())?;
    StoreKey::parse(text).map(Some).map_err(|_| malformed())
}

/// Makes a key file, unless there is one by now.
fn generate(path: &Path) -> Result<(), KeyError> {
    let mut bytes = Zeroizing::new([0; LENGTH]);
    aws_lc_rs::rand::fill(bytes.as_mut()).map_err(|_| KeyError::NoRandomness)?;
    let mut text = Zeroizing::new(String::with_capacity(2 * LENGTH + 1));
    for byte in bytes.iter() {
        for digit in [byte >> 4, byte & 0xf] {
            text.extend(char::from_digit(digit.into(), 16));
        }
    }
    text.push('\n');
    let created = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path);
    let mut file = match created {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        Err(error) => return Err(io_error(path)(error)),
    };
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(io_error(path))
}

fn from_hex(text: &str) -> Option<Zeroizing<[u8; LENGTH]>> {
    let (pairs, _) = text.as_bytes().as_chunks::<2>();
    let mut key = Zeroizing::new([0; LENGTH]);
    for (byte, [high, low]) in key.iter_mut().zip(pairs) {
        let (high, low) = (char::from(*high).to_digit(16)?, char::from(*low).to_digit(16)?);
        *byte = u8::try_from(high << 4 | low).ok()?;
    }
    Some(key)
}

fn from_base64(text: &str) -> Option<Zeroizing<[u8; LENGTH]>> {
    let bytes = Zeroizing::new(STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok()?);
    let key: &[u8; LENGTH] = bytes.as_slice().try_into().ok()?;
    Some(Zeroizing::new(*key))
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> KeyError {
    let path = path.to_owned();
    move |source| KeyError::Io { path, source }
}

/// Bytes of a key.
const LENGTH: usize = 32;
const ANY_PADDING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, ANY_PADDING);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, ANY_PADDING);
