use serde_json::json;

use super::super::SharedState;
use super::super::testing::{Caller, passed, plugin, plugin_with, told};
use super::*;

/// The headers of the answer to a page of an origin, as `name: value` lines without `access-control-`.
fn answer(conf: &Value, origin: Option<&str>) -> Vec<String> {
    let mut caller = Caller::get("/");
    if let Some(origin) = origin {
        caller = caller.header("origin", origin);
    }
    assert!(passed(&caller.rewrite(&plugin(&SPEC, conf))));
    lines(&caller)
}

fn lines(caller: &Caller) -> Vec<String> {
    let mut lines: Vec<String> = caller
        .answer_headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .map(|line| line.replace("access-control-", ""))
        .collect();
    lines.sort();
    lines
}

fn origin_of(conf: &Value, origin: Option<&str>) -> Option<String> {
    let lines = answer(conf, origin);
    let found = lines.iter().find_map(|line| line.strip_prefix("allow-origin: "));
    found.map(str::to_owned)
}

#[test]
fn by_default_everybody_may_read_and_nothing_is_exposed() {
    assert_eq!(
        answer(&json!({}), None),
        [
            "allow-headers: *",
            "allow-methods: *",
            "allow-origin: *",
            "max-age: 5"
        ]
    );
}

#[test]
fn listed_origins_are_told_their_name_and_others_nothing() {
    let conf = json!({
        "allow_origins": "http://sub.domain.com,http://sub2.domain.com",
        "allow_methods": "GET,POST",
        "allow_headers": "headr1,headr2",
        "expose_headers": "ex-headr1,ex-headr2",
        "max_age": 50,
        "allow_credential": true,
    });
    assert_eq!(
        answer(&conf, Some("http://sub2.domain.com")),
        [
            "allow-credentials: true",
            "allow-headers: headr1,headr2",
            "allow-methods: GET,POST",
            "allow-origin: http://sub2.domain.com",
            "expose-headers: ex-headr1,ex-headr2",
            "max-age: 50",
            "vary: Origin",
        ]
    );
    for other in [
        Some("http://sub3.domain.com"),
        Some("http://sub2.domain.com.evil.com"),
        None,
    ] {
        assert_eq!(answer(&conf, other), ["vary: Origin"]);
    }
    let single = json!({"allow_origins": "http://a.com"});
    assert_eq!(
        origin_of(&single, Some("http://a.com")).as_deref(),
        Some("http://a.com")
    );
    assert_eq!(origin_of(&single, Some("http://b.com")), None);
}

#[test]
fn two_stars_force_everything_that_is_asked_for() {
    let conf = json!({
        "allow_origins": "**", "allow_methods": "**", "allow_headers": "**", "expose_headers": "*",
    });
    let mut caller = Caller::get("/")
        .header("origin", "https://sub.domain.com")
        .header("access-control-request-headers", "req-header1,req-header2");
    assert!(passed(&caller.rewrite(&plugin(&SPEC, &conf))));
    assert_eq!(
        lines(&caller),
        [
            "allow-headers: req-header1,req-header2",
            "allow-methods: GET,POST,PUT,DELETE,PATCH,HEAD,OPTIONS,CONNECT,TRACE",
            "allow-origin: https://sub.domain.com",
            "expose-headers: *",
            "max-age: 5",
            "vary: Origin",
        ]
    );
    let without = answer(&conf, None);
    assert!(without.contains(&"allow-origin: *".to_owned()));
    assert!(!without.iter().any(|line| line.starts_with("allow-headers")));
}

#[test]
fn regular_expressions_stand_in_place_of_the_list() {
    let conf = json!({"allow_origins_by_regex": [".*\\.test.com$", "^http://foo"]});
    for (origin, allowed) in [
        ("http://a.test.com", true),
        ("http://foo.example.org", true),
        ("http://a.test2.com", false),
    ] {
        let expected = allowed.then(|| origin.to_owned());
        assert_eq!(origin_of(&conf, Some(origin)), expected, "{origin}");
        assert!(answer(&conf, Some(origin)).contains(&"vary: Origin".to_owned()));
    }
    assert_eq!(origin_of(&conf, None), None);
    let refused = (SPEC.check)(&json!({"allow_origins_by_regex": ["("]}), SchemaType::Route);
    assert!(refused.unwrap_err().starts_with("allow_origins_by_regex: "));
}

#[test]
fn lists_of_the_metadata_are_asked_besides() {
    let metadata = json!({"allow_origins": {"one": "http://one.com,http://uno.com", "all": "*"}});
    let allowed = |conf: &Value, origin: &str| {
        let plugin = plugin_with(&SPEC, conf, Some(&metadata), false, &SharedState::default());
        let mut caller = Caller::get("/").header("origin", origin);
        assert!(passed(&caller.rewrite(&plugin)));
        caller.answered("access-control-allow-origin").map(str::to_owned)
    };
    let one = json!({"allow_origins_by_metadata": ["one", "absent"]});
    assert_eq!(allowed(&one, "http://uno.com").as_deref(), Some("http://uno.com"));
    assert_eq!(allowed(&one, "http://two.com"), None);
    let both = json!({"allow_origins_by_metadata": ["one"], "allow_origins": "http://two.com"});
    assert_eq!(
        allowed(&both, "http://two.com").as_deref(),
        Some("http://two.com")
    );
    assert_eq!(
        allowed(&both, "http://one.com").as_deref(),
        Some("http://one.com")
    );
    let all = json!({"allow_origins_by_metadata": ["all"]});
    assert_eq!(allowed(&all, "http://x.com").as_deref(), Some("http://x.com"));
    let with_credentials = json!({
        "allow_origins_by_metadata": ["all"], "allow_origins": "http://a.com", "allow_methods": "GET",
        "allow_headers": "x", "allow_credential": true,
    });
    assert_eq!(allowed(&with_credentials, "http://x.com"), None);
}

#[test]
fn preflights_are_answered_by_the_gateway() {
    let mut caller = Caller::get("/")
        .method(Method::OPTIONS)
        .header("origin", "http://a.com");
    assert_eq!(
        told(caller.rewrite(&plugin(&SPEC, &json!({})))),
        (200, String::new())
    );
    assert_eq!(caller.answered("access-control-allow-origin"), Some("*"));
}

#[test]
fn timing_has_origins_of_its_own() {
    let listed = json!({"timing_allow_origins": "http://t.com"});
    assert!(answer(&listed, Some("http://t.com")).contains(&"timing-allow-origin: http://t.com".to_owned()));
    assert!(
        !answer(&listed, Some("http://u.com"))
            .iter()
            .any(|line| line.starts_with("timing"))
    );
    let matching = json!({"timing_allow_origins_by_regex": ["t\\.com$"]});
    assert!(
        answer(&matching, Some("http://t.com")).contains(&"timing-allow-origin: http://t.com".to_owned())
    );
}

#[test]
fn stars_do_not_go_with_credentials() {
    let specific = json!({"allow_origins": "http://a.com", "allow_methods": "GET", "allow_headers": "x"});
    for field in [
        "allow_origins",
        "allow_methods",
        "allow_headers",
        "expose_headers",
        "timing_allow_origins",
    ] {
        let mut conf = specific.clone();
        conf["allow_credential"] = json!(true);
        assert_eq!((SPEC.check)(&conf, SchemaType::Route), Ok(()));
        conf[field] = json!("*");
        let text = "you can not set '*' for other option when 'allow_credential' is true";
        assert_eq!(
            (SPEC.check)(&conf, SchemaType::Route),
            Err(text.to_owned()),
            "{field}"
        );
    }
}
