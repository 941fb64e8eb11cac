//! What of a gateway only one process may have: the store of objects with its Admin API, and the file of conversations.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tollgate_admin::Node;
use tollgate_gateway::{Change, Gateway};
use tollgate_resources::model::{Admin, ConfigProvider, Deployment};
use tollgate_resources::objects::ObjectKey;
use tollgate_store::Store;

use super::sockets::Sockets;
use crate::administration::{self, Administration, Keys};
use crate::cli::Failure;
use crate::usage::Kept;

/// How long requests of clients that have just connected to the Admin API are waited for.
const LAST_REQUESTS: Duration = Duration::from_secs(1);

/// What the Admin API is started with.
pub struct AdminSettings {
    /// Its listeners.
    pub admin: Admin,
    /// The keys of it, which are not made up again.
    pub keys: Keys,
    /// Usage that is kept.
    pub usage: Option<Kept>,
    /// What the gateway is.
    pub node: Arc<Node>,
}

/// What only one process may have.
pub struct Exclusive {
    gateway: Arc<Gateway>,
    deployment: Deployment,
    settings: Option<AdminSettings>,
    store: Option<Arc<Store>>,
    administration: Option<Administration>,
    /// What was in the store when it was given away, with revisions; `None` while it is here.
    given_away: Option<HashMap<ObjectKey, u64>>,
}

impl Exclusive {
    /// Of a gateway without Admin API.
    pub fn new(gateway: Arc<Gateway>, deployment: Deployment) -> Self {
        Exclusive {
            gateway,
            deployment,
            settings: None,
            store: None,
            administration: None,
            given_away: None,
        }
    }

    /// Starts the Admin API over a store.
    ///
    /// # Errors
    /// An address cannot be listened on.
    pub fn administrate(
        &mut self,
        settings: AdminSettings,
        store: Arc<Store>,
        sockets: &mut Sockets,
    ) -> Result<(), Failure> {
        self.store = Some(store.clone());
        let started = administration::start(
            &settings,
            &self.deployment,
            store,
            self.gateway.clone(),
            &mut |role, address| sockets.for_one(role, address),
        );
        if started.is_err() {
            // Who goes on without it keeps nobody else from it.
            self.store = None;
        }
        self.administration = Some(started?);
        self.settings = Some(settings);
        Ok(())
    }

    /// The Admin API, while it is served here.
    pub fn administration(&self) -> Option<&Administration> {
        self.administration.as_ref()
    }

    /// Whether the configuration would be gone with this process, and could not be read again.
    pub fn is_in_memory_only(&self) -> bool {
        self.settings.is_some() && self.deployment.provider == ConfigProvider::InMemory
    }

    /// Finishes what the Admin API is doing, and closes the store. Clients that come now wait in its socket.
    ///
    /// # Errors
    /// Somebody still uses the store.
    pub async fn release(&mut self) -> Result<(), String> {
        if let Some(administration) = self.administration.take() {
            administration.pause();
            tokio::time::sleep(LAST_REQUESTS).await;
            // Its threads end when their last answer is given.
            let stopped = tokio::task::spawn_blocking(move || administration.stop()).await;
            stopped.map_err(|_| "the Admin API did not end in order".to_owned())?;
        }
        if let Some(store) = self.store.take() {
            let known = store.all().into_iter();
            self.given_away = Some(
                known
                    .map(|object| (object.key.clone(), object.modified_index))
                    .collect(),
            );
            if Arc::into_inner(store).is_none() {
                return Err("the store of the Admin API is still in use".to_owned());
            }
        }
        self.gateway.responses().share(true);
        Ok(())
    }

    /// Has everything again, after the process that it was released for is dead. What that one has changed takes effect.
    pub async fn take_back(&mut self, sockets: &Sockets) {
        self.gateway.responses().share(false);
        let Some(before) = self.given_away.take() else {
            return;
        };
        if let Err(failure) = self.open_again(before, sockets).await {
            for reason in failure.reasons() {
                tracing::error!("the Admin API is not served any more, calls are: {reason}");
            }
        }
    }

    async fn open_again(
        &mut self,
        before: HashMap<ObjectKey, u64>,
        sockets: &Sockets,
    ) -> Result<(), Failure> {
        let (Some(settings), Some(store)) = (&self.settings, administration::open_store(&self.deployment)?)
        else {
            return Ok(());
        };
        self.gateway.governance().set(store.own());
        self.gateway.apply_with_secrets(difference(before, &store)).await;
        self.store = Some(store.clone());
        let again = administration::start(
            settings,
            &self.deployment,
            store,
            self.gateway.clone(),
            &mut |role, address| sockets.again(role, address),
        )?;
        self.administration = Some(again);
        Ok(())
    }

    /// Ends the Admin API, if it is served here.
    pub fn stop(&mut self) {
        if let Some(administration) = self.administration.take() {
            administration.stop();
        }
        self.store = None;
    }
}

/// What has changed in a store since it was known.
fn difference(mut before: HashMap<ObjectKey, u64>, store: &Store) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    for object in store.all() {
        if before.remove(&object.key) != Some(object.modified_index) {
            changes.push((object.key.clone(), Some(object)));
        }
    }
    changes.extend(before.into_keys().map(|gone| (gone, None)));
    changes
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tollgate_resources::objects::Kind;
    use tollgate_store::Change as Write;

    use super::*;

    #[test]
    fn what_another_process_has_changed_is_found() {
        let store = Store::in_memory();
        let key = |id: &str| ObjectKey::new(Kind::Route, id);
        let put = |id: &str, uri: &str| {
            let value = json!({"uri": uri}).as_object().cloned().unwrap();
            let change = Write::Put {
                key: key(id),
                value,
                ttl_s: None,
            };
            store.write(vec![change], 0).unwrap();
        };
        for id in ["same", "changed", "gone"] {
            put(id, "/before");
        }
        let before = store
            .all()
            .into_iter()
            .map(|object| (object.key.clone(), object.modified_index))
            .collect();
        put("changed", "/after");
        put("new", "/after");
        store.write(vec![Write::Delete { key: key("gone") }], 0).unwrap();
        let mut found: Vec<_> = difference(before, &store)
            .into_iter()
            .map(|(key, object)| (key.id, object.is_some()))
            .collect();
        found.sort();
        let expected = [("changed", true), ("gone", false), ("new", true)];
        assert_eq!(found, expected.map(|(id, there)| (id.to_owned(), there)));
    }
}
