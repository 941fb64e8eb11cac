//! `file-logger`: entries as lines of a file.

use std::path::Path;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use tollgate_policy::expr::Expr;
use tollgate_telemetry::{LineLog, Outlets};

use super::super::spec::read;
use super::super::{Made, SchemaType, Scope, Setup, Spec, Unusable};
use super::conf::{Content, expression};
use super::{Form, Logger, LoggerPlugin, Outlet};

/// `file-logger`.
pub static SPEC: Spec = Spec {
    name: "file-logger",
    priority: 399,
    version: 0.1,
    is_auth: false,
    scope: Scope::Any,
    schema: super::conf::schemas::<Config, FileMetadata>,
    check,
    setup,
    secret_fields: &[],
};

/// Which calls go to which file.
#[derive(Deserialize, JsonSchema)]
struct Config {
    /// The file. That of the metadata without one.
    path: Option<String>,
    #[serde(flatten)]
    content: Content,
    /// Expressions of which one must hold.
    #[schemars(length(max = 20))]
    #[serde(rename = "match")]
    matches: Option<Vec<Vec<Value>>>,
}

/// Metadata.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct FileMetadata {
    /// The file of loggers that name none.
    path: Option<String>,
    /// Members of entries in place of the usual ones.
    log_format: Option<Map<String, Value>>,
    /// Members beside the usual ones.
    log_format_extra: Option<Map<String, Value>>,
}

fn check(conf: &Value, kind: SchemaType) -> Result<(), String> {
    if kind != SchemaType::Route {
        return Ok(());
    }
    if let Some(rule) = conf.get("match") {
        let rules = rule.as_array().into_iter().flatten();
        for rule in rules {
            Expr::parse(rule)
                .map_err(|error| format!("failed to validate the 'match' expression: {error}"))?;
        }
    }
    super::conf::check_expressions(conf)
}

fn setup(conf: &Value, setup: &Setup<'_>) -> Made {
    let config: Config = read(conf)?;
    let metadata: FileMetadata = setup.metadata.map(read).transpose()?.unwrap_or_default();
    let outlet = match config.path.or(metadata.path) {
        Some(path) => outlet(&path, setup.state.outlets())?,
        None => {
            // A call is not refused because nobody is told of it.
            tracing::error!(
                of = setup.owner,
                plugin = SPEC.name,
                "property \"path\" is not set in either the plugin conf or the metadata"
            );
            Box::new(Nowhere)
        }
    };
    let (request_body, response_body) = config.content.bodies()?;
    let rule = |rule: Vec<Value>| expression(rule.into_iter());
    let matches = config
        .matches
        .map(|rules| rules.into_iter().map(rule).collect::<Result<_, _>>())
        .transpose()?;
    Ok(Arc::new(LoggerPlugin(Arc::new(Logger {
        form: Form::Json {
            entry: Box::new(config.content.entry(
                metadata.log_format.as_ref(),
                metadata.log_format_extra.as_ref(),
                setup,
            )),
            is_line: true,
        },
        matches,
        request_body,
        response_body,
        outlet,
    }))))
}

/// The file at a path.
pub(super) fn outlet(path: &str, outlets: &Outlets) -> Result<Box<dyn Outlet>, Unusable> {
    let file = outlets
        .file(Path::new(path), SPEC.name)
        .map_err(|error| Unusable(error.to_string()))?;
    Ok(Box::new(Lines(file)))
}

struct Lines(Arc<LineLog>);

struct Nowhere;

impl Outlet for Nowhere {
    fn take(&self, _: &[u8]) {}
}

impl Outlet for Lines {
    fn take(&self, entry: &[u8]) {
        self.0.append(entry);
    }
}
