//! Keeps credentials out of the log: knows the names under which they travel in headers and query parameters.

use std::borrow::Cow;

/// What is written instead of a credential.
pub(crate) const MASK: &str = "***";

/// Whether a header or query parameter of this name carries a credential. `_` and `-` are the same here.
pub(crate) fn is_secret(name: &str) -> bool {
    let plain: String = name
        .chars()
        .filter(|c| !matches!(c, '-' | '_'))
        .map(|c| c.to_ascii_lowercase())
        .collect();
    SECRET_NAMES.contains(&plain.as_str()) || SECRET_ENDINGS.iter().any(|ending| plain.ends_with(ending))
}

/// Masks the values of the secret parameters in the query of `uri`, and of those that have one of the names in `more`.
pub(crate) fn uri<'u>(uri: &'u str, more: &[&str]) -> Cow<'u, str> {
    let Some((path, query)) = uri.split_once('?') else {
        return Cow::Borrowed(uri);
    };
    match self::query(query, more) {
        Cow::Borrowed(_) => Cow::Borrowed(uri),
        Cow::Owned(masked) => Cow::Owned(format!("{path}?{masked}")),
    }
}

/// The same in `query`, the text after `?`.
pub(crate) fn query<'q>(query: &'q str, more: &[&str]) -> Cow<'q, str> {
    if !query
        .split(['&', ';', '?', '#'])
        .any(|pair| secret_parameter(pair, more).is_some())
    {
        return Cow::Borrowed(query);
    }
    let mut masked = String::with_capacity(query.len());
    for piece in query.split_inclusive(['&', ';', '?', '#']) {
        let separator_at = piece.trim_end_matches(['&', ';', '?', '#']).len();
        let (pair, separator) = piece.split_at(separator_at);
        match secret_parameter(pair, more) {
            Some(name) => {
                masked.push_str(name);
                masked.push('=');
                masked.push_str(MASK);
            }
            None => masked.push_str(pair),
        }
        masked.push_str(separator);
    }
    Cow::Owned(masked)
}

/// The name of the parameter `name=value` if it is a secret one with a value.
fn secret_parameter<'p>(pair: &'p str, more: &[&str]) -> Option<&'p str> {
    let (name, value) = pair.split_once('=')?;
    let plain = percent_decoded(name);
    (!value.is_empty() && (more.contains(&&*plain) || is_secret(&plain))).then_some(name)
}

/// The text with `%XX` resolved, so that an encoded name does not escape the mask.
pub(crate) fn percent_decoded(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        match (first, after) {
            (b'%', [high, low, tail @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                decoded.push(hex_value(*high) << 4 | hex_value(*low));
                rest = tail;
            }
            _ => {
                decoded.push(*first);
                rest = after;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

fn hex_value(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit.wrapping_sub(b'A').wrapping_add(10),
    }
}

/// Whole names, lower case, without `-` and `_`.
const SECRET_NAMES: [&str; 10] = [
    "key",
    "auth",
    "sig",
    "xamzsignature",
    "xamzcredential",
    "signature",
    "ocpapimsubscriptionkey",
    "subscriptionkey",
    "setcookie",
    "jwt",
];

/// Endings of names, lower case, without `-` and `_`.
const SECRET_ENDINGS: [&str; 6] = ["apikey", "token", "secret", "password", "authorization", "cookie"];

#[cfg(test)]
mod tests {
    use super::is_secret;

    fn uri(uri: &str) -> std::borrow::Cow<'_, str> {
        super::uri(uri, &[])
    }

    #[test]
    fn the_headers_that_carry_keys_are_secret() {
        for name in [
            "authorization",
            "Proxy-Authorization",
            "x_api_key",
            "apikey",
            "x-goog-api-key",
            "cookie",
            "api-key",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in [
            "user_agent",
            "x-forwarded-for",
            "host",
            "idempotency-key",
            "x-request-id",
        ] {
            assert!(!is_secret(name), "{name}");
        }
    }

    #[test]
    fn keys_in_the_query_are_masked_and_the_rest_is_kept_as_sent() {
        assert_eq!(
            uri("/v1beta/models/gemini:generateContent?key=AIza1&alt=sse"),
            "/v1beta/models/gemini:generateContent?key=***&alt=sse"
        );
        assert_eq!(uri("/a?x=1&apikey=s3cret"), "/a?x=1&apikey=***");
        assert_eq!(uri("/a?API_Key=s3cret;b"), "/a?API_Key=***;b");
        assert_eq!(uri("/a?x=1&y=a%20b&&"), "/a?x=1&y=a%20b&&");
        assert_eq!(uri("/key=visible"), "/key=visible");
        assert_eq!(uri("/a?key="), "/a?key=");
    }

    #[test]
    fn an_encoded_name_and_a_second_question_mark_do_not_escape_the_mask() {
        assert_eq!(uri("/a?%6bey=s3cret"), "/a?%6bey=***");
        assert_eq!(uri("/a?x?key=s3cret"), "/a?x?key=***");
        assert_eq!(uri("/a?%zzkey=v"), "/a?%zzkey=v");
    }
}
