//! Reads `retry-after`.

use std::time::{Duration, SystemTime};

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue};

/// How long the sender of a `retry-after` wants to be left alone: seconds, which some send with a fraction, or a date.
/// `None` for what is neither.
pub fn wait_of(value: &HeaderValue, now: SystemTime) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let until = httpdate::parse_http_date(text).ok()?;
    Some(until.duration_since(now).unwrap_or_default())
}

/// The `retry-after` of an answer. Where there is only Azure's `retry-after-ms`, the same in whole seconds.
pub fn in_headers(headers: &HeaderMap) -> Option<HeaderValue> {
    if let Some(value) = headers.get(RETRY_AFTER) {
        return Some(value.clone());
    }
    let milliseconds: u64 = headers
        .get("retry-after-ms")?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(HeaderValue::from(milliseconds.div_ceil(1000)))
}

/// The `retry-after` that Google writes into the body of a refusal instead, as in `"retryDelay": "37s"`.
pub fn in_body(body: &[u8]) -> Option<HeaderValue> {
    const NAME: &[u8] = b"\"retryDelay\"";
    let after = memchr::memmem::find(body, NAME)? + NAME.len();
    let rest = std::str::from_utf8(body.get(after..)?).ok()?;
    let text = rest
        .trim_start()
        .strip_prefix(':')?
        .trim_start()
        .strip_prefix('"')?;
    let seconds: f64 = text.split_once("s\"")?.0.parse().ok()?;
    let seconds = Duration::try_from_secs_f64(seconds.ceil()).ok()?.as_secs();
    Some(HeaderValue::from(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn google_s_delay_is_rounded_up_to_seconds() {
        let told = |delay: &str| {
            in_body(format!(r#"{{"error":{{"code":429,"details":[{{"retryDelay": {delay}}}]}}}}"#).as_bytes())
        };
        assert_eq!(told(r#""37s""#), Some(HeaderValue::from(37)));
        assert_eq!(told(r#""48.939935699s""#), Some(HeaderValue::from(49)));
        for odd in [r#""soon""#, "37", r#""-1s""#, r#""s""#, r#"{"s":"s"}"#] {
            assert_eq!(told(odd), None, "{odd}");
        }
        assert_eq!(in_body(br#"{"error":{"retryDelay""#), None);
    }

    #[test]
    fn azure_s_milliseconds_are_rounded_up_where_nothing_else_is_told() {
        let mut headers = HeaderMap::new();
        assert_eq!(in_headers(&headers), None);
        headers.insert("retry-after-ms", HeaderValue::from_static("2750"));
        assert_eq!(in_headers(&headers), Some(HeaderValue::from(3)));
        headers.insert(RETRY_AFTER, HeaderValue::from_static("4"));
        assert_eq!(in_headers(&headers), Some(HeaderValue::from(4)));
        headers.remove(RETRY_AFTER);
        headers.insert("retry-after-ms", HeaderValue::from_static("soon"));
        assert_eq!(in_headers(&headers), None);
    }

    #[test]
    fn seconds_and_dates_are_read_and_everything_else_is_not() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let wait = |text: &'static str| wait_of(&HeaderValue::from_static(text), now);
        assert_eq!(wait("20"), Some(Duration::from_secs(20)));
        assert_eq!(wait("0.5"), Some(Duration::from_millis(500)));
        assert_eq!(
            wait("Sun, 06 Nov 1994 08:49:47 GMT"),
            Some(Duration::from_secs(10))
        );
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:07 GMT"), Some(Duration::ZERO));
        for odd in ["", "soon", "-1", "nan", "inf", "1e400"] {
            assert_eq!(wait(odd), None, "{odd}");
        }
    }
}
