//! Embeddings and reranking: every client's shape from every provider's, whole batches, and what a provider says.

use serde_json::{Value, json};

use super::KEY;
use crate::harness::{Gateway, Next, Request, Setup, Upstream, answers, post};

/// The shapes of embeddings, with where a client sends them.
const CLIENTS: [&str; 6] = ["openai", "voyage", "gemini", "gemini batch", "cohere", "titan"];

/// A gateway with a simulated provider of each dialect, and a model of its name.
fn gateway() -> Gateway {
    let mut models = String::from("models:\n");
    let mut providers = String::from("providers:\n");
    for name in [
        "openai_embeddings",
        "mistral_embeddings",
        "voyage_embeddings",
        "gemini_embed",
        "vertex_predict",
        "bedrock_titan_embed",
        "cohere_embed",
        "cohere_rerank",
        "jina_rerank",
        "voyage_rerank",
        "openai_chat",
    ] {
        models += &format!("  {name}: {{provider: p-{name}}}\n");
        providers += &format!("  p-{name}: {{kind: simulated, dialects: [{name}]}}\n");
    }
    let consumers = format!("consumers:\n  caller: {{key: {KEY}, models: [\"*\"]}}\n");
    Setup::new(format!("{models}{providers}{consumers}")).start()
}

fn request(client: &str, model: &str, texts: &[&str]) -> Request {
    let content = |text: &str| json!({"content": {"parts": [{"text": text}]}});
    let (path, body) = match client {
        "openai" => (
            "/v1/embeddings".to_owned(),
            json!({"model": model, "input": texts}),
        ),
        "voyage" => {
            let body = json!({"model": model, "input": texts, "input_type": "query"});
            ("/v1/embeddings".to_owned(), body)
        }
        "gemini" => (format!("/v1beta/models/{model}:embedContent"), content(texts[0])),
        "gemini batch" => {
            let requests: Vec<Value> = texts
                .iter()
                .map(|text| {
                    let mut request = content(text);
                    request["model"] = json!(format!("models/{model}"));
                    request
                })
                .collect();
            (
                format!("/v1beta/models/{model}:batchEmbedContents"),
                json!({"requests": requests}),
            )
        }
        "cohere" => {
            let body = json!({
                "model": model, "texts": texts, "input_type": "search_query", "embedding_types": ["float"],
            });
            ("/v2/embed".to_owned(), body)
        }
        _ => (format!("/model/{model}/invoke"), json!({"inputText": texts[0]})),
    };
    post(&path, body.to_string()).header("x-api-key", KEY)
}

/// The vectors of an answer.
fn vectors(client: &str, body: &Value) -> Vec<Value> {
    let list = |list: &Value| list.as_array().cloned().unwrap_or_default();
    match client {
        "openai" | "voyage" => list(&body["data"])
            .iter()
            .map(|item| item["embedding"].clone())
            .collect(),
        "gemini" => vec![body["embedding"]["values"].clone()],
        "gemini batch" => list(&body["embeddings"])
            .iter()
            .map(|item| item["values"].clone())
            .collect(),
        "cohere" => list(&body["embeddings"]["float"]),
        _ => vec![body["embedding"].clone()],
    }
}

#[test]
fn vectors_reach_every_client_from_every_provider() {
    let gateway = gateway();
    for client in CLIENTS {
        for provider in [
            "openai_embeddings",
            "mistral_embeddings",
            "voyage_embeddings",
            "gemini_embed",
            "vertex_predict",
            "bedrock_titan_embed",
            "cohere_embed",
        ] {
            let pair = format!("{client} from {provider}");
            // Titan embeds one text in a call; several calls are joined.
            let response = gateway.send(&request(client, provider, &["first", "second", "first"]));
            assert_eq!(response.status(), 200, "{pair}: {}", response.text());
            let vectors = vectors(client, &response.json());
            let expected = if matches!(client, "gemini" | "titan") {
                1
            } else {
                3
            };
            assert_eq!(vectors.len(), expected, "{pair}: {}", response.text());
            for vector in &vectors {
                assert_eq!(
                    vector.as_array().map(Vec::len),
                    Some(64),
                    "{pair}: {}",
                    response.text()
                );
            }
            if expected == 3 {
                assert!(vectors[0] == vectors[2] && vectors[0] != vectors[1], "{pair}");
            }
            let log = gateway.logged();
            assert_eq!(log["instance"], format!("p-{provider}"), "{pair}: {log}");
            assert!(
                log["usage"]["prompt_tokens"]
                    .as_u64()
                    .is_some_and(|tokens| tokens > 0),
                "{pair}: {log}"
            );
        }
    }
    gateway.stop();
}

#[test]
fn base64_is_made_where_a_client_wants_it_and_the_provider_has_numbers() {
    let gateway = gateway();
    let body = json!({"model": "cohere_embed", "input": "x", "encoding_format": "base64"});
    let send = |body: &Value| gateway.send(&post("/v1/embeddings", body.to_string()).header("api-key", KEY));
    let response = send(&body);
    assert_eq!(response.status(), 200, "{}", response.text());
    let base64 = response.json()["data"][0]["embedding"]
        .as_str()
        .expect("base64")
        .to_owned();
    assert_eq!(base64.len(), 344, "64 numbers of 4 bytes");
    gateway.stop();
}

#[test]
fn openai_s_bytes_pass_as_they_are() {
    let answer = r#"{"object": "list","data":[{"object":"embedding","index":0,"embedding":[0.10, -1e-3]}],"model":"m","usage":{"prompt_tokens":5,"total_tokens":5}}"#;
    let upstream = Upstream::saying(answers::json_answer(200, answer));
    let gateway = Setup::new(format!(
        "models:\n  m: {{provider: o}}\nproviders:\n  o: {{kind: openai-compatible, endpoint: \"{}\"}}\n",
        upstream.base()
    ))
    .start();
    let body = r#"{ "model":"m", "input":["a"],"unknown": 1.50 }"#;
    let response = gateway.send(&post("/v1/embeddings", body));
    assert_eq!(response.text(), answer);
    assert_eq!(upstream.asked().text(), body);
    assert_eq!(gateway.logged()["usage"]["prompt_tokens"], 5);
    gateway.stop();
}

#[test]
fn several_calls_for_one_request_fail_together() {
    let upstream = Upstream::start(|asked, peer| {
        let second = asked.text().contains("second");
        peer.send(&if second {
            answers::answer(
                429,
                "content-type: application/json\r\nretry-after: 3\r\n",
                br#"{"message":"slow down"}"#,
            )
        } else {
            answers::json_answer(200, r#"{"embedding":[1.5],"inputTextTokenCount":2}"#)
        });
        Next::Keep
    });
    let gateway = Setup::new(format!(
        "models:\n  m: {{provider: b, model: amazon.titan-embed-text-v2:0}}\n\
         providers:\n  b: {{kind: bedrock, key: provider-key-1, endpoint: \"http://{}\"}}\n",
        upstream.address()
    ))
    .start();
    let send = |texts: &[&str]| gateway.send(&request("openai", "m", texts));
    let fine = send(&["first", "third"]);
    assert_eq!(fine.status(), 200, "{}", fine.text());
    assert_eq!(fine.json()["usage"]["prompt_tokens"], 4, "the calls add up");
    let asked = upstream.asked();
    assert_eq!(asked.path, "/model/amazon.titan-embed-text-v2%3A0/invoke");
    assert_eq!(asked.header("authorization"), Some("Bearer provider-key-1"));
    let failed = send(&["first", "second"]);
    assert_eq!(failed.status(), 429, "{}", failed.text());
    assert_eq!(failed.header("retry-after"), Some("3"));
    gateway.stop();
}

#[test]
fn documents_are_ordered_for_every_client_by_every_provider() {
    let gateway = gateway();
    let documents = ["a cat", "Paris is the capital of France", "the capital"];
    for (path, number) in [
        ("/v2/rerank", "top_n"),
        ("/v1/rerank", "top_n"),
        ("/v1/rerank", "top_k"),
    ] {
        for provider in ["cohere_rerank", "jina_rerank", "voyage_rerank"] {
            let body =
                json!({"model": provider, "query": "capital of France", "documents": documents, number: 2});
            let response = gateway.send(&post(path, body.to_string()).header("x-api-key", KEY));
            let pair = format!("{path} {number} from {provider}");
            assert_eq!(response.status(), 200, "{pair}: {}", response.text());
            let body = response.json();
            let list = if number == "top_k" {
                &body["data"]
            } else {
                &body["results"]
            };
            let order: Vec<_> = list
                .as_array()
                .expect("a list")
                .iter()
                .map(|one| one["index"].clone())
                .collect();
            assert_eq!(order, [json!(1), json!(2)], "{pair}: {body}");
        }
    }
    gateway.stop();
}

#[test]
fn a_model_without_vectors_says_so() {
    let gateway = gateway();
    for client in ["openai", "gemini", "cohere"] {
        let response = gateway.send(&request(client, "openai_chat", &["x"]));
        assert_eq!(response.status(), 400, "{client}: {}", response.text());
        assert!(
            response.text().contains("does not serve embeddings"),
            "{}",
            response.text()
        );
    }
    let odd = gateway.send(&post("/model/openai_chat/invoke", r#"{"prompt":"x"}"#).header("x-api-key", KEY));
    assert_eq!(odd.status(), 400);
    assert_eq!(odd.header("x-amzn-errortype"), Some("ValidationException"));
    gateway.stop();
}
