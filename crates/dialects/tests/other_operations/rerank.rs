//! Reranking: the recording, and every dialect in every other.

use serde_json::{Value, json};
use tollgate_dialects::Losses;
use tollgate_dialects::rerank::{
    Dialect, Request, decode_request, decode_response, encode_request, encode_response,
};

use crate::support::{assert_json_eq, json as parse, names, recordings_of};

fn read(dialect: Dialect, request: Value) -> Request {
    decode_request(dialect, &request.to_string()).unwrap()
}

fn sent(dialect: Dialect, request: &Request) -> (Value, Vec<String>) {
    let mut losses = Losses::new();
    let body = encode_request(dialect, request, "p", &mut losses);
    (parse(body), names(&losses))
}

/// What a client that asked with `request` gets for an answer of another dialect.
fn answered(from: Dialect, answer: Value, to: Dialect, request: &Request) -> (Value, Vec<String>) {
    let response = decode_response(from, &answer.to_string()).unwrap();
    let mut losses = Losses::new();
    let body = encode_response(to, &response, request, &mut losses).unwrap();
    (parse(body), names(&losses))
}

#[test]
fn the_recording_of_bedrock_comes_back_equal() {
    for recording in recordings_of("bedrock-invoke") {
        if !recording.name.contains("rerank") {
            continue;
        }
        let (asked, body) = (recording.request().unwrap(), recording.answer().unwrap());
        let request = decode_request(Dialect::BedrockCohere, &asked).unwrap();
        let (again, losses) = sent(Dialect::BedrockCohere, &request);
        assert_json_eq(&again, &parse(&asked), &recording.name);
        assert!(losses.is_empty());
        let (again, losses) = answered(
            Dialect::BedrockCohere,
            parse(&body),
            Dialect::BedrockCohere,
            &request,
        );
        assert_json_eq(&again, &parse(&body), &recording.name);
        assert!(losses.is_empty());
    }
}

#[test]
fn documents_come_back_equal_in_their_own_dialect() {
    for (dialect, asked, body) in [
        (
            Dialect::Cohere,
            json!({"model": "p", "query": "q", "documents": ["a", "b"], "top_n": 1, "max_tokens_per_doc": 9, "priority": 2}),
            json!({"id": "i", "results": [{"index": 1, "relevance_score": 0.50}],
                "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}}}),
        ),
        (
            Dialect::CohereV1,
            json!({"model": "p", "query": "q", "documents": [{"text": "a", "title": "t"}], "rank_fields": ["title"],
                "return_documents": true, "max_chunks_per_doc": 3}),
            json!({"id": "i", "results": [{"index": 0, "relevance_score": 1, "document": {"text": "a", "title": "t"}}], "meta": {}}),
        ),
        (
            Dialect::Jina,
            json!({"model": "p", "query": "q", "documents": [{"text": "a"}, "b"], "top_n": 2, "return_documents": false}),
            json!({"object": "list", "model": "p", "results": [{"index": 1, "relevance_score": 0.1}],
                "usage": {"prompt_tokens": 815, "total_tokens": 815}}),
        ),
        (
            Dialect::Voyage,
            json!({"model": "p", "query": "q", "documents": ["a"], "top_k": 1, "return_documents": true, "truncation": false}),
            json!({"object": "list", "model": "p", "data": [{"index": 0, "relevance_score": 0.1, "document": "a"}],
                "usage": {"total_tokens": 8}}),
        ),
    ] {
        let request = read(dialect, asked.clone());
        assert_eq!(sent(dialect, &request), (asked, vec![]), "{}", dialect.name());
        assert_eq!(
            answered(dialect, body.clone(), dialect, &request),
            (body, vec![]),
            "{}",
            dialect.name()
        );
    }
}

#[test]
fn a_request_reaches_every_provider() {
    let request = read(
        Dialect::Jina,
        json!({"model": "m", "query": "q", "documents": ["a", {"text": "b"}], "top_n": 1}),
    );
    for (dialect, expected) in [
        (
            Dialect::Cohere,
            json!({"model": "p", "query": "q", "documents": ["a", "b"], "top_n": 1}),
        ),
        (
            Dialect::CohereV1,
            json!({"model": "p", "query": "q", "documents": ["a", {"text": "b"}], "top_n": 1}),
        ),
        (
            Dialect::BedrockCohere,
            json!({"query": "q", "documents": ["a", "b"], "top_n": 1, "api_version": 2}),
        ),
        (
            Dialect::Voyage,
            json!({"model": "p", "query": "q", "documents": ["a", "b"], "top_k": 1}),
        ),
    ] {
        assert_eq!(sent(dialect, &request), (expected, vec![]), "{}", dialect.name());
    }
}

#[test]
fn documents_that_the_client_wants_back_come_from_its_request() {
    let ranking = json!({"id": "i", "results": [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.10}],
        "meta": {"billed_units": {"search_units": 1}, "tokens": {"input_tokens": 12, "output_tokens": 0}}});
    let jina = read(
        Dialect::Jina,
        json!({"model": "m", "query": "q", "documents": ["a", "b"]}),
    );
    let (answer, losses) = answered(Dialect::Cohere, ranking.clone(), Dialect::Jina, &jina);
    assert_eq!(
        answer,
        json!({"id": "i", "object": "list", "model": "m",
            "results": [
                {"index": 1, "relevance_score": 0.9, "document": {"text": "b"}},
                {"index": 0, "relevance_score": 0.10, "document": {"text": "a"}},
            ],
            "usage": {"prompt_tokens": 12, "total_tokens": 12}})
    );
    assert_eq!(losses, ["meta.billed_units.search_units=dropped"]);
    let voyage = read(
        Dialect::Voyage,
        json!({"model": "m", "query": "q", "documents": ["a", "b"], "return_documents": true}),
    );
    let (answer, _) = answered(Dialect::Cohere, ranking.clone(), Dialect::Voyage, &voyage);
    assert_eq!(answer["data"][0]["document"], "b");
    let quiet = read(
        Dialect::Voyage,
        json!({"model": "m", "query": "q", "documents": ["a", "b"]}),
    );
    let (answer, _) = answered(Dialect::Cohere, ranking, Dialect::Voyage, &quiet);
    assert_eq!(answer["data"][0], json!({"index": 1, "relevance_score": 0.9}));
}

#[test]
fn what_is_billed_is_told_in_either_unit() {
    let request = read(
        Dialect::Cohere,
        json!({"model": "m", "query": "q", "documents": ["a"]}),
    );
    let answer = json!({"object": "list", "model": "p", "data": [{"index": 0, "relevance_score": 0.1}], "usage": {"total_tokens": 8}});
    let (written, losses) = answered(Dialect::Voyage, answer, Dialect::Cohere, &request);
    assert_eq!(written["meta"]["tokens"]["input_tokens"], 8);
    assert_eq!(losses, Vec::<String>::new());
    let searches = json!({"results": [], "meta": {"billed_units": {"search_units": 3.0}}});
    let response = decode_response(Dialect::Cohere, &searches.to_string()).unwrap();
    assert_eq!((response.search_units, response.usage), (Some(3), None));
}

#[test]
fn what_cannot_be_said_is_reported() {
    let request = read(
        Dialect::CohereV1,
        json!({"model": "m", "query": "q", "documents": [{"title": "t"}], "rank_fields": ["title"], "max_chunks_per_doc": 2}),
    );
    let (body, losses) = sent(Dialect::Voyage, &request);
    assert_eq!(body["documents"], json!([r#"{"title":"t"}"#]));
    assert_eq!(
        losses,
        [
            "documents[0]=approximated",
            "max_chunks_per_doc=approximated",
            "rank_fields=rejected"
        ]
    );
    let request = read(
        Dialect::Cohere,
        json!({"model": "m", "query": "q", "documents": ["a"], "max_tokens_per_doc": 5, "made_up": 1}),
    );
    assert_eq!(
        sent(Dialect::Jina, &request).1,
        ["max_tokens_per_doc=approximated", "made_up=dropped"]
    );
    let request = read(
        Dialect::Voyage,
        json!({"model": "m", "query": "q", "documents": ["a"], "truncation": false}),
    );
    assert_eq!(sent(Dialect::Cohere, &request).1, ["truncation=approximated"]);
}

#[test]
fn a_result_about_no_document_is_a_fault() {
    let request = read(
        Dialect::Cohere,
        json!({"model": "m", "query": "q", "documents": ["a"]}),
    );
    let response = decode_response(
        Dialect::Cohere,
        r#"{"results":[{"index":1,"relevance_score":1}]}"#,
    )
    .unwrap();
    let error = encode_response(Dialect::Jina, &response, &request, &mut Losses::new()).unwrap_err();
    assert_eq!(error.to_string(), "results[0].index: document 1 was not sent");
}

#[test]
fn wrong_documents_name_their_fields() {
    for (body, path) in [
        (r#"{"documents":[]}"#, "query"),
        (r#"{"query":"q"}"#, "documents"),
        (r#"{"query":"q","documents":["a",1]}"#, "documents[1]"),
    ] {
        assert_eq!(decode_request(Dialect::Cohere, body).unwrap_err().path, path);
    }
    let no_score = r#"{"results":[{"index":0}]}"#;
    let error = decode_response(Dialect::Cohere, no_score).unwrap_err();
    assert_eq!(error.path, "results[0].relevance_score");
}
