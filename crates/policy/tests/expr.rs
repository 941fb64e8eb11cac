//! What expressions mean, and which ones are refused.

#![expect(clippy::unwrap_used, reason = "helpers of tests count as tests")]

use serde_json::{Value as Json, json};

use tollgate_policy::expr::{Expr, Value, Variables, json_path};

struct Call {
    body: Json,
}

impl Variables for Call {
    fn get(&self, name: &str) -> Option<Value<'_>> {
        if let Some(path) = name.strip_prefix("post_arg.") {
            return json_path::field(&self.body, path).map(Value::Json);
        }
        match name {
            "arg_k" => Some("v".into()),
            "arg_age" => Some("18".into()),
            "arg_mixed" => Some("MiXed".into()),
            "arg_empty" => Some("".into()),
            "remote_addr" => Some("10.1.2.3".into()),
            "mapped" => Some("::ffff:10.1.2.3".into()),
            _ => None,
        }
    }
}

fn call() -> Call {
    Call {
        body: json!({
            "model": "gpt-5",
            "n": 5,
            "stream": true,
            "nothing": null,
            "tags": ["a", 1, null],
            "meta": {"user": "u"},
            "messages": [{"content": [{"type": "text"}, {"type": "image_url"}]}],
        }),
    }
}

fn eval(rule: &Json) -> bool {
    Expr::parse(rule).unwrap().eval(&call())
}

#[test]
fn comparisons_mean_what_they_mean_in_apisix() {
    for (rule, expected) in [
        (json!(["arg_k", "==", "v"]), true),
        (json!(["arg_k", "==", "V"]), false),
        (json!(["arg_k", "==", null]), false),
        (json!(["missing", "==", null]), true),
        (json!(["missing", "=="]), true),
        (json!(["missing", "==", "v"]), false),
        (json!(["arg_k", "v"]), true),
        (json!(["arg_k", "w"]), false),
        (json!(["arg_age", 18]), true),
        (json!(["arg_age", "==", 18]), true),
        (json!(["arg_age", "==", 18.0]), true),
        (json!(["arg_age", "==", "18"]), true),
        (json!(["arg_age", "==", "18.0"]), false),
        (json!(["arg_k", "==", 18]), false),
        (json!(["arg_k", "~=", 18]), true),
        (json!(["arg_age", "~=", 18]), false),
        (json!(["arg_age", "~=", 19]), true),
        (json!(["missing", "~=", "jack"]), true),
        (json!(["missing", "~=", null]), false),
        (json!(["arg_k", "~=", null]), true),
        (json!(["arg_age", ">", 17]), true),
        (json!(["arg_age", ">", 18]), false),
        (json!(["arg_age", ">", "9"]), true),
        (json!(["arg_age", ">=", 18]), true),
        (json!(["arg_age", "<", 18]), false),
        (json!(["arg_age", "<", 18.5]), true),
        (json!(["arg_age", "<=", "18"]), true),
        (json!(["arg_k", ">", 1]), false),
        (json!(["arg_age", ">", "x"]), false),
        (json!(["missing", "<", 1]), false),
        (json!(["missing", "!", "<", 1]), true),
        (json!(["arg_mixed", "~~", "[a-z]X"]), true),
        (json!(["arg_mixed", "~~", "^mixed$"]), false),
        (json!(["arg_mixed", "~*", "^mixed$"]), true),
        (json!(["arg_mixed", "!", "~*", "^mixed$"]), false),
        (json!(["arg_empty", "~~", "^$"]), true),
        (json!(["missing", "~~", ".*"]), false),
        (json!(["arg_age", "~~", 8]), true),
        (json!(["arg_k", "in", ["u", "v"]]), true),
        (json!(["arg_k", "IN", ["u", "v"]]), true),
        (json!(["arg_k", "in", []]), false),
        (json!(["arg_k", "in", "v"]), false),
        (json!(["arg_age", "in", [18]]), false),
        (json!(["arg_age", "in", ["18"]]), true),
        (json!(["missing", "in", ["v"]]), false),
        (json!(["missing", "!", "in", ["v"]]), true),
        (json!(["arg_k", "has", "v"]), false),
        (json!(["remote_addr", "ipmatch", "10.0.0.0/8"]), true),
        (json!(["remote_addr", "ipmatch", ["::1", "10.1.2.3"]]), true),
        (json!(["remote_addr", "ipmatch", ["10.1.2.4"]]), false),
        (json!(["mapped", "ipmatch", ["10.0.0.0/8"]]), true),
        (json!(["arg_k", "ipmatch", "0.0.0.0/0"]), false),
        (json!(["missing", "!", "ipmatch", "0.0.0.0/0"]), true),
    ] {
        assert_eq!(eval(&json!([rule])), expected, "{rule}");
    }
}

#[test]
fn members_of_a_json_body_keep_their_kind() {
    for (rule, expected) in [
        (json!(["post_arg.model", "==", "gpt-5"]), true),
        (json!(["post_arg.model", "~~", "^gpt-"]), true),
        (json!(["post_arg.model", "in", ["gpt-5", "gpt-4"]]), true),
        (json!(["post_arg.n", "==", 5]), true),
        (json!(["post_arg.n", "==", "5"]), false),
        (json!(["post_arg.n", ">", 4]), true),
        (json!(["post_arg.n", "in", [5]]), true),
        (json!(["post_arg.n", "in", ["5"]]), false),
        (json!(["post_arg.n", "~~", "^5$"]), true),
        (json!(["post_arg.stream", "==", true]), true),
        (json!(["post_arg.stream", "==", "true"]), false),
        (json!(["post_arg.stream", "==", 1]), false),
        (json!(["post_arg.nothing", "==", null]), false),
        (json!(["post_arg.missing", "==", null]), true),
        (json!(["post_arg.nothing", "~~", ".*"]), false),
        (json!(["post_arg.meta.user", "==", "u"]), true),
        (json!(["post_arg.meta", "==", {"user": "u"}]), false),
        (json!(["post_arg.meta", "~~", "u"]), false),
        (json!(["post_arg.tags", "has", "a"]), true),
        (json!(["post_arg.tags", "has", 1]), true),
        (json!(["post_arg.tags", "has", "1"]), false),
        (json!(["post_arg.tags", "!", "has", "b"]), true),
        (
            json!(["post_arg.messages[*].content[*].type", "has", "image_url"]),
            true,
        ),
        (
            json!(["post_arg.messages[*].content[*].type", "has", "audio"]),
            false,
        ),
        (
            json!(["post_arg.messages[*].content[*].type", "==", "text"]),
            false,
        ),
        (json!(["post_arg...type", "has", "image_url"]), true),
    ] {
        assert_eq!(eval(&json!([rule])), expected, "{rule}");
    }
}

#[test]
fn logical_operators_nest() {
    let (yes, no) = (json!(["arg_k", "==", "v"]), json!(["arg_k", "==", "w"]));
    for (rule, expected) in [
        (json!([]), true),
        (json!([yes, yes]), true),
        (json!([yes, no]), false),
        (json!([[yes]]), true),
        (json!([[[no]], yes]), false),
        (json!(["AND", yes, yes]), true),
        (json!(["and", yes, no]), false),
        (json!(["OR", no, yes]), true),
        (json!(["OR", no, no]), false),
        (json!(["!AND", yes, no]), true),
        (json!(["!AND", yes, yes]), false),
        (json!(["!OR", no, no]), true),
        (json!(["!or", no, yes]), false),
        (json!([yes, ["OR", no, ["!AND", yes, no]]]), true),
        (json!(["OR", [yes, no], ["AND", no, yes]]), false),
    ] {
        assert_eq!(eval(&rule), expected, "{rule}");
    }
}

#[test]
fn what_is_no_expression_is_refused_in_apisix_words() {
    let deep = (0..100).fold(json!(["arg_k", "==", "v"]), |rule, _| json!([rule]));
    for (rule, error) in [
        (json!(null), "missing argument rule"),
        (json!("x"), "invalid expression"),
        (json!({"a": 1}), "invalid expression"),
        (
            json!(["arg_k", "==", "v"]),
            "rule should be wrapped inside brackets",
        ),
        (json!([["arg_k", "=", "v"]]), "invalid operator '='"),
        (json!([["arg_k", "invalid", 10]]), "invalid operator 'invalid'"),
        (json!([["arg_k", "!", "==="]]), "invalid operator '!'"),
        (json!([["arg_k"]]), "invalid expression"),
        (json!([[1, "==", "v"]]), "invalid expression"),
        (json!([["arg_k", true, "v"]]), "invalid expression"),
        (json!([["arg_k", null, "v"]]), "invalid expression"),
        (json!([["!", "arg_k", "==", "1"]]), "bad 'not' expression"),
        (json!([[]]), "rule too short"),
        (json!(["OR"]), "rule too short"),
        (json!(["AND", ["arg_k", ">", 10]]), "rule too short"),
        (json!([["OR", ["arg_k", ">", 10]]]), "rule too short"),
        (json!(["OR", ["a", "b"], "c"]), "invalid expression"),
        (json!([["a", "ipmatch"]]), "invalid ip address"),
        (json!([["a", "ipmatch", null]]), "invalid ip address"),
        (json!([["a", "ipmatch", ""]]), "invalid ip address"),
        (json!([["a", "ipmatch", []]]), "invalid ip address"),
        (json!([["a", "ipmatch", [""]]]), "invalid ip address: "),
        (json!([["a", "ipmatch", "host"]]), "invalid ip address: host"),
        (json!([["a", "ipmatch", [1]]]), "invalid ip address: 1"),
        (json!([["a", "~~", "("]]), "invalid regular expression '('"),
        (
            json!([["a", "~~", "(?=x)"]]),
            "invalid regular expression '(?=x)'",
        ),
        (json!([["a", "~~", null]]), "invalid expression"),
        (
            json!([["post_arg.messages[.content[*].type", "has", "image_url"]]),
            "invalid expression: invalid path at byte 8",
        ),
        (deep, "the expression is nested more than 64 levels deep"),
    ] {
        let refused = Expr::parse(&rule).unwrap_err();
        assert_eq!(refused.to_string(), error, "{rule}");
    }
}

#[test]
fn variables_are_told_once_each() {
    let rule = json!([
        ["post_arg.model", "==", "m"],
        ["OR", ["arg_k", "v"], ["post_arg.model", "n"]]
    ]);
    let expr = Expr::parse(&rule).unwrap();
    assert_eq!(expr.variables().collect::<Vec<_>>(), ["post_arg.model", "arg_k"]);
}
