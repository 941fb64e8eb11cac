//! What the head of a request says: which endpoint, in which dialect errors are told, which route.

use std::sync::Arc;

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::Authority;
use http::{Method, StatusCode, Version};
use tollgate_dialects::Dialect;
use tollgate_dialects::canonical::ErrorKind;

use crate::ai::protocol::Protocol;
use crate::error::{CallError, INVALID_FRAMING};
use crate::snapshot::{Native, Route, RouteMiss};

/// What the caller wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A chat completion in this dialect.
    Chat(Dialect),
    /// Anthropic's token counting.
    CountTokens,
    /// OpenAI's embeddings.
    Embeddings,
    /// A call of an AI plugin, in this API.
    Api(Protocol),
    /// The list of models.
    Models,
    /// One model.
    Model(String),
    /// A path we have nothing for.
    Unknown,
}

/// The head of a request, understood.
#[derive(Clone, Debug)]
pub struct Head {
    /// What the caller wants.
    pub endpoint: Endpoint,
    /// The dialect the caller understands.
    pub dialect: Dialect,
}

impl Head {
    /// Reads path and headers. Never fails: an unknown path is told so by the route.
    pub fn read(request: &Parts) -> Self {
        let endpoint = endpoint(request.uri.path());
        let dialect = match &endpoint {
            Endpoint::Chat(dialect) => *dialect,
            Endpoint::CountTokens => Dialect::AnthropicMessages,
            Endpoint::Embeddings => Dialect::OpenaiChat,
            Endpoint::Api(_) | Endpoint::Models | Endpoint::Model(_) | Endpoint::Unknown => {
                if request.headers.contains_key("anthropic-version") {
                    Dialect::AnthropicMessages
                } else {
                    Dialect::OpenaiChat
                }
            }
        };
        Head { endpoint, dialect }
    }
}

fn endpoint(path: &str) -> Endpoint {
    // The path is matched as the client wrote it; what is escaped needlessly is not found, and never reaches a provider.
    let Some(below) = path.strip_prefix("/v1/") else {
        return Endpoint::Unknown;
    };
    match below {
        "messages" => Endpoint::Chat(Dialect::AnthropicMessages),
        "messages/count_tokens" => Endpoint::CountTokens,
        "embeddings" => Endpoint::Embeddings,
        "models" => Endpoint::Models,
        // A route with a prefix pattern (the NGINX demo's) takes longer paths too.
        _ if below.starts_with("chat/completions") => Endpoint::Chat(Dialect::OpenaiChat),
        _ => match below.strip_prefix("models/") {
            Some(id) if !id.is_empty() => Endpoint::Model(percent_decoded(id)),
            _ => Endpoint::Unknown,
        },
    }
}

/// The text with its `%` escapes replaced. Model names may hold `/` and `:`, which some clients escape.
pub fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        match (byte, tail) {
            (b'%', [high, low, behind @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                bytes.push(hex_digit(*high) << 4 | hex_digit(*low));
                rest = behind;
            }
            _ => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex_digit(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// Finds the route of a request and checks that the endpoint takes the method.
///
/// # Errors
/// 404 for an unknown path, 405 for a known path with another method.
pub fn route<'a>(
    snapshot: &'a Native,
    request: &Parts,
    endpoint: &Endpoint,
) -> Result<&'a Arc<Route>, CallError> {
    let route = snapshot
        .route(request.uri.path(), request.method.as_str())
        .map_err(|miss| match miss {
            RouteMiss::Path => not_found(),
            RouteMiss::Method => method_not_allowed(),
        })?;
    let allowed = match endpoint {
        Endpoint::Models | Endpoint::Model(_) => {
            request.method == Method::GET || request.method == Method::HEAD
        }
        // The demo hands every method to its script, which then finds no JSON in the body.
        Endpoint::Chat(_) if route.models.compat == tollgate_resources::model::Compat::NginxDemo => true,
        Endpoint::Chat(_) | Endpoint::CountTokens | Endpoint::Embeddings => request.method == Method::POST,
        Endpoint::Api(_) | Endpoint::Unknown => return Err(not_found()),
    };
    if allowed {
        Ok(route)
    } else {
        Err(method_not_allowed())
    }
}

/// Checks that a request names one host. One of HTTP/1.1 without, or with two, means different things to the servers on its
/// way (RFC 9112, section 3.2); so does one whose target, or `:authority`, names another host than its `Host`.
///
/// # Errors
/// 400 for no host, several, or what is none.
pub fn check_host(request: &Parts) -> Result<(), CallError> {
    let mut hosts = request.headers.get_all(HOST).iter();
    let target = request
        .uri
        .authority()
        .map(|authority| host_name(authority.as_str().as_bytes()));
    let well_formed = match (hosts.next(), hosts.next()) {
        (Some(host), None) => match (host_name(host.as_bytes()), target) {
            (Some(_), None) => true,
            (Some(host), Some(Some(target))) => host.eq_ignore_ascii_case(&target),
            (None, _) | (Some(_), Some(None)) => false,
        },
        // HTTP/2 names it in `:authority`, HTTP/1.0 need not.
        (None, _) => request.version != Version::HTTP_11 && target != Some(None),
        (Some(_), Some(_)) => false,
    };
    if well_formed {
        return Ok(());
    }
    Err(CallError::client(
        StatusCode::BAD_REQUEST,
        ErrorKind::BadRequest,
        "invalid_host",
        "the request must have one `Host` header with a host name or address",
    ))
}

/// Checks that only one reading of where a request of HTTP/1.1 ends is possible. The server reads every list of codings that
/// ends in `chunked` as chunks; another server on the way may not.
///
/// # Errors
/// 400 for transfer codings other than a single `chunked`, or a length beside them.
pub fn check_framing(request: &Parts) -> Result<(), CallError> {
    let mut codings = request.headers.get_all(TRANSFER_ENCODING).iter();
    let well_formed = match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => {
            coding.as_bytes().eq_ignore_ascii_case(b"chunked")
                && !request.headers.contains_key(CONTENT_LENGTH)
        }
        (Some(_), Some(_)) => false,
    };
    if well_formed {
        return Ok(());
    }
    Err(CallError::client(
        StatusCode::BAD_REQUEST,
        ErrorKind::BadRequest,
        INVALID_FRAMING,
        "the request must have either one `Content-Length` or `Transfer-Encoding: chunked`",
    ))
}

/// The name in a `Host`; `None` if it is none. Routes are found by the name without the port, so what stands for a port must
/// be one: a server behind us might overlook `:x` and serve a host whose rules were not applied. Like nginx, an empty label
/// is refused.
fn host_name(value: &[u8]) -> Option<String> {
    let authority = Authority::try_from(value).ok()?;
    let text = authority.as_str();
    let end = text.rfind(']').map_or(0, |bracket| bracket + 1);
    let (name, port) = match text.get(end..)?.split_once(':') {
        Some((rest, port)) => (text.get(..end + rest.len())?, port),
        None => (text, ""),
    };
    let is_name = !name.is_empty() && !name.contains('@') && !name.contains("..");
    (is_name && port.bytes().all(|byte| byte.is_ascii_digit())).then(|| name.to_owned())
}

/// The path leads nowhere.
pub fn not_found() -> CallError {
    CallError::client(
        StatusCode::NOT_FOUND,
        ErrorKind::NotFound,
        "unknown_url",
        "unknown URL; this gateway serves POST /v1/chat/completions, /v1/messages, /v1/messages/count_tokens, /v1/embeddings and \
         GET /v1/models",
    )
}

fn method_not_allowed() -> CallError {
    CallError::client(
        StatusCode::METHOD_NOT_ALLOWED,
        ErrorKind::BadRequest,
        "method_not_allowed",
        "this URL does not take this method; model calls are POST, lists are GET",
    )
}

#[cfg(test)]
mod tests {
    use http::request::Parts;
    use http::{Request, Version};

    use super::{Endpoint, check_host, endpoint};

    fn request(version: Version, target: &str, hosts: &[&str]) -> Parts {
        let mut request = Request::builder().version(version).uri(target);
        for host in hosts {
            request = request.header("host", *host);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        let is_host = |host: &str| check_host(&request(Version::HTTP_11, "/", &[host])).is_ok();
        for host in [
            "a.example",
            "a.example.",
            "A.example:80",
            "a.example:",
            "127.0.0.1:1",
            "[::1]",
            "[::1]:80",
        ] {
            assert!(is_host(host), "{host}");
        }
        for host in [
            "",
            ":80",
            "a.example:x",
            "a.example:80x",
            "a:b:80",
            "a.example..",
            "a..b",
            "u@a.example",
            "a b",
            "[::1]:x",
        ] {
            assert!(!is_host(host), "{host}");
        }
    }

    #[test]
    fn a_request_that_names_two_hosts_or_none_is_refused() {
        let (old, usual, two) = (Version::HTTP_10, Version::HTTP_11, Version::HTTP_2);
        for (version, target, hosts, is_fine) in [
            (usual, "/", &["a"] as &[&str], true),
            (usual, "/", &[], false),
            (usual, "/", &["a", "a"], false),
            (usual, "http://a/", &["A:80"], true),
            (usual, "http://a/", &["b"], false),
            (usual, "http://u@a/", &["a"], false),
            (old, "/", &[], true),
            (old, "http://u@a/", &[], false),
            (two, "https://a/", &[], true),
            (two, "https://a/", &["a"], true),
            (two, "https://a/", &["b"], false),
        ] {
            let checked = check_host(&request(version, target, hosts));
            assert_eq!(checked.is_ok(), is_fine, "{version:?} {target} {hosts:?}");
        }
    }

    #[test]
    fn names_of_models_may_be_escaped() {
        assert_eq!(
            endpoint("/v1/models/openai%2Fgpt%3A5"),
            Endpoint::Model("openai/gpt:5".into())
        );
        assert_eq!(endpoint("/v1/models/a/b"), Endpoint::Model("a/b".into()));
        assert_eq!(
            endpoint("/v1/models/%+5%zz%Ff"),
            Endpoint::Model("%+5%zz\u{fffd}".into())
        );
        assert_eq!(endpoint("/v1/models/50%"), Endpoint::Model("50%".into()));
        assert_eq!(endpoint("/v1/models/"), Endpoint::Unknown);
    }
}
