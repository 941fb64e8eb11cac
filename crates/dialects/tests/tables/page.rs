//! A page for each dialect that asks: its fields, and what becomes of them in the others.

use std::fmt::Write as _;
use std::fs;

use tollgate_dialects::Dialect;

use crate::classify::{Class, Outcome, outcome};
use crate::inventory::{self, Entry};
use crate::{check_page, docs, slug, title, translated};

/// How much of a value a page shows.
const MOST_OF_VALUE: usize = 60;
/// How many members of the translated request a cell names.
const MOST_MEMBERS: usize = 2;

#[test]
fn every_field_is_mapped_or_told_and_the_pages_say_so() {
    let mut wrong = String::new();
    let overview = fs::read_to_string(docs().join("../dialects.md")).unwrap();
    for asks in translated() {
        let made = page(asks, &mut wrong);
        let link = format!("(dialects/fields-{}.md)", slug(asks));
        assert!(overview.contains(&link), "docs/dialects.md has no link to {link}");
        if wrong.is_empty() {
            check_page(&format!("fields-{}.md", slug(asks)), &made);
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// Sentences in the order in which they are first needed, each under a number.
#[derive(Default)]
struct Notes(Vec<String>);

impl Notes {
    fn number(&mut self, note: &str) -> usize {
        if let Some(at) = self.0.iter().position(|known| known == note) {
            return at + 1;
        }
        self.0.push(note.to_owned());
        self.0.len()
    }

    /// The numbers of a cell's notes.
    fn marks(&mut self, reasons: &[String]) -> String {
        let numbers: Vec<String> = reasons
            .iter()
            .map(|reason| self.number(reason).to_string())
            .collect();
        if numbers.is_empty() {
            return String::new();
        }
        format!(" <sup>{}</sup>", numbers.join(" "))
    }
}

fn page(asks: Dialect, wrong: &mut String) -> String {
    let others: Vec<Dialect> = translated().into_iter().filter(|other| *other != asks).collect();
    let entries = in_order(inventory::entries(asks));
    let mut notes = Notes::default();
    let mut outcome_of = |entry: &Entry, toward: Dialect, used: &mut Vec<Class>| {
        let found = outcome(entry, asks, toward).unwrap_or_else(|error| {
            let _ = writeln!(wrong, "{asks} to {toward}: {}: {error}", entry.name());
            Outcome {
                class: Class::Dropped,
                becomes: Vec::new(),
                reasons: Vec::new(),
            }
        });
        for alike in &entry.alike {
            match outcome(alike, asks, toward) {
                Ok(other) if other == found => {}
                other => {
                    let _ = writeln!(
                        wrong,
                        "{asks} to {toward}: {}: {other:?}, not as {found:?}",
                        alike.name()
                    );
                }
            }
        }
        used.push(found.class);
        found
    };

    let mut table = format!("| field | value |{}\n|---|---|", columns(&others));
    table.push_str(&"---|".repeat(others.len()));
    table.push('\n');
    let mut counts = vec![[0usize; 5]; others.len()];
    let mut stale = Vec::new();
    for entry in entries.iter().filter(|entry| entry.model.is_none()) {
        let mut cells = String::new();
        let (mut used, mut classes) = (Vec::new(), Vec::new());
        for (toward, counts) in others.iter().zip(&mut counts) {
            let found = outcome_of(entry, *toward, &mut used);
            classes.push((counts, found.class as usize));
            let _ = write!(cells, " {} |", cell(&found, &mut notes));
        }
        let says_silent = others.iter().any(|toward| entry.silent(*toward).is_some());
        if says_silent && !used.contains(&Class::Silent) {
            stale.push(entry.name());
        }
        let row = format!("| `{}` | {} |{cells}\n", entry.shown(), shown(entry));
        if !table.contains(&row) {
            table.push_str(&row);
            classes.into_iter().for_each(|(counts, class)| counts[class] += 1);
        }
    }

    let mut models = String::new();
    for entry in &entries {
        let Some((toward, model)) = &entry.model else {
            continue;
        };
        if !others.contains(toward) {
            continue;
        }
        let found = outcome_of(entry, *toward, &mut Vec::new());
        let _ = writeln!(
            models,
            "| `{}` | {} | {}, `{model}` | {} |",
            entry.shown(),
            shown(entry),
            title(*toward),
            cell(&found, &mut notes)
        );
    }
    for name in stale {
        let _ = writeln!(wrong, "{asks}: {name}: marked as silent, but it is not");
    }

    let mut page = head(asks);
    page.push_str("\n## Counts\n\n| to | sent | says nothing | approximated | dropped | rejected |\n|---|---|---|---|---|---|\n");
    for (toward, counts) in others.iter().zip(&counts) {
        let [mapped, silent, approximated, dropped, rejected] = counts;
        let _ = writeln!(
            page,
            "| {} | {mapped} | {silent} | {approximated} | {dropped} | {rejected} |",
            title(*toward)
        );
    }
    let _ = write!(page, "\n## Fields\n\n{table}");
    if !models.is_empty() {
        let _ = write!(
            page,
            "\n## Where the model decides\n\n| field | value | at | becomes |\n|---|---|---|---|\n{models}"
        );
    }
    page.push_str("\n## Notes\n\n");
    for (at, note) in notes.0.iter().enumerate() {
        let _ = writeln!(page, "{}. {note}", at + 1);
    }
    page
}

/// Entries of one field stand together, and fields of one member.
fn in_order(entries: Vec<Entry>) -> Vec<Entry> {
    let root = |entry: &Entry| {
        entry
            .field
            .split(['.', '['])
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let roots: Vec<String> = entries.iter().map(root).collect();
    let fields: Vec<String> = entries.iter().map(Entry::shown).collect();
    let first = |list: &[String], wanted: &String| list.iter().position(|one| one == wanted);
    let mut entries = entries;
    entries.sort_by_cached_key(|entry| (first(&roots, &root(entry)), first(&fields, &entry.shown())));
    entries
}

fn head(asks: Dialect) -> String {
    format!(
        "<!-- Made by UPDATE=1 cargo test -p tollgate-dialects --test tables. Do not edit. -->\n\n\
         # {} requests: what becomes of each field\n\n\
         Each row is a field with a value, translated by the code for a model that accepts everything. A name is the member of the\n\
         provider's request in which the field shows. *approximated*, *dropped* and *rejected* are told in `x-tollgate-loss` and in\n\
         the log; [Dialects](../dialects.md) says what they mean. *says nothing*: there is nothing to send, because what it asks for is\n\
         the case anyway. In brackets stands the kind of an element, its `type` or `role`; small numbers are those of the notes at the\n\
         end. To a provider of the same dialect every field goes as it was written. A field in no table is dropped and told.\n",
        title(asks)
    )
}

fn columns(others: &[Dialect]) -> String {
    others
        .iter()
        .map(|toward| format!(" {} |", title(*toward)))
        .collect()
}

fn cell(found: &Outcome, notes: &mut Notes) -> String {
    let members = members(&found.becomes);
    let marks = notes.marks(&found.reasons);
    match (found.class, members.as_str()) {
        (Class::Mapped, members) => format!("{members}{marks}"),
        (Class::Silent, _) => format!("says nothing{marks}"),
        (Class::Approximated, "") => format!("approximated{marks}"),
        (Class::Approximated, members) => format!("approximated: {members}{marks}"),
        (Class::Dropped, "") => format!("dropped{marks}"),
        (Class::Dropped, members) => format!("dropped in part: {members}{marks}"),
        (Class::Rejected, _) => format!("rejected{marks}"),
    }
}

fn members(becomes: &[String]) -> String {
    let mut text: Vec<String> = becomes
        .iter()
        .take(MOST_MEMBERS)
        .map(|member| format!("`{member}`"))
        .collect();
    if becomes.len() > MOST_MEMBERS {
        text.push("…".to_owned());
    }
    text.join(", ")
}

fn shown(entry: &Entry) -> String {
    if !entry.kinds.is_empty() {
        let kinds: Vec<String> = entry.kinds.iter().map(|kind| format!("`{kind}`")).collect();
        return format!("of kind {}", kinds.join(", "));
    }
    let beside: Vec<String> = entry.beside().iter().map(|name| format!(", `{name}`")).collect();
    let beside = beside.concat().replacen(", ", " beside ", 1);
    let text = entry.value.to_string().replace('|', "\\|");
    if text.chars().count() <= MOST_OF_VALUE {
        return format!("`{text}`{beside}");
    }
    let beginning: String = text.chars().take(MOST_OF_VALUE).collect();
    format!("`{beginning}…`{beside}")
}
