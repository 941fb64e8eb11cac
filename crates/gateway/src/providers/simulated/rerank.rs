//! An order made up from the words that a document has in common with the query.

use std::cmp::Reverse;

use tollgate_dialects::Losses;
use tollgate_dialects::canonical::{Ext, Usage};
use tollgate_dialects::json::RawJson;
use tollgate_dialects::rerank::{Dialect, Document, Ranked, Response, decode_request, encode_response};

/// Answers a request in a dialect. `model` is the one that the address names, if it does.
///
/// # Errors
/// What is wrong with the request.
pub fn answer(dialect: Dialect, model: &str, body: &str) -> Result<Vec<u8>, String> {
    let request = decode_request(dialect, body).map_err(|error| error.to_string())?;
    let query = request.query.to_lowercase();
    let words: Vec<&str> = query.split_whitespace().collect();
    let mut scored: Vec<(usize, u64)> = request
        .documents
        .iter()
        .zip(0..)
        .map(|(document, index)| {
            let text = match document {
                Document::Text(text) => text.to_lowercase(),
                Document::Object(raw) => raw.text().to_lowercase(),
            };
            (words.iter().filter(|word| text.contains(**word)).count(), index)
        })
        .collect();
    scored.sort_by_key(|(common, index)| (Reverse(*common), *index));
    let wanted = request.top_n.as_ref().and_then(|raw| raw.text().parse().ok());
    let results = scored
        .into_iter()
        .take(wanted.unwrap_or(usize::MAX))
        .map(|(common, index)| {
            let score = (common as f64 + 0.5) / (words.len() as f64 + 1.0);
            Ranked {
                index,
                // A number is JSON.
                score: RawJson::parse(&format!("{score:.4}")).unwrap_or_else(|_| RawJson::null()),
                document: None,
                ext: Ext::default(),
            }
        })
        .collect();
    let response = Response {
        origin: dialect,
        id: Some("sim-rerank".to_owned()),
        model: if request.model.is_empty() {
            model.to_owned()
        } else {
            request.model.clone()
        },
        results,
        usage: Some(Usage {
            input: request.estimated_tokens(),
            ..Usage::default()
        }),
        search_units: Some(1),
        ext: Ext::default(),
    };
    encode_response(dialect, &response, &request, &mut Losses::new()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::{Dialect, answer};

    #[test]
    fn the_document_with_most_words_of_the_query_comes_first() {
        let body = r#"{"model":"r","query":"capital of France","documents":["a cat","Paris is the capital of France"],"top_n":1}"#;
        let body = answer(Dialect::Cohere, "", body).unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["results"][0]["index"], 1);
        assert_eq!(body["results"].as_array().unwrap().len(), 1);
    }
}
