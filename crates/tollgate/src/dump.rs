//! `tollgate dump` and `tollgate schema`.

use std::io::Write;

use crate::cli::{DumpArguments, DumpFormat, Failure};

/// Prints the resources a configuration lowers into, or what a server has.
///
/// # Errors
/// All mistakes in the configuration; the server cannot be read.
pub fn dump(arguments: &DumpArguments) -> Result<(), Failure> {
    if let Some(server) = &arguments.server {
        return crate::sync::dump(server, arguments);
    }
    let lowered = arguments.source.load()?;
    let text = match arguments.format {
        DumpFormat::Json => serde_json::to_string_pretty(&lowered.resources).map_err(Failure::new)? + "\n",
        DumpFormat::Yaml => tollgate_resources::to_yaml(&lowered.resources).map_err(Failure::new)?,
    };
    std::io::stdout()
        .lock()
        .write_all(text.as_bytes())
        .map_err(Failure::new)
}

/// Prints the JSON Schema of the configuration file.
///
/// # Errors
/// Standard output is closed.
pub fn schema() -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(&tollgate_resources::native_schema()).map_err(Failure::new)?;
    writeln!(std::io::stdout().lock(), "{text}").map_err(Failure::new)
}
