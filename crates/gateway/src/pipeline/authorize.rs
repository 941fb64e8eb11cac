//! Adds what proves to a provider who asks, where that is made anew for a request: tokens and signatures.

use std::time::SystemTime;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Method};

use super::attempt::Common;
use super::choose::Candidate;
use super::encode::{Encoded, refused};
use super::encode_ai::exchange;
use super::record::Attempt;
use crate::ai::aws;
use crate::clock::Moment;
use crate::error::{AttemptError, CallError};
use crate::providers::Credentials;

/// Adds token or signature. The address of the attempt is written as it is signed.
///
/// # Errors
/// There is no token, or the request cannot be signed.
pub async fn authorize(
    call: &Common<'_>,
    candidate: &Candidate,
    encoded: &Encoded,
    attempt: &mut Attempt,
    headers: &mut HeaderMap,
) -> Result<(), AttemptError> {
    let instance = &candidate.instance;
    match &instance.credentials {
        Credentials::Headers => {}
        Credentials::Google { account, tokens } => {
            let token = tokens
                .token(&instance.name, account, None, Moment::now(), |request| {
                    exchange(call.pools, request, candidate)
                })
                .await
                .map_err(|error| failed("token_unavailable", &error))?;
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose()))
                .map_err(|error| failed("token_unavailable", &error))?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Credentials::Amazon { key, region } => {
            let (path, query) = match attempt.uri.split_once('?') {
                Some((path, query)) => (path, Some(query)),
                None => (attempt.uri.as_str(), None),
            };
            let path = aws::wire_path(path);
            let signature = aws::sign(
                &aws::Unsigned {
                    method: &Method::POST,
                    host: instance.endpoint.authority.to_str().unwrap_or_default(),
                    path: &path,
                    query,
                    headers,
                    body: &encoded.body.to_bytes(),
                    region,
                    service: aws::BEDROCK,
                    time: SystemTime::now(),
                },
                key,
            )
            .map_err(|error| failed("signature_failed", &error))?;
            attempt.uri = match query {
                Some(query) => format!("{path}?{query}"),
                None => path,
            };
            headers.extend(signature);
        }
    }
    Ok(())
}

/// The caller learns that it is not its fault, the log learns why.
fn failed(code: &'static str, error: &dyn std::fmt::Display) -> AttemptError {
    let mut told = CallError::gateway(code, "the provider's credentials cannot be used at the moment");
    told.detail = Some(error.to_string());
    refused(told)
}
