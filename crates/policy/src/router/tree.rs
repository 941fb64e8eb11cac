//! A radix tree over bytes whose copies share their nodes: a change copies only the nodes on the way to it.
//!
//! Knows bytes and values, and nothing of paths and hosts.

use std::ops::Deref;
use std::sync::Arc;

/// What hangs on a node. Nodes with an empty slot and nothing to branch to are taken away.
pub(super) trait Slot: Default + Clone {
    fn is_empty(&self) -> bool;
}

/// Values by key; clones share everything until they change.
#[derive(Clone)]
pub(super) struct Tree<T> {
    root: Arc<Node<T>>,
}

/// The slots that a key passes.
pub(super) struct Way<'a, T> {
    end: Option<&'a T>,
    near: [Option<&'a T>; INLINE],
    len: usize,
    /// Those that do not fit into `near`, all deeper than them.
    deep: Vec<&'a T>,
}

#[derive(Clone)]
struct Node<T> {
    /// The bytes between the parent and this node; empty at the root only.
    label: Label,
    slot: T,
    /// By first byte of the label, ascending.
    children: Vec<(u8, Arc<Node<T>>)>,
}

/// Bytes that are looked at on each way past them: those of usual length lie where the node is.
#[derive(Clone)]
enum Label {
    /// So many of these.
    Short(u8, [u8; SHORT]),
    /// All of these.
    Long(Box<[u8]>),
}

impl<T> Tree<T> {
    /// Walks along `key` and keeps the slots on the way that `keep` wants.
    pub(super) fn way(&self, key: &[u8], keep: impl Fn(&T) -> bool) -> Way<'_, T> {
        let mut way = Way {
            end: None,
            near: [None; INLINE],
            len: 0,
            deep: Vec::new(),
        };
        let mut key = key;
        let mut node = &*self.root;
        loop {
            if keep(&node.slot) {
                way.push(&node.slot);
            }
            let Some(first) = key.first() else {
                way.end = Some(&node.slot);
                return way;
            };
            let Some(child) = node.child(*first) else {
                return way;
            };
            let Some(rest) = key.strip_prefix(&*child.label) else {
                return way;
            };
            key = rest;
            node = child;
        }
    }

    /// The slot of exactly this key.
    pub(super) fn get(&self, key: &[u8]) -> Option<&T> {
        self.way(key, |_| false).end
    }
}

impl<T: Slot> Tree<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.root.children.is_empty() && self.root.slot.is_empty()
    }

    /// The slot of a key, made if there is none. The caller puts something into it.
    pub(super) fn slot_mut(&mut self, key: &[u8]) -> &mut T {
        let mut node = &mut self.root;
        let mut key = key;
        loop {
            let here = Arc::make_mut(node);
            let Some(first) = key.first() else {
                return &mut here.slot;
            };
            let position = match here.position(*first) {
                Ok(position) => position,
                Err(position) => {
                    let leaf = Node {
                        label: key.into(),
                        slot: T::default(),
                        children: Vec::new(),
                    };
                    here.children.insert(position, (*first, Arc::new(leaf)));
                    position
                }
            };
            let child = &mut here.children[position].1;
            let shared = common(&child.label, key);
            if shared < child.label.len() {
                split(child, shared);
            }
            key = &key[shared..];
            node = child;
        }
    }

    /// Changes the slot of a key, if there is one, and takes away what became empty.
    pub(super) fn change(&mut self, key: &[u8], change: impl FnOnce(&mut T)) {
        Arc::make_mut(&mut self.root).change(key, change);
    }
}

impl<T> Node<T> {
    fn position(&self, first: u8) -> Result<usize, usize> {
        self.children.binary_search_by_key(&first, |(byte, _)| *byte)
    }

    fn child(&self, first: u8) -> Option<&Node<T>> {
        let position = self.position(first).ok()?;
        self.children.get(position).map(|(_, child)| &**child)
    }
}

impl<T: Slot> Node<T> {
    fn change(&mut self, key: &[u8], change: impl FnOnce(&mut T)) {
        let Some(first) = key.first() else {
            change(&mut self.slot);
            return;
        };
        let Ok(position) = self.position(*first) else {
            return;
        };
        let shared = &mut self.children[position].1;
        let Some(rest) = key.strip_prefix(&*shared.label) else {
            return;
        };
        let child = Arc::make_mut(shared);
        child.change(rest, change);
        if !child.slot.is_empty() {
            return;
        }
        if child.children.is_empty() {
            self.children.remove(position);
        } else if child.children.len() == 1
            && let Some((_, mut only)) = child.children.pop()
        {
            let label = [&*child.label, &*only.label].concat();
            Arc::make_mut(&mut only).label = Label::from(&*label);
            *shared = only;
        }
    }
}

impl From<&[u8]> for Label {
    fn from(bytes: &[u8]) -> Self {
        let mut short = [0; SHORT];
        match (u8::try_from(bytes.len()), short.get_mut(..bytes.len())) {
            (Ok(length), Some(place)) => {
                place.copy_from_slice(bytes);
                Label::Short(length, short)
            }
            _ => Label::Long(bytes.into()),
        }
    }
}

impl Deref for Label {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Label::Short(length, bytes) => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Label::Long(bytes) => bytes,
        }
    }
}

impl<T: Slot> Default for Tree<T> {
    fn default() -> Self {
        Tree {
            root: Arc::new(Node {
                label: Label::from(&[][..]),
                slot: T::default(),
                children: Vec::new(),
            }),
        }
    }
}

impl<'a, T> Way<'a, T> {
    /// The slot of exactly the key.
    pub(super) fn end(&self) -> Option<&'a T> {
        self.end
    }

    /// The slots that were kept, the one with the longest key first.
    pub(super) fn deepest_first(&self) -> impl Iterator<Item = &'a T> + '_ {
        let near = self.near.iter().take(self.len).rev().flatten();
        self.deep.iter().rev().chain(near).copied()
    }

    fn push(&mut self, slot: &'a T) {
        match self.near.get_mut(self.len) {
            Some(free) => {
                *free = Some(slot);
                self.len += 1;
            }
            None => self.deep.push(slot),
        }
    }
}

/// Puts a node without a value between `node` and its parent, `at` bytes into the label.
fn split<T: Slot>(node: &mut Arc<Node<T>>, at: usize) {
    let above = Node {
        label: node.label[..at].into(),
        slot: T::default(),
        children: Vec::new(),
    };
    let mut below = std::mem::replace(node, Arc::new(above));
    let label = Label::from(&below.label[at..]);
    let first = label[0];
    Arc::make_mut(&mut below).label = label;
    Arc::make_mut(node).children.push((first, below));
}

/// How many bytes two keys share at their beginning.
fn common(left: &[u8], right: &[u8]) -> usize {
    left.iter()
        .zip(right)
        .take_while(|(left, right)| left == right)
        .count()
}

/// Bytes of a label without memory of their own: as many as in the paths of APIs, and with the rest of a node two lines of the
/// processor's cache.
const SHORT: usize = 30;

/// Slots kept without an allocation. Few configurations nest more prefixes than this.
const INLINE: usize = 16;

#[cfg(test)]
mod tests {
    use super::{Node, Slot, Tree};
    use std::sync::Arc;

    impl Slot for Vec<u32> {
        fn is_empty(&self) -> bool {
            Vec::is_empty(self)
        }
    }

    fn tree(keys: &[&str]) -> Tree<Vec<u32>> {
        let mut tree = Tree::<Vec<u32>>::default();
        for key in keys {
            tree.slot_mut(key.as_bytes()).push(1);
        }
        tree
    }

    /// The nodes as text: `label=value(children)`.
    fn shape(node: &Node<Vec<u32>>) -> String {
        let label = String::from_utf8_lossy(&node.label);
        let children: Vec<String> = node.children.iter().map(|(_, child)| shape(child)).collect();
        format!("{label}={}({})", node.slot.len(), children.join(" "))
    }

    #[test]
    fn keys_share_their_beginnings() {
        let tree = tree(&["/abc", "/abd", "/ab", "/x"]);
        assert_eq!(shape(&tree.root), "=0(/=0(ab=1(c=1() d=1()) x=1()))");
    }

    #[test]
    fn what_is_removed_leaves_no_trace() {
        let keys = ["/abc", "/abd", "/ab", "/x", "", "b"];
        for removed in keys {
            let mut changed = tree(&keys);
            changed.change(removed.as_bytes(), Vec::clear);
            let others: Vec<&str> = keys.into_iter().filter(|key| *key != removed).collect();
            assert_eq!(shape(&changed.root), shape(&tree(&others).root), "{removed}");
        }
        let mut changed = tree(&keys);
        for key in keys {
            changed.change(key.as_bytes(), Vec::clear);
        }
        assert!(changed.is_empty());
        assert_eq!(shape(&changed.root), "=0()");
    }

    #[test]
    fn a_change_copies_only_the_way_to_it() {
        let original = tree(&["/a/x", "/b/x", "/b/y"]);
        let mut copy = original.clone();
        copy.slot_mut(b"/b/z").push(2);
        copy.change(b"/b/x", Vec::clear);
        assert_eq!(original.get(b"/b/z"), None);
        assert_eq!(original.get(b"/b/x"), Some(&vec![1]));
        let child =
            |tree: &Tree<Vec<u32>>, position: usize| tree.root.children[0].1.children[position].1.clone();
        assert!(Arc::ptr_eq(&child(&original, 0), &child(&copy, 0)));
        assert!(!Arc::ptr_eq(&child(&original, 1), &child(&copy, 1)));
    }
}
