//! Which route a host and a path lead to.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests count as tests"
)]

use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::select;

use reference::{Command, compare};
use tollgate_policy::router::{HostPattern, HostPatternError, Pattern, PatternError, Rank, Router};

mod reference;

/// Routes are named after what they were made of: `host pattern` or `pattern`.
fn router(routes: &[&'static str]) -> Router<&'static str> {
    let mut router = Router::default();
    for (sequence, text) in (0..).zip(routes) {
        insert(&mut router, text, 0, sequence);
    }
    router
}

fn parse(text: &str) -> (Option<HostPattern>, Pattern) {
    match text.split_once(' ') {
        Some((host, pattern)) => (
            Some(HostPattern::parse(host).unwrap()),
            Pattern::parse(pattern).unwrap(),
        ),
        None => (None, Pattern::parse(text).unwrap()),
    }
}

fn insert(router: &mut Router<&'static str>, text: &'static str, priority: i64, sequence: u64) {
    let (host, pattern) = parse(text);
    router.insert(
        host.as_ref(),
        &pattern,
        Rank { priority, sequence },
        Arc::new(text),
    );
}

fn find<'a>(router: &'a Router<&'static str>, host: &str, path: &str) -> Option<&'a str> {
    router.find(host, path, |_| true).map(|found| **found.route)
}

#[test]
fn the_longest_beginning_wins_and_a_path_written_out_beats_all() {
    let router = router(&[
        "/blog/foo/*",
        "/blog/foo/a/*",
        "/blog/foo/c/*",
        "/blog/foo/bar",
        "/blog/bar*",
    ]);
    for (path, expected) in [
        ("/blog/foo/bar", Some("/blog/foo/bar")),
        ("/blog/foo/a/b/c", Some("/blog/foo/a/*")),
        ("/blog/foo/c/d", Some("/blog/foo/c/*")),
        ("/blog/foo/c/", Some("/blog/foo/c/*")),
        ("/blog/foo/c", Some("/blog/foo/*")),
        ("/blog/foo/gloo", Some("/blog/foo/*")),
        ("/blog/foo/bar/", Some("/blog/foo/*")),
        ("/blog/bar", Some("/blog/bar*")),
        ("/blog/bar/c/d/e", Some("/blog/bar*")),
        ("/blog/foo", None),
        ("/blog/", None),
        ("/Blog/foo/bar", None),
        ("", None),
    ] {
        assert_eq!(find(&router, "", path), expected, "{path}");
    }
}

#[test]
fn priority_never_lets_a_shorter_beginning_win() {
    let mut router = Router::default();
    for (sequence, (text, priority)) in [("/*", 9), ("/a/*", 5), ("/a/b*", 1), ("/a/b", -3)]
        .iter()
        .enumerate()
    {
        insert(&mut router, text, *priority, sequence as u64);
    }
    assert_eq!(find(&router, "", "/a/b"), Some("/a/b"));
    assert_eq!(find(&router, "", "/a/bc"), Some("/a/b*"));
    assert_eq!(find(&router, "", "/a/c"), Some("/a/*"));
    assert_eq!(find(&router, "", "/b"), Some("/*"));
}

#[test]
fn same_patterns_are_tried_by_priority_and_then_by_age() {
    let pattern = Pattern::parse("/hello").unwrap();
    let mut router = Router::default();
    for (priority, sequence) in [(0, 4), (2, 3), (0, 1), (-1, 0), (2, 2)] {
        let rank = Rank { priority, sequence };
        router.insert(None, &pattern, rank, Arc::new((priority, sequence)));
    }
    let mut offered = Vec::new();
    router.find("", "/hello", |route| {
        offered.push(**route);
        false
    });
    assert_eq!(offered, [(2, 2), (2, 3), (0, 1), (0, 4), (-1, 0)]);
}

#[test]
fn a_refused_candidate_makes_room_for_shorter_beginnings_and_other_hosts() {
    let router = router(&[
        "/*",
        "/v1/*",
        "/v1/chat",
        "a.com /*",
        "a.com /v1/chat",
        "*.com /v1/chat",
        "*com /v1/*",
        "* /v1/chat",
        "*.b.com /v1/chat",
    ]);
    let mut offered = Vec::new();
    router.find("a.com", "/v1/chat", |route| {
        offered.push(**route);
        false
    });
    assert_eq!(
        offered,
        [
            "a.com /v1/chat",
            "a.com /*",
            "*.com /v1/chat",
            "*com /v1/*",
            "* /v1/chat",
            "/v1/chat",
            "/v1/*",
            "/*",
        ]
    );
}

#[test]
fn hosts_fit_in_any_case_and_wildcards_only_below_their_name() {
    let router = router(&["Foo.com /x", "*.foo.com /x", "*.API.foo.com /x", "[::1] /x"]);
    for (host, expected) in [
        ("foo.com", Some("Foo.com /x")),
        ("FOO.COM", Some("Foo.com /x")),
        ("foo.com.", Some("Foo.com /x")),
        ("www.foo.com", Some("*.foo.com /x")),
        ("a.b.FOO.com", Some("*.foo.com /x")),
        ("v1.api.foo.com", Some("*.API.foo.com /x")),
        ("api.foo.com", Some("*.foo.com /x")),
        ("[::1]", Some("[::1] /x")),
        ("xfoo.com", None),
        ("com", None),
        ("foo.com.evil.org", None),
        ("", None),
    ] {
        assert_eq!(find(&router, host, "/x"), expected, "{host}");
    }
}

#[test]
fn hosts_longer_than_names_of_dns_fit_as_well() {
    let router = router(&["*.foo.com /x"]);
    for len in [252, 253, 254, 4_000] {
        let host = format!("{}.foo.com", "a".repeat(len - ".foo.com".len()));
        assert_eq!(find(&router, &host, "/x"), Some("*.foo.com /x"), "{len}");
    }
}

#[test]
fn parameters_are_captured() {
    let router = router(&[
        "/user/:id/x",
        "/files/*path",
        "/user/:user/age/:age",
        "/azure/*/chat/:what",
        "/t/*tenant/v1/:last",
        "/models/a:generate",
    ]);
    for (path, expected) in [
        ("/user/7/x", Some(vec![("id", "7")])),
        ("/user/a@b:c;d=e/x", Some(vec![("id", "a@b:c;d=e")])),
        ("/user/foo/age/26", Some(vec![("user", "foo"), ("age", "26")])),
        ("/user//x", None),
        ("/user/7/x/", None),
        ("/user/7/8/x", None),
        ("/user/x", None),
        ("/files/a/b.txt", Some(vec![("path", "a/b.txt")])),
        ("/files/", Some(vec![("path", "")])),
        ("/files", None),
        (
            "/azure/gpt/4/chat/completions",
            Some(vec![("what", "completions")]),
        ),
        ("/azure/chat/completions", None),
        ("/azure//chat/completions", Some(vec![("what", "completions")])),
        ("/azure/gpt/chat/", None),
        ("/t/a/b/v1/c", Some(vec![("tenant", "a/b"), ("last", "c")])),
        ("/models/a:generate", Some(vec![])),
        ("/models/a:count", None),
    ] {
        let found = router.find("", path, |_| true);
        let params = found.as_ref().map(|found| {
            let pairs = found.params.iter();
            pairs
                .map(|(name, value)| (&**name, value.as_str()))
                .collect::<Vec<_>>()
        });
        assert_eq!(params, expected, "{path}");
    }
    assert_eq!(
        router.find("", "/user/7/x", |_| true).unwrap().pattern,
        "/user/:id/x"
    );
}

#[test]
fn with_the_same_beginning_priority_and_then_the_longer_pattern_decides() {
    let mut router = router(&["/user/*", "/user/:id", "/user/*rest", "/user/new/*"]);
    assert_eq!(find(&router, "", "/user/7"), Some("/user/*rest"));
    assert_eq!(find(&router, "", "/user/new/x"), Some("/user/new/*"));
    insert(&mut router, "/user/:x", 1, 9);
    assert_eq!(find(&router, "", "/user/7"), Some("/user/:x"));
}

#[test]
fn only_what_is_asked_for_is_removed() {
    let mut router = router(&["a.com /x/*", "/x/*", "/x/*rest", "*a.com /x/*"]);
    let (host, pattern) = parse("a.com /x/*");
    router.remove(host.as_ref(), &pattern, |route| *route == "/x/*");
    assert_eq!(router.len(), 4);
    router.remove(None, &pattern, |_| true);
    assert_eq!(router.len(), 3);
    assert_eq!(find(&router, "b.com", "/x/y"), Some("/x/*rest"));
    router.remove(host.as_ref(), &pattern, |_| true);
    assert_eq!(find(&router, "a.com", "/x/y"), Some("*a.com /x/*"));
    assert_eq!(router.len(), 2);
}

#[test]
fn more_nested_beginnings_than_usual_are_all_tried() {
    let mut router = Router::default();
    let texts: Vec<String> = (0..100).map(|depth| format!("/{}*", "a".repeat(depth))).collect();
    for (sequence, text) in (0..).zip(&texts) {
        let rank = Rank {
            priority: 0,
            sequence,
        };
        router.insert(None, &Pattern::parse(text).unwrap(), rank, Arc::new(sequence));
    }
    let mut offered = Vec::new();
    router.find("", &format!("/{}", "a".repeat(100)), |route| {
        offered.push(**route);
        false
    });
    assert_eq!(offered, (0..100).rev().collect::<Vec<u64>>());
}

#[test]
fn what_is_no_pattern_is_refused_with_a_reason() {
    for (text, error) in [
        ("", PatternError::Relative),
        ("a/b", PatternError::Relative),
        ("/a/**", PatternError::Stars),
        ("/a/*/b/*", PatternError::Stars),
        ("/a*/b", PatternError::Star),
        ("/a*b", PatternError::Star),
        ("/a/:", PatternError::Name(String::new())),
        ("/a/:b.c", PatternError::Name("b.c".to_owned())),
        (
            "/a/:model:generate",
            PatternError::Name("model:generate".to_owned()),
        ),
        ("/a/:b*", PatternError::Name("b*".to_owned())),
        ("/:a/:a", PatternError::Twice("a".to_owned())),
        ("/:a/*a", PatternError::Twice("a".to_owned())),
    ] {
        assert_eq!(Pattern::parse(text), Err(error), "{text}");
    }
    for text in ["/", "*", "/*", "/a*", "//", "/a/*b/:c", "/:a/b*"] {
        assert_eq!(Pattern::parse(text).unwrap().as_str(), text);
    }
    assert_eq!(HostPattern::parse(""), Err(HostPatternError::Empty));
    for (text, character) in [("a.*.com", '*'), ("**.com", '*'), ("a b", ' '), ("é.com", 'é')] {
        assert_eq!(
            HostPattern::parse(text),
            Err(HostPatternError::Character(character)),
            "{text}"
        );
    }
}

fn commands() -> impl Strategy<Value = Vec<Command>> {
    let label = select(vec!["a", "b", "ab", "A"]);
    let host = prop::collection::vec(label, 1..4).prop_map(|labels| labels.join("."));
    let star = select(vec!["", "*", "*."]);
    let host_pattern = prop::option::of(prop_oneof![
        (star, host.clone()).prop_map(|(star, host)| format!("{star}{host}")),
        Just("*".to_owned())
    ]);
    let segment = select(vec!["a", "b", "ab", "", "b:c", ":x", ":y", ":z", "*", "*r", "a*"]);
    let pattern =
        prop::collection::vec(segment, 1..5).prop_map(|segments| format!("/{}", segments.join("/")));
    let part = select(vec!["a", "b", "ab", "", "b:c", "abc"]);
    let path = prop::collection::vec(part, 0..5).prop_map(|parts| format!("/{}", parts.join("/")));
    let command = prop_oneof![
        6 => (host_pattern, pattern, -1..2_i64).prop_map(|(host, pattern, priority)| Command::Insert {
            host,
            pattern,
            priority
        }),
        2 => (0..20_usize).prop_map(Command::Remove),
        3 => (host, path).prop_map(|(host, path)| Command::Find { host, path }),
    ];
    prop::collection::vec(command, 1..60)
}

proptest! {
    #[test]
    fn the_router_agrees_with_a_list_that_is_filtered_and_sorted(commands in commands()) {
        compare(&commands);
    }
}
