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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};
    use tollgate_resources::SecretRef;
    use tollgate_resources::objects::{Kind, Object, ObjectKey};

    use super::Shelf;
    use crate::certificates::Certificates;
    use crate::secrets::Secrets;

    fn object(id: &str, created_index: u64, value: Value) -> Arc<Object> {
        let Value::Object(value) = value else {
            unreachable!("an object was written");
        };
        Arc::new(Object {
            key: ObjectKey::new(Kind::Ssl, id),
            value,
            created_index,
            modified_index: created_index,
        })
    }

    fn ssl(names: &[&str]) -> Value {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names.clone()).unwrap();
        json!({"snis": names, "cert": made.cert.pem(), "key": made.signing_key.serialize_pem()})
    }

    fn set(shelf: &mut Shelf, object: &Arc<Object>, secrets: &Secrets) -> Arc<Certificates> {
        let mut shown = Arc::default();
        shelf.set(&object.key, Some(object), secrets);
        shelf.show(&mut shown);
        shown
    }

    #[test]
    fn a_name_whose_key_is_not_known_yet_is_not_left_to_a_wildcard() {
        let secrets = Secrets::new(Box::new(|_| None));
        let mut shelf = Shelf::new(Vec::new());
        set(&mut shelf, &object("1", 1, ssl(&["*.example.com"])), &secrets);
        let mut closed = ssl(&["api.example.com"]);
        let key = std::mem::replace(&mut closed["key"], json!("$secret://vault/1/api/key"));
        closed["client"] = json!({"ca": closed["cert"]});
        let closed = object("2", 2, closed);
        let shown = set(&mut shelf, &closed, &secrets);
        let found = shown.find("api.example.com").unwrap();
        assert!(found.id == "2" && found.config.is_none() && found.demand.is_some());
        assert!(shown.find("www.example.com").unwrap().config.is_some());

        let told = SecretRef::new(key.as_str().unwrap())
            .unwrap()
            .resolve(&|_| None)
            .ok();
        secrets.set("vault/1/api/key", told);
        let shown = set(&mut shelf, &closed, &secrets);
        assert!(shown.find("api.example.com").unwrap().config.is_some());
    }

    #[test]
    fn of_two_certificates_for_a_name_the_older_one_is_shown_until_it_goes() {
        let secrets = Secrets::new(Box::new(|_| None));
        let mut shelf = Shelf::new(Vec::new());
        let (older, newer) = (object("b", 1, ssl(&["a.com"])), object("a", 2, ssl(&["a.com"])));
        set(&mut shelf, &newer, &secrets);
        let mut shown = set(&mut shelf, &older, &secrets);
        assert_eq!(shown.find("a.com").unwrap().id, "b");
        shelf.set(&older.key, None, &secrets);
        shelf.show(&mut shown);
        assert_eq!(shown.find("a.com").unwrap().id, "a");
        shelf.set(&newer.key, None, &secrets);
        shelf.show(&mut shown);
        assert!(shown.is_empty());
    }

    #[test]
    fn certificates_for_upstreams_and_hidden_ones_are_not_shown() {
        let secrets = Secrets::new(Box::new(|_| None));
        for more in [("type", json!("client")), ("status", json!(0))] {
            let mut value = ssl(&["a.com"]);
            value[more.0] = more.1;
            let shown = set(&mut Shelf::new(Vec::new()), &object("1", 1, value), &secrets);
            assert!(shown.is_empty());
        }
    }
}
