//! Where conversations of the Responses API are kept: the files and keys that the configuration means.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tollgate_gateway::Gateway;
use tollgate_gateway::responses::Places;
use tollgate_resources::model::{Deployment, Responses, ResponsesHome};
use tollgate_store::StoreKey;

use crate::administration::STORE_KEY_VARIABLE;
use crate::cli::{Failure, RunArguments};
use crate::load::env;
use crate::secret_files::lookup;

/// How long writing what waits may take at the end.
const FINISH_TIME: Duration = Duration::from_secs(5);

/// Opens where conversations are kept, and tells the log what that means for them. With `is_shared`, the process before uses
/// them too, until it has ended.
///
/// # Errors
/// The file, its key or Redis cannot be used.
pub fn keep(
    gateway: &Gateway,
    config: &Responses,
    arguments: &RunArguments,
    deployment: &Deployment,
    is_native: bool,
    is_shared: bool,
) -> Result<(), Failure> {
    // Whether the configuration serves the Responses API by itself.
    let serves = arguments.source.rbac.is_none() && is_native;
    let places = Places {
        directory: directory(config, arguments, deployment, serves)?,
        shared_key: match config.store {
            Some(ResponsesHome::Redis) => configured_key()?,
            _ => None,
        },
        is_shared,
    };
    match config.store {
        None if places.directory.is_none() && serves => tracing::info!(
            "conversations of the Responses API are kept in memory, and end with the process; --data-dir keeps them in a file"
        ),
        Some(ResponsesHome::Redis) if places.shared_key.is_none() => {
            tracing::warn!(
                "conversations are kept in Redis as they are; with {STORE_KEY_VARIABLE} they are encrypted"
            );
        }
        _ => {}
    }
    gateway
        .keep_responses(config, places, &lookup)
        .map_err(Failure::new)
}

/// Writes what waits to be kept.
pub fn finish(gateway: &Gateway) {
    let left = gateway.responses().finish(FINISH_TIME);
    if left > 0 {
        tracing::error!(left, "turns of conversations could not be kept before the end");
    }
}

/// The data directory with its key, if conversations are kept there.
fn directory(
    config: &Responses,
    arguments: &RunArguments,
    deployment: &Deployment,
    serves: bool,
) -> Result<Option<(PathBuf, StoreKey)>, Failure> {
    let is_wanted = match config.store {
        Some(ResponsesHome::Embedded) => true,
        None => arguments.data_dir.is_some() && serves,
        Some(_) => false,
    };
    if !is_wanted {
        return Ok(None);
    }
    let directory = Path::new(&deployment.data_dir);
    let key = match configured_key()? {
        Some(key) => key,
        None => StoreKey::load_or_generate(directory).map_err(Failure::new)?,
    };
    Ok(Some((directory.to_owned(), key)))
}

fn configured_key() -> Result<Option<StoreKey>, Failure> {
    env(STORE_KEY_VARIABLE)
        .map(|text| StoreKey::parse(&text))
        .transpose()
        .map_err(|error| Failure::new(format!("{STORE_KEY_VARIABLE}: {error}")))
}
