//! `docs/dialects/embeddings-rerank.md` says what the code does.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tollgate_dialects::{Losses, embeddings, rerank};

use crate::support::{json as parse, names};

struct Row {
    client: String,
    example: String,
    provider: String,
    model: String,
    becomes: String,
    losses: Vec<String>,
}

/// The rows of tables with an example.
fn rows() -> Vec<Row> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/dialects/embeddings-rerank.md");
    let page = fs::read_to_string(page).unwrap();
    let mut rows = Vec::new();
    for line in page.lines().filter(|line| line.contains("| `{")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" |").map(str::trim).collect();
        let plain = |cell: &str| cell.trim().trim_matches(['|', '`', ' ']).to_owned();
        let (client, example, provider) = (plain(cells[0]), plain(cells[1]), plain(cells[2]));
        let rest: Vec<String> = cells[3..].iter().map(|cell| plain(cell)).collect();
        let (model, becomes, losses) = match rest.as_slice() {
            [model, becomes, losses, ..] if client.contains("embed") || client == "vertex_predict" => {
                (model.clone(), becomes.clone(), losses.clone())
            }
            [becomes, losses, ..] => (String::new(), becomes.clone(), losses.clone()),
            _ => panic!("too few cells: {line}"),
        };
        let losses = losses
            .split(',')
            .map(|loss| loss.trim().trim_matches('`').to_owned())
            .filter(|loss| !loss.is_empty())
            .collect();
        rows.push(Row {
            client,
            example,
            provider,
            model: if model.is_empty() { "p".to_owned() } else { model },
            becomes,
            losses,
        });
    }
    rows
}

/// The body that is sent for the example, and its losses.
fn sent(row: &Row) -> (Value, Vec<String>) {
    let mut losses = Losses::new();
    let body = if let Some(client) = embeddings::Dialect::from_name(&row.client) {
        let provider = embeddings::Dialect::from_name(&row.provider).unwrap();
        let request = embeddings::decode_request(client, &row.example).unwrap();
        embeddings::encode_request(provider, &request, &row.model, &mut losses).remove(0)
    } else {
        let client = rerank::Dialect::from_name(&row.client).unwrap();
        let provider = rerank::Dialect::from_name(&row.provider).unwrap();
        let request = rerank::decode_request(client, &row.example).unwrap();
        rerank::encode_request(provider, &request, &row.model, &mut losses)
    };
    (parse(body), names(&losses))
}

#[test]
fn every_row_is_what_happens() {
    let rows = rows();
    assert!(rows.len() > 50, "only {} rows are read", rows.len());
    for row in rows {
        let (body, losses) = sent(&row);
        let place = format!("{} from {} to {}", row.example, row.client, row.provider);
        assert_eq!(losses, row.losses, "{place}: {body}");
        if !row.becomes.is_empty() {
            let pointer = format!("/{}", row.becomes.replace('.', "/"));
            assert!(
                body.pointer(&pointer).is_some(),
                "{place}: no {pointer} in {body}"
            );
        }
    }
}

#[test]
fn every_dialect_is_on_the_page_and_asks_and_is_asked() {
    let rows = rows();
    let page = include_str!("../../../../docs/dialects/embeddings-rerank.md");
    for dialect in embeddings::Dialect::ALL {
        assert!(
            page.contains(&format!("| `{}` | `", dialect.name())),
            "{}",
            dialect.name()
        );
        let inputs = page
            .lines()
            .find(|line| line.starts_with(&format!("| `{}` | `", dialect.name())))
            .unwrap();
        assert!(
            inputs.contains(&format!("| {} ", dialect.most_inputs())),
            "{inputs}"
        );
    }
    for dialect in rerank::Dialect::ALL {
        assert!(
            rows.iter().any(|row| row.provider == dialect.name()),
            "{}",
            dialect.name()
        );
    }
}
