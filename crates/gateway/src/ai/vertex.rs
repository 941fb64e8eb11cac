//! OpenAI's embeddings as predictions of Google's Vertex AI, and the vectors back.
//!
//! Vectors are passed on as they were written, digit for digit.

use serde::Deserialize;
use thiserror::Error;
use tollgate_dialects::json::{Raw, RawJson, Writer};

/// What cannot be translated: in a request the client's fault, in an answer the vendor's.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct VertexError(String);

/// Translates a request for embeddings.
///
/// # Errors
/// The request has no input, or one that has no translation.
pub fn request(body: &[u8]) -> Result<Vec<u8>, VertexError> {
    #[derive(Deserialize)]
    struct Request<'a> {
        #[serde(borrow)]
        input: Option<Raw<'a>>,
    }
    let request: Request<'_> =
        serde_json::from_slice(body).map_err(|error| VertexError(error.to_string()))?;
    let input = request
        .input
        .map(Raw::get)
        .filter(|raw| *raw != "null")
        .ok_or_else(|| VertexError("`input` is required for embeddings".to_owned()))?;
    let texts = texts(input)?;
    let mut out = Vec::with_capacity(body.len() + 16 * texts.len() + 16);
    Writer::new(&mut out).object(|w| {
        w.key("instances").array(|w| {
            for text in &texts {
                w.object(|w| w.key("content").string(text));
            }
        });
    });
    Ok(out)
}

/// The texts to embed. Lists of tokens become numbers between spaces, as in APISIX.
fn texts(input: &str) -> Result<Vec<String>, VertexError> {
    if let Ok(text) = serde_json::from_str::<String>(input) {
        return Ok(vec![text]);
    }
    let items: Vec<Raw<'_>> =
        serde_json::from_str(input).map_err(|_| VertexError("`input` must be string or array".to_owned()))?;
    let mut texts = Vec::with_capacity(items.len());
    for (i, item) in items.iter().enumerate() {
        let text = serde_json::from_str::<String>(item.get()).ok();
        let text = text.or_else(|| joined(item.get()));
        texts.push(text.ok_or_else(|| VertexError(format!("unsupported input type at index {}", i + 1)))?);
    }
    Ok(texts)
}

/// Texts and numbers of a list with spaces between them.
fn joined(list: &str) -> Option<String> {
    let items: Vec<Raw<'_>> = serde_json::from_str(list).ok()?;
    let mut out = String::new();
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(' ');
        }
        match item.get().as_bytes().first()? {
            b'"' => out.push_str(&serde_json::from_str::<String>(item.get()).ok()?),
            b'-' | b'0'..=b'9' => out.push_str(item.get()),
            _ => return None,
        }
    }
    Some(out)
}

/// Translates an answer. `model` is the one the client asked for.
///
/// # Errors
/// The answer has no vectors.
pub fn answer(body: &[u8], model: Option<&str>) -> Result<Vec<u8>, VertexError> {
    #[derive(Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        predictions: Option<Vec<Option<Prediction<'a>>>>,
    }
    #[derive(Deserialize)]
    struct Prediction<'a> {
        #[serde(borrow)]
        embeddings: Option<Embedding<'a>>,
    }
    #[derive(Deserialize)]
    struct Embedding<'a> {
        #[serde(borrow)]
        values: Option<Raw<'a>>,
        statistics: Option<Statistics>,
    }
    #[derive(Deserialize)]
    struct Statistics {
        token_count: Option<f64>,
    }
    let answer: Answer<'_> = serde_json::from_slice(body).map_err(|error| VertexError(error.to_string()))?;
    let predictions = answer
        .predictions
        .ok_or_else(|| VertexError("vertex response missing predictions".to_owned()))?;
    let mut tokens: u64 = 0;
    let mut vectors = Vec::with_capacity(predictions.len());
    for (i, prediction) in predictions.into_iter().enumerate() {
        let embedding = prediction.and_then(|prediction| prediction.embeddings);
        let (values, statistics) = embedding.map_or((None, None), |found| (found.values, found.statistics));
        let values = values.filter(|values| values.get().starts_with('['));
        vectors.push(values.ok_or_else(|| VertexError(format!("invalid embedding at index {}", i + 1)))?);
        tokens = tokens.saturating_add(statistics.and_then(|s| s.token_count).map_or(0, whole));
    }
    let mut out = Vec::with_capacity(body.len() + 128);
    Writer::new(&mut out).object(|w| {
        w.key("object").string("list");
        w.key("data").array(|w| {
            for (index, values) in (0..).zip(vectors) {
                w.object(|w| {
                    w.key("object").string("embedding");
                    w.key("index").number(index);
                    w.key("embedding").raw(&RawJson::from(values));
                });
            }
        });
        w.key("model").string(model.unwrap_or("unknown"));
        w.key("usage").object(|w| {
            w.key("prompt_tokens").number(tokens);
            w.key("total_tokens").number(tokens);
        });
    });
    Ok(out)
}

/// A count that the vendor writes with a fraction of zero.
fn whole(count: f64) -> u64 {
    // Saturates: negative counts are 0.
    count.round() as u64
}

#[cfg(test)]
mod tests {
    use super::{answer, request};

    fn translated(body: &str) -> Result<String, String> {
        request(body.as_bytes())
            .map(|bytes| String::from_utf8(bytes).unwrap())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn every_input_becomes_an_instance() {
        for (body, out) in [
            (
                r#"{"input":"a\"b","model":"m"}"#,
                r#"{"instances":[{"content":"a\"b"}]}"#,
            ),
            (
                r#"{"input":["a","b"]}"#,
                r#"{"instances":[{"content":"a"},{"content":"b"}]}"#,
            ),
            (
                r#"{"input":[["a",1,2]]}"#,
                r#"{"instances":[{"content":"a 1 2"}]}"#,
            ),
            (r#"{"input":[]}"#, r#"{"instances":[]}"#),
        ] {
            assert_eq!(translated(body).as_deref(), Ok(out));
        }
    }

    #[test]
    fn what_is_no_text_is_refused() {
        for (body, text) in [
            ("{}", "`input` is required for embeddings"),
            (r#"{"input":null}"#, "`input` is required for embeddings"),
            (r#"{"input":3}"#, "`input` must be string or array"),
            (r#"{"input":["a",3]}"#, "unsupported input type at index 2"),
            (r#"{"input":[[{}]]}"#, "unsupported input type at index 1"),
        ] {
            assert_eq!(translated(body), Err(text.to_owned()), "{body}");
        }
    }

    #[test]
    fn vectors_come_back_digit_for_digit_with_the_sum_of_tokens() {
        let body = br#"{"predictions":[
            {"embeddings":{"values":[0.10, -1e-3],"statistics":{"token_count":4.0,"truncated":false}}},
            {"embeddings":{"values":[1],"statistics":{"token_count":null}}},
            {"embeddings":{"values":[2]}}],"metadata":{}}"#;
        assert_eq!(
            String::from_utf8(answer(body, Some("m")).unwrap()).unwrap(),
            concat!(
                r#"{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.10, -1e-3]},"#,
                r#"{"object":"embedding","index":1,"embedding":[1]},"#,
                r#"{"object":"embedding","index":2,"embedding":[2]}],"#,
                r#""model":"m","usage":{"prompt_tokens":4,"total_tokens":4}}"#,
            )
        );
    }

    #[test]
    fn an_answer_without_vectors_is_refused() {
        for (body, text) in [
            ("{}", "vertex response missing predictions"),
            (
                r#"{"predictions":[{"embeddings":{}}]}"#,
                "invalid embedding at index 1",
            ),
            (r#"{"predictions":[null]}"#, "invalid embedding at index 1"),
        ] {
            assert_eq!(answer(body.as_bytes(), None).unwrap_err().to_string(), text);
        }
        let empty = answer(br#"{"predictions":[]}"#, None).unwrap();
        assert!(String::from_utf8(empty).unwrap().contains(r#""model":"unknown""#));
    }
}
