//! Amazon's signatures (Signature Version 4), put on the finished request.
//!
//! Knows how Bedrock wants paths: every segment encoded once on the wire and twice in what is signed.

use std::fmt::Write;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_lc_rs::digest::{SHA256, digest};
use aws_sigv4::http_request::{
    PercentEncodingMode, SignableBody, SignableRequest, SigningSettings, UriPathNormalizationMode,
};
use aws_sigv4::sign::v4::SigningParams;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use thiserror::Error;

use super::config::AwsAuth;
use super::percent;

/// What is signed.
pub struct Unsigned<'a> {
    /// Method.
    pub method: &'a Method,
    /// The value of the `host` header.
    pub host: &'a str,
    /// The path as it is sent; see [`wire_path`].
    pub path: &'a str,
    /// Query without question mark.
    pub query: Option<&'a str>,
    /// Headers; of these `content-type` and `x-amz-*` are signed.
    pub headers: &'a HeaderMap,
    /// The whole body.
    pub body: &'a [u8],
    /// Amazon's region.
    pub region: &'a str,
    /// Amazon's name of the service: [`BEDROCK`].
    pub service: &'a str,
    /// When.
    pub time: SystemTime,
}

/// The name under which Bedrock's requests are signed.
pub const BEDROCK: &str = "bedrock";

/// A request cannot be signed. The operator's fault: something in the address or the key is not usable.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("failed to sign AWS request: {0}")]
pub struct SignError(String);

/// Signs a request: gives the headers to set on it, `authorization`, `x-amz-date` and for temporary keys
/// `x-amz-security-token`.
///
/// # Errors
/// The request cannot be signed.
pub fn sign(request: &Unsigned<'_>, key: &AwsAuth) -> Result<Vec<(HeaderName, HeaderValue)>, SignError> {
    let identity = Credentials::new(
        key.access_key_id.as_str(),
        key.secret_access_key.expose(),
        key.session_token.as_ref().map(|token| token.expose().to_owned()),
        None,
        "configuration",
    )
    .into();
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Double;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    let params = SigningParams::builder()
        .identity(&identity)
        .region(request.region)
        .name(request.service)
        .time(request.time)
        .settings(settings)
        .build()
        .map_err(|error| SignError(error.to_string()))?
        .into();

    let mut url = format!("https://{}{}", request.host, request.path);
    if let Some(query) = request.query {
        url.push('?');
        url.push_str(query);
    }
    let signed_headers = request.headers.iter().filter_map(|(name, value)| {
        let name = name.as_str();
        let signed = name == "content-type" || (name.starts_with("x-amz-") && !MADE.contains(&name));
        Some((name, value.to_str().ok().filter(|_| signed)?))
    });
    // Only the digest is handed over, so that no log of the signer can hold the body.
    let body = SignableBody::Precomputed(hex(digest(&SHA256, request.body).as_ref()));
    let signable = SignableRequest::new(
        request.method.as_str(),
        url,
        signed_headers.chain([("host", request.host)]),
        body,
    )
    .map_err(|error| SignError(error.to_string()))?;
    let (instructions, _) = aws_sigv4::http_request::sign(signable, &params)
        .map_err(|error| SignError(error.to_string()))?
        .into_parts();
    instructions
        .headers()
        .map(|(name, value)| {
            let name =
                HeaderName::from_bytes(name.as_bytes()).map_err(|error| SignError(error.to_string()))?;
            let mut value = HeaderValue::from_str(value).map_err(|error| SignError(error.to_string()))?;
            value.set_sensitive(name != "x-amz-date");
            Ok((name, value))
        })
        .collect()
}

/// The path as it must be sent: every segment encoded exactly once, whether it came raw or encoded. Slashes stay as they
/// are.
pub fn wire_path(path: &str) -> String {
    let mut out = String::with_capacity(path.len() + 16);
    for (i, segment) in path.split('/').enumerate() {
        if i > 0 {
            out.push('/');
        }
        percent::encode_bytes(&mut out, &percent::decode(segment));
    }
    out
}

fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

/// Headers that signing makes; what a request had under these names is replaced.
const MADE: [&str; 2] = ["x-amz-date", "x-amz-security-token"];

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use aws_lc_rs::hmac;
    use http::{HeaderMap, HeaderName, HeaderValue, Method};
    use serde_json::{Value, json};

    use super::{SHA256, Unsigned, digest, hex, sign, wire_path};
    use crate::ai::config::AwsAuth;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    fn key(token: Option<&str>) -> AwsAuth {
        let mut conf = json!({"access_key_id": "AKIDEXAMPLE", "secret_access_key": SECRET});
        if let Some(token) = token {
            conf["session_token"] = Value::from(token);
        }
        serde_json::from_value(conf).unwrap()
    }

    /// 2015-08-30T12:36:00Z, the time of Amazon's test vectors.
    fn time() -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_440_938_160)
    }

    fn signed(request: &Unsigned<'_>, key: &AwsAuth) -> HeaderMap {
        sign(request, key).unwrap().into_iter().collect()
    }

    fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
        headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn vector<'a>(method: &'a Method, headers: &'a HeaderMap, path: &'a str, body: &'a [u8]) -> Unsigned<'a> {
        Unsigned {
            method,
            host: "example.amazonaws.com",
            path,
            query: None,
            headers,
            body,
            region: "us-east-1",
            service: "service",
            time: time(),
        }
    }

    #[test]
    fn amazon_s_own_examples_come_out_as_published() {
        let none = HeaderMap::new();
        let form = HeaderMap::from_iter([(
            HeaderName::from_static("content-type"),
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        )]);
        let (get, post) = (Method::GET, Method::POST);
        let query = Unsigned {
            query: Some("Param2=value2&Param1=value1"),
            ..vector(&get, &none, "/", b"")
        };
        let token = "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267";
        for (request, token, signature) in [
            (
                vector(&get, &none, "/", b""),
                None,
                "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31",
            ),
            (
                vector(&post, &none, "/", b""),
                None,
                "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b",
            ),
            (
                query,
                None,
                "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            ),
            (
                vector(&get, &none, "/", b""),
                Some(token),
                "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8",
            ),
            (
                vector(&post, &form, "/", b"Param1=value1"),
                None,
                "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
            ),
        ] {
            let headers = signed(&request, &key(token));
            let authorization = text(&headers, "authorization");
            assert!(authorization.ends_with(signature), "{authorization}");
            assert_eq!(text(&headers, "x-amz-date"), "20150830T123600Z");
            assert_eq!(headers.contains_key("x-amz-security-token"), token.is_some());
        }
    }

    #[test]
    fn a_path_is_encoded_once_on_the_wire_and_twice_in_the_signature() {
        let raw = "/model/arn:aws:bedrock:us-east-1:1:application-inference-profile%2Fa b/converse";
        let path = wire_path(raw);
        assert_eq!(
            path,
            "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Aapplication-inference-profile%2Fa%20b/converse"
        );
        assert_eq!(wire_path(&path), path, "encoding what is encoded changes nothing");
        let body = br#"{"messages":[]}"#;
        let headers = HeaderMap::from_iter([
            (
                HeaderName::from_static("content-type"),
                HeaderValue::from_static("application/json"),
            ),
            (
                HeaderName::from_static("user-agent"),
                HeaderValue::from_static("sdk"),
            ),
            (
                HeaderName::from_static("x-amz-date"),
                HeaderValue::from_static("stale"),
            ),
        ]);
        let request = Unsigned {
            query: Some("b=2&a=1"),
            service: super::BEDROCK,
            ..vector(&Method::POST, &headers, &path, body)
        };
        let out = signed(&request, &key(Some("token/1")));
        assert_eq!(text(&out, "x-amz-security-token"), "token/1");
        assert_eq!(
            text(&out, "authorization"),
            by_hand(
                "POST\n\
                 /model/arn%253Aaws%253Abedrock%253Aus-east-1%253A1%253Aapplication-inference-profile%252Fa%2520b/converse\n\
                 a=1&b=2\n\
                 content-type:application/json\n\
                 host:example.amazonaws.com\n\
                 x-amz-date:20150830T123600Z\n\
                 x-amz-security-token:token/1\n\
                 \n\
                 content-type;host;x-amz-date;x-amz-security-token\n",
                body,
                "content-type;host;x-amz-date;x-amz-security-token",
            )
        );
        assert!(out.get("authorization").unwrap().is_sensitive());
    }

    #[test]
    fn slashes_stay_as_they_are() {
        for path in ["/", "//a//", "/a/", ""] {
            assert_eq!(wire_path(path), path);
        }
    }

    #[test]
    fn a_host_that_is_none_is_refused() {
        let headers = HeaderMap::new();
        let request = Unsigned {
            host: "a b",
            ..vector(&Method::POST, &headers, "/", b"")
        };
        assert!(sign(&request, &key(None)).is_err());
    }

    /// The signature as Amazon's documentation describes it, step by step.
    fn by_hand(canonical: &str, body: &[u8], signed_headers: &str) -> String {
        let canonical = format!("{canonical}{}", hex(digest(&SHA256, body).as_ref()));
        let scope = "20150830/us-east-1/bedrock/aws4_request";
        let to_sign = format!(
            "AWS4-HMAC-SHA256\n20150830T123600Z\n{scope}\n{}",
            hex(digest(&SHA256, canonical.as_bytes()).as_ref())
        );
        let mac = |key: &[u8], text: &str| {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text.as_bytes())
                .as_ref()
                .to_vec()
        };
        let mut key = format!("AWS4{SECRET}").into_bytes();
        for part in scope.split('/') {
            key = mac(&key, part);
        }
        format!(
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{scope}, SignedHeaders={signed_headers}, Signature={}",
            hex(&mac(&key, &to_sign))
        )
    }
}
