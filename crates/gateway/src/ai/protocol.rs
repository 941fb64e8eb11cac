//! The APIs that clients speak and vendors serve, and how a request's API is recognised.
//!
//! Knows paths and top-level members of bodies, and nothing of what stands below them.

use serde::{Deserialize, Serialize};
use tollgate_dialects::scan::Members;

/// An API of LLM vendors, named as APISIX names it.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// OpenAI's chat completions.
    OpenaiChat,
    /// OpenAI's responses.
    OpenaiResponses,
    /// OpenAI's embeddings.
    OpenaiEmbeddings,
    /// Anthropic's messages.
    AnthropicMessages,
    /// Amazon Bedrock's Converse.
    BedrockConverse,
    /// Google Vertex AI's prediction; only ever a target.
    VertexPredict,
    /// Any other JSON, passed on to the path the client asked for.
    Passthrough,
}

impl Protocol {
    /// APISIX's name.
    pub fn name(self) -> &'static str {
        match self {
            Protocol::OpenaiChat => "openai-chat",
            Protocol::OpenaiResponses => "openai-responses",
            Protocol::OpenaiEmbeddings => "openai-embeddings",
            Protocol::AnthropicMessages => "anthropic-messages",
            Protocol::BedrockConverse => "bedrock-converse",
            Protocol::VertexPredict => "vertex-predict",
            Protocol::Passthrough => "passthrough",
        }
    }

    /// Our own name of the dialect, as logs tell it.
    pub fn dialect_name(self) -> &'static str {
        match self {
            Protocol::OpenaiChat => "openai_chat",
            Protocol::OpenaiResponses => "openai_responses",
            Protocol::OpenaiEmbeddings => "openai_embeddings",
            Protocol::AnthropicMessages => "anthropic_messages",
            Protocol::BedrockConverse => "bedrock_converse",
            Protocol::VertexPredict => "vertex_predict",
            Protocol::Passthrough => "passthrough",
        }
    }
}

/// The API that a request speaks; `None` if its body says nothing (an empty object). `path` is without query.
///
/// The order is APISIX's: what the path tells first, then what the body looks like. So a body for OpenAI's responses that
/// is posted to another path counts as one for embeddings.
pub fn detect(path: &str, body: &[u8], members: &Members) -> Option<Protocol> {
    let value = |key| members.value(body, key);
    let has_messages = value("messages").is_some_and(|raw| raw.starts_with(['[', '{']));
    let has_input = value("input").is_some_and(|raw| raw != "null");
    if path.ends_with("/converse") && has_messages {
        Some(Protocol::BedrockConverse)
    } else if path.ends_with("/v1/messages") {
        Some(Protocol::AnthropicMessages)
    } else if path.ends_with("/v1/responses") && has_input {
        Some(Protocol::OpenaiResponses)
    } else if has_messages {
        Some(Protocol::OpenaiChat)
    } else if has_input {
        Some(Protocol::OpenaiEmbeddings)
    } else {
        members.iter().next().map(|_| Protocol::Passthrough)
    }
}

/// Whether a path is that of an API which is passed through although its body looks like one for embeddings, because it has
/// an `input` too. `path` is without query. APISIX sends these to the path of embeddings.
pub fn is_no_embedding(path: &str) -> bool {
    ["/v1/audio/speech", "/v1/moderations"]
        .iter()
        .any(|own| path.ends_with(own))
}

/// What the path of a call of Amazon's own SDKs says, `/model/<model>/converse` or `…/converse-stream`: the model, unescaped,
/// and whether a stream is wanted. APISIX looks at neither.
pub fn bedrock_call(path: &str) -> Option<(String, bool)> {
    let (before, operation) = path.rsplit_once('/')?;
    let streaming = match operation {
        "converse" => false,
        "converse-stream" => true,
        _ => return None,
    };
    let (_, model) = before.rsplit_once("/model/")?;
    let model = || String::from_utf8_lossy(&super::percent::decode(model)).into_owned();
    (!before.ends_with('/')).then(|| (model(), streaming))
}

/// Whether the client asks for a stream. Embeddings never stream.
pub fn is_streaming(protocol: Protocol, body: &[u8], members: &Members) -> bool {
    !matches!(protocol, Protocol::OpenaiEmbeddings | Protocol::VertexPredict)
        && members.is_true(body, "stream")
}

#[cfg(test)]
mod tests {
    use tollgate_dialects::scan::scan;

    use super::{Protocol, detect, is_no_embedding, is_streaming};

    fn detected(path: &str, body: &str) -> Option<&'static str> {
        let members = scan(body.as_bytes()).unwrap();
        detect(path, body.as_bytes(), &members).map(Protocol::name)
    }

    #[test]
    fn the_path_decides_before_the_body() {
        let chat = r#"{"messages":[]}"#;
        for (path, body, protocol) in [
            ("/model/x/converse", chat, "bedrock-converse"),
            ("/model/x/converse", r#"{"messages":"x"}"#, "passthrough"),
            ("/v1/messages", "{}", "anthropic-messages"),
            ("/anthropic/v1/messages", chat, "anthropic-messages"),
            ("/v1/responses", r#"{"input":"x"}"#, "openai-responses"),
            (
                "/v1/responses",
                r#"{"input":"x","messages":[]}"#,
                "openai-responses",
            ),
            ("/v1/responses", chat, "openai-chat"),
            ("/anything", chat, "openai-chat"),
            ("/anything", r#"{"messages":{"a":1}}"#, "openai-chat"),
            ("/anything", r#"{"input":["a"]}"#, "openai-embeddings"),
            ("/anything", r#"{"input":false}"#, "openai-embeddings"),
            ("/anything", r#"{"input":null}"#, "passthrough"),
            ("/v1/completions", r#"{"prompt":"x"}"#, "passthrough"),
        ] {
            assert_eq!(detected(path, body), Some(protocol), "{path} {body}");
        }
    }

    #[test]
    fn amazons_sdks_name_model_and_stream_in_the_path() {
        let call = |path| super::bedrock_call(path);
        assert_eq!(
            call("/model/a.b-v1%3A0/converse"),
            Some(("a.b-v1:0".to_owned(), false))
        );
        assert_eq!(call("/ai/model/m/converse-stream"), Some(("m".to_owned(), true)));
        for other in [
            "/converse",
            "/model//converse",
            "/model/m/invoke",
            "/v1/chat/completions",
        ] {
            assert_eq!(call(other), None, "{other}");
        }
    }

    #[test]
    fn speech_and_moderation_are_no_embeddings() {
        for (path, is_none) in [
            ("/v1/audio/speech", true),
            ("/openai/v1/moderations", true),
            ("/v1/embeddings", false),
            ("/anything", false),
        ] {
            assert_eq!(is_no_embedding(path), is_none, "{path}");
        }
    }

    #[test]
    fn an_empty_object_speaks_no_api() {
        assert_eq!(detected("/v1/chat/completions", "{ }"), None);
        assert_eq!(detected("/v1/responses", "{}"), None);
    }

    #[test]
    fn keys_written_with_escapes_are_recognised() {
        assert_eq!(detected("/x", r#"{"m\u0065ssages":[]}"#), Some("openai-chat"));
    }

    #[test]
    fn only_true_asks_for_a_stream_and_embeddings_never_do() {
        for (body, protocol, streaming) in [
            (r#"{"stream":true}"#, Protocol::OpenaiChat, true),
            (r#"{"stream":"true"}"#, Protocol::OpenaiChat, false),
            (r#"{"stream":false}"#, Protocol::OpenaiChat, false),
            (r#"{"stream":true}"#, Protocol::BedrockConverse, true),
            (r#"{"stream":true}"#, Protocol::Passthrough, true),
            (r#"{"stream":true}"#, Protocol::OpenaiEmbeddings, false),
        ] {
            let members = scan(body.as_bytes()).unwrap();
            assert_eq!(
                is_streaming(protocol, body.as_bytes(), &members),
                streaming,
                "{body}"
            );
        }
    }
}
