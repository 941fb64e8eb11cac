//! What one or several files of ADC ask for.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use serde_json::{Map, Value};

use super::{MANAGED_BY, MANAGED_BY_ADC};
use crate::mistake::Mistake;
use crate::objects::{Kind, ObjectKey};

/// The objects that files of ADC ask for, in the order of the files, and where each is written. May hold secrets in
/// clear, so it has no `Debug`.
#[derive(Default)]
pub struct AdcDocument {
    items: Vec<Item>,
    notes: Vec<String>,
}

/// Labels that every service, route, stream route, consumer and certificate gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// Whether the label `managed-by: adc` is among them, as ADC adds it.
    pub managed_by: bool,
    /// The labels of a selector.
    pub selector: BTreeMap<String, String>,
}

/// Where an object is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Name of the file as the user gave it.
    pub file: String,
    /// Line, starting at 1.
    pub line: usize,
    /// Path, such as `services[0].routes[2]`.
    pub path: String,
}

pub(super) struct Item {
    pub(super) key: ObjectKey,
    pub(super) value: Map<String, Value>,
    pub(super) place: Place,
}

impl AdcDocument {
    pub(super) fn new(items: Vec<Item>, notes: Vec<String>) -> AdcDocument {
        AdcDocument { items, notes }
    }

    /// Adds what another file asks for.
    ///
    /// # Errors
    /// A mistake for each object that both files have.
    pub fn merge(mut self, other: AdcDocument) -> Result<AdcDocument, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let mine: HashMap<ObjectKey, usize> = self
            .items
            .iter()
            .enumerate()
            .map(|(position, item)| (item.key.clone(), position))
            .collect();
        for item in other.items {
            match mine.get(&item.key).and_then(|position| self.items.get(*position)) {
                Some(mine) => mistakes.push(Mistake {
                    file: item.place.file.clone(),
                    line: Some(item.place.line),
                    path: item.place.path.clone(),
                    text: mine.again(&item.place),
                }),
                None => self.items.push(item),
            }
        }
        for note in other.notes {
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
        match mistakes.is_empty() {
            true => Ok(self),
            false => Err(mistakes),
        }
    }

    /// The objects as the Admin API takes them, with these labels.
    pub fn objects(&self, labels: &Labels) -> Vec<(ObjectKey, Map<String, Value>)> {
        self.items
            .iter()
            .map(|item| (item.key.clone(), labels.added_to(item.key.kind, &item.value)))
            .collect()
    }

    /// Where an object is written.
    pub fn place(&self, key: &ObjectKey) -> Option<&Place> {
        self.items
            .iter()
            .find(|item| item.key == *key)
            .map(|item| &item.place)
    }

    /// What is as it should be but easily missed.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

impl Labels {
    fn added_to(&self, kind: Kind, value: &Map<String, Value>) -> Map<String, Value> {
        let mut value = value.clone();
        let takes_labels = matches!(
            kind,
            Kind::Service | Kind::Route | Kind::StreamRoute | Kind::Consumer | Kind::Ssl
        );
        if !takes_labels || (!self.managed_by && self.selector.is_empty()) {
            return value;
        }
        let labels = value.entry("labels").or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(labels) = labels {
            for (key, text) in &self.selector {
                labels.insert(key.clone(), text.clone().into());
            }
            if self.managed_by {
                labels.insert(MANAGED_BY.to_owned(), MANAGED_BY_ADC.into());
            }
        }
        value
    }
}

impl Item {
    /// What to say about an object at `second` that has the key of this one.
    pub(super) fn again(&self, second: &Place) -> String {
        let kind = self.key.kind;
        let first = match self.place.file == second.file {
            true => format!("line {}", self.place.line),
            false => format!("{}:{}", self.place.file, self.place.line),
        };
        format!("a {kind} with the same id or name is in {first} already")
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.path)
    }
}
