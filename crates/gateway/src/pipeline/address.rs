//! What the address of a call of the native models says: the endpoint, and in dialects whose bodies leave it to the address,
//! the model and whether to stream.

use http::request::Parts;
use tollgate_dialects::gemini::Framing;
use tollgate_dialects::{Dialect, embeddings, rerank};

use super::head::Endpoint;
use crate::plugins::query;
use crate::responses::serve::Question;

/// An address, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// What is asked for.
    pub endpoint: Endpoint,
    /// Whose shape errors have, and lists of models.
    pub dialect: Dialect,
    /// The model, where the address names it.
    pub model: Option<String>,
    /// Whether a stream is wanted, where the address tells it.
    pub stream: Option<bool>,
}

impl Address {
    /// Reads a path. It is matched as the client wrote it; what is escaped needlessly is not found, and never reaches a
    /// provider. Names of models are unescaped: some hold `/` and `:`.
    pub fn of(path: &str) -> Self {
        if let Some(below) = path.strip_prefix("/v1/") {
            return of_v1(below);
        }
        if let Some(below) = path.strip_prefix("/v1beta/") {
            return of_gemini(below).unwrap_or(Address::plain(Endpoint::Unknown, Dialect::Gemini));
        }
        if let Some(below) = path.strip_prefix("/model/") {
            return of_bedrock(below);
        }
        match path {
            "/v2/chat" => Address::chat(Dialect::CohereChat),
            "/v2/embed" => Address::embeddings(embeddings::Dialect::Cohere),
            "/v2/rerank" => Address::rerank(rerank::Dialect::Cohere),
            _ if path.starts_with("/v2/") => Address::plain(Endpoint::Unknown, Dialect::CohereChat),
            _ => Address::plain(Endpoint::Unknown, Dialect::OpenaiChat),
        }
    }

    fn plain(endpoint: Endpoint, dialect: Dialect) -> Self {
        Address {
            endpoint,
            dialect,
            model: None,
            stream: None,
        }
    }

    fn chat(dialect: Dialect) -> Self {
        Address::plain(Endpoint::Chat(dialect), dialect)
    }

    fn embeddings(dialect: embeddings::Dialect) -> Self {
        Address::plain(Endpoint::Embeddings(dialect), dialect.chat())
    }

    fn rerank(dialect: rerank::Dialect) -> Self {
        Address::plain(Endpoint::Rerank(dialect), dialect.chat())
    }

    /// A call whose model stands in the address.
    fn named(endpoint: Endpoint, dialect: Dialect, model: String, stream: bool) -> Self {
        Address {
            endpoint,
            dialect,
            model: Some(model),
            stream: Some(stream),
        }
    }
}

fn of_v1(below: &str) -> Address {
    let openai = |endpoint| Address::plain(endpoint, Dialect::OpenaiChat);
    match below {
        "messages" => Address::chat(Dialect::AnthropicMessages),
        "messages/count_tokens" => Address::plain(
            Endpoint::CountTokens(Dialect::AnthropicMessages),
            Dialect::AnthropicMessages,
        ),
        "responses" => Address::chat(Dialect::OpenaiResponses),
        "responses/input_tokens" => Address::plain(
            Endpoint::CountTokens(Dialect::OpenaiResponses),
            Dialect::OpenaiResponses,
        ),
        _ if below.starts_with("responses/") => {
            let question = below.strip_prefix("responses/").and_then(Question::read);
            let endpoint = question.map_or(Endpoint::Unknown, Endpoint::Response);
            Address::plain(endpoint, Dialect::OpenaiResponses)
        }
        "completions" => openai(Endpoint::Completions),
        "embeddings" => Address::embeddings(embeddings::Dialect::Openai),
        "embed" => Address::embeddings(embeddings::Dialect::CohereV1),
        "rerank" => Address::rerank(rerank::Dialect::Jina),
        "models" => openai(Endpoint::Models),
        // A route with a prefix pattern (the NGINX demo's) takes longer paths too.
        _ if below.starts_with("chat/completions") => Address::chat(Dialect::OpenaiChat),
        // Google's stable version has the same addresses as its newer one.
        _ => match (of_gemini(below), below.strip_prefix("models/")) {
            (Some(address), _) if !matches!(address.endpoint, Endpoint::Model(_)) => address,
            (_, Some(id)) if !id.is_empty() => openai(Endpoint::Model(percent_decoded(id))),
            _ => openai(Endpoint::Unknown),
        },
    }
}

/// Google's addresses: `models`, `models/{model}` and `models/{model}:{verb}`.
fn of_gemini(below: &str) -> Option<Address> {
    let (gemini, tail) = (Dialect::Gemini, percent_decoded(below));
    if tail == "models" {
        return Some(Address::plain(Endpoint::Models, gemini));
    }
    let name = match tail.strip_prefix("models/") {
        Some(name) => name,
        None if tail.starts_with("tunedModels/") => tail.as_str(),
        None => return None,
    };
    // The name itself may hold a `:`, as in `llama3:8b`.
    let (model, verb) = name.rsplit_once(':').unwrap_or((name, ""));
    let (endpoint, stream) = match verb {
        "generateContent" => (Endpoint::Chat(gemini), false),
        "streamGenerateContent" => (Endpoint::Chat(gemini), true),
        "countTokens" => (Endpoint::CountTokens(gemini), false),
        "embedContent" => (Endpoint::Embeddings(embeddings::Dialect::GeminiSingle), false),
        "batchEmbedContents" => (Endpoint::Embeddings(embeddings::Dialect::GeminiBatch), false),
        _ if name.is_empty() => return None,
        _ => return Some(Address::plain(Endpoint::Model(name.to_owned()), gemini)),
    };
    Some(Address::named(endpoint, gemini, model.to_owned(), stream))
}

/// Amazon's addresses: `/model/{modelId}/{verb}`. SDKs escape the id, which may hold `/` and `:`.
fn of_bedrock(below: &str) -> Address {
    let bedrock = Dialect::BedrockConverse;
    let (id, verb) = below.rsplit_once('/').unwrap_or((below, ""));
    let (endpoint, stream) = match verb {
        _ if id.is_empty() => (Endpoint::Unknown, false),
        "converse" => (Endpoint::Chat(bedrock), false),
        "converse-stream" => (Endpoint::Chat(bedrock), true),
        "count-tokens" => (Endpoint::CountTokens(bedrock), false),
        "invoke" => (Endpoint::Invoke, false),
        _ => (Endpoint::Unknown, false),
    };
    Address::named(endpoint, bedrock, percent_decoded(id), stream)
}

/// How a Gemini client wants the documents of a stream: as events if it says so, else as one JSON array.
pub fn framing(request: &Parts) -> Framing {
    let alt = request.uri.query().and_then(|query| query::first(query, "alt"));
    match alt.as_deref() {
        Some("sse") => Framing::Events,
        _ => Framing::Array,
    }
}

/// Takes the key that a Gemini client may put into the query out of the address, so that no log holds it.
pub fn take_key(request: &mut Parts) -> Option<String> {
    let key = query::first(request.uri.query()?, "key")?.into_owned();
    query::remove(&mut request.uri, "key");
    Some(key)
}

/// The text with its `%` escapes replaced.
fn percent_decoded(text: &str) -> String {
    query::decode_path(text).into_owned()
}

#[cfg(test)]
mod tests {
    use http::Request;
    use tollgate_dialects::Dialect;
    use tollgate_dialects::gemini::Framing;

    use super::{Address, framing, take_key};
    use crate::pipeline::head::Endpoint;

    #[test]
    fn the_demo_s_route_takes_longer_paths_of_chat_completions() {
        for path in ["/v1/chat/completions", "/v1/chat/completions/extra"] {
            assert_eq!(
                Address::of(path).endpoint,
                Endpoint::Chat(Dialect::OpenaiChat),
                "{path}"
            );
        }
    }

    #[test]
    fn names_of_models_are_unescaped() {
        for path in [
            "/v1/models/deepseek/deepseek-chat:free",
            "/v1/models/deepseek%2Fdeepseek-chat%3afree",
        ] {
            let address = Address::of(path);
            assert_eq!(
                address.endpoint,
                Endpoint::Model("deepseek/deepseek-chat:free".to_owned()),
                "{path}"
            );
            assert_eq!(address.dialect, Dialect::OpenaiChat);
        }
        assert_eq!(Address::of("/v1/models/").endpoint, Endpoint::Unknown);
        assert_eq!(
            Address::of("/v1/models/a%").endpoint,
            Endpoint::Model("a%".into())
        );
    }

    #[test]
    fn google_s_addresses_name_model_and_verb() {
        let chat = Endpoint::Chat(Dialect::Gemini);
        for (path, endpoint, model, stream) in [
            (
                "/v1beta/models/gemini-2.5-pro:generateContent",
                chat.clone(),
                "gemini-2.5-pro",
                false,
            ),
            (
                "/v1/models/gemini-2.5-pro:streamGenerateContent",
                chat.clone(),
                "gemini-2.5-pro",
                true,
            ),
            (
                "/v1beta/models/org%2Fm%3A8b:generateContent",
                chat.clone(),
                "org/m:8b",
                false,
            ),
            (
                "/v1beta/models/org/m:8b:generateContent",
                chat.clone(),
                "org/m:8b",
                false,
            ),
            ("/v1beta/models/m%3AgenerateContent", chat.clone(), "m", false),
            (
                "/v1beta/tunedModels/t:generateContent",
                chat,
                "tunedModels/t",
                false,
            ),
            (
                "/v1beta/models/m:countTokens",
                Endpoint::CountTokens(Dialect::Gemini),
                "m",
                false,
            ),
        ] {
            let address = Address::of(path);
            assert_eq!(
                address,
                Address::named(endpoint, Dialect::Gemini, model.to_owned(), stream),
                "{path}"
            );
        }
        for (path, endpoint) in [
            ("/v1beta/models", Endpoint::Models),
            ("/v1beta/models/a:b", Endpoint::Model("a:b".to_owned())),
            ("/v1beta/models/", Endpoint::Unknown),
            ("/v1beta/files", Endpoint::Unknown),
        ] {
            assert_eq!(
                Address::of(path),
                Address::plain(endpoint, Dialect::Gemini),
                "{path}"
            );
        }
    }

    #[test]
    fn amazon_s_addresses_hold_escaped_ids() {
        let arn = "arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-lite-v1:0";
        for (path, stream) in [
            (
                "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Ainference-profile%2Fus.amazon.nova-lite-v1%3A0/converse",
                false,
            ),
            (
                "/model/arn:aws:bedrock:us-east-1:1:inference-profile/us.amazon.nova-lite-v1:0/converse-stream",
                true,
            ),
        ] {
            let address = Address::of(path);
            assert_eq!(address.endpoint, Endpoint::Chat(Dialect::BedrockConverse));
            assert_eq!(
                (address.model.as_deref(), address.stream),
                (Some(arn), Some(stream))
            );
        }
        for path in [
            "/model/converse",
            "/model//converse",
            "/model/m/",
            "/model/m/other",
        ] {
            assert_eq!(Address::of(path).endpoint, Endpoint::Unknown, "{path}");
        }
    }

    #[test]
    fn every_version_s_unknown_paths_are_told_in_its_dialect() {
        for (path, dialect) in [
            ("/v1/nothing", Dialect::OpenaiChat),
            ("/v1beta/nothing", Dialect::Gemini),
            ("/v2/nothing", Dialect::CohereChat),
            ("/model/m/nothing", Dialect::BedrockConverse),
            ("/nothing", Dialect::OpenaiChat),
        ] {
            let address = Address::of(path);
            assert_eq!(
                (address.endpoint, address.dialect),
                (Endpoint::Unknown, dialect),
                "{path}"
            );
        }
    }

    #[test]
    fn the_key_is_taken_out_of_the_query_and_the_rest_stays() {
        let parts = |uri: &str| Request::builder().uri(uri).body(()).unwrap().into_parts().0;
        let mut request = parts("/v1beta/models/m:streamGenerateContent?alt=sse&key=a%2Bb&x=1");
        assert_eq!(framing(&request), Framing::Events);
        assert_eq!(take_key(&mut request).as_deref(), Some("a+b"));
        assert_eq!(request.uri, "/v1beta/models/m:streamGenerateContent?alt=sse&x=1");
        assert_eq!(take_key(&mut request), None);
        assert_eq!(
            framing(&parts("/v1beta/models/m:streamGenerateContent")),
            Framing::Array
        );
    }
}
