//! Embeddings made up from a hash of the text: equal texts have equal vectors of length one.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde::Deserialize;
use serde_json::json;
use tollgate_dialects::estimate;

const DEFAULT_DIMENSIONS: usize = 64;

/// Most texts of a request, as at OpenAI.
const MAX_INPUTS: usize = 2048;

#[derive(Deserialize)]
struct EmbeddingsRequest {
    model: String,
    input: Input,
    dimensions: Option<usize>,
    encoding_format: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    One(String),
    Many(Vec<String>),
    Tokens(Vec<u64>),
    ManyTokens(Vec<Vec<u64>>),
}

/// Answers an embeddings request.
///
/// # Errors
/// What is wrong with the request.
pub fn answer(body: &str) -> Result<Vec<u8>, String> {
    let request: EmbeddingsRequest = serde_json::from_str(body).map_err(|error| error.to_string())?;
    let dimensions = request.dimensions.unwrap_or(DEFAULT_DIMENSIONS).clamp(1, 4096);
    let texts: Vec<String> = match request.input {
        Input::One(text) => vec![text],
        Input::Many(texts) => texts,
        Input::Tokens(tokens) => vec![format!("{tokens:?}")],
        Input::ManyTokens(lists) => lists.iter().map(|tokens| format!("{tokens:?}")).collect(),
    };
    if texts.len() > MAX_INPUTS {
        return Err(format!("`input` has more than {MAX_INPUTS} elements"));
    }
    let as_base64 = request.encoding_format.as_deref() == Some("base64");
    let data: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| {
            let vector = vector(text, dimensions);
            let embedding = if as_base64 {
                json!(base64(&vector))
            } else {
                json!(vector)
            };
            json!({ "object": "embedding", "index": index, "embedding": embedding })
        })
        .collect();
    let tokens: u64 = texts.iter().map(|text| estimate::tokens(text)).sum();
    let usage = json!({ "prompt_tokens": tokens, "total_tokens": tokens });
    Ok(
        json!({ "object": "list", "data": data, "model": request.model, "usage": usage })
            .to_string()
            .into_bytes(),
    )
}

fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    let raw: Vec<f32> = (0..dimensions)
        .map(|dimension| {
            let mut hasher = DefaultHasher::new();
            (text, dimension).hash(&mut hasher);
            (hasher.finish() % 2000) as f32 / 1000.0 - 1.0
        })
        .collect();
    let length = raw
        .iter()
        .map(|value| value * value)
        .sum::<f32>()
        .sqrt()
        .max(f32::MIN_POSITIVE);
    raw.iter().map(|value| value / length).collect()
}

/// Little-endian floats in base64, as OpenAI sends them.
fn base64(vector: &[f32]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let mut bits = 0u32;
        for place in 0..3 {
            bits = bits << 8 | u32::from(group.get(place).copied().unwrap_or(0));
        }
        for place in 0..4 {
            if place <= group.len() {
                let index = (bits >> (18 - 6 * place)) & 63;
                text.push(char::from(ALPHABET[index as usize]));
            } else {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{answer, base64};

    #[test]
    fn floats_are_written_as_openai_writes_them() {
        // 1.0f32 is 00 00 80 3f.
        assert_eq!(base64(&[1.0]), "AACAPw==");
        assert_eq!(base64(&[1.0, 1.0, 1.0]), "AACAPwAAgD8AAIA/");
    }

    #[test]
    fn equal_texts_have_equal_vectors_and_usage_is_told() {
        let body = answer(r#"{"model":"e","input":["a","b","a"],"dimensions":4}"#).unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["data"][0]["embedding"], body["data"][2]["embedding"]);
        assert_ne!(body["data"][0]["embedding"], body["data"][1]["embedding"]);
        let many = serde_json::json!({ "model": "e", "input": vec!["a"; super::MAX_INPUTS + 1] });
        assert!(answer(&many.to_string()).is_err());
        assert!(body["usage"]["prompt_tokens"].as_u64().unwrap() >= 3);
    }
}
