//! Changes as text for people.

use std::io::{self, IsTerminal, Write};

use super::plan::{Action, Change};

/// Whether text gets colours.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Colours {
    /// On a terminal.
    On,
    /// Elsewhere, and where `NO_COLOR` is set.
    Off,
}

impl Colours {
    /// Colours for standard output as it is now. `NO_COLOR` follows <https://no-color.org>.
    pub fn of_output() -> Colours {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        match !unwanted && io::stdout().is_terminal() {
            true => Colours::On,
            false => Colours::Off,
        }
    }

    fn paint(self, colour: &str, text: &str) -> String {
        match self {
            Colours::On => format!("\x1b[{colour}m{text}\x1b[0m"),
            Colours::Off => text.to_owned(),
        }
    }
}

const GREEN: &str = "32";
const YELLOW: &str = "33";
const RED: &str = "31";

/// Writes changes, one line for each object and one for each field that differs, and their sum.
///
/// # Errors
/// The output is closed.
pub fn show(changes: &[Change], colours: Colours, out: &mut impl Write) -> io::Result<()> {
    for change in changes {
        let (sign, colour) = match change.action {
            Action::Create => ("+", GREEN),
            Action::Update => ("~", YELLOW),
            Action::Delete => ("-", RED),
        };
        let title = format!("{sign} {} {}", change.key.kind, one_line(&change.name));
        writeln!(out, "{}", colours.paint(colour, &title))?;
        for difference in &change.differences {
            let path = one_line(&difference.path);
            let line = match (&difference.before, &difference.after) {
                (Some(before), Some(after)) if before == after => format!("    {path}: changed, {after}"),
                (Some(before), Some(after)) => format!(
                    "    {path}: {} -> {}",
                    colours.paint(RED, before),
                    colours.paint(GREEN, after)
                ),
                (None, Some(after)) => colours.paint(GREEN, &format!("  + {path}: {after}")),
                (before, None) => {
                    let before = before.as_deref().unwrap_or_default();
                    colours.paint(RED, &format!("  - {path}: {before}"))
                }
            };
            writeln!(out, "{line}")?;
        }
    }
    let count = |action| changes.iter().filter(|change| change.action == action).count();
    writeln!(
        out,
        "{} to create, {} to update, {} to delete",
        count(Action::Create),
        count(Action::Update),
        count(Action::Delete)
    )
}

/// Names are text of others: they must not move the cursor.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect()
}

/// A line that says how far a long run is; on a terminal only.
pub struct Progress {
    total: usize,
    shown: bool,
}

/// Fewer changes than this are made before anybody wonders.
const MANY: usize = 20;

impl Progress {
    /// Progress of a run of `total` changes.
    pub fn new(total: usize) -> Progress {
        Progress {
            total,
            shown: total >= MANY && io::stderr().is_terminal(),
        }
    }

    /// Tells that `done` changes are made.
    pub fn tell(&self, done: usize) {
        if self.shown {
            // Nobody is left to tell when this fails.
            let _ = write!(io::stderr(), "\r{done} of {} changes", self.total);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            let _ = writeln!(io::stderr());
        }
    }
}

#[cfg(test)]
mod tests {
    use tollgate_resources::objects::{Kind, ObjectKey};

    use super::super::difference::Difference;
    use super::*;

    fn shown(colours: Colours) -> String {
        let change = |action, kind, name: &str, differences| Change {
            action,
            key: ObjectKey::new(kind, "id"),
            name: name.to_owned(),
            differences,
            calls: Vec::new(),
        };
        let difference = |path: &str, before: Option<&str>, after: Option<&str>| Difference {
            path: path.to_owned(),
            before: before.map(str::to_owned),
            after: after.map(str::to_owned),
        };
        let changes = [
            change(Action::Delete, Kind::Consumer, "ja\x1bck", vec![]),
            change(Action::Create, Kind::Service, "s", vec![]),
            change(
                Action::Update,
                Kind::Route,
                "s.r",
                vec![
                    difference("a", Some("1"), Some("2")),
                    difference("b", None, Some("3")),
                    difference("c", Some("4"), None),
                    difference("key", Some("\"***\""), Some("\"***\"")),
                ],
            ),
        ];
        let mut out = Vec::new();
        show(&changes, colours, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn changes_are_readable_without_colours() {
        assert_eq!(
            shown(Colours::Off),
            "- consumer ja ck\n+ service s\n~ route s.r\n    a: 1 -> 2\n  + b: 3\n  - c: 4\n    key: changed, \"***\"\n1 to create, 1 to update, 1 to delete\n"
        );
    }

    #[test]
    fn colours_only_add_to_the_text() {
        let coloured = shown(Colours::On);
        assert!(coloured.contains("\x1b[32m+ service s\x1b[0m"));
        let mut plain = coloured;
        for code in ["\x1b[31m", "\x1b[32m", "\x1b[33m", "\x1b[0m"] {
            plain = plain.replace(code, "");
        }
        assert_eq!(plain, shown(Colours::Off));
    }
}
