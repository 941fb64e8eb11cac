//! What the head of a request says: which endpoint, in which dialect errors are told, which route.

use std::sync::Arc;

use http::header::{CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, Method, StatusCode, Version};
use tollgate_dialects::canonical::ErrorKind;
use tollgate_dialects::gemini::Framing;
use tollgate_dialects::{Dialect, embeddings, rerank};

use super::address::{self, Address};
use crate::ai::protocol::Protocol;
use crate::error::{CallError, INVALID_FRAMING};
use crate::responses::serve::Question;
use crate::snapshot::{Native, Route, RouteMiss};

/// What the caller wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A chat completion in this dialect.
    Chat(Dialect),
    /// Token counting in this dialect.
    CountTokens(Dialect),
    /// OpenAI's completions from before chats.
    Completions,
    /// Embeddings in this dialect.
    Embeddings(embeddings::Dialect),
    /// Reranking in this dialect.
    Rerank(rerank::Dialect),
    /// A call of a model on Bedrock in the model's own format, which its body tells.
    Invoke,
    /// A response that was kept.
    Response(Question),
    /// A call of an AI plugin, in this API.
    Api(Protocol),
    /// The list of models.
    Models,
    /// One model.
    Model(String),
    /// A path we have nothing for.
    Unknown,
}

impl Endpoint {
    /// What is asked for, in one word, as logs tell it.
    pub fn operation(&self) -> &'static str {
        match self {
            Endpoint::Chat(_) => "chat",
            Endpoint::CountTokens(_) => "count_tokens",
            Endpoint::Completions => "text_completion",
            Endpoint::Embeddings(_) => "embeddings",
            Endpoint::Rerank(_) => "rerank",
            Endpoint::Invoke => "invoke",
            Endpoint::Response(_) => "response",
            Endpoint::Api(Protocol::OpenaiEmbeddings | Protocol::VertexPredict) => "embeddings",
            Endpoint::Api(Protocol::Passthrough) => "passthrough",
            Endpoint::Api(_) => "chat",
            Endpoint::Models | Endpoint::Model(_) => "models",
            Endpoint::Unknown => "unknown",
        }
    }
}

/// The head of a request, understood.
#[derive(Clone, Debug)]
pub struct Head {
    /// What the caller wants.
    pub endpoint: Endpoint,
    /// The dialect the caller understands.
    pub dialect: Dialect,
    /// The model, where the address names it.
    pub model: Option<String>,
    /// Whether a stream is wanted, where the address tells it.
    pub stream: Option<bool>,
    /// How the documents of a Gemini stream are framed.
    pub framing: Framing,
}

impl Head {
    /// Reads path and headers. Never fails: an unknown path is told so by the route.
    pub fn read(request: &Parts) -> Self {
        let address = Address::of(request.uri.path());
        let framing = match address.dialect {
            Dialect::Gemini => address::framing(request),
            _ => Framing::Events,
        };
        Head {
            dialect: told_in(&address, request),
            endpoint: address.endpoint,
            model: address.model,
            stream: address.stream,
            framing,
        }
    }

    /// The dialect of a call that is not for the native models: APISIX's plugins know two.
    pub fn dialect_of_objects(&self, request: &Parts) -> Dialect {
        match (&self.endpoint, self.dialect) {
            (Endpoint::Chat(_) | Endpoint::Embeddings(_), Dialect::OpenaiChat) => Dialect::OpenaiChat,
            (_, Dialect::AnthropicMessages) => Dialect::AnthropicMessages,
            _ => by_version_header(request),
        }
    }
}

/// In which dialect an address is answered that several dialects have.
fn told_in(address: &Address, request: &Parts) -> Dialect {
    match &address.endpoint {
        Endpoint::Models | Endpoint::Model(_) | Endpoint::Unknown
            if address.dialect == Dialect::OpenaiChat =>
        {
            by_headers(request)
        }
        _ => address.dialect,
    }
}

fn by_headers(request: &Parts) -> Dialect {
    if request.headers.contains_key("x-goog-api-key") {
        Dialect::Gemini
    } else if is_cohere(&request.headers) {
        Dialect::CohereChat
    } else {
        by_version_header(request)
    }
}

/// Whether Cohere's own SDK calls.
pub fn is_cohere(headers: &HeaderMap) -> bool {
    headers
        .get("x-fern-sdk-name")
        .is_some_and(|name| name.as_bytes().eq_ignore_ascii_case(b"cohere"))
}

fn by_version_header(request: &Parts) -> Dialect {
    if request.headers.contains_key("anthropic-version") {
        Dialect::AnthropicMessages
    } else {
        Dialect::OpenaiChat
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
        Endpoint::Response(question) => question.allows(&request.method),
        // The demo hands every method to its script, which then finds no JSON in the body.
        Endpoint::Chat(_) if route.models.compat == tollgate_resources::model::Compat::NginxDemo => true,
        Endpoint::Chat(_)
        | Endpoint::Completions
        | Endpoint::CountTokens(_)
        | Endpoint::Embeddings(_)
        | Endpoint::Rerank(_)
        | Endpoint::Invoke => request.method == Method::POST,
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
        .map(|authority| host_name(authority.as_str()));
    let well_formed = match (hosts.next(), hosts.next()) {
        (Some(host), None) if target.is_none() && is_plain_host(host.as_bytes()) => true,
        (Some(host), None) => {
            let host = Authority::try_from(host.as_bytes()).ok();
            match (host.as_ref().and_then(|host| host_name(host.as_str())), target) {
                (Some(_), None) => true,
                (Some(host), Some(Some(target))) => host.eq_ignore_ascii_case(target),
                (None, _) | (Some(_), Some(None)) => false,
            }
        }
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

/// Checks that a request expects nothing that is not done. What is done, `100-continue`, the
/// connection does.
///
/// # Errors
/// 417 for any other expectation (RFC 9110, section 10.1.1).
pub fn check_expectation(request: &Parts) -> Result<(), CallError> {
    let mut expected = request.headers.get_all(EXPECT).iter();
    if expected.all(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue")) {
        return Ok(());
    }
    Err(CallError::client(
        StatusCode::EXPECTATION_FAILED,
        ErrorKind::BadRequest,
        "unknown_expectation",
        "the only expectation that can be met is `100-continue`",
    ))
}

/// The name in a `Host`; `None` if it is none. Routes are found by the name without the port, so what stands for a port must
/// be one: a server behind us might overlook `:x` and serve a host whose rules were not applied. Like nginx, an empty label
/// is refused.
fn host_name(text: &str) -> Option<&str> {
    let end = text.rfind(']').map_or(0, |bracket| bracket + 1);
    let (name, port) = match text.get(end..)?.split_once(':') {
        Some((rest, port)) => (text.get(..end + rest.len())?, port),
        None => (text, ""),
    };
    let is_name = !name.is_empty() && !name.contains('@') && !name.contains("..");
    (is_name && port.bytes().all(|byte| byte.is_ascii_digit())).then_some(name)
}

/// Whether this is a name or an address of version 4, with a port or without, of which nothing has to be looked at closely.
fn is_plain_host(host: &[u8]) -> bool {
    let end = host.iter().position(|byte| *byte == b':').unwrap_or(host.len());
    let (name, port) = host.split_at(end);
    let is_named = |pair: &[u8]| pair.iter().any(|byte| *byte != b'.');
    !name.is_empty()
        && name
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
        && name.windows(2).all(is_named)
        && port.len() <= ":65535".len()
        && port.iter().skip(1).all(u8::is_ascii_digit)
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

    use super::check_host;

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
}
