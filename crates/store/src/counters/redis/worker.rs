//! One worker's side of Redis: asks, waits within bounds, tries again where that helps, and writes charges behind.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::{Cmd, Value, cmd};
use tokio::sync::Semaphore;

use super::super::window::Answer;
use super::super::{Act, Ask, Enter, Together, Unavailable};
use super::Shared;
use super::lane::{self, Charge, Lane, holder, sliding};
use super::link::{Link, Question, Trouble, What};
use super::nodes::Nodes;
use super::script::{Argument, CHARGE, DECIDE, ENTER};

/// Answers one worker waits for at the same time.
const MAX_AWAITED: usize = 1024;

/// How often one decision is sent: again to where a node said, or on a new connection in place of one that broke.
const MAX_SENDS: usize = 4;

/// How long a question waits while some of its keys have moved to another node of a cluster and some have not.
const MOVING_PAUSE: Duration = Duration::from_millis(10);

/// Charges in one exchange.
const BATCH: usize = 64;

/// Time between two looks whether a server is back, and between two tries to write charges; doubled up to the longer one.
const SHORT_PAUSE: Duration = Duration::from_millis(50);
const LONG_PAUSE: Duration = Duration::from_millis(1000);

/// One worker's side of Redis.
pub(super) struct Worker {
    shared: Arc<Shared>,
    lane: Arc<Lane>,
    nodes: Nodes,
    awaited: Semaphore,
}

impl Worker {
    pub(super) fn new(shared: Arc<Shared>) -> Arc<Self> {
        let lane = shared.new_lane();
        Worker::with_lane(shared, lane)
    }

    fn with_lane(shared: Arc<Shared>, lane: Arc<Lane>) -> Arc<Self> {
        let nodes = Nodes::new(&shared);
        Arc::new(Worker {
            shared,
            lane,
            nodes,
            awaited: Semaphore::new(MAX_AWAITED),
        })
    }

    pub(super) async fn decide(
        self: &Arc<Self>,
        asks: &[Ask],
        keys: &[String],
        together: Together,
        ids: &[u64],
    ) -> Result<Vec<Answer>, Unavailable> {
        let mut answers = Vec::with_capacity(asks.len());
        let mut begin = 0;
        while let Some(end) = self.end_of_group(keys, begin) {
            let count = u64::try_from(end - begin).unwrap_or(u64::MAX);
            let all: Argument = if together == Together::AllOrNone {
                "1".into()
            } else {
                "0".into()
            };
            let group = keys.get(begin..end).unwrap_or_default();
            let mut arguments = vec![self.shared.now_ms().into(), count.into(), all];
            for (ask, id) in asks.iter().zip(ids).take(end).skip(begin) {
                let (amount, holder, lease_ms) = match ask.act {
                    Act::Take(amount) => (amount, String::new(), 0),
                    Act::Reserve { amount, lease_ms } => {
                        (amount, holder(&self.shared.process, *id), lease_ms)
                    }
                };
                arguments.extend([
                    ask.limit.amount.into(),
                    ask.limit.window_ms.into(),
                    sliding(ask.limit.windows),
                    amount.into(),
                    holder.into(),
                    lease_ms.into(),
                ]);
            }
            let value = self.ask(group, What::Script(&DECIDE, &arguments)).await?;
            let rows = rows::<4>(&value).filter(|rows| !rows.is_empty() && rows.len() <= end - begin);
            let rows = rows.ok_or_else(|| Unavailable::Failed("an answer that is none".to_owned()))?;
            answers.extend(rows.iter().map(|[allowed, remaining, reset_ms, end_ms]| Answer {
                is_allowed: *allowed == 1,
                remaining: *remaining,
                reset_ms: *reset_ms,
                end_ms: *end_ms,
            }));
            if answers.last().is_some_and(|answer| !answer.is_allowed) {
                break;
            }
            begin = end;
        }
        Ok(answers)
    }

    pub(super) async fn enter(
        self: &Arc<Self>,
        enters: &[Enter],
        keys: &[String],
        ids: &[u64],
    ) -> Result<Vec<(bool, u64)>, Unavailable> {
        let mut answers = Vec::with_capacity(enters.len());
        let mut begin = 0;
        while let Some(end) = self.end_of_group(keys, begin) {
            let count = u64::try_from(end - begin).unwrap_or(u64::MAX);
            let mut arguments = vec![self.shared.now_ms().into(), count.into()];
            for (enter, id) in enters.iter().zip(ids).take(end).skip(begin) {
                let holder = holder(&self.shared.process, *id);
                arguments.extend([enter.limit.into(), enter.lease_ms.into(), holder.into()]);
            }
            let group = keys.get(begin..end).unwrap_or_default();
            let value = self.ask(group, What::Script(&ENTER, &arguments)).await?;
            let rows = rows::<2>(&value).filter(|rows| !rows.is_empty() && rows.len() <= end - begin);
            let rows = rows.ok_or_else(|| Unavailable::Failed("an answer that is none".to_owned()))?;
            answers.extend(rows.iter().map(|[is_in, taken]| (*is_in == 1, *taken)));
            if answers.last().is_some_and(|(is_in, _)| !is_in) {
                break;
            }
            begin = end;
        }
        Ok(answers)
    }

    /// Where the keys that go together with the one at `begin` end; nothing behind the last.
    fn end_of_group(&self, keys: &[String], begin: usize) -> Option<usize> {
        let group = self.nodes.group(keys.get(begin)?);
        let others = keys
            .iter()
            .skip(begin)
            .take_while(|key| self.nodes.group(key) == group);
        Some(begin + others.count())
    }

    /// Sends a command about one key.
    pub(super) async fn command(self: &Arc<Self>, key: &str, command: &Cmd) -> Result<Value, Unavailable> {
        self.ask(&[key.to_owned()], What::Command(command)).await
    }

    /// Asks within the bounds of time and number.
    async fn ask(self: &Arc<Self>, keys: &[String], what: What<'_>) -> Result<Value, Unavailable> {
        let Ok(_place) = self.awaited.try_acquire() else {
            return Err(Unavailable::TooMany);
        };
        let question = Question { keys, what };
        let mut asked = None;
        let answer = self.send(&question, &mut asked);
        let result = match tokio::time::timeout(self.shared.settings.timeout, answer).await {
            Ok(result) => result,
            Err(_) => {
                if let Some(link) = &asked {
                    self.failed(link, "no answer in time");
                }
                Err(Unavailable::TooSlow)
            }
        };
        if let Some(link) = asked.filter(|link| link.circuit.is_open()) {
            self.watch(link);
        }
        result
    }

    /// Sends a question to where its keys are, again where that helps.
    async fn send(
        self: &Arc<Self>,
        question: &Question<'_>,
        asked: &mut Option<Arc<Link>>,
    ) -> Result<Value, Unavailable> {
        let shared = &self.shared;
        let key = question.keys.first().map_or("", String::as_str);
        let mut named = None;
        let mut is_asking = false;
        let mut last = String::new();
        for sent in 0..MAX_SENDS {
            let link = match named.take() {
                Some(address) => self.nodes.link_to(shared, &address),
                None => match self.nodes.link(shared, key).await {
                    Ok(link) => link,
                    Err(trouble) => {
                        for link in self.nodes.open_links() {
                            self.watch(link);
                        }
                        return Err(trouble.into());
                    }
                },
            };
            *asked = Some(link.clone());
            if link.circuit.is_open() {
                self.nodes.forget_map();
                return Err(Unavailable::Resting);
            }
            let ready = match link.connection(shared).await {
                Ok(ready) => ready,
                Err(trouble) => {
                    let unavailable = Unavailable::from(trouble);
                    self.failed(&link, &unavailable.to_string());
                    return Err(unavailable);
                }
            };
            match ready.put(question, is_asking).await {
                Ok(value) => {
                    link.circuit.succeeded();
                    return Ok(value);
                }
                Err(Trouble::Elsewhere { address, is_moving }) => {
                    link.circuit.succeeded();
                    if !is_moving {
                        self.nodes.forget_map();
                    }
                    is_asking = is_moving;
                    named = Some(link.completed(address));
                }
                Err(Trouble::Moving(error)) => {
                    tokio::time::sleep(MOVING_PAUSE).await;
                    last = error;
                }
                Err(Trouble::Refused(error)) => {
                    link.circuit.erred(&error);
                    return Err(Unavailable::Failed(error));
                }
                // A server that was restarted has closed the connection; one that is no master any more has a successor.
                Err(Trouble::Lost(error) | Trouble::NotNow(error)) => {
                    link.discard(&ready);
                    self.nodes.forget_map();
                    if sent > 0 {
                        self.failed(&link, &error);
                        return Err(Unavailable::Failed(error));
                    }
                    last = error;
                }
            }
        }
        Err(Unavailable::Failed(last))
    }

    fn failed(&self, link: &Arc<Link>, error: &str) {
        link.circuit.failed(error);
        self.nodes.forget_map();
        if link.circuit.is_open() {
            // What still waits on it will not be answered in time either.
            link.close();
        }
    }

    /// Looks when a server is back, if nobody does.
    fn watch(self: &Arc<Self>, link: Arc<Link>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let Some(watch) = link.circuit.watch() else {
            return;
        };
        let worker = self.clone();
        runtime.spawn(async move {
            let _only = watch;
            let shared = &worker.shared;
            let mut pause = SHORT_PAUSE;
            while link.circuit.is_open() && !shared.is_unused() {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONG_PAUSE);
                let is_back = async {
                    let ready = link.connect(shared).await?;
                    ready.ask(&cmd("PING")).await
                };
                let is_back = tokio::time::timeout(shared.settings.timeout, is_back).await;
                // Otherwise it may be that another node has its keys now.
                if matches!(is_back, Ok(Ok(_))) || !worker.nodes.is_needed(shared, &link).await {
                    link.circuit.close();
                }
            }
        });
    }

    /// Takes a charge in, and writes it soon.
    pub(super) fn charge(self: &Arc<Self>, key: String, what: lane::What) {
        if !self.lane.push(key, what) {
            self.shared.count_dropped(1);
        }
        // At the end of the process there is nobody to write it; see `write_pending`.
        if let Ok(runtime) = tokio::runtime::Handle::try_current()
            && !self.lane.is_flushing.swap(true, Ordering::AcqRel)
        {
            runtime.spawn(write_behind(Flush {
                worker: self.clone(),
                is_held: true,
            }));
        }
    }

    /// Writes charges that can be written; tells how many were, and whether all that were tried could be.
    async fn write_some(self: &Arc<Self>) -> (usize, bool) {
        let stale = self.lane.drop_stale();
        if stale > 0 {
            self.shared.count_dropped(stale);
        }
        let batch = self.lane.first(BATCH, |charge| {
            let link = self.nodes.known_link(&charge.key);
            link.is_none_or(|link| !link.circuit.is_open())
        });
        let mut groups: Vec<(u16, Vec<Arc<Charge>>)> = Vec::new();
        for charge in batch {
            let group = self.nodes.group(&charge.key);
            match groups.iter_mut().find(|(known, _)| *known == group) {
                Some((_, charges)) => charges.push(charge),
                None => groups.push((group, vec![charge])),
            }
        }
        let (mut written, mut is_good) = (0, true);
        while let Some((group, charges)) = groups.pop() {
            let (keys, arguments) = self.lane.script(&charges, self.shared.now_ms());
            match self.ask(&keys, What::Script(&CHARGE, &arguments)).await {
                Ok(_) => {
                    self.lane.written(&charges);
                    written += charges.len();
                }
                // Under one of the keys is something else. The others are not given up with it: each by itself then, in their order.
                Err(Unavailable::Failed(error)) if is_of_another_type(&error) && charges.len() > 1 => {
                    groups.extend(charges.into_iter().rev().map(|charge| (group, vec![charge])));
                }
                // It would be refused again.
                Err(Unavailable::Failed(error)) if is_of_another_type(&error) => {
                    self.lane.written(&charges);
                    self.shared.count_dropped(1);
                }
                Err(_) => {
                    is_good = false;
                    // A charge that overtakes an older one of its key would be taken for one that is sent twice.
                    groups.retain(|(other, _)| *other != group);
                }
            }
        }
        (written, is_good)
    }
}

/// The right to write the charges of a worker, which only one has.
struct Flush {
    worker: Arc<Worker>,
    is_held: bool,
}

impl Drop for Flush {
    fn drop(&mut self) {
        if self.is_held {
            self.worker.lane.is_flushing.store(false, Ordering::Release);
        }
    }
}

/// Writes charges until there are none.
async fn write_behind(mut flush: Flush) {
    let worker = flush.worker.clone();
    let lane = &worker.lane;
    let mut pause = SHORT_PAUSE;
    loop {
        while lane.len() > 0 {
            let (written, is_good) = worker.write_some().await;
            if written > 0 && is_good {
                pause = SHORT_PAUSE;
            } else {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONG_PAUSE);
            }
        }
        flush.is_held = false;
        lane.is_flushing.store(false, Ordering::Release);
        // One may have come in between, and found that somebody writes.
        if lane.len() == 0 || lane.is_flushing.swap(true, Ordering::AcqRel) {
            return;
        }
        flush.is_held = true;
    }
}

/// Writes the charges of all workers, as long as that works.
pub(super) async fn write_all(shared: &Arc<Shared>) {
    let lanes = shared
        .lanes
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .clone();
    for lane in lanes {
        let worker = Worker::with_lane(shared.clone(), lane);
        while worker.lane.len() > 0 {
            let (written, is_good) = worker.write_some().await;
            if written == 0 || !is_good {
                tokio::time::sleep(SHORT_PAUSE).await;
            }
        }
    }
}

/// Whether a script was refused for what somebody else has put under a key. Redis before 7 tells it within another error.
fn is_of_another_type(error: &str) -> bool {
    error.contains("WRONGTYPE")
}

/// The numbers of an answer: rows of the same length.
pub(super) fn rows<const N: usize>(value: &Value) -> Option<Vec<[u64; N]>> {
    let Value::Array(rows) = value else {
        return None;
    };
    let row = |row: &Value| {
        let Value::Array(values) = row else {
            return None;
        };
        let numbers: Option<Vec<u64>> = values.iter().map(number).collect();
        numbers?.try_into().ok()
    };
    rows.iter().map(row).collect()
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        _ => None,
    }
}

impl From<Trouble> for Unavailable {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Lost(error)
            | Trouble::NotNow(error)
            | Trouble::Moving(error)
            | Trouble::Refused(error) => Unavailable::Failed(error),
            Trouble::Elsewhere { address, .. } => Unavailable::Failed(format!("moved to {address}")),
        }
    }
}
