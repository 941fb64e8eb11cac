//! `tollgate simulate`.

use std::io::Write;

use tollgate_gateway::providers::simulated::{self, Profile};
use tollgate_gateway::server::bind;

use crate::cli::{Failure, SimulateArguments};

/// Serves the simulated provider until it is stopped.
///
/// # Errors
/// The address cannot be listened on, or the behaviour is not understood.
pub fn simulate(arguments: &SimulateArguments) -> Result<(), Failure> {
    Profile::parse(&arguments.behave).map_err(Failure::new)?;
    let mut listeners = bind(arguments.listen, 1).map_err(Failure::new)?;
    let listener = listeners.pop().ok_or_else(|| Failure::new("no socket"))?;
    let address = listener.local_addr().map_err(Failure::new)?;
    writeln!(std::io::stderr(), "simulated provider on http://{address}/v1").map_err(Failure::new)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::new)?;
    tokio::task::LocalSet::new()
        .block_on(&runtime, simulated::serve(listener, &arguments.behave))
        .map_err(Failure::new)
}
