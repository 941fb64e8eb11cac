//! The manual shows what is written.

use super::*;

#[test]
fn the_manual_shows_the_default_format_its_line_and_the_json_line() {
    let manual = manual();
    let mut json = Vec::new();
    Format::Json.write(&fixture::call(), &mut json);
    for expected in [
        DEFAULT,
        &line(DEFAULT, &fixture::call()),
        &String::from_utf8(json).unwrap(),
    ] {
        assert!(manual.contains(expected), "{expected}");
    }
}

/// Each row of the manual's tables is `| $name | meaning | example |`.
#[test]
fn the_manual_lists_every_variable_and_shows_what_it_prints() {
    let manual = manual();
    let rows: Vec<(&str, &str)> = manual
        .lines()
        .filter_map(|row| {
            let cells: Vec<&str> = row.strip_prefix("| `$")?.split('|').map(str::trim).collect();
            Some((cells[0].trim_end_matches('`'), cells[2].trim_matches('`')))
        })
        .collect();
    for name in variables::names() {
        assert!(
            rows.iter().any(|(documented, _)| *documented == name),
            "`${name}` is not in the manual"
        );
    }
    let headers = headers(&[("x-team", b"blue")]);
    let call = CallRecord {
        request_uri: "/v1/chat/completions?debug=1",
        request_headers: &headers,
        cost: Cost {
            usd: Usd::from_pico(406_250_000),
            price: PriceState::Known,
            estimated: false,
        },
        ..fixture::call()
    };
    for (name, example) in rows {
        assert!(
            variables::names().any(|known| known == name) || name == "http_x_team",
            "`${name}` does not exist"
        );
        if name != "pid" {
            assert_eq!(line(&format!("${name}"), &call), example, "${name}");
        }
    }
}

fn manual() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/access-log.md");
    std::fs::read_to_string(path).unwrap()
}
