//! The native front end: `tollgate.yaml`, which reads like a sentence.
//!
//! ```yaml
//! models:
//!   gpt-5:             {provider: openai, fallback: [claude-sonnet-4-5]}
//!   claude-sonnet-4-5: {provider: anthropic}
//! ```
//!
//! `file` is the shape of the file; one module per section says what it means and what can be wrong with it.

pub(crate) mod admin;
mod auth;
mod choice;
mod consumers;
pub(crate) mod file;
pub(crate) mod governance;
pub(crate) mod logging;
mod metrics;
mod models;
pub(crate) mod prices;
mod providers;
mod responses;
pub(crate) mod server;
pub(crate) mod traces;
mod units;
pub(crate) mod usage;

use crate::lowered::Lowered;
use crate::mistake::Mistake;
use crate::model::{AiModels, Plugins, Resources, Route, UriPattern};
use crate::report::{Report, syntax_mistake};
use crate::tree::{Path, Value, parse_yaml, read_all};

pub(crate) use auth::unverified;
pub(crate) use file::File;
pub(crate) use metrics::lower as lower_metrics;
pub(crate) use providers::{Connection, MissingKey, Providers, Use};
pub(crate) use server::lower_server;

/// The configuration the gateway runs with when it is given none: simulated models, and the vendors' models as soon as
/// their keys are set.
pub const QUICKSTART: &str = include_str!("quickstart.yaml");

/// Name under which mistakes and notes of [`QUICKSTART`] appear.
pub const QUICKSTART_NAME: &str = "quickstart.yaml";

/// Looks up an environment variable.
pub(crate) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Paths a native configuration serves.
const URIS: [&str; 16] = [
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/responses",
    "/v1/responses/*",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/embeddings",
    "/v1/embed",
    "/v1/rerank",
    "/v1/models",
    "/v1/models/*",
    "/v1beta/*",
    "/v2/chat",
    "/v2/embed",
    "/v2/rerank",
    "/model/*",
];

/// Lowers the text of a `tollgate.yaml`. `file_name` is what mistakes call it; `env` looks up environment variables.
///
/// # Errors
/// All mistakes of the file, in the order of its lines.
pub fn lower_native(
    file_name: &str,
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Lowered, Vec<Mistake>> {
    let (file, mut report) = parse(file_name, text)?;
    let compat = file.compat.unwrap_or_default();
    let mut providers = Providers::new(&file, &mut report);
    let models = models::lower(&file, compat, &mut providers, &mut report, env);
    let consumers = consumers::lower(&file, &models, &mut report, env);
    let governance = governance::lower(&file, &mut report);
    let server = lower_server(&file.server, &mut report);
    let responses = responses::lower(file.responses.as_ref(), &mut report);
    let places = [&Path::of(["logging"]), &Path::of(["loggers"])];
    let logging = logging::lower(file.logging.as_ref(), &file.loggers, places, &mut report);
    let traces = traces::lower(file.traces.as_ref(), &Path::of(["traces"]), &mut report);
    let prices = prices::lower(file.prices.as_ref(), &Path::of(["prices"]), &mut report);
    let usage = usage::lower(file.usage.as_ref(), &Path::of(["usage"]), &mut report);
    let metrics = metrics::lower(file.metrics.as_ref(), &mut report);
    let admin = admin::lower(file.admin.as_ref(), &mut report);
    let auth = auth::lower(&file, &server, &mut report);
    providers.note_unused(&mut report);

    let route = Route {
        id: "models".to_owned(),
        uris: URIS.into_iter().filter_map(UriPattern::new).collect(),
        methods: Vec::new(),
        plugins: Plugins {
            ai_auth: Some(auth),
            ai_models: Some(AiModels {
                models: models.on,
                compat,
                on_loss: file.on_loss.unwrap_or_default(),
            }),
        },
    };
    let (resources, notes) = report.finish(Resources {
        routes: vec![route],
        consumers,
        server,
        responses,
        logging,
        traces,
        prices,
        usage,
        metrics,
        governance,
        admin,
    })?;
    Ok(Lowered { resources, notes })
}

/// The `server.access_log.format` that a file holds, with its line, also when the file has mistakes. Its variables are known
/// only to who writes the log; this lets a check report them together with everything else.
pub fn access_log_format(text: &str) -> Option<(usize, String)> {
    let tree = parse_yaml(text).ok()?;
    let format = tree.get("server")?.get("access_log")?.get("format")?;
    match &format.value {
        Value::Text(text) => Some((format.line, text.clone())),
        _ => None,
    }
}

/// The JSON Schema of `tollgate.yaml`, for editors. It is made from the types that read the file.
pub fn native_schema() -> serde_json::Value {
    schemars::schema_for!(File).to_value()
}

/// Reads the file into its type. Faults of the type are in the report already; what they concern is left out.
pub(crate) fn parse(file_name: &str, text: &str) -> Result<(File, Report), Vec<Mistake>> {
    let tree = parse_yaml(text).map_err(|error| vec![syntax_mistake(file_name, error)])?;
    if matches!(tree.value, Value::Null) {
        let mut report = Report::new(file_name, tree);
        report.mistake(&Path::root(), "the file is empty");
        return Err(report.mistakes);
    }
    let found = read_all::<File>(&tree);
    let mut report = Report::new(file_name, tree);
    for fault in &found.faults {
        report.fault(fault);
    }
    report.without_faults = found.tree;
    match found.value {
        Some(file) => Ok((file, report)),
        None => Err(report.finish(()).err().unwrap_or_default()),
    }
}
