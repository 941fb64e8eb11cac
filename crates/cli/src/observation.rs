//! Listeners that tell how the gateway is doing, to programs that have no key: APISIX's control API, numbers for Prometheus.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::watch;
use tollgate_admin::{Observation, serve_observed};
use tollgate_gateway::Gateway;
use tollgate_gateway::server::Inside;
use tollgate_resources::model::{Deployment, Metrics};

use crate::administration::Plane;
use crate::cli::Failure;
use crate::upgrade::{Role, Sockets};

/// Listeners that run.
pub struct Observations {
    stop: watch::Sender<bool>,
    threads: Vec<JoinHandle<()>>,
    /// What is told where.
    pub addresses: Vec<(&'static str, SocketAddr)>,
}

/// Starts the listeners that a deployment wants.
///
/// # Errors
/// An address cannot be listened on.
pub fn start(
    metrics: &Metrics,
    deployment: &Deployment,
    gateway: &Arc<Gateway>,
    sockets: &mut Sockets,
) -> Result<Observations, Failure> {
    let (stop, stopped) = watch::channel(false);
    let mut observations = Observations {
        stop,
        threads: Vec::new(),
        addresses: Vec::new(),
    };
    for (address, observation, role, name) in [
        (
            deployment.control,
            Observation::Control,
            Role::Control,
            "control API",
        ),
        (
            deployment.prometheus.or(metrics.listen),
            Observation::Metrics,
            Role::Metrics,
            "metrics",
        ),
    ] {
        let Some(address) = address else { continue };
        let listener = sockets.for_one(role, address)?;
        observations
            .addresses
            .push((name, listener.local_addr().map_err(Failure::new)?));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Failure::new)?;
        let (plane, strict, mut stopped) = (
            Plane {
                inside: Inside::new(gateway.clone()),
                gateway: gateway.clone(),
                usage: None,
                node: Arc::default(),
            },
            deployment.strict,
            stopped.clone(),
        );
        let path = deployment.prometheus_attributes.export_uri.clone();
        let serve = move || {
            let served = runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                let stopping = async move {
                    // The sender is gone only when the process ends.
                    let _ = stopped.wait_for(|stop| *stop).await;
                };
                serve_observed(listener, observation, path, Arc::new(plane), strict, stopping).await
            });
            if let Err(error) = served {
                tracing::error!(%error, name, "a listener has stopped");
            }
        };
        let thread = std::thread::Builder::new()
            .name("observation".to_owned())
            .spawn(serve)
            .map_err(Failure::new)?;
        observations.threads.push(thread);
    }
    Ok(observations)
}

impl Observations {
    /// Ends them.
    pub fn stop(self) {
        self.stop.send_replace(true);
        for thread in self.threads {
            // One that panicked has already reported it.
            let _ = thread.join();
        }
    }
}
