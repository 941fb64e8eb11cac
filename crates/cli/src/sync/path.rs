//! Paths of the Admin API.

use std::fmt::Write;

use tollgate_resources::objects::{Kind, ObjectKey};

/// The path under which an object is written.
pub fn object_path(key: &ObjectKey) -> String {
    match (key.kind, key.owner()) {
        (Kind::Credential, Some(username)) => format!(
            "/apisix/admin/consumers/{}/credentials/{}",
            segment(username),
            segment(key.short_id())
        ),
        (kind, _) => format!("/apisix/admin/{}/{}", kind.collection(), segment(&key.id)),
    }
}

/// A text as one part of a path.
pub fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_and_credentials_stand_under_their_consumer() {
        let path = |key: &ObjectKey| object_path(key);
        assert_eq!(
            path(&ObjectKey::new(Kind::GlobalRule, "a b/ü?")),
            "/apisix/admin/global_rules/a%20b%2F%C3%BC%3F"
        );
        assert_eq!(
            path(&ObjectKey::credential("jack", "c1")),
            "/apisix/admin/consumers/jack/credentials/c1"
        );
    }
}
