//! Which instance of a model a call is given to next.

use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use super::choose::Candidate;
use super::record::Record;
use crate::error::CallError;
use crate::manners::Manners;
use crate::pool::{Account, Clues};
use crate::prices::unpriced;
use crate::snapshot::Model;

/// The picks of one call among the instances of a model: each instance once.
pub struct Picks<'a> {
    model: &'a Arc<Model>,
    public_name: &'a Arc<str>,
    clues: &'a Clues,
    streams: bool,
    tried: SmallVec<[usize; 2]>,
    /// How many of them were given out.
    given: usize,
    /// The first one, where it was made before.
    first: Option<Pick>,
    /// Whether an instance was passed over because it has no quota left.
    pub passed_over: bool,
    /// After how long checks ask again, if they have found every instance ill.
    pub down: Option<Duration>,
    /// Whether operators have disabled every instance.
    pub is_switched_off: bool,
    /// What is said of an instance that was passed over because its model has no price, or no budget has room for it.
    pub unpriced: Option<CallError>,
}

/// Picks that have begun before the attempts.
pub struct Begun {
    tried: SmallVec<[usize; 2]>,
    first: Option<Pick>,
    passed_over: bool,
    down: Option<Duration>,
    is_switched_off: bool,
    unpriced: Option<CallError>,
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
    pub fn new(model: &'a Arc<Model>, public_name: &'a Arc<str>, clues: &'a Clues, streams: bool) -> Self {
        Picks {
            model,
            public_name,
            clues,
            streams,
            tried: SmallVec::new(),
            given: 0,
            first: None,
            passed_over: false,
            down: None,
            is_switched_off: false,
            unpriced: None,
        }
    }

    /// Makes the first pick, for later.
    ///
    /// # Errors
    /// Limits refuse the call, or cannot be told.
    pub async fn begin(mut self, record: &Record) -> Result<Box<Begun>, CallError> {
        let first = self.next(record).await?;
        // Boxed: most calls have none, and shall not pay for its size.
        Ok(Box::new(Begun {
            tried: self.tried,
            first,
            passed_over: self.passed_over,
            down: self.down,
            is_switched_off: self.is_switched_off,
            unpriced: self.unpriced,
        }))
    }

    /// Goes on where picks have begun.
    pub fn resume(&mut self, begun: Begun) {
        self.tried = begun.tried;
        self.first = begun.first;
        self.passed_over = begun.passed_over;
        self.down = begun.down;
        self.is_switched_off = begun.is_switched_off;
        self.unpriced = begun.unpriced;
    }

    /// The next instance; `None` when there is none left that can take the call.
    ///
    /// # Errors
    /// Limits refuse the call, or cannot be told, and nobody has been picked yet.
    pub async fn next(&mut self, record: &Record) -> Result<Option<Pick>, CallError> {
        if let Some(first) = self.first.take() {
            self.given += 1;
            return Ok(Some(first));
        }
        let pool = &self.model.pool;
        if self.tried.is_empty() {
            self.is_switched_off = pool.is_switched_off();
            if self.is_switched_off {
                return Ok(None);
            }
            // Nobody waits for those of whom checks know that they do not answer. APISIX asks them.
            if record.manners != Manners::ApisixStrict {
                self.down = pool.is_down();
            }
            if self.down.is_some() {
                return Ok(None);
            }
            self.pass_over_full(record).await?;
        }
        while let Some(number) = pool.pick(&self.tried, self.clues, self.streams) {
            self.tried.push(number);
            let Some(instance) = pool.instances().get(number) else {
                continue;
            };
            let model = instance.model.as_deref().unwrap_or(self.public_name);
            if !record.may_cost(instance.provider, model) {
                self.unpriced = Some(unpriced(instance.provider, model));
                continue;
            }
            match self.may_have(&instance.name, record).await {
                Ok(true) => {}
                Ok(false) => {
                    record.admission.release(&instance.name);
                    self.passed_over = true;
                    continue;
                }
                // What an attempt has been told says more than that another one may not be made.
                Err(_) if self.given > 0 => {
                    record.admission.release(&instance.name);
                    continue;
                }
                Err(error) => return Err(error),
            }
            if let Err(refusal) = record.reserve(instance, self.model, model).await {
                record.admission.release(&instance.name);
                self.unpriced = Some(refusal);
                continue;
            }
            let account = match record.explains() {
                Some(_) => Ok(None),
                None => pool.account(number, &self.tried, self.streams),
            };
            let Ok(account) = account else {
                record.admission.release(&instance.name);
                record.release(&instance.name);
                continue;
            };
            self.given += 1;
            return Ok(Some(Pick {
                candidate: Candidate {
                    model: self.model.clone(),
                    instance: instance.clone(),
                    public_name: self.public_name.clone(),
                },
                account,
            }));
        }
        Ok(None)
    }

    /// Passes over the instances that are known to have no quota left before anybody is picked: a call that cannot go to them
    /// uses up nobody's turn. APISIX finds out when they are picked.
    async fn pass_over_full(&mut self, record: &Record) -> Result<(), CallError> {
        let (pool, admission) = (&self.model.pool, &record.admission);
        let strict = record.manners == Manners::ApisixStrict;
        if strict || admission.is_open() || !pool.rules.skips_exhausted || pool.instances().len() < 2 {
            return Ok(());
        }
        for (number, instance) in pool.instances().iter().enumerate() {
            // Asked once more, so that the client is told.
            if admission.is_known_full(&instance.name) && !admission.has_room(&instance.name).await? {
                self.tried.push(number);
                self.passed_over = true;
            }
        }
        Ok(())
    }

    /// Whether limits let the call have an instance; false if it is passed over.
    async fn may_have(&self, instance: &str, record: &Record) -> Result<bool, CallError> {
        let admission = &record.admission;
        if admission.is_open() {
            return Ok(true);
        }
        let pool = &self.model.pool;
        let strict = record.manners == Manners::ApisixStrict;
        // APISIX looks at no quota where it chooses by meaning.
        let by_meaning = strict && self.clues.order.is_some();
        let may_skip = pool.rules.skips_exhausted && pool.instances().len() > 1 && !by_meaning;
        if may_skip && !admission.has_room(instance).await? {
            return Ok(false);
        }
        // APISIX looks only at the instance it begins with.
        if self.given == 0 || !strict {
            admission.admit(instance).await?;
        }
        Ok(true)
    }
}
