//! W3C trace context: the headers `traceparent` and `tracestate`. <https://www.w3.org/TR/trace-context/>

use http::{HeaderMap, HeaderValue};

use super::identifiers::{SpanId, TraceId};

/// What a client says about the trace its call belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// The trace.
    pub trace: TraceId,
    /// The client's span.
    pub span: SpanId,
    /// Whether the client keeps its spans.
    pub sampled: bool,
}

/// What tracing systems on the way have noted, passed on as it came.
pub type TraceState = HeaderValue;

/// Members of a state at most.
const MAX_MEMBERS: usize = 32;

/// Bytes of a state at most. The specification wants 512 to be passed on; more is passed on too, within reason.
const MAX_STATE: usize = 2048;

impl Incoming {
    /// Reads both headers. A `traceparent` that is not valid, or comes twice, is as none; then there is no state either. A
    /// state that is not valid is left out.
    pub fn read(headers: &HeaderMap) -> Option<(Incoming, Option<TraceState>)> {
        let mut parents = headers.get_all(TRACE_PARENT).iter();
        let incoming = parse_trace_parent(parents.next()?.as_bytes())?;
        if parents.next().is_some() {
            return None;
        }
        let mut states = headers.get_all(TRACE_STATE).iter();
        let state = match (states.next(), states.next()) {
            (None, _) => None,
            (Some(state), None) => Some(state.clone()),
            (Some(first), Some(second)) => joined([first, second].into_iter().chain(states)),
        };
        let is_valid = |state: &HeaderValue| parse_trace_state(state.as_bytes());
        Some((incoming, state.filter(is_valid)))
    }
}

/// A list that comes in several headers is one list.
fn joined<'h>(values: impl Iterator<Item = &'h HeaderValue>) -> Option<HeaderValue> {
    let values: Vec<&[u8]> = values.map(HeaderValue::as_bytes).collect();
    HeaderValue::from_bytes(&values.join(&b","[..])).ok()
}

/// Reads a `traceparent`: `00-<32 hex>-<16 hex>-<2 hex>`, lower case. Of later versions, what begins as version 00 does.
pub fn parse_trace_parent(text: &[u8]) -> Option<Incoming> {
    let (known, rest) = text.split_at_checked(LENGTH)?;
    let [v1, v2, b'-', ids @ .., b'-', f1, f2] = known else {
        return None;
    };
    let version = hex_byte(*v1, *v2)?;
    let fits = match version {
        0 => rest.is_empty(),
        // Not allowed.
        0xff => false,
        // May go on, behind a dash.
        _ => rest.first().is_none_or(|byte| *byte == b'-'),
    };
    let (trace, rest) = ids.split_at_checked(32)?;
    let (b'-', span) = rest.split_first()? else {
        return None;
    };
    let trace: [u8; 16] = hex_bytes(trace)?;
    let span: [u8; 8] = hex_bytes(span)?;
    let flags = hex_byte(*f1, *f2)?;
    let is_valid = fits && trace != [0; 16] && span != [0; 8];
    is_valid.then_some(Incoming {
        trace: TraceId(trace),
        span: SpanId(span),
        sampled: flags & SAMPLED != 0,
    })
}

/// Whether a `tracestate` is valid: at most 32 members `key=value` with commas between them, empty ones allowed, no key twice.
pub fn parse_trace_state(text: &[u8]) -> bool {
    let mut keys: Vec<&[u8]> = Vec::new();
    if text.len() > MAX_STATE {
        return false;
    }
    for member in text.split(|byte| *byte == b',') {
        let member = trimmed(member);
        if member.is_empty() {
            continue;
        }
        let Some(equals) = member.iter().position(|byte| *byte == b'=') else {
            return false;
        };
        let (key, value) = (member.get(..equals), member.get(equals + 1..));
        let (Some(key), Some(value)) = (key, value) else {
            return false;
        };
        if !is_key(key) || !is_value(value) || keys.contains(&key) || keys.len() == MAX_MEMBERS {
            return false;
        }
        keys.push(key);
    }
    !keys.is_empty()
}

/// `name`, or `tenant@system`.
fn is_key(key: &[u8]) -> bool {
    let allowed = |byte: &u8| {
        byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | b'*' | b'/')
    };
    let is_part = |part: &[u8], longest: usize| part.len() <= longest && part.iter().all(allowed);
    let letter = |part: &[u8]| part.first().is_some_and(u8::is_ascii_lowercase);
    match key.iter().position(|byte| *byte == b'@') {
        None => letter(key) && is_part(key, 256),
        Some(at) => {
            let tenant = key.get(..at).unwrap_or_default();
            let system = key.get(at + 1..).unwrap_or_default();
            let begins = tenant.first().is_some_and(u8::is_ascii_alphanumeric);
            begins && is_part(tenant, 241) && letter(system) && is_part(system, 14)
        }
    }
}

/// Printable ASCII without commas and equals signs, not ending with a space.
fn is_value(value: &[u8]) -> bool {
    let allowed = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b',' | b'=');
    value.len() <= 256 && value.iter().all(allowed) && value.last().is_some_and(|byte| *byte != b' ')
}

fn trimmed(text: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let begin = text.iter().position(|byte| !is_space(byte)).unwrap_or(text.len());
    let end = text
        .iter()
        .rposition(|byte| !is_space(byte))
        .map_or(0, |last| last + 1);
    text.get(begin..end).unwrap_or_default()
}

fn hex_bytes<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let (pairs, rest) = text.as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = hex_byte(*high, *low)?;
    }
    Some(bytes)
}

fn hex_byte(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        // Upper case is not allowed.
        _ => None,
    };
    Some(digit(high)? << 4 | digit(low)?)
}

/// The `traceparent` of a span of ours.
pub(super) fn trace_parent(trace: TraceId, span: SpanId, sampled: bool) -> Option<HeaderValue> {
    let flags = if sampled { SAMPLED } else { 0 };
    HeaderValue::from_str(&format!("00-{trace}-{span}-{flags:02x}")).ok()
}

/// The header with the trace and the span.
pub(super) const TRACE_PARENT: &str = "traceparent";

/// The header with what tracing systems note.
pub(super) const TRACE_STATE: &str = "tracestate";

/// The flag that says that spans are kept.
const SAMPLED: u8 = 1;

/// Bytes of version 00.
const LENGTH: usize = 55;

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn parsed(text: &str) -> Option<Incoming> {
        parse_trace_parent(text.as_bytes())
    }

    #[test]
    fn the_example_of_the_specification_is_read_and_written() {
        let incoming = parsed(EXAMPLE).unwrap();
        assert_eq!(incoming.trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
        assert_eq!(incoming.span.to_string(), "00f067aa0ba902b7");
        assert!(incoming.sampled);
        let written = trace_parent(incoming.trace, incoming.span, incoming.sampled).unwrap();
        assert_eq!(written, EXAMPLE);
    }

    #[test]
    fn only_the_flag_for_sampling_counts() {
        let with = |flags: &str| parsed(&EXAMPLE.replace("-01", flags)).map(|incoming| incoming.sampled);
        assert_eq!(with("-00"), Some(false));
        assert_eq!(with("-02"), Some(false));
        assert_eq!(with("-03"), Some(true));
        assert_eq!(with("-ff"), Some(true));
    }

    #[test]
    fn what_is_not_to_the_letter_is_ignored() {
        for odd in [
            "",
            "00",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "0x-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
            "00_4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7_01",
            " 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01.what",
        ] {
            assert_eq!(parsed(odd), None, "{odd}");
        }
    }

    #[test]
    fn later_versions_are_read_as_far_as_they_are_known() {
        for later in [
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-the-future-brings",
        ] {
            assert!(parsed(later).is_some(), "{later}");
        }
    }

    #[test]
    fn states_are_lists_of_members() {
        let many = |members: usize| {
            let members: Vec<_> = (0..members).map(|number| format!("k{number}=v")).collect();
            members.join(",")
        };
        for valid in [
            "rojo=00f067aa0ba902b7",
            "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
            "a=1 ,\tb=2,,c= x",
            "0tenant@system=x",
            "a*/-_0=!",
            &many(32),
        ] {
            assert!(parse_trace_state(valid.as_bytes()), "{valid}");
        }
        for odd in [
            "",
            ",",
            "a",
            "=1",
            "a=",
            "a=b=c",
            "A=1",
            "0a=1",
            "a=1,a=2",
            "a=\u{e9}",
            "a@0=1",
            "a@b@c=1",
            &format!("{}=1", "a".repeat(257)),
            &format!("a={}", "1".repeat(257)),
            &many(33),
        ] {
            assert!(!parse_trace_state(odd.as_bytes()), "{odd}");
        }
    }

    #[test]
    fn headers_that_come_twice_are_one_list_or_none() {
        let mut headers = HeaderMap::new();
        headers.insert(TRACE_PARENT, HeaderValue::from_static(EXAMPLE));
        headers.append(TRACE_STATE, HeaderValue::from_static("a=1"));
        headers.append(TRACE_STATE, HeaderValue::from_static("b=2"));
        let (_, state) = Incoming::read(&headers).unwrap();
        assert_eq!(state.unwrap(), "a=1,b=2");
        headers.append(TRACE_STATE, HeaderValue::from_static("B"));
        assert_eq!(Incoming::read(&headers).unwrap().1, None);
        headers.append(TRACE_PARENT, HeaderValue::from_static(EXAMPLE));
        assert_eq!(Incoming::read(&headers), None);
    }
}
