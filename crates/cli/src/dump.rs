//! `tollgate dump` and `tollgate schema`.

use std::io::Write;

use serde_json::{Map, Value};
use tollgate_resources::objects::{Kind, ObjectKey};

use crate::cli::{DumpArguments, DumpFormat, Failure};
use crate::sync::hidden;

/// Prints the resources a configuration lowers into, or what a server has.
///
/// # Errors
/// All mistakes in the configuration; the server cannot be read.
pub fn dump(arguments: &DumpArguments) -> Result<(), Failure> {
    if let Some(server) = &arguments.server {
        return crate::sync::dump(server, arguments);
    }
    let lowered = arguments.source.load()?;
    let mut resources = serde_json::to_value(&lowered.resources).map_err(Failure::new)?;
    if let Value::Object(resources) = &mut resources {
        add_objects(resources, &lowered.objects);
    }
    let text = match arguments.format {
        DumpFormat::Json => serde_json::to_string_pretty(&resources).map_err(Failure::new)? + "\n",
        // Resources alone keep the order in which their types tell them.
        DumpFormat::Yaml if lowered.objects.is_empty() => {
            tollgate_resources::to_yaml(&lowered.resources).map_err(Failure::new)?
        }
        DumpFormat::Yaml => tollgate_resources::to_yaml(&resources).map_err(Failure::new)?,
    };
    std::io::stdout()
        .lock()
        .write_all(text.as_bytes())
        .map_err(Failure::new)
}

/// Adds objects by kind, as a standalone document lists them; what may be secret in them is hidden.
fn add_objects(resources: &mut Map<String, Value>, objects: &[(ObjectKey, Map<String, Value>)]) {
    for (key, value) in objects {
        let mut shown = Map::from_iter([("id".to_owned(), Value::from(key.id.as_str()))]);
        if let Value::Object(value) = hidden(&Value::Object(value.clone())) {
            shown.extend(value);
        }
        let collection = match key.kind {
            Kind::Credential => Kind::Consumer.collection(),
            kind => kind.collection(),
        };
        if let Value::Array(list) = resources
            .entry(collection)
            .or_insert_with(|| Value::Array(Vec::new()))
        {
            list.push(Value::Object(shown));
        }
    }
}

/// Prints the JSON Schema of the configuration file.
///
/// # Errors
/// Standard output is closed.
pub fn schema() -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(&tollgate_resources::native_schema()).map_err(Failure::new)?;
    writeln!(std::io::stdout().lock(), "{text}").map_err(Failure::new)
}
