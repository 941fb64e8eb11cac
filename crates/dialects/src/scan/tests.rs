use super::*;

/// Why a document is refused, and where.
fn refused(document: impl AsRef<[u8]>) -> (&'static str, usize) {
    let error = scan(document.as_ref()).expect_err("the document is refused");
    (error.problem, error.offset)
}

fn members(document: &str) -> Vec<(&str, &str)> {
    let members = scan(document.as_bytes()).unwrap();
    members
        .iter()
        .map(|member| (&document[member.key.clone()], &document[member.value.clone()]))
        .collect()
}

fn nested_arrays(depth: usize) -> String {
    format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1))
}

fn nested_objects(depth: usize) -> String {
    format!("{}0{}", "{\"a\":".repeat(depth), "}".repeat(depth))
}

#[test]
fn members_are_found_without_white_space_around_them() {
    assert_eq!(members(" {} \n"), []);
    assert_eq!(
        members("\r\n{\t\"a\" : [ 1 ,{ } ] ,\"b\":{\"a\" :-0.5E+2} , \"\" : \"x\\\"}\" }"),
        [
            ("\"a\"", "[ 1 ,{ } ]"),
            ("\"b\"", "{\"a\" :-0.5E+2}"),
            ("\"\"", "\"x\\\"}\"")
        ]
    );
}

#[test]
fn every_kind_of_value_is_accepted() {
    let values = [
        "null",
        "true",
        "false",
        "0",
        "-0",
        "0.0",
        "-10.25e-7",
        "1E5",
        "1e+05",
        "\"\"",
        "[]",
        "{}",
        "[[]]",
        "[{}]",
        "{\"a\":{}}",
        "[0]",
        "[0,\"\",null]",
        "[ ]",
        "{ }",
        r#""\"\\\/\b\f\n\r\t\u00Ff""#,
        "\"\u{7f}\u{2028}\u{10ffff}\"",
        "{\"a\":1,\"a\":2}",
    ];
    for value in values {
        assert_eq!(members(&format!("{{\"v\":{value}}}")), [("\"v\"", value)]);
        assert_eq!(
            members(&format!("{{\"v\": [ {value} , {{\"x\" : {value} }}]}}")).len(),
            1,
            "{value}"
        );
    }
}

#[test]
fn what_is_no_object_is_refused() {
    assert_eq!(refused(""), ("an empty document", 0));
    assert_eq!(refused(" \n"), ("an empty document", 2));
    for document in [
        "hello",
        "[]",
        "[{}]",
        "null",
        "1",
        "\"{}\"",
        "'a'",
        "// {}\n{}",
        "\0{}",
        "\u{a0}{}",
        "\u{c}{}",
    ] {
        assert_eq!(refused(document), ("not a JSON object", 0), "{document:?}");
    }
}

#[test]
fn grammar_mistakes_are_refused_where_they_stand() {
    let cases: &[(&str, &str, usize)] = &[
        ("{", "unexpected end", 1),
        ("{\"a\"", "unexpected end", 4),
        ("{\"a\":", "unexpected end", 5),
        ("{\"a\":1", "unexpected end", 6),
        ("{\"a\":1,", "unexpected end", 7),
        ("{\"a\":[1", "unexpected end", 7),
        ("{\"a\":-", "unexpected end", 6),
        ("{\"a\":\"b", "unterminated string", 5),
        ("{\"a\":\"b\\\"}", "unterminated string", 5),
        ("{}{}", "data after the end of the document", 2),
        ("{} {}", "data after the end of the document", 3),
        ("{},", "data after the end of the document", 2),
        ("{}\0", "data after the end of the document", 2),
        ("{\"a\":1,}", "unexpected character", 7),
        ("{,\"a\":1}", "unexpected character", 1),
        ("{\"a\":1,,\"b\":1}", "unexpected character", 7),
        ("{\"a\":1 \"b\":1}", "unexpected character", 7),
        ("{\"a\" 1}", "unexpected character", 5),
        ("{\"a\"::1}", "unexpected character", 5),
        ("{\"a\":}", "unexpected character", 5),
        ("{a:1}", "unexpected character", 1),
        ("{'a':1}", "unexpected character", 1),
        ("{1:1}", "unexpected character", 1),
        ("{\"a\":'b'}", "unexpected character", 5),
        ("{\"a\":[1,]}", "unexpected character", 8),
        ("{\"a\":[,1]}", "unexpected character", 6),
        ("{\"a\":[1 2]}", "unexpected character", 8),
        ("{\"a\":[1}}", "unexpected character", 7),
        ("{\"a\":{\"b\":1]}", "unexpected character", 11),
        ("{\"a\":{1}}", "unexpected character", 6),
        ("{\"a\":{\"b\":1,}}", "unexpected character", 12),
        ("{\"a\":1]", "unexpected character", 6),
        ("{\"a\":1/* */}", "unexpected character", 6),
        ("{\"a\":1}//", "data after the end of the document", 7),
        ("{\"a\":NaN}", "unexpected character", 5),
        ("{\"a\":Infinity}", "unexpected character", 5),
        ("{\"a\":-Infinity}", "unexpected character", 6),
        ("{\"a\":nul}", "unexpected character", 5),
        ("{\"a\":nulll}", "unexpected character", 9),
        ("{\"a\":True}", "unexpected character", 5),
        ("{\"a\":undefined}", "unexpected character", 5),
        ("{\"a\":01}", "unexpected character", 6),
        ("{\"a\":-01}", "unexpected character", 7),
        ("{\"a\":+1}", "unexpected character", 5),
        ("{\"a\":.5}", "unexpected character", 5),
        ("{\"a\":1.}", "unexpected character", 7),
        ("{\"a\":1.e1}", "unexpected character", 7),
        ("{\"a\":1e}", "unexpected character", 7),
        ("{\"a\":1e+-1}", "unexpected character", 8),
        ("{\"a\":0x1}", "unexpected character", 6),
        ("{\"a\":1_0}", "unexpected character", 6),
        ("{\"a\":1f}", "unexpected character", 6),
        ("{\"a\":--1}", "unexpected character", 6),
        ("{\"a\":\u{a0}1}", "unexpected character", 5),
        ("{\"a\":\"\\x41\"}", "an unknown escape in a string", 6),
        ("{\"a\":\"\\'\"}", "an unknown escape in a string", 6),
        ("{\"a\":\"\\U0041\"}", "an unknown escape in a string", 6),
        (
            "{\"a\":\"\\u00g0\"}",
            "an escape \\u without four hexadecimal digits",
            6,
        ),
        (
            "{\"a\":\"\\u004\"}",
            "an escape \\u without four hexadecimal digits",
            6,
        ),
        (
            "{\"a\":\"\\u+041\"}",
            "an escape \\u without four hexadecimal digits",
            6,
        ),
        ("{\"a\":\"\\u", "an escape \\u without four hexadecimal digits", 6),
        ("{\"a\":\"\\", "an unknown escape in a string", 6),
        ("{\"a\":\"\n\"}", "a raw control character in a string", 6),
        ("{\"a\":\"b\0\"}", "a raw control character in a string", 7),
        ("{\"a\tb\":0}", "a raw control character in a string", 3),
        ("{\"a\":1,\"a\":1}", "a member name stands twice", 7),
    ];
    for (document, problem, offset) in cases {
        assert_eq!(refused(document), (*problem, *offset), "{document:?}");
    }
}

#[test]
fn special_characters_are_seen_at_every_place_of_a_string() {
    for length in 0..40 {
        let plain = "\u{e9}".repeat(length / 2) + if length % 2 == 1 { "\x7f" } else { "" };
        assert_eq!(
            members(&format!("{{\"a\":\"{plain}\"}}")),
            [("\"a\"", &*format!("\"{plain}\""))]
        );
        for byte in 0_u8..0x20 {
            let document = format!("{{\"a\":\"{plain}{}{plain}\"}}", char::from(byte));
            assert_eq!(
                refused(document),
                ("a raw control character in a string", 6 + plain.len())
            );
        }
        assert_eq!(members(&format!("{{\"a\":\"{plain}\\n{plain}\"}}")).len(), 1);
        assert_eq!(
            refused(format!("{{\"a\":\"{plain}\\q{plain}\"}}")).1,
            6 + plain.len()
        );
    }
}

#[test]
fn special_characters_are_seen_at_every_place_of_a_long_string() {
    let plain = [b"{\"a\":\"", &b"x~\x7f-".repeat(150)[..], b"\"}"].concat();
    assert_eq!(scan(&plain).unwrap().iter().count(), 1);
    for place in 6..605 {
        for (byte, problem) in [
            (0, "a raw control character in a string"),
            (0x1f, "a raw control character in a string"),
            (b'\\', "an unknown escape in a string"),
            (0x80, "the text is not UTF-8"),
            (0xff, "the text is not UTF-8"),
        ] {
            let mut document = plain.clone();
            document[place] = byte;
            assert_eq!(refused(document), (problem, place), "{byte} at {place}");
        }
        let mut document = plain.clone();
        document[place] = b'"';
        assert_eq!(refused(document).1, place + 1, "a quote at {place}");
    }
}

#[test]
fn text_that_is_not_utf8_is_refused_everywhere() {
    // Half a character, overlong, a surrogate, beyond Unicode, a stray continuation.
    for bytes in [
        &b"\xC3"[..],
        b"\xC0\xAF",
        b"\xED\xA0\x80",
        b"\xF4\x90\x80\x80",
        b"\x80",
        b"\xFF",
    ] {
        let places = [
            ("{\"a\":\"", "\"}", 6),
            ("{\"", "\":1}", 2),
            ("{\"a\":[{\"b\":[\"x", "\"]}]}", 14),
            ("{} ", "", 3),
        ];
        for (before, after, offset) in places {
            let document = [before.as_bytes(), bytes, after.as_bytes()].concat();
            assert_eq!(refused(document), ("the text is not UTF-8", offset));
        }
    }
    assert_eq!(refused(b"\xFF\xFE{\0}\0"), ("the text is not UTF-8", 0));
    assert_eq!(refused(b"{\0}\0"), ("unexpected character", 1));
}

#[test]
fn a_byte_order_mark_is_refused_by_name() {
    assert_eq!(
        refused("\u{feff}{}"),
        ("a byte order mark, which JSON does not allow", 0)
    );
    assert_eq!(
        refused("\u{feff}"),
        ("a byte order mark, which JSON does not allow", 0)
    );
    assert_eq!(members("{\"a\":\"\u{feff}\"}").len(), 1);
}

#[test]
fn nesting_is_accepted_up_to_the_limit() {
    for document in [nested_arrays, nested_objects] {
        for depth in [MAX_DEPTH - 1, MAX_DEPTH] {
            assert_eq!(members(&document(depth)).len(), 1, "{depth}");
        }
        for depth in [MAX_DEPTH + 1, 200_000] {
            assert_eq!(
                refused(document(depth)).0,
                "nested deeper than 128 levels",
                "{depth}"
            );
        }
    }
    // Kinds of containers are told apart at every level.
    let mixed = "{\"a\":".to_owned() + &"[{\"a\":".repeat(63) + "[" + &"}]".repeat(63) + "}";
    assert_eq!(refused(mixed).0, "unexpected character");
    // Wide is not deep.
    assert_eq!(
        members(&format!("{{\"a\":[{}[]]}}", "[[]],".repeat(10_000))).len(),
        1
    );
}

#[test]
fn numbers_and_surrogates_no_parser_can_hold_pass_unchanged() {
    let digits = "9".repeat(10_000);
    let fraction = format!("-0.{digits}e-{digits}");
    for value in [
        "1e400",
        "-1e-400",
        "9007199254740993",
        &digits,
        &fraction,
        r#""\ud800""#,
        r#""\udc00\ud800x""#,
    ] {
        let document = format!("{{\"v\":{value}}}");
        assert_eq!(members(&document), [("\"v\"", value)]);
    }
}

#[test]
fn a_name_that_stands_twice_is_found_however_it_is_written() {
    for names in [
        [r"model", r"model"],
        [r"model", r"mod\u0065l"],
        [r"mod\u0065l", r"\u006D\u006f\u0064\u0065\u006C"],
        [r"a/b", r"a\/b"],
        [r"😀", r"\ud83d\uDE00"],
        [r"", r""],
        [r"\ud800", r"\uD800"],
        [r"\n", r"\u000a"],
    ] {
        let document = format!("{{\"{}\":1,\"x\":[],\"{}\":1}}", names[0], names[1]);
        assert_eq!(
            refused(&document),
            ("a member name stands twice", names[0].len() + 13),
            "{document}"
        );
    }
    for names in [
        ["a", "A"],
        ["a", "a "],
        ["\u{e9}", "e\u{301}"],
        [r"\ud800", r"\ud801"],
        [r"\\u0061", "a"],
    ] {
        assert_eq!(
            members(&format!("{{\"{}\":1,\"{}\":1}}", names[0], names[1])).len(),
            2
        );
    }
}

#[test]
fn a_name_that_stands_twice_is_found_among_many() {
    for count in [2, 15, 16, 17, 33, 1_000] {
        let mut document = String::from("{");
        for i in 0..count {
            document += &format!("\"key{i}\":{i},");
        }
        let unique = format!("{document}\"last\":0}}");
        assert_eq!(scan(unique.as_bytes()).unwrap().iter().count(), count + 1);
        let twice = document.len();
        document += "\"key1\":0,\"key0\":0}";
        assert_eq!(refused(document), ("a member name stands twice", twice));
    }
}

#[test]
fn members_are_accepted_up_to_the_limit() {
    let document = |count: usize| {
        let members: Vec<String> = (0..count).map(|i| format!("\"{i}\":0")).collect();
        format!("{{{}}}", members.join(","))
    };
    assert_eq!(
        scan(document(MAX_MEMBERS - 1).as_bytes()).unwrap().iter().count(),
        MAX_MEMBERS - 1
    );
    assert_eq!(
        scan(document(MAX_MEMBERS).as_bytes()).unwrap().iter().count(),
        MAX_MEMBERS
    );
    assert_eq!(refused(document(MAX_MEMBERS + 1)).0, "more than 100000 members");
}

#[test]
fn huge_keys_are_read_in_bounded_time() {
    let key = "k".repeat(1 << 20);
    let document = format!("{{\"{key}1\":1,\"{key}2\":{{\"{key}\":0}},\"\\u006b{key}\":3}}");
    let members = scan(document.as_bytes()).unwrap();
    assert_eq!(members.value(document.as_bytes(), &format!("{key}1")), Some("1"));
    assert_eq!(members.value(document.as_bytes(), &format!("k{key}")), Some("3"));
    assert_eq!(members.value(document.as_bytes(), &key), None);
}

#[test]
fn members_are_looked_up_by_their_decoded_name() {
    let document =
        br#"{"mod\u0065l": "gpt" ,"a\"b":[1], "stream":true,"user":null,"":0,"s":"\ud800", "n":"a\nb"}"#;
    let members = scan(document).unwrap();
    assert_eq!(members.value(document, "model"), Some("\"gpt\""));
    assert_eq!(members.value(document, "a\"b"), Some("[1]"));
    assert_eq!(members.value(document, ""), Some("0"));
    assert_eq!(members.value(document, "mod\\u0065l"), None);
    assert_eq!(members.string(document, "model"), Some(Ok("gpt".into())));
    assert_eq!(members.string(document, "n"), Some(Ok("a\nb".into())));
    assert_eq!(members.string(document, "user"), Some(Err(NotText::OtherType)));
    assert_eq!(members.string(document, "s"), Some(Err(NotText::LoneSurrogate)));
    assert_eq!(members.string(document, "absent"), None);
    assert!(members.is_true(document, "stream"));
    assert!(!members.is_true(document, "user"));
    assert!(!members.is_true(document, "absent"));
    assert!(members.has(document, "user"));
    assert!(!members.has(document, "absent"));
}

#[test]
fn ranges_of_another_document_give_nothing_instead_of_a_panic() {
    let members = scan(br#"{"model":"gpt"}"#).unwrap();
    assert_eq!(members.value(b"{}", "model"), None);
    assert_eq!(
        members.value("{\"é\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\":1}".as_bytes(), "model"),
        None
    );
}

#[test]
fn members_of_members_are_found() {
    let value = r#"{ "include_usag\u0065" : true , "x":{"y":[1, 2]},"x2":1}"#;
    assert_eq!(nested(value, "include_usage"), Some("true"));
    assert_eq!(nested(value, "x").and_then(|x| nested(x, "y")), Some("[1, 2]"));
    assert_eq!(nested(value, "y"), None);
    assert_eq!(nested(r#"{"a":1,"a":2}"#, "a"), Some("2"));
    for no_object in ["null", "[]", "\"a\"", "{}", "", "{\"a\":"] {
        assert_eq!(nested(no_object, "a"), None);
    }
}

#[test]
fn the_length_of_what_is_plain_is_exact_wherever_it_ends() {
    for place in [
        0, 1, 7, 8, 127, 128, 129, 255, 256, 257, 511, 767, 768, 769, 20_000, 40_000,
    ] {
        for special in [b'"', b'\\', b'\n', 0, 0x1f] {
            let mut text = vec![b'x'; place];
            text.push(special);
            text.extend_from_slice(&[b'y'; 700]);
            // What stands behind does not matter.
            text.push(b'"');
            assert_eq!(plain_length(&text, &mut 0), place, "{special:#x}");
        }
        assert_eq!(plain_length(&vec![b'x'; place], &mut 0), place);
        let mut high_bits = 0;
        plain_length(&[&vec![b'x'; place][..], "é".as_bytes()].concat(), &mut high_bits);
        assert_ne!(high_bits & 0x8080_8080_8080_8080, 0, "behind {place} bytes");
    }
}
