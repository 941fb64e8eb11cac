//! Takes the secrets of an instance out of what its provider says. Providers quote keys in errors; a client must not learn
//! the operator's key from them, and neither must a log.

use std::sync::LazyLock;

use bytes::Bytes;
use memchr::memmem::Finder;
use tollgate_dialects::canonical::ProviderError;

use crate::snapshot::Instance;

/// Shortest credential that is searched for. Shorter ones would mask ordinary words.
const MIN_SECRET: usize = 8;

/// What stands in the place of a secret.
const MASK: &[u8] = b"***";

/// The bytes with every secret of the instance replaced. Copies only if there is one.
pub fn masked(bytes: Bytes, instance: &Instance) -> Bytes {
    let mut bytes = bytes;
    for secret in &instance.secrets {
        let secret = secret.expose();
        // The provider may quote the credential without the word before it.
        let secret = ["Bearer ", "Basic "]
            .iter()
            .find_map(|word| secret.strip_prefix(word))
            .unwrap_or(secret)
            .as_bytes();
        if secret.len() >= MIN_SECRET && memchr::memmem::find(&bytes, secret).is_some() {
            bytes = replaced(&bytes, secret).into();
        }
    }
    bytes
}

/// The same for text.
pub fn masked_text(text: &str, instance: &Instance) -> String {
    String::from_utf8_lossy(&masked(Bytes::copy_from_slice(text.as_bytes()), instance)).into_owned()
}

/// The same for all texts of an error that are used further.
pub fn masked_error(error: &ProviderError, instance: &Instance) -> ProviderError {
    ProviderError {
        message: masked_text(&error.message, instance),
        code: error.code.as_deref().map(|code| masked_text(code, instance)),
        param: error.param.as_deref().map(|param| masked_text(param, instance)),
        ..error.clone()
    }
}

/// Whether a text that is passed on without being understood may hold an error.
pub fn may_tell_error(text: &[u8]) -> bool {
    static ERROR: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(b"\"error\""));
    ERROR.find(text).is_some()
}

fn replaced(bytes: &[u8], secret: &[u8]) -> Vec<u8> {
    let mut clean = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(position) = memchr::memmem::find(rest, secret) {
        clean.extend_from_slice(&rest[..position]);
        clean.extend_from_slice(MASK);
        rest = &rest[position + secret.len()..];
    }
    clean.extend_from_slice(rest);
    clean
}
