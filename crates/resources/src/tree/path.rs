//! Where a value stands in a tree.

use std::fmt;

/// The way from the root of a tree to a value, such as `models.gpt-5.instances[0].weight`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Path(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

impl Path {
    /// The root.
    pub(crate) fn root() -> Path {
        Path::default()
    }

    /// The way through these keys.
    pub(crate) fn of<const N: usize>(keys: [&str; N]) -> Path {
        Path(keys.map(|key| Step::Key(key.to_owned())).to_vec())
    }

    /// One step further, into the entry of a map.
    pub(crate) fn key(&self, key: &str) -> Path {
        self.with(Step::Key(key.to_owned()))
    }

    /// One step further, into an item of a list, counted from 0.
    pub(crate) fn index(&self, index: usize) -> Path {
        self.with(Step::Index(index))
    }

    pub(crate) fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn with(&self, step: Step) -> Path {
        let mut steps = self.0.clone();
        steps.push(step);
        Path(steps)
    }

    /// A path of these steps, outermost first.
    pub(super) fn from_steps(steps: Vec<Step>) -> Path {
        Path(steps)
    }

    /// A path from steps collected on the way up, innermost first.
    pub(super) fn from_reversed(mut steps: Vec<Step>) -> Path {
        steps.reverse();
        Path(steps)
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.0
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) => {
                    let dot = if position == 0 { "" } else { "." };
                    // A key is text of the file: it must not break the line it is shown in.
                    if key.is_empty() || key.chars().any(char::is_control) {
                        write!(f, "{dot}{key:?}")?;
                    } else {
                        write!(f, "{dot}{key}")?;
                    }
                }
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}
