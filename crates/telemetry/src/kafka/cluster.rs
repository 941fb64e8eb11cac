//! What is known of the cluster: brokers, and who leads which partition.

use std::collections::HashMap;

use tokio::time::Instant;

use super::connection::Address;
use super::settings::{Sasl, Settings};
use super::wire::{MetadataAnswer, MetadataPartition};

/// More partitions than a topic can sensibly have. Those beyond are not written to.
const MAX_PARTITIONS: usize = 100_000;

/// What is known of the cluster.
#[derive(Default)]
pub(super) struct Cluster {
    brokers: HashMap<i32, Address>,
    /// The leader of each partition, by the partition's number.
    leaders: Vec<Option<i32>>,
    /// When it was learned.
    learned: Option<Instant>,
    /// A broker said something that shows that it is not so any more.
    is_stale: bool,
    /// How the broker that told it was signed in at.
    sasl: Option<Sasl>,
}

impl Cluster {
    /// Takes what a broker told.
    pub(super) fn learn(&mut self, answer: MetadataAnswer, sasl: Option<&Sasl>) {
        let count = answer
            .partitions
            .iter()
            .filter_map(|partition| usize::try_from(partition.index).ok())
            .filter(|index| *index < MAX_PARTITIONS)
            .max()
            .map_or(0, |highest| highest + 1);
        let mut leaders = vec![None; count];
        for MetadataPartition { index, leader } in answer.partitions {
            if let Some(place) = usize::try_from(index)
                .ok()
                .and_then(|index| leaders.get_mut(index))
            {
                *place = leader;
            }
        }
        *self = Cluster {
            brokers: answer
                .brokers
                .into_iter()
                .map(|broker| {
                    let address = Address {
                        host: broker.host,
                        port: broker.port,
                    };
                    (broker.node, address)
                })
                .collect(),
            // Partitions without a leader will have one soon: that has to be asked for.
            is_stale: leaders.iter().any(Option::is_none),
            leaders,
            learned: Some(Instant::now()),
            sasl: sasl.cloned(),
        };
    }

    /// Somebody else leads by now.
    pub(super) fn outdated(&mut self) {
        self.is_stale = true;
    }

    /// Whether it is time to ask.
    pub(super) fn wants_refresh(&self, settings: &Settings) -> bool {
        self.is_stale
            || self
                .learned
                .is_none_or(|learned| learned.elapsed() >= settings.metadata_refresh)
    }

    /// Whether there is anything to go by.
    pub(super) fn is_known(&self) -> bool {
        !self.leaders.is_empty()
    }

    /// How many partitions the topic has.
    pub(super) fn partitions(&self) -> usize {
        self.leaders.len()
    }

    /// Where the leader of a partition is, if there is one.
    pub(super) fn leader(&self, partition: usize) -> Option<&Address> {
        let node = self.leaders.get(partition).copied().flatten()?;
        self.brokers.get(&node)
    }

    /// The brokers to ask, those of the settings last.
    pub(super) fn candidates(&self, settings: &Settings) -> Vec<Address> {
        let mut known: Vec<_> = self.brokers.iter().collect();
        known.sort_by_key(|(node, _)| **node);
        let known = known.into_iter().map(|(_, address)| address.clone());
        let configured = settings.brokers.iter().map(|broker| Address {
            host: broker.host.clone(),
            port: broker.port,
        });
        let mut candidates = Vec::new();
        for address in known.chain(configured) {
            if !candidates.contains(&address) {
                candidates.push(address);
            }
        }
        candidates
    }

    /// How to sign in at a broker.
    pub(super) fn sasl(&self, address: &Address, settings: &Settings) -> Option<Sasl> {
        let configured = settings
            .brokers
            .iter()
            .find(|broker| broker.port == address.port && broker.host == address.host);
        match configured {
            Some(broker) => broker.sasl.clone(),
            None => self.sasl.clone(),
        }
    }
}
