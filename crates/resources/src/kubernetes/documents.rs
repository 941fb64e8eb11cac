//! A text of several documents as one tree, whose entries are called `document 1`, `document 2`, … and know their lines.

use crate::mistake::Mistake;
use crate::report::syntax_mistake;
use crate::tree::{Entry, MAX_FILE_BYTES, Node, SyntaxError, Value, parse_json, parse_yaml};

/// Most values in all documents together, once aliases are expanded.
const MAX_NODES: usize = 200_000;

/// Reads all documents, those without content left out.
pub(super) fn parse(file: &str, text: &str) -> Result<Node, Vec<Mistake>> {
    let refused = |line, text| vec![syntax_mistake(file, SyntaxError { line, text })];
    if text.len() > MAX_FILE_BYTES {
        return Err(refused(
            None,
            format!(
                "the file has {} bytes, more than the {MAX_FILE_BYTES} allowed",
                text.len()
            ),
        ));
    }
    let mut documents = Vec::new();
    let mut mistakes = Vec::new();
    let mut nodes = 0;
    let pieces = match file.to_ascii_lowercase().ends_with(".json") {
        true => vec![(1, parse_json(text))],
        false => pieces(text)
            .into_iter()
            .map(|(line, piece)| (line, parse_yaml(&piece)))
            .collect(),
    };
    for (number, (first_line, parsed)) in (1..).zip(pieces) {
        let name = format!("document {number}");
        match parsed {
            Ok(mut node) => {
                shift(&mut node, first_line - 1, &mut nodes);
                if nodes > MAX_NODES {
                    return Err(refused(
                        Some(first_line),
                        format!(
                            "the file is too large once its aliases are expanded (at most {MAX_NODES} values)"
                        ),
                    ));
                }
                documents.push(Entry {
                    key: name,
                    line: node.line,
                    node,
                });
            }
            Err(mut error) => {
                error.line = error.line.map(|line| line.saturating_add(first_line - 1));
                let mut mistake = syntax_mistake(file, error);
                mistake.path = name;
                mistakes.push(mistake);
            }
        }
    }
    match mistakes.is_empty() {
        true => Ok(Node {
            line: 1,
            value: Value::Map(documents),
        }),
        false => Err(mistakes),
    }
}

/// The documents and the lines they begin on. A marker at the margin always ends a document: neither a block nor a
/// quoted text may contain one.
fn pieces(text: &str) -> Vec<(usize, String)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut pieces = vec![(1, String::new())];
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        if let Some(rest) = after_marker(line, "---") {
            pieces.push((number, format!("   {rest}")));
        } else if after_marker(line, "...").is_some() {
            pieces.push((number + 1, String::new()));
        } else if let Some((_, piece)) = pieces.last_mut() {
            piece.push_str(line);
        }
    }
    pieces.retain(|(_, piece)| piece.lines().any(has_content));
    pieces
}

fn after_marker<'a>(line: &'a str, marker: &str) -> Option<&'a str> {
    let rest = line.strip_prefix(marker)?;
    (rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n'])).then_some(rest)
}

/// Whether a line is more than space, a comment or a directive.
fn has_content(line: &str) -> bool {
    let text = line.trim();
    !text.is_empty() && !text.starts_with('#') && !line.starts_with('%')
}

/// Makes lines of a document lines of the file, and counts the values.
fn shift(node: &mut Node, lines: usize, count: &mut usize) {
    node.line = node.line.saturating_add(lines);
    *count = count.saturating_add(1);
    match &mut node.value {
        Value::List(items) => {
            for item in items {
                shift(&mut item.node, lines, count);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                entry.line = entry.line.saturating_add(lines);
                shift(&mut entry.node, lines, count);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(text: &str) -> Vec<(String, usize, Vec<String>)> {
        let tree = parse("f.yaml", text).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
        let Value::Map(entries) = &tree.value else {
            panic!("a map");
        };
        entries
            .iter()
            .map(|entry| {
                let keys = entry.node.keys().map(str::to_owned).collect();
                (entry.key.clone(), entry.line, keys)
            })
            .collect()
    }

    #[test]
    fn documents_are_split_where_yaml_splits_them() {
        let text = "\u{feff}# first\n---\na: 1\ntext: |\n  ---\n  x\n--- # second\r\nb: 2\n...\n%YAML 1.2\n---\n--- {c: 3}\n----: 4\n";
        let error = parse("f.yaml", text).err().unwrap();
        assert_eq!(error.len(), 1);
        assert_eq!(error[0].path, "document 3");
        let text = text.trim_end_matches("----: 4\n");
        assert_eq!(
            keys(text),
            [
                (
                    "document 1".to_owned(),
                    3,
                    vec!["a".to_owned(), "text".to_owned()]
                ),
                ("document 2".to_owned(), 8, vec!["b".to_owned()]),
                ("document 3".to_owned(), 12, vec!["c".to_owned()]),
            ]
        );
    }

    #[test]
    fn aliases_of_all_documents_together_are_limited() {
        let items = vec!["x"; 1000].join(", ");
        let document = format!("---\na: &a [{items}]\nb: [{}]\n", vec!["*a"; 40].join(", "));
        assert!(parse("f.yaml", &document).is_ok());
        assert!(parse("f.yaml", &document.repeat(10)).is_err());
    }
}
