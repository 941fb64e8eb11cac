//! Asks instances whether they are well, beside the calls: on a thread of its own.
//!
//! Every address of an instance is asked by itself. Names are looked up again regularly, so that addresses that come and
//! go are noticed.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::check::Check;
use super::probe::Prober;
use super::{InstanceHealth, Roster};
use crate::upstream::reach;

/// How often names are looked up again.
const RESOLVE_EVERY: Duration = Duration::from_secs(5);

/// How long looking up a name may take.
const RESOLVE_WITHIN: Duration = Duration::from_secs(5);

/// Finds the addresses of a name and port.
pub type Resolve =
    Box<dyn Fn(&str, u16) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>>>> + Send>;

/// How names become addresses.
pub struct Names {
    /// Finds them.
    pub resolve: Resolve,
    /// How often.
    pub every: Duration,
}

impl Default for Names {
    fn default() -> Self {
        Names {
            resolve: Box::new(|host, port| {
                let host = host.to_owned();
                Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
            }),
            every: RESOLVE_EVERY,
        }
    }
}

/// The thread that asks. It ends when this is dropped.
pub struct Agent {
    _alive: oneshot::Sender<()>,
}

impl Agent {
    /// Starts the thread. It does not keep the roster alive.
    ///
    /// # Errors
    /// The system gives no thread or no runtime.
    pub fn start(roster: &Arc<Roster>, names: Names) -> io::Result<Self> {
        let (alive, end) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (changed, roster) = (roster.changed(), Arc::downgrade(roster));
        std::thread::Builder::new()
            .name("health".to_owned())
            .spawn(move || {
                let names = Rc::new(names);
                tokio::task::LocalSet::new().block_on(&runtime, async {
                    tokio::select! {
                        () = attend(roster, &changed, &names) => {}
                        // An error means that the agent is gone.
                        _ = end => {}
                    }
                });
                // A name that is still being looked up must not hold up the end.
                runtime.shutdown_background();
            })?;
        Ok(Agent { _alive: alive })
    }
}

/// Asks whoever is in service, until the roster is gone.
async fn attend(roster: Weak<Roster>, changed: &Notify, names: &Rc<Names>) {
    let mut asked: HashMap<*const InstanceHealth, (Arc<Check>, JoinSet<()>)> = HashMap::new();
    loop {
        {
            let Some(roster) = roster.upgrade() else { return };
            let on_duty = roster.on_duty();
            let mut before = std::mem::take(&mut asked);
            for one in on_duty.iter() {
                let Some(check) = &one.check else { continue };
                let identity = Arc::as_ptr(&one.health);
                let running = match before.remove(&identity) {
                    Some((running_check, tasks)) if running_check == *check => (running_check, tasks),
                    _ => {
                        let mut tasks = JoinSet::new();
                        tasks.spawn_local(ask_instance(one.health.clone(), check.clone(), names.clone()));
                        (check.clone(), tasks)
                    }
                };
                asked.insert(identity, running);
            }
            // Those that are left are not asked any more: their tasks end as they are dropped.
        }
        changed.notified().await;
    }
}

/// Asks all addresses of an instance, for ever.
async fn ask_instance(health: Arc<InstanceHealth>, check: Arc<Check>, names: Rc<Names>) {
    let prober = match Prober::new(&check) {
        Ok(prober) => Rc::new(prober),
        Err(problem) => {
            tracing::error!(
                host = check.target.host,
                problem,
                "an instance cannot be checked, and counts as well"
            );
            return;
        }
    };
    let permits = Rc::new(Semaphore::new(check.concurrency.min(Semaphore::MAX_PERMITS)));
    let mut asked: HashMap<SocketAddr, JoinSet<()>> = HashMap::new();
    loop {
        match addresses(&check, &names).await {
            Ok(addresses) => {
                health.resolved(&check, &addresses);
                asked.retain(|address, _| addresses.contains(address));
                for address in addresses {
                    asked.entry(address).or_insert_with(|| {
                        let mut task = JoinSet::new();
                        let (health, check) = (health.clone(), check.clone());
                        task.spawn_local(ask_address(
                            health,
                            check,
                            address,
                            prober.clone(),
                            permits.clone(),
                        ));
                        task
                    });
                }
            }
            // What was known of the name holds.
            Err(error) => {
                tracing::warn!(host = check.target.host, %error, "the name of a checked instance cannot be looked up");
            }
        }
        sleep(names.every).await;
    }
}

/// Asks an address, for ever.
async fn ask_address(
    health: Arc<InstanceHealth>,
    check: Arc<Check>,
    address: SocketAddr,
    prober: Rc<Prober>,
    permits: Rc<Semaphore>,
) {
    loop {
        {
            // Never closed, so there always is one in the end.
            let _permit = permits.acquire().await;
            let found = prober.ask(check.asked_at(address)).await;
            health.found_at(&check, address, found);
        }
        sleep(if health.is_well_at(address) {
            check.interval_healthy
        } else {
            check.interval_unhealthy
        })
        .await;
    }
}

/// Where calls of an instance can go.
async fn addresses(check: &Check, names: &Names) -> io::Result<Vec<SocketAddr>> {
    let (host, port) = (check.target.host.as_str(), check.target.port);
    if let Some(address) = reach::address(host, port) {
        return Ok(vec![address]);
    }
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let mut addresses = timeout(RESOLVE_WITHIN, (names.resolve)(host, port))
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    addresses.sort_unstable();
    addresses.dedup();
    if addresses.is_empty() {
        return Err(io::Error::other("the name has no addresses"));
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests;
