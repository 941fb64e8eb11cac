//! Reaching brokers: connections, who leads which partition, and the producer's id.

use std::collections::{HashMap, HashSet};

use tokio::time::Instant;

use super::super::connection::{Address, Connection};
use super::super::error::KafkaError;
use super::super::identity::Identity;
use super::super::wire::{Code, InitProducerId, Metadata, Request};
use super::Sender;

impl Sender {
    /// Asks who leads the partitions. Each broker that is known is tried in turn.
    pub(super) async fn refresh(&mut self) -> Result<(), KafkaError> {
        let settings = self.settings.clone();
        let request = Metadata {
            topic: &settings.topic,
        };
        let mut last = None;
        let mut candidates = self.cluster.candidates(&settings);
        candidates.sort_by_key(|address| self.avoided.get(address).copied());
        for address in candidates {
            let sasl = self.cluster.sasl(&address, &settings);
            let asked = async {
                let mut connection = self.connection(&address).await?;
                let answer = connection.ask(&request, settings.timeout).await?;
                self.connections.insert(address.clone(), connection);
                match answer.code {
                    // Some partitions have no leader yet.
                    Code::NONE | Code::LEADER_NOT_AVAILABLE if !answer.partitions.is_empty() => Ok(answer),
                    code => Err(KafkaError::refused(
                        &address.to_string(),
                        Metadata::NAME,
                        code,
                        None,
                    )),
                }
            };
            match asked.await {
                Ok(answer) => {
                    let partitions = answer.partitions.len();
                    self.cluster.learn(answer, sasl.as_ref());
                    // The topic may take larger batches by now.
                    self.max_bytes = self.max_bytes.saturating_mul(2).min(settings.batch_bytes);
                    if self.cluster.partitions() != partitions {
                        tracing::debug!(topic = settings.topic, partitions, "partitions have gaps");
                    }
                    self.repeated_beyond(self.cluster.partitions());
                    let brokers: HashSet<Address> = self.cluster.candidates(&settings).into_iter().collect();
                    self.connections.retain(|address, _| brokers.contains(address));
                    return Ok(());
                }
                Err(error) => {
                    self.avoid(address);
                    last = Some(error);
                }
            }
        }
        Err(last.unwrap_or_else(|| self.no_leader(0)))
    }

    /// A topic that was made anew has fewer partitions: what was sent to the others goes elsewhere.
    fn repeated_beyond(&mut self, partitions: usize) {
        if self.repeated.keys().any(|partition| *partition >= partitions) {
            self.repeated.clear();
            self.identity.forget();
        }
    }

    /// Asks for a producer id. Where there is none to be had, it goes without.
    pub(super) async fn identify(&mut self) -> Result<(), KafkaError> {
        let mut candidates = self.cluster.candidates(&self.settings);
        candidates.sort_by_key(|address| self.avoided.get(address).copied());
        let Some(address) = candidates.into_iter().next() else {
            return Err(self.no_leader(0));
        };
        let mut connection = match self.connection(&address).await {
            Ok(connection) => connection,
            Err(error) => {
                self.avoid(address);
                return Err(error);
            }
        };
        if !connection.knows::<InitProducerId>() {
            self.connections.insert(address, connection);
            self.identity = Identity::without();
            return Ok(());
        }
        let answer = match connection.ask(&InitProducerId, self.settings.timeout).await {
            Ok(answer) => answer,
            Err(error) => {
                self.avoid(address);
                return Err(error);
            }
        };
        let broker = connection.broker().to_owned();
        self.connections.insert(address, connection);
        if answer.code == Code::NONE {
            self.id_refusals = 0;
            self.identity.assume(answer.id, answer.epoch);
            return Ok(());
        }
        self.id_refusals += 1;
        let is_final = matches!(
            answer.code,
            Code::CLUSTER_AUTHORIZATION_FAILED | Code::UNSUPPORTED_VERSION
        );
        if !is_final && self.id_refusals < MAX_ID_REFUSALS {
            return Err(KafkaError::refused(
                &broker,
                InitProducerId::NAME,
                answer.code,
                None,
            ));
        }
        tracing::warn!(
            topic = self.settings.topic,
            broker,
            error = %answer.code,
            "the broker gives no producer id: batches that are sent again may be stored twice"
        );
        self.identity = Identity::without();
        Ok(())
    }

    /// Leaves a broker alone for some time, where there are others.
    pub(super) fn avoid(&mut self, address: Address) {
        self.avoided.insert(address, Instant::now());
    }

    /// The connection to a broker, made if there is none. It is taken out until it is put back.
    async fn connection(&mut self, address: &Address) -> Result<Connection, KafkaError> {
        if let Some(connection) = self.connections.remove(address) {
            return Ok(connection);
        }
        let sasl = self.cluster.sasl(address, &self.settings);
        let connection = Connection::open(address, &self.settings, sasl.as_ref()).await?;
        self.meters.connections.add(1);
        Ok(connection)
    }

    /// Partitions for records without a key: those whose leader is well, beginning where it was left off.
    pub(super) fn open_partitions(&self) -> Vec<usize> {
        let open = |avoided: &HashMap<Address, Instant>| -> Vec<usize> {
            (0..self.cluster.partitions())
                .filter(|partition| {
                    let leader = self.cluster.leader(*partition);
                    leader.is_some_and(|leader| !avoided.contains_key(leader))
                })
                .collect()
        };
        let mut partitions = open(&self.avoided);
        if partitions.is_empty() {
            partitions = open(&HashMap::new());
        }
        let start = self.next_open.checked_rem(partitions.len()).unwrap_or(0);
        partitions.rotate_left(start);
        partitions
    }
}

/// How often in a row brokers may refuse a producer id before it is done without one.
const MAX_ID_REFUSALS: u32 = 3;
