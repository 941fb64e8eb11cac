//! Calls as JSON lines.

use super::*;

#[test]
fn a_json_line_tells_what_an_attempt_used_that_did_not_answer() {
    let used = |prompt| {
        Some(TokenUsage {
            prompt,
            total: prompt,
            ..TokenUsage::default()
        })
    };
    let attempts = [
        Attempt {
            outcome: "cut",
            usage: used(7),
            ..fixture::ATTEMPTS[0]
        },
        Attempt {
            usage: used(9),
            service_tier: Some("flex"),
            ..fixture::ATTEMPTS[0]
        },
    ];
    let told = json(&CallRecord {
        attempts: &attempts,
        usage: used(9),
        service: Some("s1"),
        credential: Some("c1"),
        ..fixture::call()
    });
    assert_eq!(told["attempts"][0]["usage"]["prompt_tokens"], 7);
    assert_eq!(told["attempts"][1].get("usage"), None);
    assert_eq!(told["usage"]["prompt_tokens"], 9);
    assert_eq!(
        (&told["service_tier"], &told["service"], &told["credential"]),
        (&"flex".into(), &"s1".into(), &"c1".into())
    );
}

#[test]
fn a_json_line_of_an_ordinary_call_says_nothing_of_tools() {
    let told = json(&CallRecord {
        request_type: RequestType::TraditionalHttp,
        end_user: None,
        ..fixture::call()
    });
    for name in ["has_tool_calls", "tool_count", "end_user"] {
        assert_eq!(told.get(name), None, "{name}");
    }
}

#[test]
fn a_json_line_holds_the_whole_call_and_leaves_out_what_is_missing() {
    let mut out = Vec::new();
    Format::Json.write(&fixture::call(), &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        concat!(
            r#"{"time":"2026-11-21T00:30:36.100Z","request_id":"5c5e0b95f8d303cb81e4dc456a4b12d9","#,
            r#""remote_addr":"192.168.215.1","remote_port":51234,"scheme":"http","method":"POST","#,
            r#""uri":"/v1/chat/completions","protocol":"HTTP/1.1","host":"localhost:4242","user_agent":"curl/8.6.0","#,
            r#""status":200,"request_bytes":120,"body_bytes_sent":804,"latency_ms":2900.0,"outcome":"ok","route":"chat","#,
            r#""consumer":"user-a","end_user":"alice","request_type":"ai_chat","operation":"chat","#,
            r#""dialect":"openai_chat","request_model":"gpt-5","#,
            r#""model":"gpt-5-2025-08-07","#,
            r#""provider":"openai","instance":"openai-main","attempts":[{"instance":"openai-main","#,
            r#""model":"gpt-5","dialect":"openai_chat","#,
            r#""upstream_addr":"api.openai.com:443","status":200,"outcome":"ok","latency_ms":2858.0}],"#,
            r#""time_to_first_token_ms":2858.4,"upstream_latency_ms":2858.0,"usage":{"prompt_tokens":13,"#,
            r#""completion_tokens":39,"total_tokens":52,"cached_tokens":0,"cache_write_tokens":0,"#,
            r#""reasoning_tokens":0,"estimated":false},"tool_count":2,"has_tool_calls":false}"#,
            "\n"
        )
    );
}

#[test]
fn what_a_terminal_obeys_is_escaped_and_other_letters_are_not() {
    let mut call = fixture::call();
    call.user_agent = Some("a\u{7f}b\u{9b}31mc\u{80}\u{a0}\u{e9}\u{1f600}");
    let mut out = Vec::new();
    Format::Json.write(&call, &mut out);
    let line = String::from_utf8(out).unwrap();
    let written = "\"user_agent\":\"a\\u007fb\\u009b31mc\\u0080\u{a0}\u{e9}\u{1f600}\"";
    assert!(line.contains(written), "{line}");
    let told: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(told["user_agent"], call.user_agent.unwrap());
}
