//! Log probabilities: a list of pieces of text with their tokens, as the canonical form has them, which is OpenAI's: one entry
//! for each piece. What OpenAI does not say of an entry (`token_ids`, and the probabilities of a piece of several tokens)
//! stays in it for the way back.

use crate::json::Raw;

use crate::json::{Object, RawJson, Writer};

/// Members of an entry that only this dialect knows.
const TOKEN_IDS: &str = "token_ids";
const TOKEN_LOGPROBS: &str = "token_logprobs";

/// Reads pieces, each an object with `text`, `token_ids` and `logprobs`; `None` if one is of another shape.
pub(super) fn decode(items: &[Raw<'_>]) -> Option<RawJson> {
    let mut out = Vec::new();
    let mut result = Some(());
    Writer::new(&mut out).object(|w| {
        w.key("content").array(|w| {
            for item in items {
                if write_entry(w, *item).is_none() {
                    result = None;
                }
            }
        });
    });
    result?;
    RawJson::parse(std::str::from_utf8(&out).ok()?).ok()
}

fn write_entry(w: &mut Writer<'_>, raw: Raw<'_>) -> Option<()> {
    let mut item = Object::parse(raw.get(), "").ok()?;
    let text = item.take_string("text").ok()??;
    let ids = item.take_array(TOKEN_IDS).ok()?;
    let logprobs = item.take_array("logprobs").ok()??;
    if !item.into_ext().is_empty() {
        return None;
    }
    let single = match logprobs.as_slice() {
        [logprob] => Some(RawJson::from(*logprob)),
        _ => None,
    };
    // The probability of a piece is that of all its tokens.
    let sum = || -> Option<f64> {
        logprobs
            .iter()
            .map(|raw| RawJson::from(*raw).as_f64())
            .sum::<Option<f64>>()
    };
    let whole = match single {
        Some(logprob) => logprob,
        None => RawJson::parse(&sum()?.to_string()).ok()?,
    };
    w.object(|w| {
        w.key("token").string(&text);
        w.key("logprob").raw(&whole);
        w.key("bytes")
            .array(|w| text.bytes().for_each(|byte| w.number(byte.into())));
        w.key("top_logprobs").array(|_| {});
        let list = |values: Vec<Raw<'_>>| RawJson::array(values.into_iter().map(Raw::get));
        if let Some(ids) = ids {
            w.key(TOKEN_IDS).raw(&list(ids));
        }
        if logprobs.len() != 1 {
            w.key(TOKEN_LOGPROBS).raw(&list(logprobs));
        }
    });
    Some(())
}

/// Writes the canonical form as a list of pieces, one for each entry.
pub(super) fn encode(w: &mut Writer<'_>, raw: &RawJson) {
    let entries = entries(raw);
    w.array(|w| {
        for entry in &entries {
            w.object(|w| write_members(w, std::slice::from_ref(entry)));
        }
    });
}

/// Writes the canonical form as one piece.
pub(super) fn encode_piece(w: &mut Writer<'_>, raw: &RawJson) {
    w.object(|w| write_members(w, &entries(raw)));
}

/// Whether there is anything to write.
pub(super) fn is_empty(raw: &RawJson) -> bool {
    entries(raw).is_empty()
}

struct Entry {
    text: String,
    ids: Vec<RawJson>,
    logprobs: Vec<RawJson>,
}

fn entries(raw: &RawJson) -> Vec<Entry> {
    let list = Object::parse(raw.text(), "")
        .ok()
        .and_then(|mut object| object.take_array("content").ok()?)
        .unwrap_or_default();
    list.iter()
        .filter_map(|raw| {
            let mut entry = Object::parse(raw.get(), "").ok()?;
            let mut list = |name: &str| {
                let list = entry.take_array(name).ok()??;
                Some(list.into_iter().map(RawJson::from).collect::<Vec<_>>())
            };
            let ids = list(TOKEN_IDS).unwrap_or_default();
            let logprobs = list(TOKEN_LOGPROBS);
            Some(Entry {
                ids,
                logprobs: match logprobs {
                    Some(logprobs) => logprobs,
                    None => vec![entry.take_number("logprob").ok()??],
                },
                text: entry.take_string("token").ok()?.unwrap_or_default(),
            })
        })
        .collect()
}

fn write_members(w: &mut Writer<'_>, entries: &[Entry]) {
    let text: String = entries.iter().map(|entry| entry.text.as_str()).collect();
    w.key("text").string(&text);
    w.key(TOKEN_IDS).array(|w| {
        entries
            .iter()
            .flat_map(|entry| &entry.ids)
            .for_each(|id| w.raw(id))
    });
    w.key("logprobs").array(|w| {
        entries
            .iter()
            .flat_map(|entry| &entry.logprobs)
            .for_each(|logprob| w.raw(logprob));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_survive_the_way_there_and_back() {
        let own = r#"[{"text":"ä","token_ids":[1],"logprobs":[-0.10]},{"text":"bc","token_ids":[2,3],"logprobs":[-0.5,-0.25]}]"#;
        let list: Vec<Raw<'_>> = serde_json::from_str(own).unwrap();
        let canonical = decode(&list).unwrap();
        assert_eq!(
            canonical.text(),
            r#"{"content":[{"token":"ä","logprob":-0.10,"bytes":[195,164],"top_logprobs":[],"token_ids":[1]},{"token":"bc","logprob":-0.75,"bytes":[98,99],"top_logprobs":[],"token_ids":[2,3],"token_logprobs":[-0.5,-0.25]}]}"#
        );
        let mut out = Vec::new();
        encode(&mut Writer::new(&mut out), &canonical);
        assert_eq!(String::from_utf8(out).unwrap(), own);
        let mut out = Vec::new();
        encode_piece(&mut Writer::new(&mut out), &canonical);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"text":"äbc","token_ids":[1,2,3],"logprobs":[-0.10,-0.5,-0.25]}"#
        );
    }
}
