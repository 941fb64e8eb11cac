//! The front end of [ADC](https://github.com/api7/adc), APISIX's declarative tool: `adc.yaml` lowers into the objects that
//! ADC would send to the Admin API, and objects are written back as `adc.yaml`.
//!
//! ```text
//! adc.yaml -- variables, file --> typed file -- lower --> objects -- raise --> adc.yaml
//! ```
//!
//! It knows the file, its ids and the names that fields have on either side. It refuses to know the Admin API's calls and
//! what is on a server; that is the command line's part. Where ADC sends what the Admin API refuses (`description` of an
//! upstream, `http_request_headers` of its checks) or drops what was written (`ssl_protocols`), the objects hold what was
//! meant. A service without an upstream has no `upstream_id` here, because there would be nothing behind it.

mod checked;
mod document;
mod file;
mod ids;
mod lower;
mod normal;
mod raise;
mod variables;

#[cfg(test)]
mod round_trip;
#[cfg(test)]
mod tests;

pub use document::{AdcDocument, Labels, Place};
pub(crate) use ids::id_of;
pub use normal::{normalised, same};
pub use raise::{Raised, to_adc_yaml};

use checked::NEEDS_AN_ITEM;
use file::File;

use crate::mistake::Mistake;
use crate::report::{Report, syntax_mistake};
use crate::tree::{FaultKind, Node, Path, Value, parse_json, parse_yaml, read_all};

/// The label by which ADC marks what it manages.
pub const MANAGED_BY: &str = "managed-by";

/// The value of [`MANAGED_BY`].
pub const MANAGED_BY_ADC: &str = "adc";

/// The label of an upstream that says which service it is a further upstream of.
pub const UPSTREAM_OF_SERVICE: &str = "__ADC_UPSTREAM_SERVICE_ID";

/// The label that holds the name of a stream route.
pub const STREAM_ROUTE_NAME: &str = "__ADC_NAME";

/// Lowers the text of an `adc.yaml`, or of its JSON form when the name ends in `.json`. `file_name` is what mistakes call
/// it; `env` looks up environment variables for `${NAME}`.
///
/// # Errors
/// All mistakes of the file, in the order of its lines.
pub fn lower_adc(
    file_name: &str,
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<AdcDocument, Vec<Mistake>> {
    let is_json = file_name.to_ascii_lowercase().ends_with(".json");
    let written = match is_json {
        true => parse_json(text),
        false => parse_yaml(text),
    }
    .map_err(|error| vec![syntax_mistake(file_name, error)])?;
    if matches!(written.value, Value::Null) {
        return Ok(AdcDocument::default());
    }

    let mut report = Report::new(file_name, written);
    let mut tree = report.tree.clone();
    let mut wrong = Vec::new();
    variables::replace(&mut tree, &Path::root(), env, &mut |path, text| {
        wrong.push((path.clone(), text));
    });
    for (path, text) in &wrong {
        report.mistake(path, text.clone());
    }
    let found = read_all::<File>(&tree);
    for fault in found.faults {
        match &fault.kind {
            // What is wrong there is told already: the text lacks a variable.
            _ if wrong.iter().any(|(path, _)| *path == fault.path) => {}
            // The list has items, and what is wrong with them is told.
            FaultKind::Other(text)
                if text == NEEDS_AN_ITEM
                    && tree.at(&fault.path).is_some_and(|list| !list.items().is_empty()) => {}
            // The word came from a variable and may be anything, also a secret.
            FaultKind::UnknownWord { allowed, .. } if differs(&report.tree, &tree, &fault.path) => {
                report.mistake(
                    &fault.path,
                    format!(
                        "the variable holds none of the words allowed: {}",
                        allowed.join(", ")
                    ),
                );
            }
            _ => report.fault(&fault),
        }
    }
    report.without_faults = found.tree;
    let items = match found.value {
        Some(file) => lower::lower(file, file_name, &mut report),
        None => Vec::new(),
    };
    let (items, notes) = report.finish(items)?;
    Ok(AdcDocument::new(items, notes))
}

/// Whether the text at `path` was changed by a variable.
fn differs(written: &Node, replaced: &Node, path: &Path) -> bool {
    match (written.at(path), replaced.at(path)) {
        (Some(written), Some(replaced)) => match (&written.value, &replaced.value) {
            (Value::Text(written), Value::Text(replaced)) => written != replaced,
            _ => false,
        },
        _ => false,
    }
}
