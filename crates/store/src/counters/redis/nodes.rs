//! Which server a key is asked of: the single one, the master, or the node of a cluster that has the key's slot.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use redis::cmd;

use super::Shared;
use super::link::{Link, Trouble};
use super::settings::{Address, Servers};
use super::slots::{SlotMap, slot};

/// One worker's connections.
pub(super) enum Nodes {
    /// To the only server there is.
    One(Arc<Link>),
    /// To the nodes of a cluster.
    Cluster(Cluster),
}

/// One worker's connections to the nodes of a cluster.
pub(super) struct Cluster {
    map: Mutex<Option<Arc<SlotMap>>>,
    fetching: tokio::sync::Mutex<()>,
    links: Mutex<HashMap<Address, Arc<Link>>>,
}

impl Nodes {
    pub(super) fn new(shared: &Shared) -> Self {
        match &shared.settings.servers {
            Servers::One(address) => {
                let link = Link::new(Some(address.clone()), shared.circuit(&shared.name));
                Nodes::One(Arc::new(link))
            }
            Servers::Sentinel { .. } => Nodes::One(Arc::new(Link::new(None, shared.circuit(&shared.name)))),
            Servers::Cluster(_) => Nodes::Cluster(Cluster {
                map: Mutex::new(None),
                fetching: tokio::sync::Mutex::new(()),
                links: Mutex::new(HashMap::new()),
            }),
        }
    }

    /// The connection for a key.
    pub(super) async fn link(&self, shared: &Shared, key: &str) -> Result<Arc<Link>, Trouble> {
        match self {
            Nodes::One(link) => Ok(link.clone()),
            Nodes::Cluster(cluster) => cluster.link_of_slot(shared, slot(key)).await,
        }
    }

    /// The connection for a key, as far as it is known without asking anybody.
    pub(super) fn known_link(&self, key: &str) -> Option<Arc<Link>> {
        match self {
            Nodes::One(link) => Some(link.clone()),
            Nodes::Cluster(cluster) => {
                let map = cluster.map()?;
                let links = cluster.links.lock().unwrap_or_else(PoisonError::into_inner);
                links.get(map.node(slot(key))?).cloned()
            }
        }
    }

    /// The connection to a node that another one has named.
    pub(super) fn link_to(&self, shared: &Shared, address: &Address) -> Arc<Link> {
        match self {
            Nodes::One(link) => link.clone(),
            Nodes::Cluster(cluster) => cluster.link_to(shared, address),
        }
    }

    /// Keys that go together: those of one slot, or all where there is one server.
    pub(super) fn group(&self, key: &str) -> u16 {
        match self {
            Nodes::One(_) => 0,
            Nodes::Cluster(_) => slot(key),
        }
    }

    /// Connections to servers that are left alone.
    pub(super) fn open_links(&self) -> Vec<Arc<Link>> {
        let links = match self {
            Nodes::One(link) => vec![link.clone()],
            Nodes::Cluster(cluster) => {
                let links = cluster.links.lock().unwrap_or_else(PoisonError::into_inner);
                links.values().cloned().collect()
            }
        };
        links.into_iter().filter(|link| link.circuit.is_open()).collect()
    }

    /// Where the keys are is asked anew.
    pub(super) fn forget_map(&self) {
        if let Nodes::Cluster(cluster) = self {
            *cluster.map.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    /// Whether a link is still one that keys are asked of.
    pub(super) async fn is_needed(&self, shared: &Shared, link: &Arc<Link>) -> bool {
        let Nodes::Cluster(cluster) = self else {
            return true;
        };
        self.forget_map();
        let Ok(map) = cluster.fetch(shared).await else {
            return true;
        };
        map.nodes()
            .any(|node| Arc::ptr_eq(&cluster.link_to(shared, node), link))
    }
}

impl Cluster {
    fn map(&self) -> Option<Arc<SlotMap>> {
        self.map.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn link_to(&self, shared: &Shared, address: &Address) -> Arc<Link> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let link = links.entry(address.clone()).or_insert_with(|| {
            Arc::new(Link::new(
                Some(address.clone()),
                shared.circuit(&address.to_string()),
            ))
        });
        link.clone()
    }

    async fn link_of_slot(&self, shared: &Shared, slot: u16) -> Result<Arc<Link>, Trouble> {
        let map = self.fetch(shared).await?;
        let node = map
            .node(slot)
            .ok_or_else(|| Trouble::NotNow(format!("{}: nobody has slot {slot}", shared.name)))?;
        Ok(self.link_to(shared, node))
    }

    /// Asks one node after the other where the keys are, those that answer first.
    async fn fetch(&self, shared: &Shared) -> Result<Arc<SlotMap>, Trouble> {
        if let Some(map) = self.map() {
            return Ok(map);
        }
        let _alone = self.fetching.lock().await;
        if let Some(map) = self.map() {
            return Ok(map);
        }
        let Servers::Cluster(seeds) = &shared.settings.servers else {
            return Err(Trouble::Lost("not a cluster".to_owned()));
        };
        let known: Vec<Address> = {
            let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
            links.keys().cloned().collect()
        };
        let mut nodes: Vec<&Address> = seeds
            .iter()
            .chain(known.iter().filter(|node| !seeds.contains(node)))
            .collect();
        nodes.sort_by_key(|node| self.link_to(shared, node).circuit.is_open());
        let mut last = Trouble::Lost("no nodes are known".to_owned());
        for node in nodes {
            // A node that hangs must not use up the time of those behind it.
            match tokio::time::timeout(shared.settings.timeout / 3, self.ask(shared, node)).await {
                Ok(Ok(map)) => {
                    let map = Arc::new(map);
                    *self.map.lock().unwrap_or_else(PoisonError::into_inner) = Some(map.clone());
                    return Ok(map);
                }
                Ok(Err(trouble)) => last = trouble,
                Err(_) => last = Trouble::Lost(format!("{node}: no answer in time")),
            }
            if let Trouble::Lost(error) = &last {
                self.link_to(shared, node).circuit.failed(error);
            }
        }
        Err(last)
    }

    async fn ask(&self, shared: &Shared, node: &Address) -> Result<SlotMap, Trouble> {
        let ready = self.link_to(shared, node).connection(shared).await?;
        let mut command = cmd("CLUSTER");
        command.arg("SLOTS");
        let answer = ready.ask(&command).await?;
        SlotMap::read(&answer, node)
            .ok_or_else(|| Trouble::NotNow(format!("{node}: does not tell where keys are")))
    }
}
