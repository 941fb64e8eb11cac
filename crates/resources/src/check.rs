//! Rules for single values that more than one place of a configuration has to keep.

use std::net::IpAddr;

use crate::model::SIMULATED_SCHEME;
use crate::report::quote;

/// Longest name of anything, in bytes. Names become log fields and metric labels.
const MAX_NAME_BYTES: usize = 200;

/// Headers that belong to the connection or to HTTP itself; setting them would break the framing of the request.
const FORBIDDEN_HEADERS: [&str; 11] = [
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
    "expect",
];

/// Checks the name of a model, provider, instance or label: something that can stand in a log line or a URL.
pub(crate) fn name(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err("a name must not be empty".to_owned());
    }
    if text.len() > MAX_NAME_BYTES {
        return Err(format!("a name has at most {MAX_NAME_BYTES} bytes"));
    }
    match text
        .chars()
        .find(|character| character.is_whitespace() || character.is_control())
    {
        Some(_) => Err(format!(
            "the name `{}` must not contain spaces or control characters",
            quote(text)
        )),
        None => Ok(()),
    }
}

/// Checks the name of a consumer, which also appears in headers and file names.
pub(crate) fn username(text: &str) -> Result<(), String> {
    name(text)?;
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.@".contains(&byte);
    if text.bytes().all(allowed) {
        Ok(())
    } else {
        Err(format!(
            "the name `{}` may contain letters, digits, `-`, `_`, `.` and `@` only",
            quote(text)
        ))
    }
}

/// Checks a model name where no pattern is possible.
pub(crate) fn no_glob(text: &str) -> Result<(), String> {
    if text.contains('*') {
        return Err(format!("`{}` is a pattern; name one model", quote(text)));
    }
    Ok(())
}

/// Checks the name of a header and gives it in lower case.
pub(crate) fn header_name(text: &str) -> Result<String, String> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if text.is_empty() || text.len() > MAX_NAME_BYTES || !text.bytes().all(token) {
        return Err(format!(
            "`{}` is no header name: letters, digits and `-` only",
            quote(text)
        ));
    }
    let text = text.to_ascii_lowercase();
    if FORBIDDEN_HEADERS.contains(&text.as_str()) {
        return Err(format!("the header `{text}` is set by the gateway itself"));
    }
    Ok(text)
}

/// Checks that a value can stand in a header. The value may be a secret and is not repeated.
pub(crate) fn header_value(text: &str) -> Result<(), String> {
    if text.starts_with([' ', '\t']) || text.ends_with([' ', '\t']) {
        return Err("the value begins or ends with a space".to_owned());
    }
    if text.bytes().any(|byte| matches!(byte, b'\r' | b'\n')) {
        return Err("the value contains a line break, which cannot stand in a header".to_owned());
    }
    if text
        .bytes()
        .any(|byte| byte != b'\t' && !(0x20..=0x7e).contains(&byte))
    {
        return Err("the value contains a character that cannot stand in a header (ASCII only)".to_owned());
    }
    Ok(())
}

/// Checks a base address and gives it without a trailing slash.
pub(crate) fn endpoint(text: &str) -> Result<String, String> {
    let no_url = || {
        format!(
            "`{}` is no http or https URL, such as `https://llm.example.com/v1`",
            quote(text)
        )
    };
    if text.bytes().any(|byte| !(0x21..=0x7e).contains(&byte)) {
        return Err(format!(
            "`{}` contains a space or another character that a URL cannot have",
            quote(text)
        ));
    }
    if let Some(query) = text.strip_prefix(SIMULATED_SCHEME) {
        return simulated(query).map(|()| text.to_owned());
    }
    let Some((_, rest)) = scheme(text) else {
        return Err(no_url());
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    if authority.contains('@') {
        // Not repeated: it may hold a password.
        return Err("a URL must not contain a user name or password; use `key` or `headers`".to_owned());
    }
    if path.contains(['?', '#']) {
        return Err("a base address has no `?` and no `#`".to_owned());
    }
    let (host, port) = split_port(authority);
    if host.is_empty() || port.is_some_and(|port| !port.parse::<u16>().is_ok_and(|port| port != 0)) {
        return Err(no_url());
    }
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let valid = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)),
    };
    if !valid {
        return Err(no_url());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// Tells whether what is sent to this base address can be read on the way: plain HTTP to another machine.
pub(crate) fn readable_on_the_way(endpoint: &str) -> bool {
    let Some(("http", rest)) = scheme(endpoint) else {
        return false;
    };
    let (host, _) = split_port(rest.split('/').next().unwrap_or_default());
    let address = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>();
    !(host.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(|address| address.to_canonical().is_loopback()))
}

fn scheme(url: &str) -> Option<(&'static str, &str)> {
    if let Some(rest) = url.strip_prefix("https://") {
        return Some(("https", rest));
    }
    url.strip_prefix("http://").map(|rest| ("http", rest))
}

fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

/// Checks what follows `simulated:`. Which names there are is the provider's own affair.
fn simulated(query: &str) -> Result<(), String> {
    if query.is_empty() {
        return Ok(());
    }
    let pair = |pair: &str| {
        pair.split_once('=')
            .is_some_and(|(name, value)| !name.is_empty() && !value.is_empty())
    };
    match query.strip_prefix('?') {
        Some(pairs) if pairs.split('&').all(pair) => Ok(()),
        _ => Err(format!(
            "`{SIMULATED_SCHEME}` may be followed by `?name=value&…` only"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_urls_and_the_simulated_provider_are_endpoints() {
        for (text, expected) in [
            ("https://api.openai.com/v1", "https://api.openai.com/v1"),
            ("https://api.openai.com/v1/", "https://api.openai.com/v1"),
            ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
            ("http://[::1]:9000/v1", "http://[::1]:9000/v1"),
            ("simulated:", "simulated:"),
            (
                "simulated:?latency_ms=100&tokens=5",
                "simulated:?latency_ms=100&tokens=5",
            ),
        ] {
            assert_eq!(endpoint(text).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn anything_else_is_no_endpoint() {
        for text in [
            "",
            "api.openai.com",
            "ftp://host",
            "file:///etc/passwd",
            "https://",
            "https:///v1",
            "https://host:0",
            "https://host:99999",
            "https://host:x",
            "https://user:secret@host",
            "https://host/v1?key=secret",
            "https://host/v1#x",
            "https://ho st/",
            "https://host/\r\nx",
            "https://[::1",
            "https://[zz]/",
            "https://hö.example",
            "simulated:x",
            "simulated:?x",
        ] {
            let error = endpoint(text).expect_err(text);
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn only_plain_http_to_another_machine_is_readable_on_the_way() {
        assert!(readable_on_the_way("http://llm.internal:8000/v1"));
        assert!(readable_on_the_way("http://10.0.0.7"));
        for safe in [
            "https://llm.internal",
            "http://127.0.0.1:1",
            "http://localhost/v1",
            "http://[::1]:80",
            "simulated:",
        ] {
            assert!(!readable_on_the_way(safe), "{safe}");
        }
    }

    #[test]
    fn header_names_are_lowered_and_those_of_the_framing_refused() {
        assert_eq!(header_name("X-Team").as_deref(), Ok("x-team"));
        for text in ["", "X Team", "X:Team", "X\r\nY", "Content-Length", "Host"] {
            assert!(header_name(text).is_err(), "{text}");
        }
    }

    #[test]
    fn header_values_cannot_smuggle_a_line() {
        assert!(header_value("Bearer sk-1").is_ok());
        for text in ["a\r\nx: y", "a\n", " a", "a ", "\u{e9}", "a\0"] {
            assert!(header_value(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn names_fit_into_one_word_of_a_log_line() {
        assert!(name("meta-llama/Llama-3.3:free").is_ok());
        assert!(name("gpt-*").is_ok());
        for text in ["", "a b", "a\tb", "a\u{0}"] {
            assert!(name(text).is_err(), "{text:?}");
        }
        assert!(name(&"x".repeat(MAX_NAME_BYTES)).is_ok());
        assert!(name(&"x".repeat(MAX_NAME_BYTES + 1)).is_err());
        assert!(username("alice@example.com").is_ok() && username("a/b").is_err());
    }
}
