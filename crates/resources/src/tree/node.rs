//! The tree itself.

use super::path::{Path, Step};

/// A value and the line it starts on.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) line: usize,
    pub(crate) value: Value,
}

/// What a value can be in YAML and JSON.
#[derive(Clone)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Unsigned(u64),
    /// Below zero.
    Signed(i64),
    Float(f64),
    Text(String),
    List(Vec<Item>),
    Map(Vec<Entry>),
}

/// An item of a list. It keeps its place when items before it are taken out.
#[derive(Clone)]
pub(crate) struct Item {
    pub(crate) index: usize,
    pub(crate) node: Node,
}

/// An entry of a map, in the order of the file.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    /// The line of the key, which is where people look for an entry.
    pub(crate) line: usize,
    pub(crate) node: Node,
}

impl Node {
    /// The entry of this key, when the value is a map that has it.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// The value of this key, when the value is a map that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// The items; none when the value is no list.
    pub(crate) fn items(&self) -> &[Item] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// Names of the entries; none when the value is no map.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        let entries = match &self.value {
            Value::Map(entries) => entries.as_slice(),
            _ => &[],
        };
        entries.iter().map(|entry| entry.key.as_str())
    }

    /// The value at `path`.
    pub(crate) fn at(&self, path: &Path) -> Option<&Node> {
        let mut node = self;
        for step in path.steps() {
            node = node.step(step)?.1;
        }
        Some(node)
    }

    /// The line of `path`: that of its key, or, when the path is not in the tree, of the nearest value around it.
    pub(crate) fn line(&self, path: &Path) -> usize {
        let mut node = self;
        let mut line = self.line;
        for step in path.steps() {
            let Some(next) = node.step(step) else { break };
            (line, node) = next;
        }
        line
    }

    /// Takes the value at `path` out of its map or list. The root stays.
    pub(crate) fn remove(&mut self, path: &Path) {
        let Some((last, parents)) = path.steps().split_last() else {
            return;
        };
        let mut node = self;
        for step in parents {
            let Some(next) = node.step_mut(step) else { return };
            node = next;
        }
        match (last, &mut node.value) {
            (Step::Key(key), Value::Map(entries)) => entries.retain(|entry| entry.key != *key),
            (Step::Index(index), Value::List(items)) => items.retain(|item| item.index != *index),
            _ => {}
        }
    }

    fn step(&self, step: &Step) -> Option<(usize, &Node)> {
        match (step, &self.value) {
            (Step::Key(key), Value::Map(entries)) => entries
                .iter()
                .find(|entry| entry.key == *key)
                .map(|entry| (entry.line, &entry.node)),
            (Step::Index(index), Value::List(items)) => items
                .iter()
                .find(|item| item.index == *index)
                .map(|item| (item.node.line, &item.node)),
            _ => None,
        }
    }

    fn step_mut(&mut self, step: &Step) -> Option<&mut Node> {
        match (step, &mut self.value) {
            (Step::Key(key), Value::Map(entries)) => entries
                .iter_mut()
                .find(|entry| entry.key == *key)
                .map(|entry| &mut entry.node),
            (Step::Index(index), Value::List(items)) => items
                .iter_mut()
                .find(|item| item.index == *index)
                .map(|item| &mut item.node),
            _ => None,
        }
    }
}
