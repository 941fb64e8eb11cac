//! Choice of an instance by what the prompt is about: the prompt's vector is compared with those of the instances' examples.
//!
//! The comparison is [`tollgate_policy::balance::semantic`]'s. Here is what it needs: the prompt of a request, a vendor that
//! turns texts into vectors, and the vectors of the examples, which are asked for once. Connections are handed in.

mod embeddings;
mod prompt;
mod references;

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};
use tollgate_dialects::scan::Members;
use tollgate_policy::balance::semantic::{Meaning, Ranking, Taught, unranked};

use super::config::{Instance, SemanticOptions};
use super::protocol::Protocol;
use crate::upstream::Pools;
use embeddings::Embedder;
pub use embeddings::EmbeddingError;
pub(crate) use embeddings::fuzz_vectors;
pub use references::References;

/// Header of answers that tells how alike the prompt was to each instance, if `debugging` is on.
pub const SCORES: &str = "x-ai-semantic-scores";

/// Header of answers that tells which instance was picked, if `debugging` is on.
pub const PICKED: &str = "x-ai-semantic-picked-instance";

/// Chooses instances by meaning. Instances are known by their number in the order in which they were handed in.
pub struct Semantic {
    embedder: Embedder,
    references: Arc<References>,
    instances: Vec<Purpose>,
    fallback: usize,
    debugging: bool,
    strict: bool,
}

/// What an instance is for.
struct Purpose {
    name: String,
    examples: Vec<String>,
    threshold: f64,
}

/// What was chosen for a call.
#[derive(Debug, PartialEq, Eq)]
pub struct Choice {
    /// Numbers of the instances in the order in which they are asked. APISIX to the letter asks one only.
    pub order: Vec<usize>,
    /// What the client is told about it.
    pub told: Option<Told>,
}

/// What the client is told about a choice.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    /// The value of [`SCORES`]: `name:0.1234` of each instance, the most alike first.
    pub scores: HeaderValue,
    /// The value of [`PICKED`]: the instance's name, or `fallback`.
    pub picked: HeaderValue,
}

impl Choice {
    /// Tells the client, if it is told anything.
    pub fn tell(&self, answer_headers: &mut HeaderMap) {
        if let Some(told) = &self.told {
            answer_headers.insert(SCORES, told.scores.clone());
            answer_headers.insert(PICKED, told.picked.clone());
        }
    }
}

impl Semantic {
    /// Reads the configuration. `references` finds the vectors of examples that were asked for earlier, by a name which is
    /// the same as long as these vectors are. `strict` asks a vendor that fails with every call and no second instance, as APISIX does.
    ///
    /// # Errors
    /// The vendor's address or a header is not usable.
    pub fn new(
        conf: SemanticOptions,
        instances: &[Instance],
        strict: bool,
        references: impl FnOnce(&str) -> Arc<References>,
    ) -> Result<Self, String> {
        let purposes: Vec<Purpose> = instances
            .iter()
            .map(|instance| Purpose {
                name: instance.name.clone(),
                examples: instance.examples.clone().unwrap_or_default(),
                threshold: instance.threshold.unwrap_or(conf.threshold),
            })
            .collect();
        let fallback = conf
            .fallback
            .as_ref()
            .and_then(|fallback| purposes.iter().position(|purpose| purpose.name == *fallback))
            .unwrap_or(0);
        let examples: Vec<&[String]> = purposes
            .iter()
            .map(|purpose| purpose.examples.as_slice())
            .collect();
        let vendor = (
            conf.embeddings.provider.name(),
            &conf.embeddings.endpoint,
            &conf.embeddings.model,
        );
        let name = serde_json::json!([vendor, examples]).to_string();
        Ok(Semantic {
            embedder: Embedder::new(conf.embeddings, strict)?,
            references: references(&name),
            instances: purposes,
            fallback,
            debugging: conf.debugging,
            strict,
        })
    }

    /// Chooses for a call. Never fails: when nothing can be found out about the prompt, the fallback comes first. Waits for
    /// the vendor of vectors as long as configured, and twice as long at most while the examples are asked for.
    pub async fn choose(&self, pools: &Pools, protocol: Protocol, body: &[u8], members: &Members) -> Choice {
        let ranking = self.rank(pools, protocol, body, members).await;
        let mut choice = match ranking {
            Some(ranking) => self.chosen(&ranking),
            None => Choice {
                order: unranked(self.fallback, self.instances.len()),
                told: None,
            },
        };
        if self.strict {
            choice.order.truncate(1);
        }
        choice
    }

    async fn rank(
        &self,
        pools: &Pools,
        protocol: Protocol,
        body: &[u8],
        members: &Members,
    ) -> Option<Ranking> {
        // With one instance there is nothing to choose.
        if self.instances.len() < 2 && !self.debugging {
            return None;
        }
        let Some(text) = prompt::of(protocol, body, members) else {
            tracing::warn!("no text of a user was found to choose an instance by; the fallback is asked");
            return None;
        };
        let prompt = self.references.ask(&self.embedder, pools, vec![text]);
        let references = self.references.get(&self.embedder, pools, || self.examples());
        let (prompt, references) = tokio::join!(prompt, references);
        let (prompt, references) = match prompt.and_then(|prompt| Ok((prompt, references?))) {
            Ok(known) => known,
            // It was told when the vendor failed.
            Err(EmbeddingError::LeftAlone) => return None,
            Err(error) => {
                tracing::warn!(%error, "no vectors to choose an instance by; the fallback is asked");
                return None;
            }
        };
        let ranking = Ranking::of(prompt.first()?, self.taught(&references));
        if ranking.is_none() {
            tracing::warn!(
                "the vector of the prompt has another length than those of the examples, which will be asked for anew; the \
                 fallback is asked"
            );
            self.references.forget(&references);
        }
        ranking
    }

    fn chosen(&self, ranking: &Ranking) -> Choice {
        let picked = ranking.picked();
        if picked.is_none() {
            tracing::warn!(
                scores = self.scores(ranking),
                "no instance reaches its threshold; the fallback is asked"
            );
        }
        let name = picked.and_then(|number| self.instances.get(number));
        let told = self.debugging.then(|| Told {
            scores: header(&self.scores(ranking)),
            picked: header(name.map_or("fallback", |instance| &instance.name)),
        });
        Choice {
            order: ranking.order(self.fallback),
            told,
        }
    }

    fn scores(&self, ranking: &Ranking) -> String {
        let scores = ranking.scores.iter().filter_map(|(number, score)| {
            let name = &self.instances.get(*number)?.name;
            Some(format!("{name}:{score:.4}"))
        });
        scores.collect::<Vec<_>>().join(",")
    }

    fn examples(&self) -> Vec<String> {
        self.instances
            .iter()
            .flat_map(|instance| &instance.examples)
            .cloned()
            .collect()
    }

    /// The instances with the vectors of their examples. `references` holds those of all instances one behind the other.
    fn taught<'a>(&'a self, mut references: &'a [Meaning]) -> impl Iterator<Item = Taught<'a>> {
        self.instances.iter().map(move |instance| {
            let (own, others) = references
                .split_at_checked(instance.examples.len())
                .unwrap_or((references, &[]));
            references = others;
            Taught {
                examples: own,
                threshold: instance.threshold,
            }
        })
    }
}

/// A text as a header. Names of instances may hold what cannot stand in one.
fn header(text: &str) -> HeaderValue {
    let printable: Vec<u8> = text
        .bytes()
        .map(|byte| if byte.is_ascii_control() { b'?' } else { byte })
        .collect();
    // Without controls every byte may stand in a header.
    HeaderValue::from_bytes(&printable).unwrap_or(HeaderValue::from_static("?"))
}
