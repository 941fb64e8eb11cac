//! What must hold for any bytes that become routes, calls and expressions.

use std::net::IpAddr;

use serde_json::{Value as Json, json};
use tollgate_policy::Networks;
use tollgate_policy::cost::{CostExpr, MAX_BYTES};
use tollgate_policy::expr::{Expr, Template, Value, Variables, json_path};

use reference::{Command, compare};

#[path = "../../crates/policy/tests/reference/mod.rs"]
pub(crate) mod reference;

/// A name, and what must hold for any bytes given to a parser.
pub(crate) type FuzzTarget = (&'static str, fn(&[u8]));

/// All targets of this crate.
pub(crate) const TARGETS: &[FuzzTarget] = &[
    ("cost", |bytes| of_text(bytes, formula)),
    ("expr", |bytes| of_text(bytes, expression)),
    ("networks", |bytes| of_text(bytes, networks)),
    ("route_match", |bytes| of_text(bytes, routes)),
];

fn of_text(bytes: &[u8], check: fn(&str)) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        check(text);
    }
}

/// A list of networks, one on each line: an address is in a list if it is in one of its networks, an address that is written
/// alone is in the list of itself only, and the IPv6 form of an IPv4 address is the same address.
fn networks(text: &str) {
    let lines: Vec<&str> = text.lines().take(MAX_LINES).collect();
    let Ok(list) = Networks::parse(&lines) else {
        assert!(lines.iter().any(|line| Networks::parse([line]).is_err()));
        return;
    };
    let single: Vec<Networks> = lines
        .iter()
        .map(|line| Networks::parse([line]).expect("each line of a list is a list"))
        .collect();
    let written = lines.iter().filter_map(|line| line.parse::<IpAddr>().ok());
    let others = ["0.0.0.0", "127.0.0.1", "255.255.255.255", "::", "::1", "fe80::1"];
    let others = others.iter().filter_map(|text| text.parse().ok());
    for address in written.clone().chain(others) {
        let is_in_one = single.iter().any(|network| network.contains(address));
        assert_eq!(list.contains(address), is_in_one, "{address}");
        if let IpAddr::V4(v4) = address {
            assert_eq!(
                list.contains(IpAddr::V6(v4.to_ipv6_mapped())),
                is_in_one,
                "{address}"
            );
        }
    }
    for address in written {
        assert!(list.contains(address), "{address} is not in its own list");
        let alone = Networks::parse([address.to_string()]).expect("an address is a network");
        assert!(!alone.contains(neighbour(address)), "{address} is a network");
    }
}

/// The address that differs in its last bit.
fn neighbour(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() ^ 1).into()),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() ^ 1).into()),
    }
}

/// The router offers the same candidates in the same order as a list that is filtered and sorted.
///
/// A line each: `+ <host or -> <pattern> <priority>`, `- <nth route>` and `? <host> <path>`.
fn routes(text: &str) {
    let lines = text.lines().take(MAX_LINES);
    let commands: Vec<Command> = lines.filter_map(command).collect();
    compare(&commands);
}

fn command(line: &str) -> Option<Command> {
    let mut words = line.split(' ');
    Some(match words.next()? {
        "+" => Command::Insert {
            host: words.next().filter(|host| *host != "-").map(str::to_owned),
            pattern: words.next()?.to_owned(),
            priority: words.next().and_then(|number| number.parse().ok()).unwrap_or(0),
        },
        "-" => Command::Remove(words.next()?.parse().ok()?),
        "?" => Command::Find {
            host: words.next()?.to_owned(),
            path: words.next()?.to_owned(),
        },
        _ => return None,
    })
}

/// A formula that was read has a cost or says why not, the same one in parentheses, and asks for each count once.
fn formula(text: &str) {
    let Ok(formula) = CostExpr::parse(text) else {
        return;
    };
    let mut names: Vec<&str> = formula.names().collect();
    names.sort_unstable();
    assert!(
        names.windows(2).all(|two| two[0] != two[1]),
        "a count is asked for twice"
    );
    for count in [None, Some(0.0), Some(1.0), Some(-2.5), Some(f64::MAX)] {
        let cost = formula.cost(&|_| count);
        // A remark at the end would take the parenthesis with it, so it stands on a line of its own.
        let enclosed = format!("({text}\n)");
        if enclosed.len() <= MAX_BYTES
            && let Ok(enclosed) = CostExpr::parse(&enclosed)
        {
            assert_eq!(enclosed.cost(&|_| count), cost, "parentheses change the cost");
        }
    }
}

/// The first line is an expression, the second one a JSON object with the variables. What was read can be evaluated,
/// and the logical operators are what logic says they are. Templates, paths and networks bear any text.
fn expression(text: &str) {
    let (rule, document) = text.split_once('\n').unwrap_or((text, "{}"));
    let document = serde_json::from_str(document).unwrap_or(Json::Null);
    if let Ok(selected) = json_path::select(&document, rule) {
        assert!(selected.len() <= values(&document), "a value was selected twice");
    }
    let call = Call(document);
    let (rendered, resolved) = Template::parse(rule).render(&call);
    assert!(rendered == rule || rule.contains('$'));
    assert!(resolved <= Template::parse(rule).variables().count());
    assert_eq!(
        Networks::parse([rule]).is_ok(),
        Networks::parse([rule, "::1"]).is_ok()
    );

    let Ok(rule) = serde_json::from_str::<Json>(rule) else {
        return;
    };
    let Ok(expr) = Expr::parse(&rule) else {
        return;
    };
    let holds = expr.eval(&call);
    assert!(
        expr.variables()
            .all(|name| rule.to_string().contains(&json!(name).to_string()))
    );
    for (operator, expected) in [("AND", holds), ("OR", holds), ("!AND", !holds), ("!OR", !holds)] {
        // An empty list is an expression, but no operand; and the whole may become too deep.
        if let Ok(expr) = Expr::parse(&json!([operator, rule, rule])) {
            assert_eq!(expr.eval(&call), expected, "{operator}");
        }
    }
}

/// Texts become text, everything else stays JSON.
struct Call(Json);

impl Variables for Call {
    fn get(&self, name: &str) -> Option<Value<'_>> {
        if let Some(path) = name.strip_prefix("post_arg.") {
            return json_path::field(&self.0, path).map(Value::Json);
        }
        let value = self.0.get(name)?;
        Some(value.as_str().map_or_else(|| value.into(), Value::from))
    }
}

/// How many values a document consists of.
fn values(document: &Json) -> usize {
    let items = document.as_array().into_iter().flatten();
    let members = document
        .as_object()
        .into_iter()
        .flat_map(|object| object.values());
    1 + items.chain(members).map(values).sum::<usize>()
}

/// Every change is compared with every look-up.
const MAX_LINES: usize = 64;
