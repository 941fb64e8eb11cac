//! Embeddings and reranking: whole answers without a stream, which may take several calls of a provider.

use bytes::Bytes;
use http::StatusCode;
use tollgate_dialects::canonical::{DecodeError, Usage};
use tollgate_dialects::{Losses, embeddings, rerank};

use super::answer::{Answer, Content, collect, passed_headers, refused, tells_error, told_inside};
use super::ask::Asked;
use super::attempt::Common;
use super::choose::Candidate;
use super::encode;
use super::encode::{Encoded, check_losses, forward, invalid, unsupported, with_options};
use super::record::Attempt;
use super::send::{UpstreamAnswer, send};
use crate::error::AttemptError;
use crate::providers::Operation;

/// What has to be known of a request that was written anew, to write its answer.
pub enum Inquiry {
    /// For vectors.
    Embeddings {
        /// The client's dialect.
        client: embeddings::Dialect,
        /// What it asked.
        request: Box<embeddings::Request>,
        /// The bodies of further calls, where the provider takes fewer inputs at once than the client sent.
        more: Vec<Bytes>,
    },
    /// For an order of documents.
    Rerank {
        /// The client's dialect.
        client: rerank::Dialect,
        /// What it asked.
        request: Box<rerank::Request>,
    },
}

/// Writes a request for vectors.
///
/// # Errors
/// The instance has none, or the request cannot be written for it.
pub fn encode_embeddings(
    client: embeddings::Dialect,
    asked: &Asked,
    candidate: &Candidate,
) -> Result<Encoded, AttemptError> {
    let model = candidate.upstream_model();
    let mut known = candidate
        .instance
        .embeddings
        .iter()
        .copied()
        .filter(|dialect| embeds(*dialect, model));
    let Some(preferred) = known.clone().next() else {
        return Err(unsupported("embeddings"));
    };
    // Each of a list of requests names the model.
    let is_named_within = client == embeddings::Dialect::GeminiBatch && *model != *asked.model;
    if known.any(|dialect| is_same(client, dialect)) && !is_named_within {
        return Ok(forward(Operation::Embeddings(client), asked, candidate));
    }
    let mut request =
        embeddings::decode_request(client, asked.text()).map_err(|error| encode::refused(invalid(&error)))?;
    asked.model.as_ref().clone_into(&mut request.model);
    let dialect = match preferred {
        embeddings::Dialect::GeminiBatch if request.inputs.len() == 1 => embeddings::Dialect::GeminiSingle,
        preferred => preferred,
    };
    let mut losses = Losses::new();
    let bodies = embeddings::encode_request(dialect, &request, model, &mut losses);
    check_losses(&losses, candidate.model.on_loss, candidate)?;
    let mut bodies = bodies
        .into_iter()
        .map(|body| with_options(body, &candidate.instance.options));
    let first = bodies.next().unwrap_or_default();
    let more = bodies.map(Bytes::from).collect();
    Ok(Encoded {
        losses,
        inquiry: Some(Inquiry::Embeddings {
            client,
            request: Box::new(request),
            more,
        }),
        ..Encoded::of(Operation::Embeddings(dialect), first.into())
    })
}

/// Writes a request for an order of documents.
///
/// # Errors
/// The instance has none, or the request cannot be written for it.
pub fn encode_rerank(
    client: rerank::Dialect,
    asked: &Asked,
    candidate: &Candidate,
) -> Result<Encoded, AttemptError> {
    let known = &candidate.instance.reranks;
    let Some(dialect) = known.first().copied() else {
        return Err(unsupported("reranking"));
    };
    if known.contains(&client) {
        return Ok(forward(Operation::Rerank(client), asked, candidate));
    }
    let mut request =
        rerank::decode_request(client, asked.text()).map_err(|error| encode::refused(invalid(&error)))?;
    asked.model.as_ref().clone_into(&mut request.model);
    let mut losses = Losses::new();
    let body = rerank::encode_request(dialect, &request, candidate.upstream_model(), &mut losses);
    check_losses(&losses, candidate.model.on_loss, candidate)?;
    let body = with_options(body, &candidate.instance.options);
    Ok(Encoded {
        losses,
        inquiry: Some(Inquiry::Rerank {
            client,
            request: Box::new(request),
        }),
        ..Encoded::of(Operation::Rerank(dialect), body.into())
    })
}

/// Whether a model has embeddings of this dialect: on Bedrock that is a matter of its maker.
fn embeds(dialect: embeddings::Dialect, model: &str) -> bool {
    match dialect {
        embeddings::Dialect::BedrockTitan => !model.contains("cohere."),
        embeddings::Dialect::BedrockCohere => model.contains("cohere."),
        _ => true,
    }
}

/// Whether a body of a client's dialect is one for the provider: those who extend OpenAI's share its address, and what is
/// unknown to a provider is for it to say. Google's two forms are both spoken by who speaks one.
fn is_same(client: embeddings::Dialect, provider: embeddings::Dialect) -> bool {
    use embeddings::Dialect::{GeminiBatch, GeminiSingle, Mistral, Openai, Voyage};
    client == provider
        || matches!(
            (client, provider),
            (Openai | Mistral | Voyage, Openai) | (Openai, Mistral | Voyage) | (GeminiSingle, GeminiBatch)
        )
}

/// Reads the answer to a request that was written anew, makes the further calls that it takes, and writes the answer in the
/// client's dialect.
///
/// # Errors
/// An answer is late, cut, garbled or tells an error.
pub async fn answer(
    call: &Common<'_>,
    candidate: &Candidate,
    encoded: &Encoded,
    inquiry: &Inquiry,
    upstream: UpstreamAnswer,
    attempt: &mut Attempt,
) -> Result<Answer, AttemptError> {
    let headers = passed_headers(&upstream.headers);
    let first = body(candidate, encoded, upstream, attempt).await?;
    let mut losses = Losses::new();
    let (written, usage) = match inquiry {
        Inquiry::Embeddings {
            client,
            request,
            more,
        } => {
            let Operation::Embeddings(dialect) = encoded.operation else {
                return Err(garbled("another operation was asked for"));
            };
            let read = |body: &Bytes| {
                embeddings::decode_response(dialect, text(body)).map_err(|error| unreadable(&error))
            };
            let mut parts = vec![read(&first)?];
            for next in more {
                let next = Encoded::of(encoded.operation, next.clone().into());
                let upstream = send(call, candidate, &next, attempt).await?;
                if upstream.status != StatusCode::OK {
                    return Err(
                        refused(upstream, encoded.operation.dialect(), candidate, attempt.started).await,
                    );
                }
                parts.push(read(&body(candidate, encoded, upstream, attempt).await?)?);
            }
            let response = embeddings::Response::join(parts).ok_or_else(|| garbled("there is no answer"))?;
            let written = embeddings::encode_response(*client, &response, request, &mut losses);
            (written.map_err(|error| unreadable(&error))?, response.usage)
        }
        Inquiry::Rerank { client, request } => {
            let Operation::Rerank(dialect) = encoded.operation else {
                return Err(garbled("another operation was asked for"));
            };
            let response =
                rerank::decode_response(dialect, text(&first)).map_err(|error| unreadable(&error))?;
            let written = rerank::encode_response(*client, &response, request, &mut losses);
            (written.map_err(|error| unreadable(&error))?, response.usage)
        }
    };
    attempt.losses.extend(losses.within("answer"));
    attempt.embedded(usage);
    attempt.end(&call.record.request_id, "ok", Some(StatusCode::OK), None);
    Ok(Answer {
        status: StatusCode::OK,
        headers,
        content: Content::Json(written.into()),
    })
}

/// The usage that an answer tells that is passed on as it is.
pub fn told_usage(operation: Operation, body: &[u8]) -> Option<Usage> {
    let text = std::str::from_utf8(body).ok()?;
    match operation {
        Operation::Embeddings(dialect) => embeddings::decode_response(dialect, text).ok()?.usage,
        Operation::Rerank(dialect) => rerank::decode_response(dialect, text).ok()?.usage,
        Operation::Chat(_) | Operation::CountTokens(_) => None,
    }
}

/// The body of an answer that is one.
async fn body(
    candidate: &Candidate,
    encoded: &Encoded,
    mut upstream: UpstreamAnswer,
    attempt: &mut Attempt,
) -> Result<Bytes, AttemptError> {
    let body = collect(&mut upstream, candidate, None).await?;
    attempt.first_byte();
    if let Some(error) = tells_error(&body).then(|| told_inside(encoded.operation.dialect(), &body)) {
        return Err(super::answer::error_inside_200(super::mask::masked_error(
            &error,
            &candidate.instance,
        )));
    }
    Ok(body)
}

fn text(body: &Bytes) -> &str {
    // What is no UTF-8 is no JSON either.
    std::str::from_utf8(body).unwrap_or_default()
}

fn unreadable(error: &DecodeError) -> AttemptError {
    garbled(&error.to_string())
}

fn garbled(detail: &str) -> AttemptError {
    AttemptError::garbled("garbled", StatusCode::OK, detail)
}
