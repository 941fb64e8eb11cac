//! Embeddings made up from a hash of the text: equal texts have equal vectors of length one.

use std::hash::{DefaultHasher, Hash, Hasher};

use tollgate_dialects::Losses;
use tollgate_dialects::canonical::{Ext, Usage};
use tollgate_dialects::embeddings::{
    Dialect, Input, Item, Kind, Piece, Response, Values, Vector, Wanted, decode_request, encode_response,
};
use tollgate_dialects::json::RawJson;

const DEFAULT_DIMENSIONS: usize = 64;

/// Most numbers of a vector.
const MAX_DIMENSIONS: usize = 4096;

/// Answers a request in a dialect. `model` is the one that the address names, if it does.
///
/// # Errors
/// What is wrong with the request.
pub fn answer(dialect: Dialect, model: &str, body: &str) -> Result<Vec<u8>, String> {
    let request = decode_request(dialect, body).map_err(|error| error.to_string())?;
    let dimensions = request
        .dimensions
        .as_ref()
        .and_then(|raw| raw.text().parse().ok());
    let dimensions = dimensions.unwrap_or(DEFAULT_DIMENSIONS).clamp(1, MAX_DIMENSIONS);
    if request.inputs.len() > dialect.most_inputs() {
        return Err(format!("there are more than {} inputs", dialect.most_inputs()));
    }
    let floats = [Wanted::FLOATS];
    let wanted = if request.wanted.is_empty() {
        &floats[..]
    } else {
        &request.wanted
    };
    let items = request
        .inputs
        .iter()
        .map(|input| {
            let vector = vector(&text(input), dimensions);
            Item {
                vectors: wanted
                    .iter()
                    .map(|wanted| written(&vector, &wanted.kind))
                    .collect(),
                ..Item::default()
            }
        })
        .collect();
    let response = Response {
        origin: dialect,
        id: Some("sim-embedding".to_owned()),
        model: if request.model.is_empty() {
            model.to_owned()
        } else {
            request.model.clone()
        },
        items,
        usage: Some(Usage {
            input: request.estimated_tokens(),
            ..Usage::default()
        }),
        ext: Ext::default(),
    };
    encode_response(dialect, &response, &request, &mut Losses::new()).map_err(|error| error.to_string())
}

/// What is hashed of an input.
fn text(input: &Input) -> String {
    let pieces = input.pieces.iter().map(|piece| match piece {
        Piece::Text(text) | Piece::ImageUrl(text) => text.as_str(),
        Piece::Tokens(raw) | Piece::Opaque(raw) => raw.text(),
        Piece::Image { data, .. } => data.as_str(),
    });
    pieces.collect::<Vec<_>>().join("\n")
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

/// The vector in numbers of a kind.
fn written(vector: &[f32], kind: &Kind) -> Vector {
    let numbers: Vec<String> = match kind {
        Kind::Float | Kind::Other(_) => vector.iter().map(f32::to_string).collect(),
        Kind::Int8 => vector
            .iter()
            .map(|value| ((value * 127.0) as i8).to_string())
            .collect(),
        Kind::Uint8 => vector
            .iter()
            .map(|value| ((value * 127.0 + 127.0) as u8).to_string())
            .collect(),
        Kind::Bits => vector
            .iter()
            .map(|value| u8::from(*value > 0.0).to_string())
            .collect(),
        Kind::Ubinary => vector.chunks(8).map(|eight| bits(eight).to_string()).collect(),
        Kind::Binary => vector
            .chunks(8)
            .map(|eight| (i16::from(bits(eight)) - 128).to_string())
            .collect(),
    };
    Vector {
        kind: kind.clone(),
        values: Values::Numbers(RawJson::array(numbers.iter().map(String::as_str))),
    }
}

fn bits(values: &[f32]) -> u8 {
    values
        .iter()
        .fold(0, |bits, value| bits << 1 | u8::from(*value > 0.0))
}

#[cfg(test)]
mod tests {
    use super::{Dialect, answer};

    #[test]
    fn equal_texts_have_equal_vectors_and_usage_is_told() {
        let body = r#"{"model":"e","input":["a","b","a"],"dimensions":4}"#;
        let body = answer(Dialect::Openai, "", body).unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["data"][0]["embedding"], body["data"][2]["embedding"]);
        assert_ne!(body["data"][0]["embedding"], body["data"][1]["embedding"]);
        assert_eq!(body["data"][0]["embedding"].as_array().unwrap().len(), 4);
        assert_eq!(body["model"], "e");
        assert!(body["usage"]["prompt_tokens"].as_u64().unwrap() >= 3);
        let many = serde_json::json!({ "model": "e", "input": vec!["a"; 2049] });
        assert!(answer(Dialect::Openai, "", &many.to_string()).is_err());
    }

    #[test]
    fn numbers_come_in_the_kinds_that_are_asked_for() {
        let body = r#"{"model":"e","input_type":"search_query","texts":["a"],"embedding_types":["float","int8","ubinary"]}"#;
        let body = answer(Dialect::Cohere, "", body).unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let length = |kind: &str| body["embeddings"][kind][0].as_array().map(Vec::len);
        assert_eq!(
            (length("float"), length("int8"), length("ubinary")),
            (Some(64), Some(64), Some(8))
        );
    }
}
