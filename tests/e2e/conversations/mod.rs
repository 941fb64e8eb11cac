//! Conversations of the Responses API, kept by the gateway: they go on at any provider, and are nobody else's.

mod homes;
mod providers;
mod questions;

use serde_json::{Value, json};

use crate::harness::{Asked, Gateway, Next, Peer, Request, Response, Setup, Upstream, answers, post};

const KEY_A: &str = "key-of-a";
const KEY_B: &str = "key-of-b";

/// One provider for each of three dialects, each behind a model of its name.
struct Providers {
    anthropic: Upstream,
    chat: Upstream,
    responses: Upstream,
}

impl Providers {
    /// All of them answer with their name.
    fn start() -> Self {
        Providers {
            anthropic: Upstream::good("from anthropic"),
            chat: Upstream::good("from chat"),
            responses: Upstream::start(|asked: &Asked, peer: &mut Peer| {
                peer.send(&answer_of_responses(asked));
                Next::Keep
            }),
        }
    }

    fn config(&self, responses: &str) -> String {
        format!(
            "models:\n  anthropic: {{provider: a}}\n  chat: {{provider: c}}\n  responses: {{provider: r}}\n\
             providers:\n  a: {{kind: anthropic, key: k, endpoint: \"{}\"}}\n  \
             c: {{kind: openai-compatible, endpoint: \"{}\", dialects: [openai_chat]}}\n  \
             r: {{kind: openai-compatible, endpoint: \"{}\", dialects: [openai_responses]}}\n\
             consumers:\n  a: {{key: {KEY_A}, models: [\"*\"]}}\n  b: {{key: {KEY_B}, models: [\"*\"]}}\n{responses}\n",
            self.anthropic.base(),
            self.chat.base(),
            self.responses.base(),
        )
    }

    fn gateway(&self, responses: &str) -> Gateway {
        Setup::new(self.config(responses)).start()
    }
}

/// What a provider of the Responses API answers; it always gives the same id.
fn answer_of_responses(asked: &Asked) -> Vec<u8> {
    let response = |status: &str, output: Value| {
        json!({
            "id": "resp_of_provider", "object": "response", "created_at": 1_700_000_000, "status": status,
            "model": "served-model", "store": false, "previous_response_id": null, "output": output,
            "usage": {"input_tokens": 11, "output_tokens": 7, "total_tokens": 18,
                "input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}},
        })
    };
    let sealed = json!({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "sealed=="});
    let part = json!({"type": "output_text", "text": "from responses", "annotations": [], "logprobs": []});
    let message = json!({"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [part]});
    let whole = response("completed", json!([sealed, message]));
    if asked.json()["stream"] != true {
        return answers::json_answer(200, &whole.to_string());
    }
    let empty_part = json!({"type": "output_text", "text": "", "annotations": [], "logprobs": []});
    let empty = json!({"type": "message", "id": "msg_1", "status": "in_progress", "role": "assistant", "content": []});
    let at = |mut event: Value| {
        event["item_id"] = json!("msg_1");
        event["output_index"] = json!(1);
        event["content_index"] = json!(0);
        event
    };
    let events = [
        json!({"type": "response.created", "response": response("in_progress", json!([]))}),
        json!({"type": "response.in_progress", "response": response("in_progress", json!([]))}),
        json!({"type": "response.output_item.added", "output_index": 0, "item": sealed}),
        json!({"type": "response.output_item.done", "output_index": 0, "item": sealed}),
        json!({"type": "response.output_item.added", "output_index": 1, "item": empty}),
        at(json!({"type": "response.content_part.added", "part": empty_part})),
        at(json!({"type": "response.output_text.delta", "delta": "from responses", "logprobs": []})),
        at(json!({"type": "response.output_text.done", "text": "from responses", "logprobs": []})),
        at(json!({"type": "response.content_part.done", "part": part})),
        json!({"type": "response.output_item.done", "output_index": 1, "item": message}),
        json!({"type": "response.completed", "response": whole}),
    ];
    let mut text = String::new();
    for (number, mut event) in events.into_iter().enumerate() {
        event["sequence_number"] = json!(number);
        text += &format!(
            "event: {}\ndata: {event}\n\n",
            event["type"].as_str().expect("a type")
        );
    }
    [
        answers::stream_head().as_bytes(),
        &answers::chunk(text),
        answers::END_OF_CHUNKS,
    ]
    .concat()
}

/// A call of the Responses API.
fn call(key: &str, body: &Value) -> Request {
    post("/v1/responses", body.to_string()).header("authorization", &format!("Bearer {key}"))
}

/// A question about a kept response.
fn question(method: &str, key: &str, below: &str) -> Request {
    Request::new(method, &format!("/v1/responses/{below}")).header("authorization", &format!("Bearer {key}"))
}

/// A turn that must work; gives the response object.
#[track_caller]
fn turn(gateway: &Gateway, key: &str, body: &Value) -> Value {
    let answer = gateway.send(&call(key, body));
    assert_eq!(answer.status(), 200, "{body}: {}", answer.text());
    response_of(&answer)
}

/// The response object of a whole answer or of the end of a stream.
#[track_caller]
fn response_of(answer: &Response) -> Value {
    if answer.header("content-type") == Some("application/json") {
        return answer.json();
    }
    let data = answer
        .text()
        .lines()
        .filter_map(|line| line.strip_prefix("data: "));
    let mut events = data.filter_map(|data| serde_json::from_str::<Value>(data).ok());
    let end = events.find(|event| event["type"] == "response.completed");
    end.unwrap_or_else(|| panic!("no end: {}", answer.text()))["response"].clone()
}

/// What a response says.
#[track_caller]
fn said(response: &Value) -> String {
    let items = response["output"].as_array().expect("items");
    let message = items.iter().find(|item| item["type"] == "message");
    let text = message.and_then(|message| message["content"][0]["text"].as_str());
    text.unwrap_or_else(|| panic!("no text: {response}")).to_owned()
}

#[track_caller]
fn id(response: &Value) -> String {
    response["id"].as_str().expect("an id").to_owned()
}

#[track_caller]
fn assert_not_found(answer: &Response) {
    assert_eq!(answer.status(), 400, "{}", answer.text());
    let error = &answer.json()["error"];
    assert_eq!(error["code"], "previous_response_not_found", "{error}");
    assert_eq!(error["param"], "previous_response_id", "{error}");
    assert_eq!(error["type"], "invalid_request_error", "{error}");
}
