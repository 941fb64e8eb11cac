//! A gateway that serves nobody, made of a configuration: to check it, and to ask what it would do.

use std::sync::Arc;

use tollgate_gateway::{Gateway, Setting};
use tollgate_telemetry::{AccessLog, Telemetry};

use crate::cli::{Failure, Source};
use crate::file_objects::FileObjects;
use crate::load::Loaded;
use crate::run::{env_for_objects, forwarding, served};
use crate::secret_files::lookup;
use crate::{prices, trust};

/// Makes a gateway of a configuration, with the objects of its files. Nothing is listened on, written or sent.
///
/// # Errors
/// All mistakes of the configuration.
pub fn gateway(source: &Source) -> Result<(Arc<Gateway>, Loaded), Failure> {
    let files = source.read();
    let loaded = source.lower(&files)?;
    trust::reach(&loaded.deployment)?.establish();
    let setting = Setting {
        pepper: [0; 32],
        telemetry: Telemetry::new(AccessLog::off()),
        env: Box::new(env_for_objects),
        strict_apisix: loaded.deployment.strict,
        plugins: loaded.deployment.plugins.clone(),
        forwarding: forwarding(&loaded.deployment, source.is_native(&files))?,
        tls_versions: trust::versions(&loaded.resources.server),
    };
    let gateway = Gateway::new(&loaded.resources, &lookup, setting).map_err(Failure::all)?;
    let in_force = prices::in_force(&loaded.resources.prices)?;
    gateway.set_prices(in_force, loaded.resources.prices.unknown);
    let objects = served(loaded.objects.clone(), &loaded.deployment)?;
    gateway.apply(&FileObjects::default().changes(&objects));
    Ok((Arc::new(gateway), loaded))
}
