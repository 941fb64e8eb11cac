//! Objects as APISIX's standalone file.

use serde_json::{Map, Value};

use crate::named::Named;
use crate::objects::{Kind, ObjectKey};
use crate::yaml::DumpError;

/// What begins a reference to an environment variable in a standalone file. There is no way to mean the text itself.
const VARIABLE: &str = "${{";

/// A file and what it cannot say.
pub struct Written {
    /// The file. Holds the secrets that the objects hold.
    pub yaml: String,
    /// What the file says differently from the objects, one line each.
    pub notes: Vec<String>,
}

/// Writes objects as `apisix.yaml`, with its end marker.
///
/// # Errors
/// A value that YAML cannot write.
pub fn to_apisix_yaml(
    objects: impl IntoIterator<Item = (ObjectKey, Map<String, Value>)>,
) -> Result<Written, DumpError> {
    let objects: Vec<_> = objects.into_iter().collect();
    let mut notes = Vec::new();
    let mut file: Named<Vec<Value>> = Named::new();
    for kind in Kind::ALL {
        let mut list = Vec::new();
        for (key, value) in &objects {
            // Credentials stand among the consumers.
            let belongs = key.kind == kind || (kind == Kind::Consumer && key.kind == Kind::Credential);
            if !belongs || kind == Kind::Credential {
                continue;
            }
            if value.values().any(has_variable) {
                notes.push(format!(
                    "{key}: apisix.yaml takes `{VARIABLE}NAME}}}}` for an environment variable"
                ));
            }
            let mut value = value.clone();
            if kind != Kind::Consumer || key.kind == Kind::Credential {
                value.insert("id".to_owned(), key.id.clone().into());
            }
            list.push(Value::Object(value));
        }
        if !list.is_empty() {
            file.insert(kind.collection(), list);
        }
    }
    let yaml = match file.is_empty() {
        true => String::new(),
        false => serde_saphyr::to_string(&file).map_err(|error| DumpError::new(error.to_string()))?,
    };
    Ok(Written {
        yaml: format!("{yaml}#END\n"),
        notes,
    })
}

fn has_variable(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains(VARIABLE),
        Value::Array(items) => items.iter().any(has_variable),
        Value::Object(fields) => fields
            .iter()
            .any(|(key, value)| key.contains(VARIABLE) || has_variable(value)),
        _ => false,
    }
}
