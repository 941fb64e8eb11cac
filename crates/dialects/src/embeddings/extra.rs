//! What becomes of members that only the dialect they came from knows, in all others.

use super::form::{Request, Response};
use super::named;
use crate::canonical::Ext;
use crate::json::{Object, RawJson};
use crate::loss::{Effect, Losses};

/// Reports the bags of a request.
pub(super) fn report_request(request: &Request, losses: &mut Losses) {
    report(&request.ext, "", losses);
    for (number, input) in request.inputs.iter().enumerate() {
        if !input.ext.is_empty() {
            report(&input.ext, &named::holder(request, number), losses);
        }
    }
}

/// Reports a bag; `path` is where its object stands.
pub(super) fn report(ext: &Ext, path: &str, losses: &mut Losses) {
    for (name, raw) in ext.iter() {
        if raw.is_blank() {
            continue;
        }
        let field = if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        };
        if let Some((effect, reason)) = fate(name, raw) {
            losses.push(field, effect, reason);
        }
    }
}

fn fate(name: &str, raw: &RawJson) -> Option<(Effect, &'static str)> {
    Some(match name {
        // Titan's vectors have the length 1 if not said otherwise, and so have those of the others.
        "normalize" if raw.text() == "true" => return None,
        "normalize" => (
            Effect::Rejected,
            "the provider decides about the length of its vectors",
        ),
        "max_tokens" => (
            Effect::Approximated,
            "the provider reads texts as far as its model does",
        ),
        "documentOcr" | "audioTrackExtraction" => {
            (Effect::Rejected, "the provider does not read documents and films")
        }
        "mimeType" => (
            Effect::Approximated,
            "the provider finds out by itself what it reads",
        ),
        _ => (Effect::Dropped, "not known to the provider"),
    })
}

/// Members of answers that are told in another way, or say what the client knows.
const TOLD: [&str; 13] = [
    "object",
    "meta",
    "texts",
    "images",
    "response_type",
    "usageMetadata",
    "metadata",
    "statistics",
    "embeddings",
    "embeddingsByType",
    "inputTextTokenCount",
    "shape",
    "truncated",
];

/// Reports the bags of an answer.
pub(super) fn report_response(response: &Response, losses: &mut Losses) {
    if let Some(warnings) = warnings(&response.ext)
        && !warnings.is_blank()
    {
        losses.dropped("meta.warnings", "the answer has no place for warnings");
    }
    let items = response.items.iter().flat_map(|item| item.ext.iter());
    for (name, raw) in response.ext.iter().chain(items) {
        if !raw.is_blank() && !TOLD.contains(&name) {
            losses.dropped(name, "the answer has no place for it");
        }
    }
}

fn warnings(ext: &Ext) -> Option<RawJson> {
    let meta = Object::parse(ext.get("meta")?.text(), "").ok()?;
    meta.peek("warnings").map(RawJson::from)
}
