//! Lists of models.

use serde_json::json;
use tollgate_dialects::models::{Dialect, Model, Use, write_list, write_model};

use crate::support::json as parse;

const CHAT: Model<'_> = Model {
    name: "gpt-5",
    title: "",
    owner: "openai",
    created_s: 1_772_323_199,
    used_for: Use::Chat,
    max_input_tokens: Some(1000),
    max_output_tokens: Some(100),
};

#[test]
fn a_list_looks_as_its_clients_expect_it() {
    let vectors = Model {
        name: "v",
        title: "Vectors",
        used_for: Use::Embeddings,
        ..Model::default()
    };
    let list = |dialect| parse(write_list(dialect, &[CHAT, vectors.clone()]));
    assert_eq!(
        list(Dialect::Openai),
        json!({"object": "list", "data": [
            {"id": "gpt-5", "object": "model", "created": 1_772_323_199, "owned_by": "openai"},
            {"id": "v", "object": "model", "created": 0, "owned_by": ""},
        ]})
    );
    assert_eq!(
        list(Dialect::Anthropic),
        json!({"data": [
            {"type": "model", "id": "gpt-5", "display_name": "gpt-5", "created_at": "2026-02-28T23:59:59Z",
                "lifecycle": "active", "max_input_tokens": 1000, "max_tokens": 100},
            {"type": "model", "id": "v", "display_name": "Vectors", "created_at": "1970-01-01T00:00:00Z",
                "lifecycle": "active"},
        ], "has_more": false, "first_id": "gpt-5", "last_id": "v"})
    );
    assert_eq!(
        list(Dialect::Gemini),
        json!({"models": [
            {"name": "models/gpt-5", "displayName": "gpt-5", "inputTokenLimit": 1000, "outputTokenLimit": 100,
                "supportedGenerationMethods": ["generateContent", "countTokens"]},
            {"name": "models/v", "displayName": "Vectors", "supportedGenerationMethods": ["embedContent"]},
        ]})
    );
    assert_eq!(
        list(Dialect::Cohere),
        json!({"models": [
            {"name": "gpt-5", "endpoints": ["chat"], "finetuned": false, "context_length": 1000},
            {"name": "v", "endpoints": ["embed"], "finetuned": false},
        ]})
    );
}

#[test]
fn an_empty_list_is_a_list() {
    assert_eq!(
        parse(write_list(Dialect::Anthropic, &[])),
        json!({"data": [], "has_more": false, "first_id": null, "last_id": null})
    );
}

#[test]
fn times_are_told_as_dates() {
    let date = |created_s| {
        let model = Model { created_s, ..CHAT };
        parse(write_model(Dialect::Anthropic, &model))["created_at"].clone()
    };
    assert_eq!(date(951_782_400), "2000-02-29T00:00:00Z");
    assert_eq!(date(1_709_251_199), "2024-02-29T23:59:59Z");
    assert_eq!(date(4_107_542_400), "2100-03-01T00:00:00Z");
    assert!(
        !write_model(
            Dialect::Anthropic,
            &Model {
                created_s: u64::MAX,
                ..CHAT
            }
        )
        .is_empty()
    );
}

#[test]
fn every_chat_dialect_but_bedrocks_has_a_list() {
    use tollgate_dialects::Dialect as Chat;
    let with: Vec<Chat> = Chat::ALL
        .into_iter()
        .filter(|chat| Dialect::of(*chat).is_some())
        .collect();
    assert_eq!(with.len(), Chat::ALL.len() - 1);
    assert!(!with.contains(&Chat::BedrockConverse));
}
