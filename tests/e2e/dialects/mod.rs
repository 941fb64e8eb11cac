//! Every dialect on both sides: clients of each, providers of each, and what goes wrong between them.

mod bad_json;
mod bedrock;
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
    Responses,
    Bedrock,
}

impl Wire {
    pub const ALL: [Wire; 6] = [
        Wire::Openai,
        Wire::Anthropic,
        Wire::Gemini,
        Wire::Cohere,
        Wire::Responses,
        Wire::Bedrock,
    ];

    /// Its name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Wire::Openai => "openai_chat",
            Wire::Anthropic => "anthropic_messages",
            Wire::Gemini => "gemini_generate",
            Wire::Cohere => "cohere_chat",
            Wire::Responses => "openai_responses",
            Wire::Bedrock => "bedrock_converse",
        }
    }

    /// Where a client sends its chat calls.
    pub fn path(self, model: &str, stream: bool) -> String {
        match self {
            Wire::Openai => "/v1/chat/completions".to_owned(),
            Wire::Anthropic => "/v1/messages".to_owned(),
            Wire::Cohere => "/v2/chat".to_owned(),
            Wire::Responses => "/v1/responses".to_owned(),
            Wire::Bedrock if stream => format!("/model/{model}/converse-stream"),
            Wire::Bedrock => format!("/model/{model}/converse"),
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
            Wire::Responses => json!({"model": model, "input": prompt}),
            Wire::Bedrock => json!({"messages": [{"role": "user", "content": [{"text": prompt}]}]}),
        };
        if stream && !matches!(self, Wire::Gemini | Wire::Bedrock) {
            body["stream"] = json!(true);
        }
        if tool && self == Wire::Bedrock {
            let spec = json!({"name": "get_weather", "inputSchema": {"json": schema}});
            body["toolConfig"] = json!({"tools": [{"toolSpec": spec}]});
        } else if tool {
            body["tools"] = match self {
                Wire::Responses => json!([{"type": "function", "name": "get_weather", "parameters": schema}]),
                Wire::Bedrock => Value::Null,
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
            Wire::Openai | Wire::Cohere | Wire::Responses | Wire::Bedrock => {
                request.header("authorization", &format!("Bearer {key}"))
            }
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
            Wire::Responses => said.responses(body),
            Wire::Bedrock => {
                for part in body["output"]["message"]["content"].as_array().expect("content") {
                    said.text.push_str(part["text"].as_str().unwrap_or_default());
                    if let Some(name) = part["toolUse"]["name"].as_str() {
                        said.call = Some((name.to_owned(), part["toolUse"]["input"].clone()));
                    }
                }
                said.stop = text(&body["stopReason"]);
            }
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
    pub fn said_in_stream(self, stream: &[u8]) -> Said {
        if self == Wire::Bedrock {
            return Said::of_frames(stream);
        }
        let stream = std::str::from_utf8(stream).expect("text");
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
                Wire::Responses => {
                    assert_ne!(event["type"], "error", "{stream}");
                    if matches!(
                        event["type"].as_str(),
                        Some("response.completed" | "response.incomplete")
                    ) {
                        said.responses(&event["response"]);
                        ended = true;
                    }
                }
                Wire::Bedrock => {}
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
            Wire::Responses => assert!(error["type"].is_string(), "{body}"),
            Wire::Bedrock => {
                assert!(response.header("x-amzn-errortype").is_some(), "{body}");
                return text(&body["message"]);
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
            // It says how the answer ended, not why.
            Wire::Responses => ("completed", "completed"),
            Wire::Bedrock => ("end_turn", "tool_use"),
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

    fn responses(&mut self, body: &Value) {
        for item in body["output"].as_array().expect("items") {
            for part in item["content"].as_array().into_iter().flatten() {
                self.text.push_str(part["text"].as_str().unwrap_or_default());
            }
            if item["type"] == "function_call" {
                let arguments = serde_json::from_str(&text(&item["arguments"])).expect("JSON");
                self.call = Some((text(&item["name"]), arguments));
            }
        }
        self.stop = text(&body["status"]);
    }

    /// What Amazon's frames say; asserts that the answer is complete.
    #[track_caller]
    fn of_frames(stream: &[u8]) -> Said {
        let mut said = Said::default();
        let mut arguments = String::new();
        for (kind, payload) in frames(stream) {
            let event: Value = serde_json::from_slice(&payload).expect("JSON");
            match kind.as_str() {
                "contentBlockStart" => {
                    said.call = Some((text(&event["start"]["toolUse"]["name"]), Value::Null));
                }
                "contentBlockDelta" => {
                    said.text
                        .push_str(event["delta"]["text"].as_str().unwrap_or_default());
                    arguments.push_str(event["delta"]["toolUse"]["input"].as_str().unwrap_or_default());
                }
                "messageStop" => said.stop = text(&event["stopReason"]),
                _ => {}
            }
        }
        assert!(!said.stop.is_empty(), "no end");
        if let Some((_, value)) = &mut said.call {
            *value = serde_json::from_str(&arguments).unwrap_or_else(|error| panic!("{error}: {arguments}"));
        }
        said
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

/// Amazon's frames: the kind of each, of an event or an exception, and its payload.
#[track_caller]
pub fn frames(mut stream: &[u8]) -> Vec<(String, Vec<u8>)> {
    let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().expect("four bytes")) as usize;
    let mut frames = Vec::new();
    while !stream.is_empty() {
        let (length, headers) = (number(&stream[..4]), number(&stream[4..8]));
        let (frame, rest) = stream.split_at(length);
        let mut kind = String::new();
        let mut fields = &frame[12..12 + headers];
        while let Some((name_length, tail)) = fields.split_first() {
            let (name, tail) = tail.split_at(usize::from(*name_length));
            let value_length = usize::from(u16::from_be_bytes([tail[1], tail[2]]));
            let (value, tail) = tail[3..].split_at(value_length);
            if matches!(name, b":event-type" | b":exception-type") {
                kind = String::from_utf8(value.to_vec()).expect("text");
            }
            fields = tail;
        }
        frames.push((kind, frame[12 + headers..length - 4].to_vec()));
        stream = rest;
    }
    frames
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
