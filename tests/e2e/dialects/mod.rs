//! Every dialect on both sides: clients of each, providers of each, and what goes wrong between them.

mod gemini;
mod older;
mod pairs;
mod vectors;
mod waiting;

use serde_json::{Value, json};

use crate::harness::{Gateway, Request, Response, Setup, post};

/// A dialect, as a client and as a provider speaks it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wire {
    Openai,
    Anthropic,
    Gemini,
    Cohere,
}

impl Wire {
    pub const ALL: [Wire; 4] = [Wire::Openai, Wire::Anthropic, Wire::Gemini, Wire::Cohere];

    /// Its name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Wire::Openai => "openai_chat",
            Wire::Anthropic => "anthropic_messages",
            Wire::Gemini => "gemini_generate",
            Wire::Cohere => "cohere_chat",
        }
    }

    /// Where a client sends its chat calls.
    pub fn path(self, model: &str, stream: bool) -> String {
        match self {
            Wire::Openai => "/v1/chat/completions".to_owned(),
            Wire::Anthropic => "/v1/messages".to_owned(),
            Wire::Cohere => "/v2/chat".to_owned(),
            Wire::Gemini if stream => format!("/v1beta/models/{model}:streamGenerateContent?alt=sse"),
            Wire::Gemini => format!("/v1beta/models/{model}:generateContent"),
        }
    }

    /// A request whose last turn is `prompt`, with a tool if it is to be called.
    pub fn request(self, model: &str, prompt: &str, stream: bool, tool: bool) -> Request {
        let schema =
            json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
        let mut body = match self {
            Wire::Openai | Wire::Cohere => {
                json!({"model": model, "messages": [{"role": "user", "content": prompt}]})
            }
            Wire::Anthropic => {
                json!({"model": model, "max_tokens": 256, "messages": [{"role": "user", "content": prompt}]})
            }
            Wire::Gemini => json!({"contents": [{"role": "user", "parts": [{"text": prompt}]}]}),
        };
        if stream && self != Wire::Gemini {
            body["stream"] = json!(true);
        }
        if tool {
            body["tools"] = match self {
                Wire::Openai | Wire::Cohere => {
                    json!([{"type": "function", "function": {"name": "get_weather", "parameters": schema}}])
                }
                Wire::Anthropic => json!([{"name": "get_weather", "input_schema": schema}]),
                Wire::Gemini => {
                    json!([{"functionDeclarations": [{"name": "get_weather", "parametersJsonSchema": schema}]}])
                }
            };
        }
        post(&self.path(model, stream), body.to_string())
    }

    /// The same with a key, where a client of this dialect puts it.
    pub fn with_key(self, request: Request, key: &str) -> Request {
        match self {
            Wire::Openai | Wire::Cohere => request.header("authorization", &format!("Bearer {key}")),
            Wire::Anthropic => request.header("x-api-key", key),
            Wire::Gemini => request.header("x-goog-api-key", key),
        }
    }

    /// What a whole answer says.
    #[track_caller]
    pub fn said(self, body: &Value) -> Said {
        let mut said = Said::default();
        match self {
            Wire::Openai => said.openai(
                &body["choices"][0]["message"],
                &body["choices"][0]["finish_reason"],
            ),
            Wire::Anthropic => {
                for block in body["content"].as_array().expect("blocks") {
                    said.text.push_str(block["text"].as_str().unwrap_or_default());
                    if block["type"] == "tool_use" {
                        said.call = Some((text(&block["name"]), block["input"].clone()));
                    }
                }
                said.stop = text(&body["stop_reason"]);
            }
            Wire::Gemini => said.gemini(body),
            Wire::Cohere => {
                for part in body["message"]["content"].as_array().into_iter().flatten() {
                    said.text.push_str(part["text"].as_str().unwrap_or_default());
                }
                let call = &body["message"]["tool_calls"][0]["function"];
                if let Some(name) = call["name"].as_str() {
                    let arguments = serde_json::from_str(&text(&call["arguments"])).expect("JSON");
                    said.call = Some((name.to_owned(), arguments));
                }
                said.stop = text(&body["finish_reason"]);
            }
        }
        said
    }

    /// What a stream says; asserts that it is complete.
    #[track_caller]
    pub fn said_in_stream(self, stream: &str) -> Said {
        let mut said = Said::default();
        let mut arguments = String::new();
        let mut ended = false;
        for data in stream.lines().filter_map(|line| line.strip_prefix("data:")) {
            if data.trim() == "[DONE]" {
                ended = true;
                continue;
            }
            let event: Value = serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}"));
            match self {
                Wire::Openai => {
                    let choice = &event["choices"][0];
                    said.text
                        .push_str(choice["delta"]["content"].as_str().unwrap_or_default());
                    let call = &choice["delta"]["tool_calls"][0]["function"];
                    if let Some(name) = call["name"].as_str() {
                        said.call = Some((name.to_owned(), Value::Null));
                    }
                    arguments.push_str(call["arguments"].as_str().unwrap_or_default());
                    if let Some(stop) = choice["finish_reason"].as_str() {
                        stop.clone_into(&mut said.stop);
                    }
                }
                Wire::Anthropic => {
                    said.text
                        .push_str(event["delta"]["text"].as_str().unwrap_or_default());
                    if let Some(name) = event["content_block"]["name"].as_str() {
                        said.call = Some((name.to_owned(), Value::Null));
                    }
                    arguments.push_str(event["delta"]["partial_json"].as_str().unwrap_or_default());
                    if let Some(stop) = event["delta"]["stop_reason"].as_str() {
                        stop.clone_into(&mut said.stop);
                    }
                    ended |= event["type"] == "message_stop";
                }
                Wire::Gemini => {
                    said.gemini(&event);
                    ended = !said.stop.is_empty();
                }
                Wire::Cohere => {
                    let message = &event["delta"]["message"];
                    said.text
                        .push_str(message["content"]["text"].as_str().unwrap_or_default());
                    let call = &message["tool_calls"]["function"];
                    if let Some(name) = call["name"].as_str() {
                        said.call = Some((name.to_owned(), Value::Null));
                    }
                    arguments.push_str(call["arguments"].as_str().unwrap_or_default());
                    if let Some(stop) = event["delta"]["finish_reason"].as_str() {
                        stop.clone_into(&mut said.stop);
                        ended = true;
                    }
                }
            }
        }
        assert!(ended, "{self:?}: no end: {stream}");
        if let Some((_, value @ Value::Null)) = &mut said.call {
            *value = serde_json::from_str(&arguments).unwrap_or_else(|error| panic!("{error}: {arguments}"));
        }
        said
    }

    /// Asserts that a body is an error of this dialect and gives its message.
    #[track_caller]
    pub fn error_message(self, response: &Response) -> String {
        let body = response.json();
        let error = &body["error"];
        match self {
            Wire::Openai => assert!(
                error["type"].is_string() && error.get("param").is_some(),
                "{body}"
            ),
            Wire::Anthropic => assert!(body["type"] == "error" && error["type"].is_string(), "{body}"),
            Wire::Gemini => {
                assert!(error["status"].is_string(), "{body}");
                assert_eq!(error["code"], response.status(), "{body}");
            }
            Wire::Cohere => return text(&body["message"]),
        }
        text(&error["message"])
    }

    /// Its word for an answer that is complete, and for one that calls a tool.
    pub fn stops(self) -> (&'static str, &'static str) {
        match self {
            Wire::Openai => ("stop", "tool_calls"),
            Wire::Anthropic => ("end_turn", "tool_use"),
            // Google has no word for calls.
            Wire::Gemini => ("STOP", "STOP"),
            Wire::Cohere => ("COMPLETE", "TOOL_CALL"),
        }
    }
}

/// What an answer says, in whatever dialect.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Said {
    pub text: String,
    pub call: Option<(String, Value)>,
    pub stop: String,
}

impl Said {
    fn openai(&mut self, message: &Value, stop: &Value) {
        self.text = message["content"].as_str().unwrap_or_default().to_owned();
        if let Some(name) = message["tool_calls"][0]["function"]["name"].as_str() {
            let arguments = text(&message["tool_calls"][0]["function"]["arguments"]);
            self.call = Some((name.to_owned(), serde_json::from_str(&arguments).expect("JSON")));
        }
        self.stop = text(stop);
    }

    fn gemini(&mut self, document: &Value) {
        let candidate = &document["candidates"][0];
        for part in candidate["content"]["parts"].as_array().into_iter().flatten() {
            self.text.push_str(part["text"].as_str().unwrap_or_default());
            if let Some(name) = part["functionCall"]["name"].as_str() {
                self.call = Some((name.to_owned(), part["functionCall"]["args"].clone()));
            }
        }
        if let Some(stop) = candidate["finishReason"].as_str() {
            stop.clone_into(&mut self.stop);
        }
    }
}

#[track_caller]
fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("no text: {value}"))
        .to_owned()
}

/// A gateway with one simulated provider for each dialect, which speaks only that one, and a model of its name; `failing-…`
/// fail with 429. `behave` is how all of them behave.
pub fn simulated(behave: &str) -> Gateway {
    let mut models = String::from("models:\n");
    let mut providers = String::from("providers:\n");
    for wire in Wire::ALL {
        let name = wire.name();
        models += &format!("  {name}: {{provider: p-{name}}}\n  failing-{name}: {{provider: f-{name}}}\n");
        providers += &format!(
            "  p-{name}: {{kind: simulated, endpoint: \"simulated:{behave}\", dialects: [{name}]}}\n  \
             f-{name}: {{kind: simulated, endpoint: \"simulated:?fail=429\", dialects: [{name}]}}\n"
        );
    }
    let consumers = "consumers:\n  caller: {key: consumer-key-0001, models: [\"*\"]}\n";
    Setup::new(format!("{models}{providers}{consumers}")).start()
}

pub const KEY: &str = "consumer-key-0001";
