//! Numbers that bills are made of.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests count as tests"
)]

mod openai_chat_support;

use proptest::prelude::*;
use tollgate_dialects::canonical::{Ext, Response, Usage};
use tollgate_dialects::openai_chat::{ResponseStyle, decode_response, encode_response};
use tollgate_dialects::{Dialect, Losses};

fn read(usage: &str) -> Usage {
    let body = format!("{{\"choices\":[],\"usage\":{usage}}}");
    decode_response(&body).unwrap().usage.unwrap()
}

fn write(usage: Usage, origin: Dialect) -> serde_json::Value {
    let response = Response {
        origin,
        id: String::new(),
        model: String::new(),
        created: None,
        choices: Vec::new(),
        usage: Some(usage),
        service_tier: None,
        ext: Ext::default(),
    };
    let written = encode_response(&response, &ResponseStyle::default(), &mut Losses::new());
    openai_chat_support::json(&written)["usage"].clone()
}

/// Everything but the bag.
fn counts(usage: &Usage) -> Usage {
    Usage {
        ext: Ext::default(),
        ..usage.clone()
    }
}

#[test]
fn providers_count_differently_and_are_read_alike() {
    let openai = read(
        r#"{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,"prompt_tokens_details":{"cached_tokens":30,"cache_write_tokens":20,"audio_tokens":4},"completion_tokens_details":{"reasoning_tokens":40,"audio_tokens":5}}"#,
    );
    let expected = Usage {
        input: 50,
        cache_read: Some(30),
        cache_write: Some(20),
        output: 50,
        reasoning: Some(40),
        input_audio: Some(4),
        output_audio: Some(5),
        ..Usage::default()
    };
    assert_eq!(counts(&openai), expected);

    let xai = read(
        r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":115,"completion_tokens_details":{"reasoning_tokens":100}}"#,
    );
    assert_eq!(
        (xai.output, xai.reasoning, xai.total, xai.total()),
        (105, Some(100), None, 115),
        "reasoning beside"
    );

    let google = read(r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":40}"#);
    assert_eq!(
        (google.output, google.total),
        (5, Some(40)),
        "reasoning that is only in the total"
    );

    let azure_grok = read(
        r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"prompt_tokens_details":{"cached_tokens":64}}"#,
    );
    assert_eq!(
        (azure_grok.input, azure_grok.cache_read),
        (0, Some(10)),
        "more cached than prompt"
    );

    for cached in [
        r#"{"prompt_tokens":10,"completion_tokens":1,"total_tokens":11,"prompt_cache_hit_tokens":8,"prompt_cache_miss_tokens":2}"#,
        r#"{"prompt_tokens":10,"completion_tokens":1,"total_tokens":11,"cached_tokens":8}"#,
        r#"{"prompt_tokens":10,"completion_tokens":1,"total_tokens":11,"num_cached_tokens":8}"#,
    ] {
        assert_eq!(
            (read(cached).input, read(cached).cache_read),
            (2, Some(8)),
            "{cached}"
        );
    }
    assert_eq!(counts(&read("{}")), Usage::default());
    assert_eq!(
        read(r#"{"prompt_tokens":"many","completion_tokens":-1}"#).total(),
        0
    );
}

#[test]
fn usage_of_this_dialect_is_repeated_unless_it_was_changed() {
    let text = r#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":115,"cost":0.10,"completion_tokens_details":{"reasoning_tokens":100,"x":1}}"#;
    let usage = read(text);
    assert_eq!(
        write(usage.clone(), Dialect::OpenaiChat),
        openai_chat_support::json(text.as_bytes())
    );
    let changed = write(
        Usage {
            output: 200,
            ..usage.clone()
        },
        Dialect::OpenaiChat,
    );
    assert_eq!(
        changed,
        serde_json::json!({"prompt_tokens": 10, "completion_tokens": 200, "total_tokens": 210,
            "completion_tokens_details": {"reasoning_tokens": 100}, "cost": 0.10})
    );
    let foreign = write(usage, Dialect::AnthropicMessages);
    assert!(foreign.get("cost").is_none(), "{foreign}");
}

fn usages() -> impl Strategy<Value = Usage> {
    let count = 0..1_000_000_000_u64;
    let some = || proptest::option::of(0..1_000_000_000_u64);
    (count.clone(), some(), some(), count, some(), some(), some()).prop_map(
        |(input, cache_read, cache_write, output, reasoning, input_audio, output_audio)| Usage {
            input,
            cache_read,
            cache_write,
            output: output + reasoning.unwrap_or(0),
            reasoning,
            input_audio,
            output_audio,
            ..Usage::default()
        },
    )
}

proptest! {
    #[test]
    fn writing_and_reading_usage_changes_no_number(usage in usages()) {
        let written = write(usage.clone(), Dialect::AnthropicMessages).to_string();
        prop_assert_eq!(&counts(&read(&written)), &usage);
        let again = write(read(&written), Dialect::OpenaiChat).to_string();
        prop_assert_eq!(counts(&read(&again)), usage);
    }

    #[test]
    fn a_total_of_its_own_is_kept(usage in usages(), more in 1..1_000_000_u64) {
        let sum = usage.input_total() + usage.output;
        // A surplus of exactly the reasoning means that reasoning is counted beside the output.
        prop_assume!(usage.reasoning != Some(more));
        let usage = Usage { total: Some(sum + more), ..usage };
        let written = write(usage.clone(), Dialect::AnthropicMessages).to_string();
        prop_assert_eq!(counts(&read(&written)), usage);
    }

    #[test]
    fn numbers_of_any_size_do_not_overflow(a in any::<u64>(), b in any::<u64>(), c in any::<u64>(), d in any::<u64>()) {
        let text = format!("{{\"prompt_tokens\":{a},\"completion_tokens\":{b},\"total_tokens\":{c},\"prompt_tokens_details\":{{\"cached_tokens\":{d},\"cache_write_tokens\":{c}}},\"completion_tokens_details\":{{\"reasoning_tokens\":{d}}}}}");
        let usage = read(&text);
        prop_assert!(usage.input_total() <= a);
        write(usage, Dialect::AnthropicMessages);
    }
}
