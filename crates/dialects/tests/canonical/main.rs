//! Any answer that all dialects can express, streamed: written by each of them in its order, and read again however it is cut.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

#[path = "../support/mod.rs"]
mod support;

mod order;

use std::borrow::Cow;

use proptest::prelude::*;
use serde_json::Value;
use tollgate_dialects::canonical::{
    Delta, Event, Ext, Part, PartKind, Response, Stop, StopReason, ToolCallKind, Usage,
};
use tollgate_dialects::codec::{AnswerStyle, StreamEncoder};
use tollgate_dialects::{Dialect, Losses};

/// An answer in no dialect.
#[derive(Clone, Debug)]
struct Answer {
    /// Pieces of readable reasoning; none if empty.
    reasoning: Vec<String>,
    /// Pieces of text; none if empty.
    text: Vec<String>,
    /// Names and arguments of calls.
    calls: Vec<(String, Value)>,
    cut: bool,
    usage: Usage,
}

fn pieces() -> impl Strategy<Value = Vec<String>> {
    // Escapes, characters outside the basic plane, line ends, and what frames of streams are made of.
    let piece = prop_oneof![
        "[a-z ]{1,6}",
        "[\"\\\\/\n\r\t]{1,3}",
        "[äß中🎈\u{2028}\u{0}]{1,2}",
        Just("data: [DONE]".to_owned())
    ];
    proptest::collection::vec(piece, 0..4)
}

fn arguments() -> impl Strategy<Value = Value> {
    let value = prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        "[a-z\"\\\\ä🎈]{0,5}".prop_map(Value::from),
    ];
    proptest::collection::btree_map("[a-z]{1,3}", value, 0..3)
        .prop_map(|members| members.into_iter().collect())
}

prop_compose! {
    fn answer()(
        reasoning in pieces(),
        text in pieces(),
        calls in proptest::collection::vec(("[a-z]{1,6}", arguments()), 0..3),
        cut in any::<bool>(),
        (input, read, output, thought) in (0..1_u64 << 40, 0..1_u64 << 40, 0..1_u64 << 40, 0..1_u64 << 40),
    ) -> Answer {
        let usage = Usage {
            input,
            cache_read: Some(read),
            output,
            reasoning: Some(thought.min(output)),
            ..Usage::default()
        };
        // A model that is cut short has not finished its calls.
        let cut = cut && calls.is_empty();
        // What has neither text nor calls is no answer in some dialects.
        let text = if text.is_empty() && calls.is_empty() { vec!["x".to_owned()] } else { text };
        Answer { reasoning, text, calls, cut, usage }
    }
}

impl Answer {
    fn events(&self) -> Vec<Event<'_>> {
        let mut events = vec![Event::Start {
            origin: Dialect::OpenaiChat,
            id: "answer-1".to_owned(),
            model: "m".to_owned(),
            created: Some(5),
            service_tier: None,
            ext: Ext::default(),
        }];
        let mut parts = 0..;
        let mut number = || parts.next().unwrap();
        if !self.reasoning.is_empty() {
            let kind = PartKind::Reasoning {
                member: Some("reasoning_content".to_owned()),
                of_call: None,
            };
            let deltas = self
                .reasoning
                .iter()
                .map(|piece| Delta::Reasoning(Cow::Borrowed(piece)));
            events.extend(part(number(), kind, deltas));
        }
        if !self.text.is_empty() {
            let deltas = self.text.iter().map(|piece| Delta::Text(Cow::Borrowed(piece)));
            events.extend(part(number(), PartKind::Text, deltas));
        }
        for (i, (name, arguments)) in self.calls.iter().enumerate() {
            let kind = PartKind::ToolCall {
                id: format!("call_{i}"),
                name: name.clone(),
                kind: ToolCallKind::Function,
                ext: Ext::default(),
            };
            // Cut anywhere between two characters.
            let text = arguments.to_string();
            let deltas = text.chars().map(|c| Delta::Arguments(Cow::Owned(c.to_string())));
            events.extend(part(number(), kind, deltas));
        }
        let reason = match (self.cut, self.calls.is_empty()) {
            (true, _) => StopReason::Length,
            (false, true) => StopReason::End,
            (false, false) => StopReason::ToolCalls,
        };
        events.extend([
            Event::Stop {
                choice: 0,
                stop: Stop {
                    reason,
                    ..Stop::default()
                },
            },
            Event::Usage(self.usage.clone()),
            Event::End,
        ]);
        events
    }
}

fn part<'a>(part: usize, kind: PartKind, deltas: impl Iterator<Item = Delta<'a>>) -> Vec<Event<'a>> {
    let choice = 0;
    let mut events = vec![Event::PartStart { choice, part, kind }];
    events.extend(deltas.map(|delta| Event::PartDelta { choice, part, delta }));
    events.push(Event::PartStop { choice, part });
    events
}

fn written(dialect: Dialect, answer: &Answer) -> Vec<u8> {
    let style = AnswerStyle {
        include_usage: true,
        ..AnswerStyle::default()
    };
    let mut encoder = StreamEncoder::new(dialect, &style);
    let mut out = Vec::new();
    for event in answer.events() {
        encoder.encode(&event, &mut Losses::new(), &mut out);
    }
    out
}

fn heard(response: &Response) -> (String, Vec<(String, String, Value)>) {
    let parts = &response.choices[0].parts;
    let text = parts.iter().filter_map(|part| match part {
        Part::Text(text) => Some(text.text.as_str()),
        _ => None,
    });
    let calls = parts.iter().filter_map(|part| match part {
        Part::ToolCall(call) => Some((
            call.id.clone(),
            call.name.clone(),
            serde_json::from_str(&call.arguments).unwrap(),
        )),
        _ => None,
    });
    (text.collect(), calls.collect())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) })]

    #[test]
    fn any_answer_is_streamed_in_the_order_of_each_dialect(answer in answer()) {
        for dialect in Dialect::ALL {
            let bytes = written(dialect, &answer);
            order::check(dialect, &bytes).map_err(|problem| TestCaseError::fail(format!("{dialect}: {problem}")))?;
        }
    }

    #[test]
    fn any_streamed_answer_is_read_again_as_it_was_however_it_is_cut(
        answer in answer(), cuts in proptest::collection::vec(1..40_usize, 1..20),
    ) {
        let calls: Vec<_> = answer.calls.iter().enumerate()
            .map(|(i, (name, arguments))| (format!("call_{i}"), name.clone(), arguments.clone())).collect();
        for dialect in Dialect::ALL {
            let bytes = written(dialect, &answer);
            let (mut rest, mut pieces, mut sizes) = (&bytes[..], Vec::new(), cuts.iter().cycle());
            while !rest.is_empty() {
                let (piece, behind) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
                pieces.push(piece);
                rest = behind;
            }
            let decoded = support::decode_pieces(dialect, pieces);
            prop_assert!(decoded.result.is_ok(), "{}: {:?}", dialect, decoded.result);
            let response = support::collect(&decoded.events);
            let (text, found) = heard(&response);
            prop_assert_eq!(text, answer.text.concat(), "{}", dialect);
            prop_assert_eq!(&found, &calls, "{}", dialect);
            let usage = response.usage.unwrap();
            prop_assert_eq!(usage.input_total(), answer.usage.input_total(), "{}", dialect);
            prop_assert_eq!(usage.output, answer.usage.output, "{}", dialect);
            let stop = response.choices[0].stop.reason;
            prop_assert_eq!(stop == StopReason::Length, answer.cut, "{}", dialect);
            prop_assert_eq!(stop == StopReason::ToolCalls, !answer.calls.is_empty(), "{}", dialect);
        }
    }
}
