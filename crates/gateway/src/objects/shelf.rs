//! The certificates among the objects, compiled one by one and put in order when one of them has changed.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;
use tollgate_resources::model::TlsVersion;
use tollgate_resources::objects::{Object, ObjectKey, Ssl};

use crate::certificates::{Certificates, Served};
use crate::secrets::Secrets;

/// Certificates by the id of their object.
pub struct Shelf {
    by_id: HashMap<String, Item>,
    /// Versions of TLS of certificates that name none.
    versions: Vec<TlsVersion>,
    changed: bool,
}

struct Item {
    names: Vec<String>,
    /// When its object was created: of two for the same name the older one is shown, as long as it is there.
    created: u64,
    served: Arc<Served>,
}

impl Shelf {
    /// Nothing yet.
    pub fn new(versions: Vec<TlsVersion>) -> Self {
        Shelf {
            by_id: HashMap::new(),
            versions,
            changed: false,
        }
    }

    /// Compiles an object as it is now; `None` when it is gone.
    pub fn set(&mut self, key: &ObjectKey, object: Option<&Arc<Object>>, secrets: &Secrets) {
        let item = object.and_then(|object| self.item(key, object, secrets));
        let before = match item {
            Some(item) => {
                self.changed = true;
                self.by_id.insert(key.id.clone(), item)
            }
            None => self.by_id.remove(&key.id),
        };
        self.changed |= before.is_some();
    }

    fn item(&self, key: &ObjectKey, object: &Object, secrets: &Secrets) -> Option<Item> {
        let value = Value::Object(object.value.clone());
        let ssl: Ssl = match serde_json::from_value(value.clone()) {
            Ok(ssl) => ssl,
            Err(error) => {
                tracing::error!(object = %key, %error, "an object cannot be read and is left out");
                return None;
            }
        };
        if !ssl.is_shown() {
            return None;
        }
        let resolved = secrets
            .resolve(&value)
            .map_err(|missing| missing.to_string())
            .and_then(|value| serde_json::from_value(value).map_err(|error| error.to_string()));
        Some(Item {
            names: ssl.names().map(str::to_owned).collect(),
            created: object.created_index,
            served: Arc::new(Served::compile(
                &key.id,
                resolved,
                ssl.client.is_some(),
                &self.versions,
            )),
        })
    }

    /// Puts what has changed on show.
    pub fn show(&mut self, shown: &mut Arc<Certificates>) {
        if !std::mem::take(&mut self.changed) {
            return;
        }
        let mut items: Vec<_> = self.by_id.iter().collect();
        items.sort_by_key(|(id, item)| (item.created, *id));
        let mut certificates = Certificates::default();
        for (_, item) in items {
            for name in &item.names {
                certificates.add(name, &item.served);
            }
        }
        *shown = Arc::new(certificates);
    }
}
