//! The vectors of the instances' examples: asked for once, by the first call that needs them, and kept as long as the
//! configuration means the same.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use tollgate_policy::balance::semantic::{Meaning, Outage};

use super::embeddings::{Embedder, EmbeddingError};
use crate::upstream::Pools;

/// Least time between two times that vectors are thrown away, so that a vendor that gives vectors now of this and now of that
/// length is not asked for all of them with every call.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// The vectors of examples, shared by all calls and all snapshots that mean the same.
#[derive(Default)]
pub struct References {
    known: ArcSwapOption<Vec<Meaning>>,
    /// Held by the call that asks for them. When it is given up, the next one that waits asks in its place.
    turn: tokio::sync::Mutex<()>,
    /// How often asking for them has failed.
    failures: AtomicU64,
    outage: Mutex<Outage>,
    forgotten: Mutex<Option<Instant>>,
}

impl References {
    /// The vectors of the examples in their order. The first call asks for them; those that come meanwhile wait for it.
    ///
    /// # Errors
    /// They are not known and cannot be found out in time.
    pub async fn get(
        &self,
        embedder: &Embedder,
        pools: &Pools,
        examples: impl FnOnce() -> Vec<String>,
    ) -> Result<Arc<Vec<Meaning>>, EmbeddingError> {
        if let Some(known) = self.known.load_full() {
            return Ok(known);
        }
        let patience = embedder.limit();
        let failures = self.failures.load(Ordering::Acquire);
        let _turn = tokio::time::timeout(patience, self.turn.lock())
            .await
            .map_err(|_| EmbeddingError::Late(patience))?;
        if let Some(known) = self.known.load_full() {
            return Ok(known);
        }
        // It has just failed for another call, so each of those that have waited need not try it in turn.
        if self.failures.load(Ordering::Acquire) != failures {
            return Err(EmbeddingError::LeftAlone);
        }
        match self.ask(embedder, pools, examples()).await {
            Ok(meanings) => {
                let known = Arc::new(meanings);
                self.known.store(Some(known.clone()));
                Ok(known)
            }
            Err(error) => {
                self.failures.fetch_add(1, Ordering::AcqRel);
                Err(error)
            }
        }
    }

    /// The vectors of some texts, unless the vendor is being left alone.
    ///
    /// # Errors
    /// They cannot be found out.
    pub async fn ask(
        &self,
        embedder: &Embedder,
        pools: &Pools,
        texts: Vec<String>,
    ) -> Result<Vec<Meaning>, EmbeddingError> {
        if !embedder.is_tireless() && !self.outage().asks(Instant::now()) {
            return Err(EmbeddingError::LeftAlone);
        }
        let asked = embedder.meanings(pools, &texts).await;
        match &asked {
            Ok(_) => self.outage().ends(),
            Err(error) if error.is_outage() => self.outage().failed(Instant::now()),
            // It has answered.
            Err(_) => self.outage().ends(),
        }
        asked
    }

    /// Throws vectors away that do not fit what the vendor gives now, unless others are known already.
    pub fn forget(&self, unfit: &Arc<Vec<Meaning>>) {
        let mut forgotten = self.forgotten.lock().unwrap_or_else(PoisonError::into_inner);
        if forgotten.is_none_or(|at| at.elapsed() >= KEPT_FOR) {
            *forgotten = Some(Instant::now());
            self.known.compare_and_swap(unfit, None);
        }
    }

    fn outage(&self) -> MutexGuard<'_, Outage> {
        self.outage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
