use proptest::prelude::*;

use super::*;

fn cost(text: &str) -> Result<u64, CostError> {
    CostExpr::parse(text)?.cost(&|name| match name {
        "input_tokens" => Some(50.0),
        "output_tokens" => Some(30.0),
        "cache_read_input_tokens" => Some(200.0),
        "cache_creation_input_tokens" => Some(100.0),
        _ => None,
    })
}

#[test]
fn formulas_of_the_manual_give_what_the_manual_says() {
    for (text, expected) in [
        ("input_tokens + cache_creation_input_tokens + output_tokens", 180),
        (
            "input_tokens + cache_read_input_tokens * 0.1 + cache_creation_input_tokens * 1.25 + output_tokens",
            225,
        ),
        (
            "(input_tokens - cache_read_input_tokens) + cache_creation_input_tokens * 1.25 + output_tokens",
            5,
        ),
        ("input_tokens + nonexistent_field + output_tokens", 80),
        ("input_tokens - cache_read_input_tokens", 0),
    ] {
        assert_eq!(cost(text), Ok(expected), "{text}");
    }
}

#[test]
fn signs_bind_as_in_lua() {
    for (text, expected) in [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("2 ^ 3 ^ 2", 512),
        ("10 - 4 - 3", 3),
        ("100 / 5 / 2", 10),
        ("10 + -2 ^ 2", 6),
        ("2 ^ -1 * 8", 4),
        ("- - 5", 5),
        ("-7 % 5", 3),
        ("7 % -5 + 10", 7),
        ("1 < 2 and 3 or 4", 3),
        ("1 > 2 and 3 or 4", 4),
        ("0 and 5", 5),
        ("false or 6", 6),
        ("not (1 == 2) and 7 or 8", 7),
        ("1 ~= 2 and 1 or 2", 1),
        ("1 <= 1 and 2 >= 2 and 9", 9),
        ("not 1 == 2 and 1 or 2", 2),
        ("true == true and 4", 4),
        ("0x10 + 1e2 + .5 + 5.", 122),
        ("1.5e-1 * 100", 15),
        ("1 -- and a remark\n + 1 --", 2),
    ] {
        assert_eq!(cost(text), Ok(expected), "{text}");
    }
}

#[test]
fn functions_do_what_their_names_say() {
    for (text, expected) in [
        ("max(input_tokens, output_tokens, 1)", 50),
        ("min(input_tokens, output_tokens)", 30),
        ("math.max(1)", 1),
        ("abs(0 - 4)", 4),
        ("ceil(1.2) + floor(1.8)", 3),
        ("math.ceil(math.sqrt(15))", 4),
        ("math.pow(2, 3) + math.fmod(7, 4)", 11),
        ("math.exp(0) + math.log(1)", 1),
        ("math.floor(math.pi)", 3),
        ("min(math.huge, 6)", 6),
    ] {
        assert_eq!(cost(text), Ok(expected), "{text}");
    }
}

#[test]
fn results_are_rounded_and_never_below_nothing() {
    for (text, expected) in [
        ("0.5", 1),
        ("0.49", 0),
        ("2.5", 3),
        ("-3", 0),
        ("-0.4", 0),
        ("1e300", u64::MAX),
    ] {
        assert_eq!(cost(text), Ok(expected), "{text}");
    }
    for (text, error) in [
        ("1 / 0", CostError::NotFinite),
        ("0 / 0", CostError::NotFinite),
        ("math.huge", CostError::NotFinite),
        ("1 < 2", CostError::NoNumber),
        ("true + 1", CostError::NeedsNumbers("+")),
        ("-true", CostError::NeedsNumbers("-")),
        ("1 < false", CostError::NeedsNumbers("<")),
        ("max(true)", CostError::NeedsNumbers("max")),
    ] {
        assert_eq!(cost(text), Err(error), "{text}");
    }
}

#[test]
fn what_is_no_formula_is_refused_with_its_place() {
    let unexpected = |token: &str, at| CostError::Unexpected {
        token: token.to_owned(),
        at,
    };
    for (text, error) in [
        ("", CostError::EndsEarly),
        ("  -- nothing", CostError::EndsEarly),
        ("1 +", CostError::EndsEarly),
        ("(1", CostError::EndsEarly),
        ("max(1", CostError::EndsEarly),
        ("invalid $$$ syntax %%%", unexpected("$", 9)),
        ("1 2", unexpected("2", 3)),
        ("1x + 2", unexpected("1x", 1)),
        ("1..2", unexpected("1..2", 1)),
        (")", unexpected(")", 1)),
        ("a.b", unexpected("a.b", 1)),
        ("max", unexpected("max", 1)),
        ("max + 1", unexpected("max", 1)),
        ("é", unexpected("é", 1)),
        ("\"a\"", unexpected("\"", 1)),
        ("function() end", unexpected("function", 1)),
        ("nil", unexpected("nil", 1)),
        ("a = 1", unexpected("=", 3)),
        ("os.exit()", CostError::NoFunction("os.exit".to_owned())),
        (
            "max()",
            CostError::Arguments {
                name: "max",
                given: 0,
            },
        ),
        (
            "floor(1, 2)",
            CostError::Arguments {
                name: "floor",
                given: 2,
            },
        ),
        (
            "math.pow(1)",
            CostError::Arguments {
                name: "math.pow",
                given: 1,
            },
        ),
    ] {
        assert_eq!(CostExpr::parse(text), Err(error), "{text}");
    }
}

#[test]
fn formulas_have_a_largest_length_and_depth() {
    let nested = |levels: usize| format!("{}1{}", "(".repeat(levels), ")".repeat(levels));
    assert_eq!(cost(&nested(MAX_DEPTH - 1)), Ok(1));
    assert_eq!(cost(&nested(MAX_DEPTH)), Err(CostError::TooDeep));
    assert_eq!(cost(&"not ".repeat(2000)), Err(CostError::TooLong));
    assert_eq!(cost(&"not ".repeat(900)), Err(CostError::TooDeep));
    assert_eq!(cost(&"-".repeat(MAX_BYTES + 1)), Err(CostError::TooLong));
    // Long is not deep.
    assert_eq!(cost(&format!("1{}", "+1".repeat(2000))), Ok(2001));
}

#[test]
fn names_are_told_once() {
    let expr = CostExpr::parse("a + b * a - max(c, b)").unwrap();
    assert_eq!(expr.names().collect::<Vec<_>>(), ["a", "b", "c"]);
}

/// A formula of plain arithmetic, fully in parentheses, and its value.
fn arithmetic() -> impl Strategy<Value = (String, f64)> {
    let leaf = (0_u32..10).prop_map(|number| (number.to_string(), f64::from(number)));
    leaf.prop_recursive(6, 48, 2, |inner| {
        (inner.clone(), inner, 0_u8..4).prop_map(|((left, a), (right, b), sign)| match sign {
            0 => (format!("({left}+{right})"), a + b),
            1 => (format!("({left} - {right})"), a - b),
            2 => (format!("({left} *{right})"), a * b),
            _ => (format!("max({left},{right})"), a.max(b)),
        })
    })
}

proptest! {
    #[test]
    fn arithmetic_is_right((text, value) in arithmetic()) {
        prop_assume!(value < 1e15);
        let rounded = (value.max(0.0) + 0.5).floor();
        #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
        let cost = cost(&text).unwrap() as f64;
        prop_assert!((cost - rounded).abs() < 0.5, "{text}: {cost} for {value}");
    }

    #[test]
    fn no_text_makes_it_panic(text in "[-+*/%^()<>=~,. a-z0-9_]{0,60}") {
        if let Ok(expr) = CostExpr::parse(&text) {
            let _ = expr.cost(&|_| Some(3.0));
        }
    }
}
