//! Members that only Gemini knows.

use super::{Fate, Place};
use crate::json::{Object, RawJson};
use crate::loss::Effect;

/// What becomes of a member in another dialect.
pub(super) fn fate(place: Place, name: &str, raw: &RawJson) -> Fate {
    use Effect::{Approximated, Dropped, Rejected};
    use Fate::{Inside, Lost, Silent, Within};
    match (place, name) {
        // The request.
        (Place::Request, "generationConfig" | "toolConfig" | "functionCallingConfig" | "thinkingConfig") => {
            Inside(Place::Request)
        }
        (Place::Request, "safetySettings") if is_permissive(raw) => {
            Lost(Dropped, "the provider has no such filter")
        }
        (Place::Request, "safetySettings") => Lost(Rejected, "the provider cannot be told what to filter"),
        (Place::Request, "cachedContent") => Lost(Rejected, "a cached prompt belongs to one provider"),
        (Place::Request, "labels") => Lost(Dropped, "the provider stores no labels"),
        (Place::Request, "continuationToken") => Lost(Rejected, "goes on with an answer of another provider"),
        (Place::Request, "modelArmorConfig") => Lost(Rejected, "the provider has no such filter"),
        (Place::Request, "outputConfig") => Lost(Rejected, "the provider puts its answers nowhere"),
        // What is left of generationConfig.
        (Place::Request, "responseModalities") if is_only_text(raw) => Silent,
        (Place::Request, "responseModalities" | "speechConfig" | "imageConfig") => {
            Lost(Rejected, "the provider answers with text only")
        }
        (Place::Request, "audioTranscriptionConfig" | "translationConfig") => {
            Lost(Rejected, "the provider does not transcribe")
        }
        (Place::Request, "responseFormat") => Lost(Rejected, "not a form the provider knows"),
        (_, "mediaResolution") => Lost(Dropped, "the provider decides on the resolution"),
        (Place::Request, "audioTimestamp") => Lost(Approximated, "the provider does not mark times"),
        (Place::Request, "routingConfig" | "modelConfig" | "modelSelectionConfig") => {
            Lost(Rejected, "chooses among models of another provider")
        }
        (Place::Request, "enableEnhancedCivicAnswers" | "enableAffectiveDialog") => {
            Lost(Dropped, "a hint that the provider does not know")
        }
        // What is left of toolConfig.
        (Place::Request, "mode") if raw.text() == "\"VALIDATED\"" => Lost(
            Approximated,
            "whether arguments follow their schema is left to the model",
        ),
        (Place::Request, "streamFunctionCallArguments") => {
            Lost(Dropped, "arguments come as the provider sends them")
        }
        (Place::Request, "retrievalConfig" | "includeServerSideToolInvocations") => {
            Lost(Dropped, "only for tools that the provider runs")
        }
        (Place::Format, "responseSchema") => Silent,
        // Tools.
        (Place::Tool, "functionDeclarations") => Within(Place::Tool),
        (Place::Tool, "parameters") => Silent,
        (Place::Tool, "response" | "responseJsonSchema") => {
            Lost(Dropped, "the provider is not told what a tool answers")
        }
        (_, "behavior" | "scheduling") => Lost(Dropped, "calls do not go on in the background"),
        // Contents and parts.
        (_, "functionCall") => Inside(Place::ToolCall),
        (_, "partialArgs" | "willContinue") => Lost(Dropped, "calls come whole"),
        (_, "inlineData" | "fileData") => Inside(Place::Media),
        (Place::ToolResult, "functionResponse") => Inside(Place::ToolResult),
        // Read into the canonical result.
        (Place::ToolResult, "id" | "name" | "response" | "parts") => Silent,
        (Place::Message, "role") if raw.as_string().is_some() => Silent,
        (_, "mimeType") => Silent,
        (_, "thought") if raw.text() == "false" => Silent,
        (_, "thought") => Lost(Dropped, "only texts can be thoughts"),
        (_, "videoMetadata" | "audioMetadata" | "documentMetadata" | "spreadsheetMetadata") => {
            Lost(Approximated, "the provider takes a file as a whole")
        }
        (_, "partMetadata" | "mediaProcessing" | "speechMetadata") => {
            Lost(Dropped, "a hint that the provider does not know")
        }
        // Answers. What says nothing that the rest of the answer does not, or only how the provider worked.
        (
            Place::Answer,
            "avgLogprobs" | "tokenCount" | "finishMessage" | "createTime" | "promptFeedback"
            | "logprobsResult" | "modelStatus" | "role",
        ) => Silent,
        (Place::Answer, "groundingMetadata" | "citationMetadata" | "urlContextMetadata") => {
            Lost(Dropped, "the dialect has no such citations")
        }
        (Place::Answer, "safetyRatings") => {
            Lost(Dropped, "the dialect does not tell how an answer was rated")
        }
        _ => super::unknown(place),
    }
}

/// Whether settings switch filters off only.
fn is_permissive(raw: &RawJson) -> bool {
    let settings: Vec<crate::json::Raw<'_>> = serde_json::from_str(raw.text()).unwrap_or_default();
    !settings.is_empty()
        && settings.iter().all(|setting| {
            Object::parse(setting.get(), "").is_ok_and(|mut setting| {
                matches!(
                    setting.take_string("threshold").ok().flatten().as_deref(),
                    Some("BLOCK_NONE" | "OFF")
                )
            })
        })
}

fn is_only_text(raw: &RawJson) -> bool {
    serde_json::from_str::<Vec<String>>(raw.text())
        .is_ok_and(|kinds| kinds.iter().all(|kind| kind.eq_ignore_ascii_case("text")))
}
