use serde_json::json;

use super::super::testing::{Caller, passed, plugin};
use super::*;

fn rewritten(mut caller: Caller, conf: &Value) -> Caller {
    assert!(passed(&caller.rewrite(&plugin(&SPEC, conf))), "{conf}");
    caller
}

fn uri(before: &str, conf: &Value) -> String {
    rewritten(Caller::get(before), conf).request.uri.to_string()
}

#[test]
fn paths_are_replaced_and_the_query_is_kept() {
    for (conf, before, after) in [
        (json!({"uri": "/new"}), "/old", "/new"),
        (json!({"uri": "/new"}), "/old?a=1", "/new?a=1"),
        (json!({"uri": "/new?b=2"}), "/old?a=1", "/new?b=2&a=1"),
        (
            json!({"uri": "/$arg_name/x"}),
            "/old?name=j%20k",
            "/j%20k/x?name=j%20k",
        ),
        (json!({"uri": "/p$uri"}), "/a%3Fb", "/p/a%253Fb"),
        (
            json!({"regex_uri": ["^/test/(.*)/(.*)", "/$1_$2"]}),
            "/test/a/b?q",
            "/a_b?q",
        ),
        (
            json!({"regex_uri": ["^/test/(.*)", "/${1}1?new=1"]}),
            "/test/a?q=1",
            "/a1?new=1&q=1",
        ),
        (json!({"regex_uri": ["^/x", "/1", "^/y", "/2"]}), "/y/z", "/2/z"),
        (json!({"regex_uri": ["^/x", "/1"]}), "/y?a=1", "/y?a=1"),
        (
            json!({"uri": "/first", "regex_uri": ["^/x", "/second"]}),
            "/x",
            "/first",
        ),
        (
            json!({"use_real_request_uri_unsafe": true, "regex_uri": ["^/a%20b\\?q=(\\d)", "/c?r=$1"]}),
            "/a%20b?q=1",
            "/c?r=1",
        ),
    ] {
        assert_eq!(uri(before, &conf), after, "{conf}");
    }
}

#[test]
fn no_spelling_of_a_path_gets_around_its_replacement() {
    let conf = json!({"regex_uri": ["^/public/(.*)", "/tenant/public/$1"]});
    for before in [
        "/public/a",
        "/x/../public/a",
        "//public/a",
        "/%70ublic/a",
        "/public/x/%2e%2e/a",
    ] {
        assert_eq!(uri(before, &conf), "/tenant/public/a", "{before}");
    }
}

#[test]
fn line_breaks_of_the_client_stay_encoded() {
    let conf = json!({"regex_uri": ["^(/reflect.*)", "/print?orig=$1"]});
    let after = uri("/reflect%0D%0AX-Injected:%20x", &conf);
    assert_eq!(after, "/print?orig=/reflect%0D%0AX-Injected:%20x");
    let headers = json!({"headers": {"set": {"x-path": "$uri"}}});
    assert_eq!(rewritten(Caller::get("/a%0Ab"), &headers).sent("x-path"), None);
}

#[test]
fn headers_are_added_set_and_removed() {
    let conf = json!({
        "regex_uri": ["^/test/(.*)/(.*)", "/new"],
        "headers": {
            "add": {"x-tag": ["$1_$2", 7], "x-new": "from $remote_addr"},
            "set": {"x-set": "b", "x-many": ["1", "2"]},
            "remove": ["x-secret"],
        },
    });
    let caller = Caller::get("/test/a/b")
        .header("x-tag", "own")
        .header("x-set", "a")
        .header("x-secret", "s");
    let caller = rewritten(caller, &conf);
    let all = |name: &str| -> Vec<_> { caller.request.headers.get_all(name).iter().collect() };
    assert_eq!(all("x-tag"), ["own", "a_b", "7"]);
    assert_eq!(all("x-new"), ["from 203.0.113.7"]);
    assert_eq!(all("x-set"), ["b"]);
    assert_eq!(all("x-many"), ["1", "2"]);
    assert_eq!(caller.sent("x-secret"), None);

    let older = rewritten(
        Caller::get("/").header("x-a", "0"),
        &json!({"headers": {"X-A": "1", "X-B": 2}}),
    );
    assert_eq!((older.sent("x-a"), older.sent("x-b")), (Some("1"), Some("2")));
}

#[test]
fn what_a_client_sends_is_no_template() {
    let conf = json!({"regex_uri": ["^/(.*)", "/x"], "headers": {"set": {"x-group": "$1"}}});
    let caller = rewritten(Caller::get("/$remote_addr"), &conf);
    assert_eq!(caller.sent("x-group"), Some("$remote_addr"));
}

#[test]
fn host_and_method_are_replaced() {
    let caller = Caller::get("/p").header("host", "a.com");
    let caller = rewritten(caller, &json!({"host": "b.com:8080", "method": "POST"}));
    assert_eq!(caller.sent("host"), Some("b.com:8080"));
    assert_eq!(caller.request.method, Method::POST);
    assert_eq!(caller.request.uri, "/p");
}

#[test]
fn what_cannot_work_is_refused_at_the_check() {
    for (conf, text) in [
        (
            json!({"regex_uri": ["^/test/(.*)"]}),
            "The length of regex_uri should be an even number",
        ),
        (
            json!({"regex_uri": ["[^/test/(.*)", "/$1"]}),
            "invalid regex_uri([^/test/(.*), /$1): ",
        ),
        (
            json!({"headers": {"set": {"a b": "1"}}}),
            "headers.set: \"a b\" is not the name of a header",
        ),
    ] {
        let refused = (SPEC.check)(&conf, SchemaType::Route).unwrap_err();
        assert!(refused.starts_with(text), "{refused}");
    }
}
