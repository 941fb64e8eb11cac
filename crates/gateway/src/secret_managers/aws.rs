//! AWS Secrets Manager.
//!
//! Names of secrets may hold slashes, so a path can be read in several ways. As in APISIX the longest name that exists wins;
//! what is behind it is a key of the JSON object that the secret holds.

use std::time::SystemTime;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tollgate_resources::Secret;

use super::exchange::{Limited, Outgoing};
use super::fetch::{FetchError, part_of};
use super::settings::{endpoint, optional_text, text};
use crate::ai::aws::{Unsigned, sign};
use crate::ai::config::AwsAuth;
use crate::upstream::Endpoint;

/// The region of objects that name none.
const DEFAULT_REGION: &str = "us-east-1";

/// The name under which requests are signed.
const SERVICE: &str = "secretsmanager";

/// Longest code of a refusal that is kept, in characters.
const MAX_CODE: usize = 100;

/// Fetches a secret, or the text under one of its keys.
pub(super) async fn fetch(
    exchanges: Limited<'_>,
    conf: &Value,
    path: &str,
    time: SystemTime,
) -> Result<Secret, FetchError> {
    let account = Account::read(conf)?;
    let mut refusal = FetchError::NotFound;
    let mut end = path.len();
    loop {
        let name = path.get(..end).unwrap_or(path);
        let key = path.get(end + 1..);
        match account.secret(exchanges, name, time).await? {
            Answer::Text(whole) => return part_of(whole, key),
            Answer::NotFound => {}
            // A key of the account may be allowed to read only the secret with the shorter name.
            Answer::Denied(denied) => refusal = denied,
        }
        match name.rfind('/') {
            Some(slash) => end = slash,
            None => return Err(refusal),
        }
    }
}

/// Whom to ask, and as whom.
struct Account<'a> {
    endpoint: Endpoint,
    region: &'a str,
    auth: AwsAuth,
}

enum Answer {
    Text(String),
    NotFound,
    Denied(FetchError),
}

impl<'a> Account<'a> {
    fn read(conf: &'a Value) -> Result<Self, FetchError> {
        let region = optional_text(conf, "region")?.unwrap_or(DEFAULT_REGION);
        let endpoint = match optional_text(conf, "endpoint_url")? {
            Some(address) => endpoint(address, "endpoint_url", true)?,
            None => {
                let domain = if region.starts_with("cn-") {
                    "amazonaws.com.cn"
                } else {
                    "amazonaws.com"
                };
                endpoint(&format!("https://{SERVICE}.{region}.{domain}"), "region", true)?
            }
        };
        let auth = AwsAuth {
            access_key_id: text(conf, "access_key_id")?.to_owned(),
            secret_access_key: text(conf, "secret_access_key")?.to_owned().into(),
            session_token: optional_text(conf, "session_token")?.map(|token| token.to_owned().into()),
        };
        Ok(Account {
            endpoint,
            region,
            auth,
        })
    }

    async fn secret(
        &self,
        exchanges: Limited<'_>,
        name: &str,
        time: SystemTime,
    ) -> Result<Answer, FetchError> {
        let body = json!({"SecretId": name, "VersionStage": "AWSCURRENT"}).to_string();
        let mut headers = HeaderMap::new();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/x-amz-json-1.1"),
        );
        headers.insert(
            HeaderName::from_static("x-amz-target"),
            HeaderValue::from_static("secretsmanager.GetSecretValue"),
        );
        let unsigned = Unsigned {
            method: &Method::POST,
            host: self.endpoint.authority.to_str().unwrap_or_default(),
            path: "/",
            query: None,
            headers: &headers,
            body: body.as_bytes(),
            region: self.region,
            service: SERVICE,
            time,
        };
        let signature =
            sign(&unsigned, &self.auth).map_err(|error| FetchError::Unsigned(error.to_string()))?;
        headers.extend(signature);
        let request = Outgoing {
            method: Method::POST,
            endpoint: &self.endpoint,
            path: "/",
            headers,
            body: Bytes::from(body),
        };
        let (status, body) = exchanges.exchange(&request).await?;
        if status == StatusCode::OK {
            let told: Told = serde_json::from_slice(&body)
                .map_err(|_| FetchError::Unreadable("it is no answer of AWS Secrets Manager"))?;
            return told.text.map(Answer::Text).ok_or(FetchError::NoText);
        }
        let code = code(&body);
        let refused = FetchError::Refused {
            status: status.as_u16(),
            code: code.clone(),
        };
        match code.as_str() {
            "ResourceNotFoundException" => Ok(Answer::NotFound),
            "AccessDeniedException" => Ok(Answer::Denied(refused)),
            _ => Err(refused),
        }
    }
}

/// The code of a refusal, without the name space that may stand before it.
pub(super) fn code(body: &[u8]) -> String {
    let kind = serde_json::from_slice::<Refusal>(body).map_or_else(|_| String::new(), |refusal| refusal.kind);
    let kind = kind.rsplit('#').next().unwrap_or_default();
    kind.chars()
        .filter(char::is_ascii_alphanumeric)
        .take(MAX_CODE)
        .collect()
}

#[derive(Deserialize)]
struct Told {
    #[serde(rename = "SecretString")]
    text: Option<String>,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(rename = "__type")]
    kind: String,
}
