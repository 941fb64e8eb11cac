//! `tollgate convert`: another tool's configuration as adc.yaml or apisix.yaml.

use std::io::Write;

use tollgate_resources::adc::to_adc_yaml;
use tollgate_resources::kubernetes::{lower_manifests, to_apisix_yaml};

use crate::cli::{ConvertArguments, ConvertFrom, ConvertTo, Failure, ManifestArguments};
use crate::sync::write_private;

/// Converts a file.
///
/// # Errors
/// All mistakes in the file; the result cannot be written.
pub fn convert(arguments: &ConvertArguments) -> Result<(), Failure> {
    match &arguments.from {
        ConvertFrom::Kubernetes(arguments) => kubernetes(arguments),
    }
}

fn kubernetes(arguments: &ManifestArguments) -> Result<(), Failure> {
    let file = arguments.file.display().to_string();
    let text = std::fs::read_to_string(&arguments.file)
        .map_err(|error| Failure::new(format!("cannot read {file}: {error}")))?;
    let manifests = lower_manifests(&file, &text).map_err(Failure::all)?;
    let (yaml, notes) = match arguments.to {
        ConvertTo::Adc => {
            let raised = to_adc_yaml(manifests.objects).map_err(Failure::new)?;
            (raised.yaml, raised.notes)
        }
        ConvertTo::Apisix => {
            let written = to_apisix_yaml(manifests.objects).map_err(Failure::new)?;
            (written.yaml, written.notes)
        }
    };
    // Standard output may be the file.
    for note in manifests.notes.iter().chain(&notes) {
        writeln!(std::io::stderr().lock(), "note: {note}").map_err(Failure::new)?;
    }
    match &arguments.output {
        None => std::io::stdout()
            .lock()
            .write_all(yaml.as_bytes())
            .map_err(Failure::new),
        Some(path) => write_private(path, &yaml)
            .map_err(|error| Failure::new(format!("cannot write {}: {error}", path.display()))),
    }
}
