//! Log probabilities: `logprobsResult` as the canonical form has them, which is OpenAI's, and back.

use crate::json::Raw;

use super::fields::{open, take_list};
use crate::json::{Object, RawJson, Writer};

/// Reads `logprobsResult`; `None` if it does not list the chosen tokens.
pub(super) fn decode(raw: &RawJson) -> Option<RawJson> {
    let (mut result, _) = open(raw.text(), "").ok()?;
    let chosen = take_list(&mut result, "chosenCandidates").ok()??;
    let top = take_list(&mut result, "topCandidates").ok()?.unwrap_or_default();
    let mut out = Vec::new();
    Writer::new(&mut out).object(|w| {
        w.key("content").array(|w| {
            for (i, token) in chosen.iter().enumerate() {
                let others = top.get(i).and_then(|raw| {
                    let (mut at, _) = open(raw.get(), "").ok()?;
                    take_list(&mut at, "candidates").ok()?
                });
                w.object(|w| {
                    write_token(w, *token);
                    w.key("top_logprobs").array(|w| {
                        for token in others.into_iter().flatten() {
                            w.object(|w| write_token(w, token));
                        }
                    });
                });
            }
        });
    });
    RawJson::parse(std::str::from_utf8(&out).ok()?).ok()
}

fn write_token(w: &mut Writer<'_>, raw: Raw<'_>) {
    let Ok((mut token, _)) = open(raw.get(), "") else {
        return;
    };
    let text = token.take_string("token").ok().flatten().unwrap_or_default();
    w.key("token").string(&text);
    w.key("logprob");
    match token.take_number("logProbability").ok().flatten() {
        Some(number) => w.raw(&number),
        None => w.number(0),
    }
    w.key("bytes")
        .array(|w| text.bytes().for_each(|byte| w.number(byte.into())));
}

/// Writes `logprobsResult`; nothing if the value is of another shape.
pub(super) fn encode(w: &mut Writer<'_>, raw: &RawJson) {
    let tokens = Object::parse(raw.text(), "")
        .ok()
        .and_then(|mut object| object.take_array("content").ok()?);
    let Some(tokens) = tokens else { return };
    let tokens: Vec<Object<'_>> = tokens
        .iter()
        .filter_map(|raw| Object::parse(raw.get(), "").ok())
        .collect();
    w.key("logprobsResult").object(|w| {
        w.key("chosenCandidates")
            .array(|w| tokens.iter().for_each(|token| write_candidate(w, token)));
        w.key("topCandidates").array(|w| {
            for token in &tokens {
                w.object(|w| {
                    w.key("candidates").array(|w| {
                        let others: Vec<Raw<'_>> = token
                            .peek("top_logprobs")
                            .and_then(|raw| serde_json::from_str(raw.get()).ok())
                            .unwrap_or_default();
                        for other in others {
                            if let Ok(other) = Object::parse(other.get(), "") {
                                write_candidate(w, &other);
                            }
                        }
                    });
                });
            }
        });
    });
}

fn write_candidate(w: &mut Writer<'_>, token: &Object<'_>) {
    w.object(|w| {
        w.optional_raw("token", token.peek("token").map(RawJson::from).as_ref());
        w.optional_raw(
            "logProbability",
            token.peek("logprob").map(RawJson::from).as_ref(),
        );
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_probabilities_survive_the_way_there_and_back() {
        let own = r#"{"chosenCandidates":[{"token":"ä","logProbability":-0.1}],"topCandidates":[{"candidates":[{"token":"ä","logProbability":-0.1},{"token":"b","logProbability":-2.5e-7}]}]}"#;
        let canonical = decode(&RawJson::parse(own).unwrap()).unwrap();
        assert_eq!(
            canonical.text(),
            r#"{"content":[{"token":"ä","logprob":-0.1,"bytes":[195,164],"top_logprobs":[{"token":"ä","logprob":-0.1,"bytes":[195,164]},{"token":"b","logprob":-2.5e-7,"bytes":[98]}]}]}"#
        );
        let mut out = Vec::new();
        Writer::new(&mut out).object(|w| encode(w, &canonical));
        assert_eq!(
            String::from_utf8(out).unwrap(),
            format!(r#"{{"logprobsResult":{own}}}"#)
        );
    }
}
