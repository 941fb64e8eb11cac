//! Calls to an Admin API, one after the other over one connection.

use std::time::Duration;

use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::task::LocalSet;
use tollgate_gateway::upstream::{
    CallRequest, Endpoint, Pools, RequestBody, Scheme, SendError, TlsSettings, UpstreamBody, Within,
};
use tollgate_resources::SecretRef;

use crate::cli::{Access, Failure};
use crate::load::env;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Times a call is made at most. All calls here may be repeated: they say what shall be, not what to add.
const TRIES: usize = 4;

/// Pause before a call is made again.
const PAUSE: Duration = Duration::from_millis(100);

/// Largest answer, in bytes: a list of some 100,000 objects.
const MAX_ANSWER: usize = 512 * 1024 * 1024;

/// Longest part of an answer that is no JSON which an error repeats, in characters.
const MAX_QUOTE: usize = 200;

/// An Admin API.
pub struct Admin {
    runtime: Runtime,
    local: LocalSet,
    pools: Pools,
    endpoint: Endpoint,
    /// As the user wrote it, for messages.
    address: String,
    headers: HeaderMap,
    timeout: Duration,
}

/// What the Admin API answered.
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The body, `Null` when it is no JSON.
    pub body: Value,
    /// The body as text, when it is no JSON.
    pub text: String,
}

impl Admin {
    /// Prepares calls to `server`.
    ///
    /// # Errors
    /// The address, the key or the certificates cannot be used.
    pub fn new(server: &str, access: &Access) -> Result<Admin, Failure> {
        let address = server.trim_end_matches('/').to_owned();
        let tls = TlsSettings {
            ca_file: access.ca_cert_file.clone(),
            verify: !access.tls_skip_verify,
        };
        let endpoint =
            Endpoint::parse(&address, &tls).map_err(|error| Failure::new(format!("--server: {error}")))?;
        if matches!(endpoint.scheme, Scheme::Simulated { .. }) {
            return Err(Failure::new(
                "--server: write http://host:port or https://host:port",
            ));
        }
        let headers = headers(access, &endpoint)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Failure::new)?;
        Ok(Admin {
            runtime,
            local: LocalSet::new(),
            pools: Pools::default(),
            endpoint,
            address,
            headers,
            timeout: Duration::from_secs(access.timeout),
        })
    }

    /// Makes a call; `path` begins with `/apisix/admin/` or `/tollgate/`. A broken connection or an answer of 500 and more is tried again.
    ///
    /// # Errors
    /// No answer.
    pub fn call(&self, method: &Method, path: &str, body: Option<&Value>) -> Result<Answer, Failure> {
        let body = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        self.local.block_on(&self.runtime, async {
            let mut tried = 1;
            loop {
                let result = self.attempt(method, path, &body).await;
                let final_one = match &result {
                    Ok(answer) => !answer.status.is_server_error(),
                    Err(_) => false,
                };
                if final_one || tried == TRIES {
                    return result;
                }
                tried += 1;
                tokio::time::sleep(PAUSE).await;
            }
        })
    }

    async fn attempt(&self, method: &Method, path: &str, body: &[u8]) -> Result<Answer, Failure> {
        let mut headers = self.headers.clone();
        if !body.is_empty() {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
        }
        let asked = CallRequest {
            method,
            target: &format!("{}{path}", self.endpoint.base_path),
            headers: &headers,
            body: &RequestBody::from(body.to_vec()),
        };
        if !asked.is_sound() {
            return Err(Failure::new(format!("{path}: cannot stand in an address")));
        }
        let within = Within {
            connect: CONNECT_TIMEOUT,
            answer: self.timeout,
        };
        let received = self
            .pools
            .send(&self.endpoint, None, &asked, within, || ())
            .await
            .map_err(|error| self.no_answer(method, path, error))?;
        let (status, mut body) = (received.status, received.body);
        let read = tokio::time::timeout(self.timeout, whole(&mut body)).await;
        let bytes = match read {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(reason)) => return Err(Failure::new(format!("{method} {path}: {reason}"))),
            Err(_) => return Err(self.no_answer(method, path, SendError::Late)),
        };
        let body = serde_json::from_slice(&bytes);
        let text = match &body {
            Ok(_) => String::new(),
            Err(_) => String::from_utf8_lossy(&bytes).into_owned(),
        };
        Ok(Answer {
            status,
            body: body.unwrap_or_default(),
            text,
        })
    }

    fn no_answer(&self, method: &Method, path: &str, error: SendError) -> Failure {
        let address = &self.address;
        Failure::new(match error {
            SendError::Connect(error) => format!(
                "no Admin API at {address}: {}",
                error.error.detail.as_deref().unwrap_or_default()
            ),
            SendError::Late => format!(
                "{method} {path}: no answer from {address} in {} s; --timeout allows more",
                self.timeout.as_secs()
            ),
            SendError::Broken(detail) => {
                format!("{method} {path}: {address} closed the connection: {detail}")
            }
        })
    }
}

impl Answer {
    /// Why a call was refused, in the server's words.
    pub fn reason(&self) -> String {
        let said = ["error_msg", "message", "description"]
            .iter()
            .find_map(|field| self.body.get(field)?.as_str());
        let text = match said {
            Some(said) => said.to_owned(),
            None if self.body.is_null() => self.text.chars().take(MAX_QUOTE).collect(),
            None => self.body.to_string().chars().take(MAX_QUOTE).collect(),
        };
        let hint = match self.status {
            StatusCode::UNAUTHORIZED => "; --token or TOLLGATE_ADMIN_KEY gives the key",
            _ => "",
        };
        format!("{}: {}{hint}", self.status.as_u16(), shown(text.trim()))
    }
}

/// A text of the server as one line without control characters.
fn shown(text: &str) -> String {
    text.chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect()
}

fn headers(access: &Access, endpoint: &Endpoint) -> Result<HeaderMap, Failure> {
    let mut headers = HeaderMap::new();
    headers.insert(HOST, endpoint.authority.clone());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    if let Some(token) = access.token.clone().or_else(|| env("ADC_TOKEN")) {
        let wrong = |error: &dyn std::fmt::Display| Failure::new(format!("--token: {error}"));
        let token = SecretRef::new(&token).map_err(|error| wrong(&error))?;
        let token = token.resolve(&env).map_err(|error| wrong(&error))?;
        let mut value = HeaderValue::from_str(token.expose())
            .map_err(|_| wrong(&"holds a character that cannot stand in a header"))?;
        value.set_sensitive(true);
        headers.insert(HeaderName::from_static("x-api-key"), value);
    }
    Ok(headers)
}

async fn whole(body: &mut UpstreamBody) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.map_err(|error| format!("the answer was cut: {error}"))?;
        if bytes.len() + data.len() > MAX_ANSWER {
            return Err(format!("the answer is longer than {MAX_ANSWER} bytes"));
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}
