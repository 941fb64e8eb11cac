//! What the log tells of a request's body beside its model: the tools it offers and who it is for. Found by scanning. The
//! client's word is passed on, not checked: a member of a type it must not have counts as missing.

use serde::Deserialize;
use serde::de::IgnoredAny;
use tollgate_dialects::Dialect;
use tollgate_dialects::scan::{Members, nested, scan};

use crate::ai::protocol::Protocol;
use crate::pipeline::ask::Asked;
use crate::pipeline::head::Endpoint;

/// The number of `tools` that the client offers, where its API has them. Google's hold functions, which are counted.
pub fn tool_count(asked: &Asked, endpoint: &Endpoint) -> u64 {
    let config = asked.members.value(&asked.body, "toolConfig");
    let tools = match endpoint {
        Endpoint::Chat(Dialect::BedrockConverse) => config.and_then(|config| nested(config, "tools")),
        _ => asked.members.value(&asked.body, "tools"),
    };
    let Some(tools) = tools else {
        return 0;
    };
    if *endpoint == Endpoint::Chat(Dialect::Gemini) {
        return function_count(tools);
    }
    // The elements have no size, so nothing is allocated for them.
    serde_json::from_str::<Vec<IgnoredAny>>(tools).map_or(0, |tools| tools.len() as u64)
}

fn function_count(tools: &str) -> u64 {
    #[derive(Deserialize)]
    struct Tool {
        #[serde(alias = "function_declarations", rename = "functionDeclarations", default)]
        functions: Vec<IgnoredAny>,
    }
    // A tool without functions is one that Google runs.
    serde_json::from_str::<Vec<Tool>>(tools).map_or(0, |tools| {
        tools.iter().map(|tool| tool.functions.len().max(1) as u64).sum()
    })
}

/// Who uses the application that calls, by the name its API has for that; at most [`MAX_END_USER_BYTES`] of it.
pub fn end_user(asked: &Asked, endpoint: &Endpoint) -> Option<String> {
    let (members, body) = (&asked.members, &*asked.body);
    match endpoint {
        Endpoint::Chat(Dialect::OpenaiChat | Dialect::OpenaiResponses)
        | Endpoint::Api(Protocol::OpenaiChat | Protocol::OpenaiResponses) => {
            name(members, body, "safety_identifier").or_else(|| name(members, body, "user"))
        }
        Endpoint::Chat(Dialect::AnthropicMessages) | Endpoint::Api(Protocol::AnthropicMessages) => {
            let metadata = members.value(body, "metadata")?.as_bytes();
            name(&scan(metadata).ok()?, metadata, "user_id")
        }
        _ => None,
    }
}

fn name(members: &Members, body: &[u8], key: &str) -> Option<String> {
    let name = members.string(body, key)?.ok()?;
    let kept = name.get(..name.floor_char_boundary(MAX_END_USER_BYTES))?;
    (!kept.is_empty()).then(|| kept.to_owned())
}

/// Longest name of an end user that is kept, in bytes. OpenAI allows 64 characters; some clients put a small document there.
const MAX_END_USER_BYTES: usize = 512;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn asked(body: &str) -> Asked {
        Asked {
            body: Bytes::copy_from_slice(body.as_bytes()),
            members: scan(body.as_bytes()).unwrap(),
            model: "".into(),
            stream: false,
            include_usage: false,
            is_kept: false,
        }
    }

    #[test]
    fn google_s_functions_and_amazon_s_tools_are_counted_where_they_stand() {
        let google = r#"{"tools":[{"functionDeclarations":[{},{}]},{"googleSearch":{}}]}"#;
        assert_eq!(tool_count(&asked(google), &Endpoint::Chat(Dialect::Gemini)), 3);
        let amazon = r#"{"toolConfig":{"tools":[{"toolSpec":{}},{"toolSpec":{}}]}}"#;
        assert_eq!(
            tool_count(&asked(amazon), &Endpoint::Chat(Dialect::BedrockConverse)),
            2
        );
    }

    fn user(endpoint: &Endpoint, body: &str) -> Option<String> {
        end_user(&asked(body), endpoint)
    }

    #[test]
    fn tools_are_counted_and_what_is_no_list_of_tools_is_none() {
        for (body, count) in [
            ("{}", 0),
            (r#"{"tools":[]}"#, 0),
            (r#"{"tools":null}"#, 0),
            (r#"{"tools":{"a":[1,2]}}"#, 0),
            (
                r#"{"tools":[{"type":"function","function":{"parameters":{"enum":[1,2,3]}}}]}"#,
                1,
            ),
            (
                r#"{"x":{"tools":[1]},"tools":[ {"a":"],["} , {"b":1e999}, "\ud800" ]}"#,
                3,
            ),
        ] {
            assert_eq!(
                tool_count(&asked(body), &Endpoint::Chat(Dialect::OpenaiChat)),
                count,
                "{body}"
            );
        }
    }

    #[test]
    fn openai_names_the_user_by_safety_identifier_else_user() {
        let both = r#"{"user":"u","safety_identifier":"s"}"#;
        for endpoint in [
            Endpoint::Chat(Dialect::OpenaiChat),
            Endpoint::Api(Protocol::OpenaiChat),
            Endpoint::Api(Protocol::OpenaiResponses),
        ] {
            assert_eq!(user(&endpoint, both).as_deref(), Some("s"));
            assert_eq!(user(&endpoint, r#"{"user":"\u00e9"}"#).as_deref(), Some("é"));
            assert_eq!(
                user(&endpoint, r#"{"safety_identifier":7,"user":"u"}"#).as_deref(),
                Some("u")
            );
            assert_eq!(user(&endpoint, r#"{"metadata":{"user_id":"m"}}"#), None);
        }
    }

    #[test]
    fn anthropic_names_the_user_in_the_metadata() {
        for endpoint in [
            Endpoint::Chat(Dialect::AnthropicMessages),
            Endpoint::Api(Protocol::AnthropicMessages),
        ] {
            let told = r#"{"user":"u","metadata":{"user_id":"m"}}"#;
            assert_eq!(user(&endpoint, told).as_deref(), Some("m"));
            assert_eq!(user(&endpoint, r#"{"user":"u","metadata":"m"}"#), None);
            assert_eq!(user(&endpoint, r#"{"metadata":{"user_id":null}}"#), None);
        }
    }

    #[test]
    fn other_apis_name_no_user() {
        for endpoint in [
            Endpoint::Embeddings(tollgate_dialects::embeddings::Dialect::Openai),
            Endpoint::Api(Protocol::Passthrough),
            Endpoint::Api(Protocol::BedrockConverse),
        ] {
            assert_eq!(
                user(&endpoint, r#"{"user":"u","metadata":{"user_id":"m"}}"#),
                None
            );
        }
    }

    #[test]
    fn a_long_name_is_cut_between_characters() {
        let endpoint = Endpoint::Chat(Dialect::OpenaiChat);
        let exact = "x".repeat(MAX_END_USER_BYTES);
        let body = format!(r#"{{"user":"{exact}y"}}"#);
        assert_eq!(user(&endpoint, &body), Some(exact));
        let wide = format!(r#"{{"user":"x{}"}}"#, "é".repeat(MAX_END_USER_BYTES));
        assert_eq!(
            user(&endpoint, &wide).map(|kept| kept.len()),
            Some(MAX_END_USER_BYTES - 1)
        );
    }
}
