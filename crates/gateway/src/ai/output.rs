//! How long an answer may become, by what an instance is really sent: the request with everything that is changed in it.

use bytes::Bytes;
use tollgate_dialects::scan::{Members, nested, scan};

use super::config::InstanceConf;
use super::protocol::Protocol;
use super::shape::shape;

/// What a request says about the length of its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputLimit {
    /// The client's API.
    protocol: Protocol,
    /// Those members of the request that say it, as a request of its own: all of it need not be kept.
    said: Bytes,
}

/// Members that limit an answer, whatever the API.
const NAMES: [&str; 4] = [
    "max_completion_tokens",
    "max_tokens",
    "max_output_tokens",
    "max_tokens_to_sample",
];

/// What is kept of a request that says nothing of its answer's length.
const NOTHING: Bytes = Bytes::from_static(b"{}");

/// How many choices are asked for.
const CHOICES: &str = "n";

/// Bedrock's member with the limit, and the limit in it.
const BEDROCK: (&str, &str) = ("inferenceConfig", "maxTokens");

/// Gemini's.
const GEMINI: (&str, &str) = ("generationConfig", "maxOutputTokens");

/// The members that limit an answer in an API. Others of these names are sent too, but nobody goes by them.
fn names(protocol: Protocol) -> &'static [&'static str] {
    match protocol {
        Protocol::OpenaiChat => &NAMES[..2],
        Protocol::AnthropicMessages => &NAMES[1..2],
        Protocol::OpenaiResponses => &NAMES[2..3],
        // Who knows which API it is.
        Protocol::Passthrough => &NAMES,
        Protocol::BedrockConverse | Protocol::OpenaiEmbeddings | Protocol::VertexPredict => &[],
    }
}

impl OutputLimit {
    /// By the body of a request.
    pub fn of(protocol: Protocol, body: &[u8], members: &Members) -> Self {
        let mut said = String::new();
        let mut say = |name: &str, value: &str| {
            let separator = if said.is_empty() { "{" } else { "," };
            for part in [separator, "\"", name, "\":", value] {
                said.push_str(part);
            }
        };
        for name in NAMES.iter().chain([&CHOICES]) {
            if let Some(value) = members.value(body, name) {
                say(name, value);
            }
        }
        let (outer, inner) = GEMINI;
        if let Some(limit) = members.value(body, outer).and_then(|value| nested(value, inner))
            && members.value(body, NAMES[2]).is_none()
        {
            say(NAMES[2], limit);
        }
        let (outer, inner) = BEDROCK;
        if let Some(limit) = members.value(body, outer).and_then(|value| nested(value, inner)) {
            say(outer, &format!(r#"{{"{inner}":{limit}}}"#));
        }
        let said = match said.is_empty() {
            true => NOTHING,
            false => {
                said.push('}');
                said.into()
            }
        };
        OutputLimit { protocol, said }
    }

    /// Most tokens of the whole answer of an instance; `otherwise` for each choice where nobody says. Where limits of
    /// several names are sent, the largest counts: which of them a vendor goes by is not known.
    pub fn tokens(&self, conf: Option<&InstanceConf>, strict: bool, otherwise: impl FnOnce() -> u64) -> u64 {
        if matches!(
            self.protocol,
            Protocol::OpenaiEmbeddings | Protocol::VertexPredict
        ) {
            return 0;
        }
        let (protocol, sent) = self.sent(conf, strict);
        // Most requests say nothing of it.
        let members = match sent == NOTHING {
            true => Members::default(),
            false => scan(&sent).unwrap_or_default(),
        };
        let number = |name: &str| members.value(&sent, name)?.parse::<u64>().ok();
        let bedrock = || {
            let (outer, inner) = BEDROCK;
            nested(members.value(&sent, outer)?, inner)?.parse().ok()
        };
        let has_bedrock = matches!(protocol, Protocol::BedrockConverse | Protocol::Passthrough);
        let limits = names(protocol).iter().filter_map(|name| number(name));
        let limit = limits.chain(bedrock().filter(|_| has_bedrock)).max();
        let choices = number(CHOICES).unwrap_or(1).max(1);
        limit.unwrap_or_else(otherwise).saturating_mul(choices)
    }

    /// What an instance is sent of it, and in which API. What cannot be sent stays as it is: its attempt fails.
    fn sent(&self, conf: Option<&InstanceConf>, strict: bool) -> (Protocol, Bytes) {
        let as_it_is = || (self.protocol, self.said.clone());
        let Some(conf) = conf else { return as_it_is() };
        let Ok(served) = conf.provider.serve(self.protocol, strict) else {
            return as_it_is();
        };
        let (spoken, members) = (served.target(self.protocol), scan(&self.said));
        let shaped = members
            .ok()
            .and_then(|members| shape(&self.said, &members, conf, spoken, strict).ok());
        shaped.map_or_else(as_it_is, |shaped| (spoken, shaped.body.to_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn limit(protocol: Protocol, body: &serde_json::Value) -> OutputLimit {
        let body = body.to_string();
        OutputLimit::of(protocol, body.as_bytes(), &scan(body.as_bytes()).unwrap())
    }

    #[test]
    fn requests_say_how_long_their_answer_may_be() {
        for (protocol, body, tokens) in [
            (Protocol::OpenaiChat, json!({"max_tokens": 5}), 5),
            (
                Protocol::OpenaiChat,
                json!({"max_completion_tokens": 7, "max_tokens": 5}),
                7,
            ),
            (Protocol::OpenaiChat, json!({"max_tokens": 5, "n": 3}), 15),
            (Protocol::OpenaiChat, json!({"max_tokens": "many"}), 100),
            (Protocol::OpenaiChat, json!({"max_tokens": null, "n": 2}), 200),
            (Protocol::OpenaiResponses, json!({"max_output_tokens": 9}), 9),
            (Protocol::AnthropicMessages, json!({"max_tokens": 11}), 11),
            (
                Protocol::BedrockConverse,
                json!({"inferenceConfig": {"maxTokens": 13}}),
                13,
            ),
            (Protocol::OpenaiEmbeddings, json!({"max_tokens": 5}), 0),
        ] {
            assert_eq!(
                limit(protocol, &body).tokens(None, false, || 100),
                tokens,
                "{body}"
            );
        }
    }

    /// What an instance may answer to a request that says this, in tokens. It is OpenAI's unless `conf` says otherwise.
    fn changed(protocol: Protocol, said: &serde_json::Value, conf: &serde_json::Value) -> u64 {
        let mut written = json!({"provider": "openai", "auth": {}, "provider_conf": {"region": "r"}});
        for (key, value) in conf.as_object().unwrap() {
            written[key] = value.clone();
        }
        let conf: InstanceConf = serde_json::from_value(written).unwrap();
        limit(protocol, said).tokens(Some(&conf), false, || 100)
    }

    #[test]
    fn what_is_changed_in_requests_wins() {
        for (conf, tokens) in [
            (json!({"options": {"max_tokens": 50}}), 50),
            (
                json!({"options": {"max_tokens": 50}, "override": {"llm_options": {"max_tokens": 20}}}),
                20,
            ),
            (json!({"options": {"temperature": 1}}), 5),
            (json!({"options": {"n": 4}}), 20),
        ] {
            assert_eq!(
                changed(Protocol::OpenaiChat, &json!({"max_tokens": 5}), &conf),
                tokens,
                "{conf}"
            );
        }
    }

    #[test]
    fn what_is_merged_into_requests_counts_as_it_is_sent() {
        let merged = |body: serde_json::Value, force: bool| json!({"override": {"request_body": {"openai-chat": body}, "request_body_force_override": force}});
        for (said, conf, tokens) in [
            (json!({}), merged(json!({"max_tokens": 4000}), false), 4000),
            (
                json!({"max_tokens": 5}),
                merged(json!({"max_tokens": 4000}), false),
                5,
            ),
            (
                json!({"max_tokens": 5}),
                merged(json!({"max_tokens": 4000}), true),
                4000,
            ),
            (
                json!({"max_tokens": 5000}),
                merged(json!({"max_tokens": 4}), true),
                4,
            ),
            (json!({"max_tokens": 5}), merged(json!({"n": 3}), false), 15),
            (json!({"max_tokens": 5}), merged(json!({"top_p": 1}), true), 5),
            // Both are sent, and some vendors go by the one, some by the other.
            (
                json!({"max_tokens": 5}),
                merged(json!({"max_completion_tokens": 70}), false),
                70,
            ),
        ] {
            assert_eq!(
                changed(Protocol::OpenaiChat, &said, &conf),
                tokens,
                "{said} {conf}"
            );
        }
        let both = json!({"override": {
            "llm_options": {"max_tokens": 9}, "request_body_force_override": true,
            "request_body": {"openai-chat": {"max_completion_tokens": 6}},
        }});
        assert_eq!(changed(Protocol::OpenaiChat, &json!({"max_tokens": 5}), &both), 6);
    }

    #[test]
    fn what_counts_is_what_the_instance_s_api_goes_by() {
        let merged = |name: &str, body: serde_json::Value| json!({"override": {"request_body": {name: body}, "request_body_force_override": true}});
        let said = json!({"max_tokens": 5});
        for (provider, protocol, conf, tokens) in [
            // Merged bodies are those of the API the vendor is spoken to in.
            (
                "openai",
                Protocol::AnthropicMessages,
                merged("openai-chat", json!({"max_tokens": 30})),
                30,
            ),
            (
                "openai",
                Protocol::AnthropicMessages,
                merged("anthropic-messages", json!({"max_tokens": 30})),
                5,
            ),
            (
                "anthropic",
                Protocol::AnthropicMessages,
                merged("anthropic-messages", json!({"max_tokens": 30})),
                30,
            ),
            (
                "openai",
                Protocol::OpenaiResponses,
                merged("openai-responses", json!({"max_output_tokens": 30})),
                30,
            ),
            ("openai", Protocol::OpenaiResponses, json!({}), 100),
            (
                "openai",
                Protocol::Passthrough,
                merged("passthrough", json!({"max_tokens": 30})),
                30,
            ),
            (
                "bedrock",
                Protocol::BedrockConverse,
                merged("bedrock-converse", json!({"inferenceConfig": {"maxTokens": 30}})),
                30,
            ),
            // It has no name there, so it is not sent.
            (
                "openai",
                Protocol::Passthrough,
                json!({"override": {"llm_options": {"max_tokens": 30}}}),
                5,
            ),
        ] {
            let mut conf = conf;
            conf["provider"] = json!(provider);
            assert_eq!(changed(protocol, &said, &conf), tokens, "{protocol:?} {conf}");
        }
    }
}
