//! How long an answer may become, by the request and by what is changed in it.

use tollgate_dialects::scan::{Members, nested};

use super::config::InstanceConf;
use super::protocol::Protocol;

/// What a request says about the length of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputLimit {
    /// Most tokens of one choice, if it says so.
    tokens: Option<u64>,
    /// How many choices it asks for.
    choices: u64,
    /// Whether its answer has tokens at all.
    has_tokens: bool,
}

/// Members that limit an answer, whatever the API.
const NAMES: [&str; 4] = [
    "max_completion_tokens",
    "max_tokens",
    "max_output_tokens",
    "max_tokens_to_sample",
];

impl OutputLimit {
    /// By the body of a request.
    pub fn of(protocol: Protocol, body: &[u8], members: &Members) -> Self {
        let number = |name: &str| members.value(body, name)?.parse::<u64>().ok();
        let bedrock = || {
            nested(members.value(body, "inferenceConfig")?, "maxTokens")?
                .parse()
                .ok()
        };
        OutputLimit {
            tokens: NAMES.iter().find_map(|name| number(name)).or_else(bedrock),
            choices: number("n").unwrap_or(1).max(1),
            has_tokens: !matches!(protocol, Protocol::OpenaiEmbeddings | Protocol::VertexPredict),
        }
    }

    /// Most tokens of the whole answer of an instance; `otherwise` for each choice where nobody says.
    pub fn tokens(&self, conf: Option<&InstanceConf>, otherwise: u64) -> u64 {
        if !self.has_tokens {
            return 0;
        }
        let written_over = |conf: &InstanceConf| {
            let member = |name: &&str| {
                let (_, value) = conf.options.members.iter().find(|(key, _)| key == *name)?;
                value.parse().ok()
            };
            conf.replaced
                .llm_options
                .max_tokens
                .or_else(|| NAMES.iter().find_map(member))
        };
        let each = conf.and_then(written_over).or(self.tokens).unwrap_or(otherwise);
        each.saturating_mul(self.choices)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tollgate_dialects::scan::scan;

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
            assert_eq!(limit(protocol, &body).tokens(None, 100), tokens, "{body}");
        }
    }

    #[test]
    fn what_is_changed_in_requests_wins() {
        let asked = limit(Protocol::OpenaiChat, &json!({"max_tokens": 5}));
        for (conf, tokens) in [
            (json!({"options": {"max_tokens": 50}}), 50),
            (
                json!({"options": {"max_tokens": 50}, "override": {"llm_options": {"max_tokens": 20}}}),
                20,
            ),
            (json!({"options": {"temperature": 1}}), 5),
        ] {
            let mut written = json!({"provider": "openai", "auth": {}});
            for (key, value) in conf.as_object().unwrap() {
                written[key] = value.clone();
            }
            let conf: InstanceConf = serde_json::from_value(written).unwrap();
            assert_eq!(asked.tokens(Some(&conf), 100), tokens);
        }
    }
}
