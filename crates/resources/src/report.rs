//! What a front end has to say about a file while it lowers it: mistakes and notes.

use crate::mistake::Mistake;
use crate::suggest::{allowed, did_you_mean};
use crate::tree::{Fault, FaultKind, Node, Path, SyntaxError};

/// Longest part of the file that a mistake repeats, in characters.
const MAX_QUOTE: usize = 80;

/// Collects mistakes and notes about one file, and knows where its values stand.
pub(crate) struct Report {
    file: String,
    /// The file as it was written.
    pub(crate) tree: Node,
    /// The file without what did not fit its type: what the typed values were read from.
    pub(crate) without_faults: Node,
    pub(crate) mistakes: Vec<Mistake>,
    pub(crate) notes: Vec<String>,
}

impl Report {
    pub(crate) fn new(file: &str, tree: Node) -> Report {
        Report {
            file: file.to_owned(),
            without_faults: tree.clone(),
            tree,
            mistakes: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Records a mistake at `path`; the line is found from it.
    pub(crate) fn mistake(&mut self, path: &Path, text: impl Into<String>) {
        self.mistakes.push(Mistake {
            file: self.file.clone(),
            line: Some(self.tree.line(path)),
            path: path.to_string(),
            text: text.into(),
        });
    }

    /// The path of the item at `position` of the list at `list` as it was read. Items that did not fit are missing there,
    /// so the item's place in the file may be a later one.
    pub(crate) fn item(&self, list: &Path, position: usize) -> Path {
        let read = self.without_faults.at(list);
        let index = read
            .and_then(|node| node.items().get(position))
            .map_or(position, |item| item.index);
        list.index(index)
    }

    /// Records something that is as it should be but easily missed. The same note is kept once.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        let text = text.into();
        if !self.notes.contains(&text) {
            self.notes.push(text);
        }
    }

    /// Records what does not fit the type of the file.
    pub(crate) fn fault(&mut self, fault: &Fault) {
        match &fault.kind {
            FaultKind::UnknownKey { key, allowed: words } => {
                self.mistake(&fault.path, unknown("key", key, words.iter().copied()));
            }
            FaultKind::UnknownWord { word, allowed: words } => {
                self.mistake(&fault.path, unknown("word", word, words.iter().copied()));
            }
            FaultKind::MissingKey(key) => self.mistake(&fault.path.key(key), "missing"),
            FaultKind::Other(text) => self.mistake(&fault.path, text.clone()),
        }
    }

    /// Ends the report: the value when there are no mistakes, else all mistakes in the order of the file.
    pub(crate) fn finish<T>(mut self, value: T) -> Result<(T, Vec<String>), Vec<Mistake>> {
        if self.mistakes.is_empty() {
            return Ok((value, self.notes));
        }
        self.mistakes.sort();
        self.mistakes.dedup();
        Err(self.mistakes)
    }
}

/// The mistake of a file that could not be read as a tree.
pub(crate) fn syntax_mistake(file: &str, error: SyntaxError) -> Mistake {
    Mistake {
        file: file.to_owned(),
        line: error.line,
        path: String::new(),
        text: error.text,
    }
}

/// "unknown <what> `<word>`", with a suggestion and what is allowed.
pub(crate) fn unknown<'a>(
    what: &str,
    word: &str,
    candidates: impl IntoIterator<Item = &'a str> + Clone,
) -> String {
    let suggestion = did_you_mean(word, candidates.clone());
    format!(
        "unknown {what} `{}`{suggestion}{}",
        quote(word),
        allowed(candidates)
    )
}

/// A part of the file as it may be shown: cut to a bearable length, without line breaks and control characters.
pub(crate) fn quote(text: &str) -> String {
    let mut shown: String = text.chars().take(MAX_QUOTE).flat_map(printable).collect();
    if text.chars().nth(MAX_QUOTE).is_some() {
        shown.push('…');
    }
    shown
}

fn printable(character: char) -> Vec<char> {
    if character.is_control() {
        character.escape_default().collect()
    } else {
        vec![character]
    }
}
