//! What holds for all values: usage, ids, and any cut of any stream.

use proptest::prelude::*;
use serde_json::{Map, Value, json as value};
use tollgate_dialects::canonical::{Event, Usage};
use tollgate_dialects::codec::{self, AnswerStyle};
use tollgate_dialects::{Dialect, Losses};

use super::{BEDROCK, OTHERS, answer, decode, decode_pieces, encode, frames, order};

fn count() -> impl Strategy<Value = u64> {
    prop_oneof![0..10u64, 0..1_000_000u64]
}

prop_compose! {
    /// Usage as Bedrock tells it.
    fn usage()(
        input in count(),
        output in count(),
        read in proptest::option::of(count()),
        five in proptest::option::of(count()),
        hour in proptest::option::of(count()),
        off in prop_oneof![Just(0u64), 1..50u64],
    ) -> Value {
        let written = five.unwrap_or(0) + hour.unwrap_or(0);
        let mut usage = Map::new();
        usage.insert("inputTokens".to_owned(), input.into());
        usage.insert("outputTokens".to_owned(), output.into());
        usage.insert("totalTokens".to_owned(), (input + output + read.unwrap_or(0) + written + off).into());
        if let Some(read) = read {
            usage.insert("cacheReadInputTokens".to_owned(), read.into());
        }
        if five.is_some() || hour.is_some() {
            usage.insert("cacheWriteInputTokens".to_owned(), written.into());
            let details: Vec<Value> = [("5m", five), ("1h", hour)]
                .into_iter()
                .filter_map(|(ttl, tokens)| Some(value!({"ttl": ttl, "inputTokens": tokens?})))
                .collect();
            usage.insert("cacheDetails".to_owned(), details.into());
        }
        Value::Object(usage)
    }
}

fn whole(usage: &Value) -> Value {
    value!({
        "output": {"message": {"role": "assistant", "content": [{"text": "x"}]}},
        "stopReason": "end_turn", "usage": usage, "metrics": {"latencyMs": 1},
    })
}

fn read(answer: &Value, dialect: Dialect) -> Usage {
    let response = codec::decode_response(dialect, &answer.to_string()).unwrap();
    response.usage.unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn usage_goes_there_and_back_unchanged(usage in usage()) {
        let own = whole(&usage);
        prop_assert_eq!(&answer(BEDROCK, BEDROCK, &own).0["usage"], &usage);
        let before = read(&own, BEDROCK);
        for other in OTHERS {
            let (there, _) = answer(BEDROCK, other, &own);
            let told = read(&there, other);
            prop_assert_eq!(told.input_total(), before.input_total(), "{}", other);
            prop_assert_eq!(told.output, before.output, "{}", other);
            prop_assert_eq!(told.cache_read.unwrap_or(0), before.cache_read.unwrap_or(0), "{}", other);
            let (back, _) = answer(other, BEDROCK, &there);
            let again = read(&back, BEDROCK);
            prop_assert_eq!(again.input_total(), before.input_total(), "{}", other);
            prop_assert_eq!(again.output, before.output, "{}", other);
            if other == Dialect::AnthropicMessages {
                prop_assert_eq!(again.cache_write.unwrap_or(0), before.cache_write.unwrap_or(0));
                prop_assert_eq!(again.cache_write_1h.unwrap_or(0), before.cache_write_1h.unwrap_or(0));
            }
        }
    }

    #[test]
    fn usage_of_a_stream_is_that_of_the_whole_answer(usage in usage()) {
        let stream = frames::stream(&[
            ("messageStart", value!({"role": "assistant"})),
            ("messageStop", value!({"stopReason": "end_turn"})),
            ("metadata", value!({"usage": usage, "metrics": {"latencyMs": 1}})),
        ]);
        let decoded = decode(&stream);
        let told = decoded.events.iter().find_map(|event| match event {
            Event::Usage(usage) => Some(usage.clone()),
            _ => None,
        });
        prop_assert_eq!(told, Some(read(&whole(&usage), BEDROCK)));
        let (written, _) = encode(BEDROCK, &decoded.events);
        prop_assert_eq!(&frames::read(&written).pop().unwrap().1["usage"], &usage);
    }

    #[test]
    fn any_cut_of_any_stream_gives_the_same(
        texts in proptest::collection::vec("\\PC{0,12}", 1..6),
        cuts in proptest::collection::vec(0usize..4000, 0..6),
        input in "[a-z0-9 \\\\\"]{0,20}",
    ) {
        let arguments = value!({"a": input}).to_string();
        let mut events = vec![("messageStart", value!({"role": "assistant", "p": "x".repeat(cuts.len())}))];
        for text in &texts {
            events.push(("contentBlockDelta", value!({"contentBlockIndex": 0, "delta": {"text": text}})));
        }
        events.push(("contentBlockStop", value!({"contentBlockIndex": 0})));
        events.push(("contentBlockStart", value!({"contentBlockIndex": 1, "start": {"toolUse": {"toolUseId": "1", "name": "f"}}})));
        let middle = arguments.len() / 2;
        for piece in [&arguments[..middle], &arguments[middle..]] {
            events.push(("contentBlockDelta", value!({"contentBlockIndex": 1, "delta": {"toolUse": {"input": piece}}})));
        }
        events.push(("contentBlockStop", value!({"contentBlockIndex": 1})));
        events.push(("messageStop", value!({"stopReason": "tool_use"})));
        let stream = frames::stream(&events);
        let one = decode(&stream);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
        cuts.sort_unstable();
        let mut pieces = Vec::new();
        let mut begin = 0;
        for cut in cuts {
            pieces.push(&stream[begin..cut]);
            begin = cut;
        }
        pieces.push(&stream[begin..]);
        prop_assert_eq!(&decode_pieces(pieces), &one);
        let (written, _) = encode(BEDROCK, &one.events);
        order::check(&written).map_err(TestCaseError::fail)?;
        for other in OTHERS {
            let (there, _) = encode(other, &one.events);
            let back = super::support::decode_pieces(other, [there.as_slice()]);
            let (again, _) = encode(BEDROCK, &back.events);
            order::check(&again).map_err(TestCaseError::fail)?;
        }
    }

    #[test]
    fn ids_of_calls_fit_and_stay_apart(ids in proptest::collection::hash_set("\\PC{1,90}", 2..5)) {
        let ids: Vec<String> = ids.into_iter().collect();
        let calls: Vec<Value> = ids
            .iter()
            .map(|id| value!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}))
            .collect();
        let mut messages = vec![value!({"role": "user", "content": "a"}), value!({"role": "assistant", "tool_calls": calls})];
        messages.extend(ids.iter().rev().map(|id| value!({"role": "tool", "tool_call_id": id, "content": id})));
        let request = codec::decode_request(
            Dialect::OpenaiChat,
            &value!({"model": "m", "messages": messages}).to_string(),
        )
        .unwrap();
        let capabilities = tollgate_dialects::Capabilities::default();
        let body = codec::encode_request(BEDROCK, &request, &super::target("m", &capabilities), &mut Losses::new());
        let body = super::json(body);
        super::cross::check_shape(&body).map_err(TestCaseError::fail)?;
        for (i, id) in ids.iter().enumerate() {
            let call = &body["messages"][1]["content"][i]["toolUse"]["toolUseId"];
            let result = &body["messages"][2]["content"][i]["toolResult"];
            prop_assert_eq!(call, &result["toolUseId"]);
            if !id.trim().is_empty() {
                prop_assert_eq!(&result["content"][0]["text"], id.as_str());
            }
            let fits = |c: char| c.is_ascii_alphanumeric() || "_.:-".contains(c);
            prop_assert!(call.as_str().unwrap().chars().all(fits));
        }
        let answers = AnswerStyle::default();
        prop_assert!(answers.renames.is_empty());
    }
}
