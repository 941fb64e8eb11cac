//! Requests for vectors and their answers: recordings, and every dialect in every other.

use serde_json::{Value, json};
use tollgate_dialects::Losses;
use tollgate_dialects::embeddings::{
    self, Dialect, Kind, Request, Response, Values, decode_request, decode_response, encode_request,
    encode_response,
};

use crate::support::{Recording, assert_json_eq, json as parse, names, recordings_of};

/// The recordings of embeddings, each with its dialect.
fn recordings() -> Vec<(Recording, Dialect)> {
    let mut found = Vec::new();
    for folder in ["embeddings", "cohere-embed", "gemini-embed"] {
        for recording in recordings_of(folder) {
            let meta = parse(recording.read("meta.json").unwrap());
            let path = meta["path"].as_str().unwrap();
            let dialect = match recording.name.split('/').next().unwrap() {
                "mistral" => Dialect::Mistral,
                "voyage" => Dialect::Voyage,
                "cohere" if path.starts_with("/v1/") => Dialect::CohereV1,
                "cohere" => Dialect::Cohere,
                "google" => Dialect::GeminiBatch,
                _ => Dialect::Openai,
            };
            found.push((recording, dialect));
        }
    }
    found
}

fn read(dialect: Dialect, request: Value) -> Request {
    decode_request(dialect, &request.to_string()).unwrap()
}

/// The bodies of the calls, and the losses.
fn sent(dialect: Dialect, request: &Request, model: &str) -> (Vec<Value>, Vec<String>) {
    let mut losses = Losses::new();
    let bodies = encode_request(dialect, request, model, &mut losses);
    (bodies.iter().map(parse).collect(), names(&losses))
}

fn one(dialect: Dialect, request: &Request, model: &str) -> (Value, Vec<String>) {
    let (mut bodies, losses) = sent(dialect, request, model);
    assert_eq!(bodies.len(), 1, "one call is enough");
    (bodies.remove(0), losses)
}

fn answered(dialect: Dialect, response: &Response, request: &Request) -> (Value, Vec<String>) {
    let mut losses = Losses::new();
    let body = encode_response(dialect, response, request, &mut losses).unwrap();
    (parse(body), names(&losses))
}

/// `snake_case` is the other spelling of the same.
fn respelled(text: &str) -> Value {
    parse(text.replace("output_dimensionality", "outputDimensionality"))
}

#[test]
fn recorded_requests_come_back_equal() {
    for (recording, dialect) in recordings() {
        let Some(body) = recording.request() else { continue };
        let request = decode_request(dialect, &body).unwrap();
        let (again, losses) = sent(dialect, &request, &request.model);
        if let [again] = again.as_slice() {
            assert_json_eq(again, &respelled(&body), &recording.name);
        } else {
            // A recording of more texts than the provider takes in a call.
            let texts: usize = again
                .iter()
                .map(|body| body["input"].as_array().unwrap().len())
                .sum();
            assert_eq!((again.len(), texts), (2, 257), "{}", recording.name);
        }
        assert!(losses.is_empty(), "{}: {losses:?}", recording.name);
    }
}

#[test]
fn recorded_answers_come_back_equal() {
    let mut seen = 0;
    for (recording, dialect) in recordings() {
        let (Some(body), Some(asked)) = (recording.answer(), recording.request()) else {
            continue;
        };
        let request = decode_request(dialect, &asked).unwrap();
        let response = decode_response(dialect, &body).unwrap();
        let (again, losses) = answered(dialect, &response, &request);
        assert_json_eq(&again, &parse(&body), &recording.name);
        assert!(losses.is_empty(), "{}: {losses:?}", recording.name);
        seen += 1;
    }
    assert!(seen == 0 || seen >= 8, "only {seen} recorded answers");
}

#[test]
fn recorded_vectors_reach_every_other_client_number_for_number() {
    for (recording, dialect) in recordings() {
        let (Some(body), Some(asked)) = (recording.answer(), recording.request()) else {
            continue;
        };
        let response = decode_response(dialect, &body).unwrap();
        let mut request = decode_request(dialect, &asked).unwrap();
        for client in Dialect::ALL {
            let takes_one = matches!(client, Dialect::GeminiSingle | Dialect::BedrockTitan);
            if takes_one && response.items.len() > 1 {
                continue;
            }
            request.wanted.clear();
            let (written, _) = answered(client, &response, &request);
            let again = decode_response(client, &written.to_string()).unwrap();
            assert_eq!(again.items.len(), response.items.len());
            for (before, after) in response.items.iter().zip(&again.items) {
                let (before, after) = (
                    floats(&before.vectors[0].values),
                    floats(&after.vectors[0].values),
                );
                assert_eq!(before, after, "{} for {}", recording.name, client.name());
            }
        }
    }
}

/// The numbers as the bits of 32-bit floats.
fn floats(values: &Values) -> Vec<u32> {
    match values {
        Values::Numbers(list) => list
            .text()
            .trim_matches(['[', ']'])
            .split(',')
            .map(|number| number.trim().parse::<f32>().unwrap().to_bits())
            .collect(),
        Values::Base64(text) => {
            use base64::Engine as _;
            let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
            let (chunks, rest) = bytes.as_chunks::<4>();
            assert!(rest.is_empty());
            chunks.iter().map(|chunk| u32::from_le_bytes(*chunk)).collect()
        }
    }
}

#[test]
fn texts_of_openai_reach_every_provider() {
    let request = read(
        Dialect::Openai,
        json!({"model": "m", "input": ["a", "b"], "dimensions": 256}),
    );
    let calls = |dialect| sent(dialect, &request, "p");
    let no_task = vec!["input_type=approximated".to_owned()];
    for (dialect, bodies, losses) in [
        (
            Dialect::Mistral,
            vec![json!({"model": "p", "input": ["a", "b"], "output_dimension": 256})],
            vec![],
        ),
        (
            Dialect::GeminiBatch,
            vec![json!({"requests": [
                {"model": "models/p", "content": {"parts": [{"text": "a"}]}, "outputDimensionality": 256},
                {"model": "models/p", "content": {"parts": [{"text": "b"}]}, "outputDimensionality": 256},
            ]})],
            vec![],
        ),
        (
            Dialect::GeminiSingle,
            vec![
                json!({"content": {"parts": [{"text": "a"}]}, "outputDimensionality": 256}),
                json!({"content": {"parts": [{"text": "b"}]}, "outputDimensionality": 256}),
            ],
            vec![],
        ),
        (
            Dialect::VertexPredict,
            vec![json!({
                "instances": [{"content": "a"}, {"content": "b"}],
                "parameters": {"outputDimensionality": 256},
            })],
            vec![],
        ),
        (
            Dialect::BedrockTitan,
            vec![
                json!({"inputText": "a", "dimensions": 256}),
                json!({"inputText": "b", "dimensions": 256}),
            ],
            vec![],
        ),
        (
            Dialect::Cohere,
            vec![json!({
                "model": "p", "input_type": "search_document", "texts": ["a", "b"],
                "embedding_types": ["float"], "output_dimension": 256,
            })],
            no_task.clone(),
        ),
        (
            Dialect::BedrockCohere,
            vec![json!({"input_type": "search_document", "texts": ["a", "b"], "output_dimension": 256})],
            no_task,
        ),
    ] {
        assert_eq!(calls(dialect), (bodies, losses), "{}", dialect.name());
    }
}

#[test]
fn what_vectors_are_for_is_said_in_the_providers_words() {
    let request = |word: &str| {
        read(
            Dialect::Cohere,
            json!({"model": "m", "texts": ["a"], "input_type": word}),
        )
    };
    let gemini = |word| one(Dialect::GeminiBatch, &request(word), "p").0["requests"][0]["taskType"].clone();
    assert_eq!(gemini("search_query"), "RETRIEVAL_QUERY");
    assert_eq!(gemini("search_document"), "RETRIEVAL_DOCUMENT");
    assert_eq!(gemini("classification"), "CLASSIFICATION");
    let vertex = one(Dialect::VertexPredict, &request("clustering"), "p");
    assert_eq!(vertex.0["instances"][0]["task_type"], "CLUSTERING");
    let voyage = one(Dialect::Voyage, &request("search_query"), "p");
    assert_eq!(
        (voyage.0["input_type"].as_str(), voyage.1.len()),
        (Some("query"), 0)
    );
    let voyage = one(Dialect::Voyage, &request("clustering"), "p");
    assert_eq!(
        (voyage.0.get("input_type"), voyage.1),
        (None, vec!["input_type=approximated".to_owned()])
    );
    let openai = one(Dialect::Openai, &request("search_query"), "p");
    assert_eq!(
        openai,
        (
            json!({"model": "p", "input": ["a"]}),
            vec!["input_type=approximated".to_owned()]
        )
    );
}

#[test]
fn tasks_that_differ_are_refused_where_there_is_one_for_all() {
    let request = read(
        Dialect::VertexPredict,
        json!({"instances": [
            {"content": "a", "task_type": "RETRIEVAL_QUERY"},
            {"content": "b", "task_type": "RETRIEVAL_DOCUMENT", "title": "t"},
        ]}),
    );
    assert_eq!(one(Dialect::GeminiBatch, &request, "p").1, Vec::<String>::new());
    let (_, losses) = one(Dialect::Cohere, &request, "p");
    assert!(
        losses.contains(&"instances[].task_type=rejected".to_owned()),
        "{losses:?}"
    );
    assert!(
        losses.contains(&"instances[1].title=approximated".to_owned()),
        "{losses:?}"
    );
}

#[test]
fn what_a_provider_cannot_embed_is_refused_under_the_clients_name() {
    let tokens = read(Dialect::Openai, json!({"model": "m", "input": [[1, 2], [3]]}));
    for dialect in Dialect::ALL
        .into_iter()
        .filter(|dialect| *dialect != Dialect::Openai)
    {
        let (_, losses) = sent(dialect, &tokens, "p");
        assert!(
            losses.contains(&"input[0]=rejected".to_owned()),
            "{}: {losses:?}",
            dialect.name()
        );
        assert!(
            losses.contains(&"input[1]=rejected".to_owned()),
            "{}: {losses:?}",
            dialect.name()
        );
    }
    let picture = read(
        Dialect::Cohere,
        json!({"model": "m", "input_type": "image", "images": ["data:image/png;base64,iVBORw0KGgo="]}),
    );
    for dialect in [Dialect::Openai, Dialect::Voyage, Dialect::VertexPredict] {
        assert_eq!(
            one(dialect, &picture, "p").1,
            ["images[0]=rejected"],
            "{}",
            dialect.name()
        );
    }
    let kinds = read(
        Dialect::Cohere,
        json!({"model": "m", "input_type": "search_query", "texts": ["a"], "embedding_types": ["float", "int8"]}),
    );
    for dialect in [
        Dialect::Openai,
        Dialect::GeminiBatch,
        Dialect::Voyage,
        Dialect::BedrockTitan,
    ] {
        let (_, losses) = one(dialect, &kinds, "p");
        assert!(
            losses.contains(&"embedding_types=rejected".to_owned()),
            "{}: {losses:?}",
            dialect.name()
        );
    }
}

#[test]
fn pictures_go_where_they_are_understood() {
    let picture = read(
        Dialect::Cohere,
        json!({"model": "m", "input_type": "image", "inputs": [{"content": [
            {"type": "text", "text": "a cat"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}},
        ]}]}),
    );
    let (gemini, losses) = one(Dialect::GeminiBatch, &picture, "p");
    let expected = json!([
        {"text": "a cat"},
        {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}},
    ]);
    assert_eq!(gemini["requests"][0]["content"]["parts"], expected);
    assert_eq!(losses, Vec::<String>::new());
    let (titan, losses) = one(Dialect::BedrockTitan, &picture, "amazon.titan-embed-image-v1");
    assert_eq!(titan, json!({"inputText": "a cat", "inputImage": "iVBORw0KGgo="}));
    assert_eq!(losses, Vec::<String>::new());
    let (_, losses) = one(Dialect::BedrockTitan, &picture, "amazon.titan-embed-text-v2:0");
    assert_eq!(losses, ["inputs[0]=rejected"]);
    let from_titan = read(Dialect::BedrockTitan, json!({"inputImage": "/9j/4AAQ"}));
    let (cohere, _) = one(Dialect::Cohere, &from_titan, "p");
    assert_eq!(cohere["images"], json!(["data:image/jpeg;base64,/9j/4AAQ"]));
    assert_eq!(cohere["embedding_types"], json!(["float"]));
}

#[test]
fn more_inputs_than_a_call_takes_are_sent_in_several_and_come_back_in_order() {
    let inputs: Vec<String> = (0..200).map(|i| i.to_string()).collect();
    let request = read(Dialect::Openai, json!({"model": "m", "input": inputs}));
    let (bodies, _) = sent(Dialect::Cohere, &request, "p");
    let sizes: Vec<usize> = bodies
        .iter()
        .map(|body| body["texts"].as_array().unwrap().len())
        .collect();
    assert_eq!(sizes, [96, 96, 8]);
    let parts = bodies.iter().map(|body| {
        let vectors: Vec<Value> = body["texts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|text| json!([text.as_str().unwrap().parse::<u64>().unwrap()]))
            .collect();
        let answer = json!({
            "id": "x", "embeddings": {"float": vectors},
            "meta": {"billed_units": {"input_tokens": body["texts"].as_array().unwrap().len()}},
        });
        decode_response(Dialect::Cohere, &answer.to_string()).unwrap()
    });
    let whole = Response::join(parts).unwrap();
    let (answer, _) = answered(Dialect::Openai, &whole, &request);
    assert_eq!(
        answer["usage"],
        json!({"prompt_tokens": 200, "total_tokens": 200})
    );
    for (i, item) in answer["data"].as_array().unwrap().iter().enumerate() {
        assert_eq!((&item["index"], &item["embedding"]), (&json!(i), &json!([i])));
    }
}

#[test]
fn an_answer_with_too_few_vectors_is_a_fault() {
    let request = read(Dialect::Openai, json!({"model": "m", "input": ["a", "b"]}));
    let response = decode_response(Dialect::GeminiBatch, r#"{"embeddings":[{"values":[1]}]}"#).unwrap();
    let error = encode_response(Dialect::Openai, &response, &request, &mut Losses::new()).unwrap_err();
    assert_eq!(error.to_string(), "the provider answered 1 vectors for 2 inputs");
}

#[test]
fn numbers_keep_their_digits_and_usage_is_the_sum() {
    let request = read(Dialect::Openai, json!({"model": "m", "input": ["a", "b"]}));
    let answer = r#"{"predictions":[
        {"embeddings":{"values":[0.10, -1e-3],"statistics":{"token_count":4.0,"truncated":false}}},
        {"embeddings":{"values":[1.000000000000000000001],"statistics":{"token_count":2}}}]}"#;
    let response = decode_response(Dialect::VertexPredict, answer).unwrap();
    let body = encode_response(Dialect::Openai, &response, &request, &mut Losses::new()).unwrap();
    let text = String::from_utf8(body).unwrap();
    assert!(text.contains(r#""embedding":[0.10, -1e-3]"#), "{text}");
    assert!(
        text.contains(r#""embedding":[1.000000000000000000001]"#),
        "{text}"
    );
    assert!(
        text.contains(r#""usage":{"prompt_tokens":6,"total_tokens":6}"#),
        "{text}"
    );
}

#[test]
fn an_unknown_usage_is_told_as_a_loss() {
    let request = read(Dialect::Openai, json!({"model": "m", "input": "a"}));
    let response = decode_response(Dialect::GeminiSingle, r#"{"embedding":{"values":[1]}}"#).unwrap();
    let (answer, losses) = answered(Dialect::Openai, &response, &request);
    assert_eq!(answer["usage"], json!({"prompt_tokens": 0, "total_tokens": 0}));
    assert_eq!(losses, ["usage=approximated"]);
    assert!(request.estimated_tokens() > 0);
}

#[test]
fn kinds_of_vectors_go_between_cohere_and_voyage() {
    let request = read(
        Dialect::Cohere,
        json!({"model": "m", "texts": ["a"], "input_type": "search_query", "embedding_types": ["int8"]}),
    );
    let (voyage, losses) = one(Dialect::Voyage, &request, "p");
    assert_eq!(
        (voyage, losses),
        (
            json!({"model": "p", "input": ["a"], "input_type": "query", "output_dtype": "int8"}),
            Vec::<String>::new()
        )
    );
    let answer = r#"{"object":"list","data":[{"object":"embedding","embedding":[1,-128],"index":0}],
        "model":"p","usage":{"total_tokens":3}}"#;
    let response = decode_response(Dialect::Voyage, answer).unwrap();
    let (written, _) = answered(Dialect::Cohere, &response, &request);
    assert_eq!(written["embeddings"], json!({"int8": [[1, -128]]}));
    assert_eq!(written["meta"]["billed_units"], json!({"input_tokens": 3}));
}

#[test]
fn titan_answers_come_back_equal_and_by_type() {
    for answer in [
        json!({"embedding": [0.5, 1], "inputTextTokenCount": 3}),
        json!({"embedding": [0.5], "inputTextTokenCount": 3, "embeddingsByType": {"float": [0.5], "binary": [1]}}),
        json!({"inputTextTokenCount": 3, "embeddingsByType": {"binary": [1, 0]}}),
    ] {
        let request = read(
            Dialect::BedrockTitan,
            json!({"inputText": "a", "normalize": true, "embeddingTypes": ["float", "binary"]}),
        );
        let response = decode_response(Dialect::BedrockTitan, &answer.to_string()).unwrap();
        assert_eq!(answered(Dialect::BedrockTitan, &response, &request).0, answer);
        assert_eq!(response.usage.unwrap().input, 3);
    }
    // A bit per number is none of Cohere's kinds.
    let bits = read(
        Dialect::BedrockTitan,
        json!({"inputText": "a", "embeddingTypes": ["binary"]}),
    );
    assert_eq!(bits.wanted[0].kind, Kind::Bits);
    assert_eq!(one(Dialect::Voyage, &bits, "p").1, ["embeddingTypes=rejected"]);
}

#[test]
fn options_of_one_dialect_are_reported_in_the_others() {
    let request = read(
        Dialect::BedrockTitan,
        json!({"inputText": "a", "normalize": false, "dimensions": 512}),
    );
    let (_, losses) = one(Dialect::Openai, &request, "p");
    assert_eq!(losses, ["normalize=rejected"]);
    let request = read(
        Dialect::Voyage,
        json!({"model": "m", "input": "a", "truncation": false, "made_up": 1, "user": "u"}),
    );
    let (body, losses) = one(Dialect::Cohere, &request, "p");
    assert_eq!(body["truncate"], "NONE");
    assert_eq!(
        losses,
        ["made_up=dropped", "input_type=approximated", "user=dropped"]
    );
    assert_eq!(
        one(Dialect::GeminiSingle, &request, "p").1,
        ["made_up=dropped", "user=dropped", "truncation=approximated"]
    );
}

#[test]
fn both_ways_to_write_googles_options_are_read() {
    let nested = read(
        Dialect::GeminiSingle,
        json!({"content": {"parts": [{"text": "a"}]},
            "embedContentConfig": {"taskType": "CLUSTERING", "output_dimensionality": 5, "autoTruncate": false}}),
    );
    let (flat, _) = one(Dialect::GeminiSingle, &nested, "p");
    assert_eq!(
        flat,
        json!({"content": {"parts": [{"text": "a"}]}, "taskType": "CLUSTERING", "outputDimensionality": 5, "autoTruncate": false})
    );
    let (cohere, _) = one(Dialect::Cohere, &nested, "p");
    assert_eq!(
        (&cohere["input_type"], &cohere["truncate"]),
        (&json!("clustering"), &json!("NONE"))
    );
}

#[test]
fn wrong_documents_name_their_fields() {
    for (dialect, body, path) in [
        (Dialect::Openai, r#"{"model":"m"}"#, "input"),
        (Dialect::Openai, r#"{"model":"m","input":["a",{}]}"#, "input[1]"),
        (
            Dialect::GeminiBatch,
            r#"{"requests":[{}]}"#,
            "requests[0].content",
        ),
        (
            Dialect::VertexPredict,
            r#"{"instances":[{"content":1}]}"#,
            "instances[0].content",
        ),
        (Dialect::Cohere, r#"{"model":"m","texts":[1]}"#, "texts[0]"),
        (Dialect::BedrockTitan, "{}", "inputText"),
    ] {
        assert_eq!(decode_request(dialect, body).unwrap_err().path, path, "{body}");
    }
    for (dialect, body, path) in [
        (
            Dialect::Openai,
            r#"{"data":[{"embedding":["a"]}]}"#,
            "data[0].embedding",
        ),
        (
            Dialect::Cohere,
            r#"{"embeddings":{"float":[[1]],"int8":[]}}"#,
            "embeddings.int8",
        ),
        (
            Dialect::GeminiBatch,
            r#"{"embeddings":[{"values":null}]}"#,
            "embeddings[0].values",
        ),
    ] {
        assert_eq!(decode_response(dialect, body).unwrap_err().path, path, "{body}");
    }
}

#[test]
fn errors_have_the_shape_of_their_provider() {
    for (recording, dialect) in recordings() {
        if recording.status() == 200 {
            continue;
        }
        let body = recording.read("response.json").unwrap();
        let error = embeddings::decode_error(dialect, recording.status(), body.as_bytes());
        if matches!(dialect.chat(), tollgate_dialects::Dialect::OpenaiChat) {
            assert!(
                body.contains(&error.message) && !error.message.is_empty(),
                "{}",
                recording.name
            );
        }
        parse(embeddings::encode_error(Dialect::Openai, &error));
    }
}

#[test]
fn kinds_are_answered_once_and_cannot_be_named_without_end() {
    let request = read(
        Dialect::Cohere,
        json!({"model": "m", "texts": ["a"], "input_type": "search_query", "embedding_types": ["float", "float", "base64"]}),
    );
    let response = decode_response(Dialect::GeminiSingle, r#"{"embedding":{"values":[1]}}"#).unwrap();
    let body = encode_response(Dialect::Cohere, &response, &request, &mut Losses::new()).unwrap();
    let text = String::from_utf8(body).unwrap();
    assert!(
        text.contains(r#""embeddings":{"float":[[1]],"base64":["AACAPw=="]}"#),
        "{text}"
    );
    let many = json!({"model": "m", "texts": ["a"], "embedding_types": vec!["float"; 17]}).to_string();
    let error = decode_request(Dialect::Cohere, &many).unwrap_err();
    assert_eq!(error.path, "embedding_types");
}

#[test]
fn how_many_calls_are_needed_is_known_before_they_are_written() {
    let request = read(Dialect::Openai, json!({"model": "m", "input": vec!["a"; 97]}));
    for (dialect, calls) in [
        (Dialect::BedrockTitan, 97),
        (Dialect::Cohere, 2),
        (Dialect::GeminiBatch, 1),
    ] {
        assert_eq!(embeddings::calls(dialect, &request), calls);
        assert_eq!(sent(dialect, &request, "p").0.len(), calls);
    }
}
