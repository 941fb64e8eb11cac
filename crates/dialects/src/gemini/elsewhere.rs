//! What becomes of members that only Gemini knows, when they are written in another dialect, and how their place is told.
//!
//! [`class`] is the table: every member of a Gemini request or answer that has no canonical field, and its class toward all
//! other dialects (`docs/dialects/gemini.md`, which a test compares). The encoders of the other dialects ask here before
//! they ask their own tables; the names of Gemini's members are its own, so they are not mistaken for others.

use std::borrow::Cow;

use crate::Dialect;
use crate::canonical::{Part, Request, ResponseFormat, Role, Tool, ToolKind};
use crate::json::{Object, RawJson};
use crate::loss::{Effect, Losses};
use crate::names::Names;

/// What happens to a member of Gemini's.
enum Fate {
    /// Says what is the case anyway, or is said by a canonical field too.
    Silent,
    /// An object whose members have fates of their own.
    Inside,
    /// Cannot be carried over.
    Lost(Effect, &'static str),
}

/// Where a member stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In a bag, which may be that of another dialect.
    Bag,
    /// In an object that is Gemini's, under a name that others may have too.
    Own,
}

/// The class of a member, if it is one of Gemini's.
fn class(place: Place, name: &str, raw: &RawJson) -> Option<Fate> {
    use Effect::{Approximated, Dropped, Rejected};
    use Fate::{Inside, Lost, Silent};
    Some(match name {
        // The request.
        "generationConfig" | "toolConfig" | "functionCallingConfig" | "thinkingConfig" => Inside,
        "safetySettings" if is_permissive(raw) => Lost(Dropped, "the provider has no such filter"),
        "safetySettings" => Lost(Rejected, "the provider cannot be told what to filter"),
        "cachedContent" => Lost(Rejected, "a cached prompt belongs to one provider"),
        "labels" => Lost(Dropped, "the provider stores no labels"),
        "continuationToken" => Lost(Rejected, "goes on with an answer of another provider"),
        "modelArmorConfig" => Lost(Rejected, "the provider has no such filter"),
        "outputConfig" => Lost(Rejected, "the provider puts its answers nowhere"),
        // What is left of generationConfig.
        "responseModalities" if is_only_text(raw) => Silent,
        "responseModalities" | "speechConfig" | "imageConfig" => {
            Lost(Rejected, "the provider answers with text only")
        }
        "audioTranscriptionConfig" | "translationConfig" => {
            Lost(Rejected, "the provider does not transcribe")
        }
        "responseFormat" => Lost(Rejected, "not a form the provider knows"),
        "mediaResolution" => Lost(Dropped, "the provider decides on the resolution"),
        "audioTimestamp" => Lost(Approximated, "the provider does not mark times"),
        "routingConfig" | "modelConfig" | "modelSelectionConfig" => {
            Lost(Rejected, "chooses among models of another provider")
        }
        "enableEnhancedCivicAnswers" | "enableAffectiveDialog" => {
            Lost(Dropped, "a hint that the provider does not know")
        }
        // What is left of toolConfig.
        "mode" if place == Place::Own && raw.text() == "\"VALIDATED\"" => Lost(
            Approximated,
            "whether arguments follow their schema is left to the model",
        ),
        "streamFunctionCallArguments" => Lost(Dropped, "arguments come as the provider sends them"),
        "retrievalConfig" | "includeServerSideToolInvocations" => {
            Lost(Dropped, "only for tools that the provider runs")
        }
        // Tools.
        "functionDeclarations" | "functionCall" | "inlineData" | "fileData" => Inside,
        "parameters" if place == Place::Own => Silent,
        "response" | "responseJsonSchema" if place == Place::Own => {
            Lost(Dropped, "the provider is not told what a tool answers")
        }
        "behavior" | "scheduling" if place == Place::Own => {
            Lost(Dropped, "calls do not go on in the background")
        }
        "partialArgs" | "willContinue" => Lost(Dropped, "calls come whole"),
        // Contents and parts.
        "role" if raw.as_string().is_some() => Silent,
        "functionResponse" | "responseSchema" | "mimeType" => Silent,
        "thought" if raw.text() == "false" => Silent,
        "thought" => Lost(Dropped, "only texts can be thoughts"),
        "videoMetadata" => Lost(Approximated, "the provider takes a film as a whole"),
        "partMetadata" | "mediaProcessing" => Lost(Dropped, "a hint that the provider does not know"),
        // Answers.
        "avgLogprobs" | "tokenCount" | "finishMessage" | "createTime" | "promptFeedback"
        | "logprobsResult" | "modelStatus" => Silent,
        "groundingMetadata" | "citationMetadata" | "urlContextMetadata" => {
            Lost(Dropped, "the dialect has no such citations")
        }
        "safetyRatings" => Lost(Dropped, "the dialect does not tell how an answer was rated"),
        _ => return None,
    })
}

/// Reports a member if it is one of Gemini's, and says whether it is. `field` is where it stands.
pub(crate) fn report(name: &str, raw: &RawJson, field: &str, losses: &mut Losses) -> bool {
    report_at(Place::Bag, name, raw, field, losses)
}

fn report_at(place: Place, name: &str, raw: &RawJson, field: &str, losses: &mut Losses) -> bool {
    if raw.is_blank() {
        return true;
    }
    match class(place, name, raw) {
        None => return false,
        Some(Fate::Silent) => {}
        Some(Fate::Lost(effect, reason)) => losses.push(field, effect, reason),
        Some(Fate::Inside) => {
            let Ok(object) = Object::parse(raw.text(), "") else {
                return false;
            };
            for (name, raw) in object.into_ext().0 {
                let field = format!("{field}.{name}");
                if !report_at(Place::Own, &name, &raw, &field, losses) {
                    losses.dropped(field, "not known to the provider");
                }
            }
        }
    }
    true
}

/// Whether a member of an answer tells a caller nothing about it that the rest of the answer does not.
pub(crate) fn is_note(name: &str, raw: &RawJson) -> bool {
    matches!(class(Place::Bag, name, raw), Some(Fate::Silent))
}

/// Where a field stood in a Gemini client's request. The encoders of other dialects tell places as OpenAI and Anthropic
/// write them.
fn place<'f>(field: &'f str, request: &Request, provider: Dialect) -> Cow<'f, str> {
    if let Some(rest) = field.strip_prefix("tools[") {
        return tool_place(rest, request).map_or(Cow::Borrowed(field), Cow::Owned);
    }
    if field.starts_with("messages[") || field.starts_with("system") {
        return message_place(field, request, provider).map_or(Cow::Borrowed(field), Cow::Owned);
    }
    let level = request
        .reasoning
        .as_ref()
        .is_some_and(|reasoning| reasoning.effort.is_some());
    let thinking = if level {
        "generationConfig.thinkingConfig.thinkingLevel"
    } else {
        "generationConfig.thinkingConfig.thinkingBudget"
    };
    let format = match &request.response_format {
        Some(ResponseFormat::JsonSchema { ext, .. }) if ext.get("responseSchema").is_some() => {
            "generationConfig.responseSchema"
        }
        Some(ResponseFormat::JsonSchema { .. }) => "generationConfig.responseJsonSchema",
        _ => "generationConfig.responseMimeType",
    };
    let options = [
        ("thinking", thinking),
        ("reasoning_effort", thinking),
        ("output_config.effort", thinking),
        ("output_config.format", format),
        ("response_format", format),
        ("max_tokens", "generationConfig.maxOutputTokens"),
        ("max_completion_tokens", "generationConfig.maxOutputTokens"),
        ("temperature", "generationConfig.temperature"),
        ("top_p", "generationConfig.topP"),
        ("top_k", "generationConfig.topK"),
        ("stop_sequences", "generationConfig.stopSequences"),
        ("stop", "generationConfig.stopSequences"),
        ("n", "generationConfig.candidateCount"),
        ("top_logprobs", "generationConfig.logprobs"),
        ("logprobs", "generationConfig.responseLogprobs"),
        ("seed", "generationConfig.seed"),
        ("presence_penalty", "generationConfig.presencePenalty"),
        ("frequency_penalty", "generationConfig.frequencyPenalty"),
        ("service_tier", "serviceTier"),
    ];
    if field == "messages" {
        return Cow::Borrowed("contents");
    }
    if field.starts_with("tool_choice") {
        return Cow::Borrowed("toolConfig.functionCallingConfig");
    }
    let known = options.into_iter().find(|(name, _)| {
        field
            .strip_prefix(name)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    });
    match known {
        Some((_, own)) => Cow::Borrowed(own),
        None => Cow::Borrowed(field),
    }
}

/// `messages[1].content[0].x` as `contents[0].parts[0].x`.
fn message_place(field: &str, request: &Request, provider: Dialect) -> Option<String> {
    let names = Names::new(request);
    if let Some(rest) = field.strip_prefix("system") {
        let (part, rest) = index(rest)?;
        return Some(format!("{}{rest}", names.part(0, part)));
    }
    let (told, rest) = index(field.strip_prefix("messages")?)?;
    // OpenAI's encoder counts the messages behind the system instruction, Anthropic's all of them.
    let leading = request
        .messages
        .first()
        .is_some_and(|first| first.role == Role::System);
    let message = told + usize::from(leading && provider == Dialect::OpenaiChat);
    let parts = &request.messages.get(message)?.parts;
    let nth = |wanted: usize, is_counted: &dyn Fn(&Part) -> bool| {
        let mut counted = parts.iter().enumerate().filter(|(_, part)| is_counted(part));
        counted.nth(wanted).map(|(position, _)| position)
    };
    if let Some((call, rest)) = rest.strip_prefix(".tool_calls").and_then(index) {
        let part = nth(call, &|part| matches!(part, Part::ToolCall(_)))?;
        return Some(format!("{}{rest}", names.part(message, part)));
    }
    if let Some((told, rest)) = rest.strip_prefix(".content").and_then(index) {
        // Anthropic's encoder counts what is content there; what is not, it counts as it stands.
        let is_content =
            |part: &Part| !matches!(part, Part::ToolCall(_) | Part::ToolResult(_) | Part::Reasoning(_));
        let part = match provider {
            Dialect::AnthropicMessages => nth(told, &is_content).unwrap_or(told),
            _ => told,
        };
        let rest = match rest {
            ".is_error" => ".functionResponse.response",
            rest if rest.starts_with(".content[") => ".functionResponse.parts",
            rest => rest,
        };
        return Some(format!("{}{rest}", names.part(message, part)));
    }
    if rest
        .strip_prefix('.')
        .is_some_and(|member| SIGNED.contains(&member))
    {
        return Some(format!("{}.parts[].thoughtSignature", names.message(message)));
    }
    Some(format!("{}{rest}", names.message(message)))
}

/// Names by which reasoning of Gemini's is told.
const SIGNED: [&str; 6] = [
    "thought",
    "thoughtSignature",
    "text",
    "functionCall",
    "inlineData",
    "fileData",
];

/// `0].function.parameters.x` as `tools[0].functionDeclarations[0].parameters.x`: the functions are counted through.
fn tool_place(rest: &str, request: &Request) -> Option<String> {
    let (tool, rest) = index(&format!("[{rest}")).map(|(tool, rest)| (tool, rest.to_owned()))?;
    let is_function = |tool: &Tool| matches!(tool.kind, ToolKind::Function { .. });
    let rest = rest
        .replace(".function.", ".")
        .replace(".input_schema", ".parameters")
        .replace(".functionDeclarations.", ".");
    if is_function(request.tools.get(tool)?) {
        return Some(format!("tools[].functionDeclarations[{tool}]{rest}"));
    }
    Some(format!("tools[]{rest}"))
}

/// `[12]rest` as 12 and `rest`.
fn index(text: &str) -> Option<(usize, &str)> {
    let (digits, rest) = text.strip_prefix('[')?.split_once(']')?;
    Some((digits.parse().ok()?, rest))
}

/// Losses of a request of Gemini's, told where they stood in it.
pub(crate) fn respelled(losses: Losses, request: &Request, provider: Dialect) -> Losses {
    if request.origin != Dialect::Gemini || provider == Dialect::Gemini {
        return losses;
    }
    let mut respelled = Losses::new();
    for loss in losses.iter() {
        respelled.push(place(&loss.field, request, provider), loss.effect, loss.reason);
    }
    respelled
}

/// Whether settings switch filters off only.
fn is_permissive(raw: &RawJson) -> bool {
    let settings: Vec<&serde_json::value::RawValue> = serde_json::from_str(raw.text()).unwrap_or_default();
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
