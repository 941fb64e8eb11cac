//! Names and values in the query of a URI. Knows how they are written, not what they mean.

use std::borrow::Cow;

use http::Uri;
use http::uri::PathAndQuery;

/// The value of the first argument of a name, decoded.
pub(crate) fn first<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    pairs(query)
        .find(|(key, _)| decode(key) == name)
        .map(|(_, value)| decode(value))
}

/// Takes all arguments of a name out of a URI; the others stay as they were written.
pub(crate) fn remove(uri: &mut Uri, name: &str) {
    let Some(query) = uri.query() else { return };
    if first(query, name).is_none() {
        return;
    }
    let mut kept = String::with_capacity(query.len());
    for part in query.split('&') {
        let key = part.split_once('=').map_or(part, |(key, _)| key);
        if decode(key) == name {
            continue;
        }
        if !kept.is_empty() {
            kept.push('&');
        }
        kept.push_str(part);
    }
    let path = uri.path();
    let text = if kept.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{kept}")
    };
    set_path_and_query(uri, &text);
}

/// Replaces path and query of a URI. Returns whether the text can stand there; if not, the URI stays as it was.
pub(crate) fn set_path_and_query(uri: &mut Uri, text: &str) -> bool {
    let Ok(path_and_query) = PathAndQuery::try_from(text) else {
        return false;
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path_and_query);
    match Uri::from_parts(parts) {
        Ok(changed) => {
            *uri = changed;
            true
        }
        Err(_) => false,
    }
}

/// The arguments in order, as they are written.
pub(crate) fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| part.split_once('=').unwrap_or((part, "")))
}

/// Decodes a name or value of a query: `%41` and `+`.
pub(crate) fn decode(text: &str) -> Cow<'_, str> {
    if text.contains('+') {
        return Cow::Owned(decode_path(&text.replace('+', " ")).into_owned());
    }
    decode_path(text)
}

/// Decodes `%41` and the like; what is no such sequence stays.
pub(crate) fn decode_path(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        match (first, tail) {
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                decoded.push(hex(*high) << 4 | hex(*low));
                rest = after;
            }
            _ => {
                decoded.push(*first);
                rest = tail;
            }
        }
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

/// A path as nginx normalises it before anything is matched: decoded, without `.`, `..` and doubled slashes. `None` if it
/// leads out of the root or holds a NUL.
pub(crate) fn normalised_path(path: &str) -> Option<Cow<'_, str>> {
    let plain = !path.contains('%') && !path.contains("//") && !path.contains("/.");
    if plain {
        return Some(Cow::Borrowed(path));
    }
    let decoded = decode_path(path);
    if decoded.contains('\0') {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    let mut ends_in_folder = false;
    for part in decoded.split('/').skip(1) {
        ends_in_folder = matches!(part, "" | "." | "..");
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    let mut path = String::with_capacity(decoded.len());
    for part in &parts {
        path.push('/');
        path.push_str(part);
    }
    if ends_in_folder || path.is_empty() {
        path.push('/');
    }
    Some(Cow::Owned(path))
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_argument_of_a_name_is_decoded() {
        assert_eq!(first("a=1&b=x%20y+z&b=2", "b").as_deref(), Some("x y z"));
        assert_eq!(first("a%5Fb=1", "a_b").as_deref(), Some("1"));
        assert_eq!(first("flag", "flag").as_deref(), Some(""));
        assert_eq!(first("a=%zz%4", "a").as_deref(), Some("%zz%4"));
        assert_eq!(first("a=1", "b"), None);
    }

    #[test]
    fn removing_an_argument_leaves_the_others_as_written() {
        for (before, after) in [
            ("/p?a=1&k=2&b=%20&k=3", "/p?a=1&b=%20"),
            ("/p?k=2", "/p"),
            ("/p?a", "/p?a"),
            ("/p", "/p"),
        ] {
            let mut uri: Uri = before.parse().unwrap();
            remove(&mut uri, "k");
            assert_eq!(uri.to_string(), after);
        }
    }
}
