//! Which instance of a model a call is given to next.

use std::sync::Arc;

use super::admit::Admission;
use super::choose::Candidate;
use crate::error::CallError;
use crate::pool::{Account, Clues};
use crate::snapshot::Model;

/// The picks of one call among the instances of a model: each instance once.
pub struct Picks<'a> {
    model: &'a Arc<Model>,
    public_name: &'a str,
    clues: &'a Clues,
    streams: bool,
    tried: Vec<usize>,
    /// Whether an instance was passed over because it has no quota left.
    pub passed_over: bool,
}

/// An instance that was picked for an attempt.
pub struct Pick {
    /// The instance.
    pub candidate: Candidate,
    /// Its pool's account of the attempt; `None` where nothing is remembered.
    pub account: Option<Account>,
}

impl<'a> Picks<'a> {
    /// None so far.
    pub fn new(model: &'a Arc<Model>, public_name: &'a str, clues: &'a Clues, streams: bool) -> Self {
        Picks {
            model,
            public_name,
            clues,
            streams,
            tried: Vec::new(),
            passed_over: false,
        }
    }

    /// The next instance; `None` when there is none left that can take the call.
    ///
    /// # Errors
    /// Quotas cannot be told, and the configuration says to refuse such calls.
    pub async fn next(&mut self, admission: &mut Admission) -> Result<Option<Pick>, CallError> {
        let pool = &self.model.pool;
        while let Some(number) = pool.pick(&self.tried, self.clues, self.streams) {
            self.tried.push(number);
            let Some(instance) = pool.instances().get(number) else {
                continue;
            };
            if pool.rules.skips_exhausted && !admission.has_room(&instance.name).await? {
                self.passed_over = true;
                continue;
            }
            let Ok(account) = pool.account(number, &self.tried, self.streams) else {
                continue;
            };
            return Ok(Some(Pick {
                candidate: Candidate {
                    model: self.model.clone(),
                    instance: instance.clone(),
                    public_name: self.public_name.to_owned(),
                },
                account,
            }));
        }
        Ok(None)
    }
}
