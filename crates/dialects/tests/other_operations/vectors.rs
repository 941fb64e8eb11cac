//! Numbers and their bytes: what goes through base64 comes back as the same 32-bit float.

use proptest::collection::vec;
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use tollgate_dialects::Losses;
use tollgate_dialects::embeddings::{Dialect, decode_request, decode_response, encode_response};

use crate::support::names;

/// The vector that a client of OpenAI's dialect gets who asked for this notation, and the losses.
fn given(answer: &str, format: &str) -> Result<(String, Vec<String>), String> {
    let asked = json!({"model": "m", "input": "a", "encoding_format": format}).to_string();
    let request = decode_request(Dialect::Openai, &asked).unwrap();
    let response = decode_response(Dialect::Openai, answer).map_err(|error| error.to_string())?;
    let mut losses = Losses::new();
    let body = encode_response(Dialect::Openai, &response, &request, &mut losses);
    let body = body.map_err(|error| error.to_string())?;
    // Read as it was written: the JSON reader of the tests rounds numbers.
    #[derive(Deserialize)]
    struct List {
        data: Vec<Item>,
    }
    #[derive(Deserialize)]
    struct Item {
        embedding: Box<RawValue>,
    }
    let list: List = serde_json::from_slice(&body).unwrap();
    Ok((list.data[0].embedding.get().to_owned(), names(&losses)))
}

fn answer(embedding: &str) -> String {
    format!(r#"{{"object":"list","data":[{{"embedding":{embedding}}}],"model":"m"}}"#)
}

fn finite() -> impl Strategy<Value = f32> {
    any::<u32>()
        .prop_map(f32::from_bits)
        .prop_filter("JSON has no others", |float| float.is_finite())
}

proptest! {
    #[test]
    fn floats_come_back_from_base64_bit_by_bit(floats in vec(finite(), 0..40)) {
        let numbers: Vec<String> = floats.iter().map(|float| format!("{float:?}")).collect();
        let (base64, losses) = given(&answer(&format!("[{}]", numbers.join(","))), "base64").unwrap();
        prop_assert!(losses.is_empty());
        let (list, _) = given(&answer(&base64), "float").unwrap();
        let again: Vec<u32> = list
            .trim_matches(['[', ']'])
            .split_terminator(',')
            .map(|number| number.parse::<f32>().unwrap().to_bits())
            .collect();
        prop_assert_eq!(again, floats.iter().map(|float| float.to_bits()).collect::<Vec<_>>());
    }

    #[test]
    fn any_spelling_of_a_float_has_its_bytes(float in finite()) {
        let plain = given(&answer(&format!("[{float}]")), "base64").unwrap();
        let short = given(&answer(&format!("[ {float:?} ]")), "base64").unwrap();
        let wide = given(&answer(&format!("[{:?}]", f64::from(float))), "base64").unwrap();
        prop_assert_eq!(&plain.0, &short.0);
        prop_assert_eq!(&plain.0, &wide.0);
        // All digits of the same number are no loss.
        prop_assert!(wide.1.is_empty());
    }

    #[test]
    fn no_answer_brings_the_reader_down(text in ".{0,80}", dialect in 0..Dialect::ALL.len()) {
        let _ = decode_response(Dialect::ALL[dialect], &text);
        let _ = decode_request(Dialect::ALL[dialect], &text);
    }
}

#[test]
fn bytes_are_little_endian_floats() {
    assert_eq!(
        given(&answer("[1,-2.5]"), "base64").unwrap().0,
        r#""AACAPwAAIMA=""#
    );
    assert_eq!(
        given(&answer(r#""AACAPwAAIMA=""#), "float").unwrap().0,
        "[1.0,-2.5]"
    );
    // Some leave the padding out.
    assert_eq!(
        given(&answer(r#""AACAPwAAIMA""#), "float").unwrap().0,
        "[1.0,-2.5]"
    );
}

#[test]
fn digits_that_a_float_does_not_hold_are_told() {
    let (_, losses) = given(&answer("[0.1234567890123]"), "base64").unwrap();
    assert_eq!(losses, ["data[].embedding=approximated"]);
    let (_, losses) = given(&answer("[0.123456789]"), "base64").unwrap();
    assert!(losses.is_empty());
}

#[test]
fn what_is_no_vector_is_a_fault() {
    for (embedding, format) in [
        ("[1e99]", "base64"),
        (r#""AACAP""#, "float"),
        (r#""AACAfw==""#, "float"),
        ("[[1]]", "float"),
        ("null", "float"),
        ("[true]", "base64"),
    ] {
        assert!(given(&answer(embedding), format).is_err(), "{embedding}");
    }
}
