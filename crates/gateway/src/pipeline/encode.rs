//! Writes the request for one instance: the client's own bytes with a few edits, or a translation.

use std::cell::OnceCell;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use tollgate_dialects::canonical::{DecodeError, ErrorKind, Request, ResponseFormat};
use tollgate_dialects::scan::{self, Edit, Piece};
use tollgate_dialects::{
    Capabilities, Dialect, Losses, Renames, codec, completions, count_tokens, openai_chat, openai_responses,
};
use tollgate_resources::model::OnLoss;

use super::ask::Asked;
use super::attempt::Common;
use super::choose::Candidate;
use super::head::Endpoint;
use super::vectors::{self, Inquiry};
use crate::ai::protocol::Protocol;
use crate::error::{AttemptError, CallError};
use crate::providers::Operation;
use crate::upstream::RequestBody;

/// A request ready to be sent, and what must be known to read its answer.
pub struct Encoded {
    /// What is asked for, in which dialect.
    pub operation: Operation,
    /// The body.
    pub body: RequestBody,
    /// What the translation could not carry over.
    pub losses: Losses,
    /// Whether usage was asked for that the client did not ask for, and must be hidden from it.
    pub hide_usage: bool,
    /// Whether the client uses OpenAI's `functions` from before tools existed, and must get `function_call` back.
    pub legacy_functions: bool,
    /// Whether the answer may be bound to a schema by a tool, whose call must become text.
    pub answer_by_tool: bool,
    /// What an answer for a client of Responses repeats of its request.
    pub echo: Option<openai_responses::Echo>,
    /// How the answer to a completion from before chats is written; `None` for everything else.
    pub completion: Option<completions::Style>,
    /// Tools that are sent under another name, because the provider does not take their own.
    pub renames: Renames,
    /// Where an instance of an AI plugin is asked, and with which headers; `None`: where the operation says.
    pub target: Option<Target>,
    /// What has to be known to write the answer to a request for vectors or an order that was written anew.
    pub inquiry: Option<Inquiry>,
    /// The answer is passed on as it is, read only for accounting as one of this protocol; `None`: it is decoded.
    pub passed_as: Option<Protocol>,
}

impl Encoded {
    /// A request of which nothing else has to be known.
    pub fn of(operation: Operation, body: RequestBody) -> Self {
        Encoded {
            operation,
            body,
            losses: Losses::new(),
            hide_usage: false,
            legacy_functions: false,
            answer_by_tool: false,
            echo: None,
            completion: None,
            renames: Renames::default(),
            target: None,
            inquiry: None,
            passed_as: None,
        }
    }
}

/// Where a request goes, below the endpoint's address.
pub struct Target {
    /// Method.
    pub method: Method,
    /// Path and query as sent.
    pub path_and_query: String,
    /// All headers but those that the connection and the body decide.
    pub headers: HeaderMap,
}

/// The client's request in canonical form, decoded at most once per call. Boxed: calls that are passed on as they are shall not pay
/// for its size.
#[derive(Default)]
pub struct Decoded(OnceCell<Box<Result<Request, DecodeError>>>);

impl Decoded {
    fn get(&self, dialect: Dialect, asked: &Asked) -> Result<&Request, CallError> {
        let decoded = self.0.get_or_init(|| {
            let mut decoded = codec::decode_request(dialect, asked.text());
            if let Ok(request) = &mut decoded
                && matches!(dialect, Dialect::Gemini | Dialect::BedrockConverse)
            {
                // The address says these.
                asked.model.as_ref().clone_into(&mut request.model);
                request.stream = Some(asked.stream);
            }
            Box::new(decoded)
        });
        decoded.as_ref().as_ref().map_err(invalid)
    }
}

/// Writes the request for a candidate.
///
/// # Errors
/// The instance cannot serve this endpoint, or the request cannot be translated for it.
pub fn encode(call: &Common<'_>, candidate: &Candidate) -> Result<Encoded, AttemptError> {
    let Common { asked, decoded, .. } = *call;
    let instance = &candidate.instance;
    let operation = match call.head.endpoint {
        Endpoint::Chat(client) => {
            let Some(preferred) = instance.dialects.first() else {
                return Err(unsupported("chat"));
            };
            let dialect = if instance.dialects.contains(&client) {
                client
            } else {
                *preferred
            };
            if dialect != client || holds_reasoning_of_others(dialect, &asked.body) {
                return translate(client, dialect, asked, decoded, candidate);
            }
            Operation::Chat(dialect)
        }
        Endpoint::CountTokens(client) => {
            let counts = |dialect: &Dialect| count_tokens::is_known_to(*dialect);
            if !instance.dialects.contains(&client) || holds_reasoning_of_others(client, &asked.body) {
                let Some(dialect) = instance.dialects.iter().copied().find(counts) else {
                    return Err(unsupported("token counting"));
                };
                return translate_count(client, dialect, asked, candidate);
            }
            Operation::CountTokens(client)
        }
        Endpoint::Completions => return encode_completion(call, candidate),
        Endpoint::Embeddings(client) => return vectors::encode_embeddings(client, asked, candidate),
        Endpoint::Rerank(client) => return vectors::encode_rerank(client, asked, candidate),
        _ => return Err(unsupported("this call")),
    };
    Ok(forward(operation, asked, candidate))
}

/// Whether a request repeats reasoning that another maker wrote and we put into an envelope. Makers refuse a proof that is
/// not their own, so such a request is written anew, without that reasoning.
fn holds_reasoning_of_others(dialect: Dialect, body: &[u8]) -> bool {
    codec::envelope_prefix(dialect)
        .is_some_and(|prefix| memchr::memmem::find(body, prefix.as_bytes()).is_some())
}

/// Same dialect on both sides: the original bytes, with only the members replaced that the gateway owns.
pub(super) fn forward(operation: Operation, asked: &Asked, candidate: &Candidate) -> Encoded {
    let mut edits = Vec::new();
    if *candidate.upstream_model() != *asked.model {
        edits.extend(named(operation, asked, candidate.upstream_model()));
    }
    let ask_for_usage =
        operation == Operation::Chat(Dialect::OpenaiChat) && asked.stream && !asked.include_usage;
    if ask_for_usage {
        let options = asked.members.value(&asked.body, "stream_options");
        edits.push(Edit {
            key: "stream_options",
            value: Some(with_usage(options)),
        });
    }
    // Reasoning can go on anywhere only if it is told whole: the provider is asked to store nothing.
    if operation == Operation::Chat(Dialect::OpenaiResponses)
        && asked.is_kept
        && candidate.capabilities().reasoning
    {
        let include = asked.members.value(&asked.body, "include");
        edits.extend(with_sealed_reasoning(include));
    }
    for (name, value) in &candidate.instance.options {
        edits.push(Edit {
            key: name,
            value: Some(value.clone()),
        });
    }
    let body = if edits.is_empty() {
        asked.body.clone().into()
    } else {
        edited(&asked.body, &asked.members, &edits)
    };
    Encoded {
        hide_usage: ask_for_usage,
        ..Encoded::of(operation, body)
    }
}

/// The change that names the provider's model in the body, in dialects that name it there.
fn named(operation: Operation, asked: &Asked, model: &str) -> Option<Edit<'static>> {
    let name = match operation.dialect() {
        Dialect::BedrockConverse => return None,
        // The address names it; the body may repeat that.
        Dialect::Gemini if !asked.members.has(&asked.body, "model") => return None,
        Dialect::Gemini => json_string(&format!("models/{model}")),
        _ => json_string(model),
    };
    Some(Edit {
        key: "model",
        value: Some(name),
    })
}

pub(super) fn translate(
    client: Dialect,
    dialect: Dialect,
    asked: &Asked,
    decoded: &Decoded,
    candidate: &Candidate,
) -> Result<Encoded, AttemptError> {
    let request = decoded.get(client, asked).map_err(refused)?;
    let capabilities = candidate.capabilities();
    let target = target(candidate, &capabilities);
    let mut losses = Losses::new();
    let body = codec::encode_request(dialect, request, &target, &mut losses);
    check_losses(&losses, candidate.model.on_loss, candidate)?;
    let body = with_options(body, &candidate.instance.options);
    Ok(Encoded {
        losses,
        legacy_functions: openai_chat::uses_legacy_functions(request),
        answer_by_tool: matches!(dialect, Dialect::AnthropicMessages | Dialect::BedrockConverse)
            && request.tools.is_empty()
            && matches!(request.response_format, Some(ResponseFormat::JsonSchema { .. })),
        echo: (client == Dialect::OpenaiResponses).then(|| openai_responses::Echo::of(request)),
        renames: codec::renames(dialect, request),
        ..Encoded::of(Operation::Chat(dialect), body.into())
    })
}

/// A completion from before chats becomes a chat.
fn encode_completion(call: &Common<'_>, candidate: &Candidate) -> Result<Encoded, AttemptError> {
    let Some(dialect) = candidate.instance.dialects.first().copied() else {
        return Err(unsupported("completions"));
    };
    let mut losses = Losses::new();
    let asked = completions::decode_request(call.asked.text(), &mut losses)
        .map_err(|error| refused(invalid(&error)))?;
    let capabilities = candidate.capabilities();
    let target = target(candidate, &capabilities);
    let mut of_chat = Losses::new();
    let body = codec::encode_request(dialect, &asked.chat, &target, &mut of_chat);
    losses.extend(completions::respelled(&of_chat));
    check_losses(&losses, candidate.model.on_loss, candidate)?;
    let body = with_options(body, &candidate.instance.options);
    Ok(Encoded {
        losses,
        completion: Some(asked.style(call.record.created_s())),
        ..Encoded::of(Operation::Chat(dialect), body.into())
    })
}

/// A request to count tokens, for a provider of another dialect.
fn translate_count(
    client: Dialect,
    dialect: Dialect,
    asked: &Asked,
    candidate: &Candidate,
) -> Result<Encoded, AttemptError> {
    let request =
        count_tokens::decode_request(client, asked.text()).map_err(|error| refused(invalid(&error)))?;
    let mut losses = Losses::new();
    let capabilities = candidate.capabilities();
    let target = target(candidate, &capabilities);
    let body = count_tokens::encode_request(dialect, &request, &target, &mut losses);
    check_losses(&losses, candidate.model.on_loss, candidate)?;
    Ok(Encoded {
        losses,
        ..Encoded::of(Operation::CountTokens(dialect), body.into())
    })
}

fn target<'a>(candidate: &'a Candidate, capabilities: &'a Capabilities) -> tollgate_dialects::Target<'a> {
    tollgate_dialects::Target {
        model: candidate.upstream_model(),
        capabilities,
        default_max_output_tokens: candidate.model.max_output_tokens,
    }
}

pub(super) fn invalid(error: &DecodeError) -> CallError {
    CallError::client(
        StatusCode::BAD_REQUEST,
        ErrorKind::BadRequest,
        "invalid_request",
        error.to_string(),
    )
    .at(error.path.clone())
}

/// Lenient: what would change the answer's shape, safety or price is refused, hints are left out and told. Strict: every
/// loss is refused.
pub(super) fn check_losses(
    losses: &Losses,
    on_loss: OnLoss,
    candidate: &Candidate,
) -> Result<(), AttemptError> {
    let mut refused_fields: Vec<_> = losses.rejections().collect();
    if on_loss == OnLoss::Strict {
        refused_fields = losses.iter().collect();
    }
    let Some(first) = refused_fields.first() else {
        return Ok(());
    };
    let fields: Vec<String> = refused_fields
        .iter()
        .map(|loss| format!("`{}` ({})", loss.field, loss.reason))
        .collect();
    let message = format!(
        "the model `{}` is served by a provider that cannot express: {}",
        candidate.public_name,
        fields.join(", ")
    );
    Err(refused(
        CallError::client(
            StatusCode::BAD_REQUEST,
            ErrorKind::BadRequest,
            "not_translatable",
            message,
        )
        .at(first.field.clone()),
    ))
}

pub(super) fn edited(document: &Bytes, members: &scan::Members, edits: &[Edit<'_>]) -> RequestBody {
    let mut body = RequestBody::default();
    for piece in scan::edit(document, members, edits) {
        match piece {
            Piece::Kept(range) => body.push(document.slice(range)),
            Piece::New(bytes) => body.push(bytes.into()),
        }
    }
    body
}

pub(super) fn with_options(body: Vec<u8>, options: &[(String, String)]) -> Vec<u8> {
    if options.is_empty() {
        return body;
    }
    let document = Bytes::from(body);
    // Our own encoder wrote it; if it were not JSON the provider would say so.
    let Ok(members) = scan::scan(&document) else {
        return document.into();
    };
    let edits: Vec<_> = options
        .iter()
        .map(|(key, value)| Edit {
            key,
            value: Some(value.clone()),
        })
        .collect();
    edited(&document, &members, &edits).to_bytes().into()
}

/// `stream_options` with usage asked for and everything else as the client wrote it.
fn with_usage(options: Option<&str>) -> String {
    let inner = options
        .filter(|options| options.starts_with('{'))
        .and_then(|options| {
            let members = scan::scan(options.as_bytes()).ok()?;
            let document = Bytes::copy_from_slice(options.as_bytes());
            let edits = [Edit {
                key: "include_usage",
                value: Some("true".to_owned()),
            }];
            String::from_utf8(edited(&document, &members, &edits).to_bytes().into()).ok()
        });
    inner.unwrap_or_else(|| r#"{"include_usage":true}"#.to_owned())
}

/// `include` with sealed reasoning asked for, and everything else as the client wrote it.
fn with_sealed_reasoning(include: Option<&str>) -> Option<Edit<'static>> {
    const SEALED: &str = "\"reasoning.encrypted_content\"";
    let inner = include
        .and_then(|list| list.strip_prefix('[')?.strip_suffix(']'))
        .map_or("", str::trim);
    let value = match inner {
        _ if inner.contains(SEALED) => return None,
        "" => format!("[{SEALED}]"),
        _ => format!("[{inner},{SEALED}]"),
    };
    Some(Edit {
        key: "include",
        value: Some(value),
    })
}

fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

pub(super) fn unsupported(what: &str) -> AttemptError {
    refused(CallError::client(
        StatusCode::BAD_REQUEST,
        ErrorKind::BadRequest,
        "unsupported_endpoint",
        format!("this model does not serve {what}"),
    ))
}

pub(super) fn refused(error: CallError) -> AttemptError {
    AttemptError {
        outcome: "not_sent",
        status: None,
        error,
    }
}
