//! What the client called the fields, for reports of losses.

use super::Dialect;
use super::form::{Form, Request};

/// An input.
pub(super) fn input(request: &Request, number: usize) -> String {
    match (request.origin, request.form) {
        (Dialect::GeminiSingle, _) => "content".to_owned(),
        (Dialect::GeminiBatch, _) => format!("requests[{number}].content"),
        (Dialect::VertexPredict, _) => format!("instances[{number}].content"),
        (Dialect::BedrockTitan, Form::Images) => "inputImage".to_owned(),
        (Dialect::BedrockTitan, _) => "inputText".to_owned(),
        (Dialect::BedrockCohere | Dialect::CohereV1 | Dialect::Cohere, Form::Images) => {
            crate::path::item("images", number)
        }
        (Dialect::BedrockCohere | Dialect::CohereV1 | Dialect::Cohere, Form::Mixed) => {
            crate::path::item("inputs", number)
        }
        (Dialect::BedrockCohere | Dialect::CohereV1 | Dialect::Cohere, _) => {
            crate::path::item("texts", number)
        }
        (Dialect::Openai | Dialect::Mistral | Dialect::Voyage, Form::Single) => "input".to_owned(),
        (Dialect::Openai | Dialect::Mistral | Dialect::Voyage, _) => crate::path::item("input", number),
    }
}

/// The object in which an input and its options stand.
pub(super) fn holder(request: &Request, number: usize) -> String {
    match request.origin {
        Dialect::GeminiBatch => crate::path::item("requests", number),
        Dialect::VertexPredict => crate::path::item("instances", number),
        Dialect::GeminiSingle | Dialect::BedrockTitan => String::new(),
        _ => input(request, number),
    }
}

/// How many numbers a vector has.
pub(super) fn dimensions(request: &Request) -> &'static str {
    match request.origin {
        Dialect::Openai | Dialect::BedrockTitan => "dimensions",
        Dialect::GeminiSingle => "outputDimensionality",
        Dialect::GeminiBatch => "requests[].outputDimensionality",
        Dialect::VertexPredict => "parameters.outputDimensionality",
        _ => "output_dimension",
    }
}

/// What the vectors are for.
pub(super) fn task(request: &Request) -> &'static str {
    match request.origin {
        Dialect::GeminiSingle => "taskType",
        Dialect::GeminiBatch => "requests[].taskType",
        Dialect::VertexPredict => "instances[].task_type",
        _ => "input_type",
    }
}

/// The title of a document.
pub(super) fn title(request: &Request, number: usize) -> String {
    match holder(request, number) {
        holder if holder.is_empty() => "title".to_owned(),
        holder => format!("{holder}.title"),
    }
}

/// The kinds of vectors.
pub(super) fn wanted(request: &Request) -> &'static str {
    match request.origin {
        Dialect::Mistral | Dialect::Voyage => "output_dtype",
        Dialect::BedrockTitan => "embeddingTypes",
        Dialect::BedrockCohere | Dialect::CohereV1 | Dialect::Cohere => "embedding_types",
        _ => "encoding_format",
    }
}

/// What happens to texts that are too long.
pub(super) fn truncate(request: &Request) -> &'static str {
    match request.origin {
        Dialect::Voyage => "truncation",
        Dialect::VertexPredict => "parameters.autoTruncate",
        Dialect::GeminiSingle => "autoTruncate",
        Dialect::GeminiBatch => "requests[].autoTruncate",
        _ => "truncate",
    }
}
