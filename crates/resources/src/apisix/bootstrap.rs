//! APISIX's bootstrap file, `conf/config.yaml`: the process itself, not what it serves.

use super::deployment;
use super::ignored;
use super::variables::{self, Typing, Undefined};
use super::view::View;
use super::{admin, server};
use crate::mistake::Mistake;
use crate::model::{Admin, Deployment, Governance, Logging, PriceSettings, Server, Traces, Usage};
use crate::native::admin::{SignInEntry, lower_sign_in};
use crate::native::file::EgressEntry;
use crate::native::governance::{self, GovernanceEntry};
use crate::native::logging::{self, LoggerEntry, LoggingEntry};
use crate::native::prices::{self, PricesEntry};
use crate::native::server::{lower_egress, lower_max_wrong_keys};
use crate::native::traces::{self, TracesEntry};
use crate::native::usage::{self, UsageEntry};
use crate::report::{Report, syntax_mistake, unknown};
use crate::tree::{Path, Value, parse_yaml};

/// What a bootstrap file means.
#[derive(Clone, Debug, PartialEq)]
pub struct Bootstrap {
    /// The data plane's sockets, limits and logs.
    pub server: Server,
    /// The Admin API; `None` when this node does not serve it.
    pub admin: Option<Admin>,
    /// Where the configuration comes from, and how the process behaves beyond its sockets.
    pub deployment: Deployment,
    /// What our own file says in sections of its own.
    pub own: Own,
    /// What its author should know, one sentence each, such as which keys are ignored. To be shown at start.
    pub notes: Vec<String>,
}

/// Lowers the text of a bootstrap file. `file` is what mistakes call it, and where a standalone file is looked for; `env`
/// looks up environment variables. An empty file means the defaults, as in APISIX.
///
/// # Errors
/// All mistakes of the file, in the order of its lines.
pub fn lower_bootstrap(
    file: &str,
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Bootstrap, Vec<Mistake>> {
    let tree = parse_yaml(text).map_err(|error| vec![syntax_mistake(file, error)])?;
    // Readers take a text for a number where they want one, so that a key made of digits is not changed on the way.
    let tree = variables::in_tree(tree, Typing::Text, env).map_err(|all| undefined(file, all))?;
    let mut report = Report::new(file, tree.clone());
    let root = View::root(&tree);
    if !matches!(tree.value, Value::Map(_) | Value::Null) {
        root.wrong("a map", &mut report);
    }
    check_top(&root, &mut report);

    let section = root.section("deployment", &mut report);
    if let Some(section) = &section {
        ignored::note(section, &ignored::DEPLOYMENT, &mut report);
    }
    let enabled = root
        .section("apisix", &mut report)
        .and_then(|apisix| apisix.bool("enable_admin", &mut report))
        .unwrap_or(true);
    let role = deployment::role(section.as_ref(), &mut report);
    let with_admin = role.admin(enabled);
    // Lowered also when it is off, so that its mistakes are found before it is switched on.
    let of_admin = section
        .as_ref()
        .and_then(|section| section.section("admin", &mut report));
    let mut admin = admin::lower(of_admin.as_ref(), &mut report);
    let provider = deployment::provider(section.as_ref(), role, with_admin, file, &mut report);
    let mut server = server::lower(&root, &mut report);
    let deployment = deployment::lower(&root, provider, &mut report);
    if with_admin {
        admin::settle(&mut admin, of_admin.as_ref(), deployment.strict, &mut report);
    }
    let tollgate = root.section("tollgate", &mut report);
    // APISIX answers every wrong key alike.
    if deployment.strict {
        server.max_wrong_keys = None;
    }
    if let Some(section) = &tollgate {
        lower_own_of_server(&mut server, section, &mut report);
    }
    let own = Own::lower(tollgate.as_ref(), &mut report);
    if let Some(section) = &tollgate
        && let Some(entry) = section.typed::<SignInEntry>("admin", &mut report)
    {
        lower_sign_in(&entry, &mut admin, &section.path.key("admin"), &mut report);
    }
    if deployment.strict {
        admin.max_wrong_keys = None;
    }
    let admin = with_admin.then_some(admin);
    if let Some(admin) = &admin {
        for address in admin.listen.iter().filter(|address| address.port() != 0) {
            let https = server.https.as_ref().map_or(&[][..], |https| &https.listen);
            let other = match (server.listen.contains(address), https.contains(address)) {
                (true, _) => "apisix.node_listen",
                (_, true) => "apisix.ssl.listen",
                (false, false) => continue,
            };
            report.mistake(
                &Path::of(["deployment", "admin", "admin_listen"]),
                format!("{address} is an address of `{other}` too"),
            );
        }
    }
    let ((server, admin, deployment, own), notes) = report.finish((server, admin, deployment, own))?;
    Ok(Bootstrap {
        server,
        admin,
        deployment,
        own,
        notes,
    })
}

/// The sections of `tollgate.yaml` that stand below `tollgate` in this file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Own {
    /// What log entries tell of model calls, and the loggers that hear of all calls.
    pub logging: Logging,
    /// What is traced, and where that goes.
    pub traces: Option<Traces>,
    /// Where usage of calls is kept.
    pub usage: Usage,
    /// What models cost by the operator's word.
    pub prices: PriceSettings,
    /// How spending is counted, and who is told of it.
    pub governance: Governance,
}

impl Own {
    fn lower(section: Option<&View<'_>>, report: &mut Report) -> Own {
        let Some(section) = section else {
            return Own::default();
        };
        let at = |key: &str| section.path.key(key);
        let logging = section.typed::<LoggingEntry>("logging", report);
        let loggers = section.typed::<Vec<LoggerEntry>>("loggers", report);
        let loggers = loggers.as_deref().unwrap_or_default();
        let traces = section.typed::<TracesEntry>("traces", report);
        let usage = section.typed::<UsageEntry>("usage", report);
        let prices = section.typed::<PricesEntry>("prices", report);
        let governance = section.typed::<GovernanceEntry>("governance", report);
        Own {
            logging: logging::lower(
                logging.as_ref(),
                loggers,
                [&at("logging"), &at("loggers")],
                report,
            ),
            traces: traces::lower(traces.as_ref(), &at("traces"), report),
            usage: usage::lower(usage.as_ref(), &at("usage"), report),
            prices: prices::lower(prices.as_ref(), &at("prices"), report),
            governance: {
                let mut lowered = Governance::default();
                governance::lower_settings(governance.as_ref(), &at("governance"), &mut lowered, report);
                lowered
            },
        }
    }
}

/// Keys of our `server` that stand below `tollgate` in this file.
fn lower_own_of_server(server: &mut Server, section: &View<'_>, report: &mut Report) {
    let most = section.typed::<u64>("max_wrong_keys", report);
    if let Some(most) = lower_max_wrong_keys(most, &section.path, report) {
        server.max_wrong_keys = most;
    }
    let egress = section.typed::<EgressEntry>("egress", report);
    server.egress = lower_egress(egress.as_ref(), &section.path.key("egress"), report);
}

/// The line of the `nginx_config.http.access_log_format` that a bootstrap file holds. Its variables are known only to who
/// writes the log; this lets a check report them with their place.
pub fn log_format_line(text: &str) -> Option<usize> {
    let tree = parse_yaml(text).ok()?;
    let http = tree.get("nginx_config")?.get("http")?;
    http.entry("access_log_format").map(|entry| entry.line)
}

/// A misspelt section would be ignored as a whole, so it is a mistake. Sections of APISIX that mean nothing here are told.
fn check_top(root: &View<'_>, report: &mut Report) {
    let top = &ignored::TOP;
    let mut unused = Vec::new();
    for key in root.keys() {
        if top.known.contains(&key) {
            unused.push(key);
        } else if !top.honoured.contains(&key) {
            let allowed = top.honoured.iter().chain(top.known).copied();
            report.mistake(&Path::root().key(key), unknown("key", key, allowed));
        }
    }
    if !unused.is_empty() {
        report.note(format!("ignored: {}", unused.join(", ")));
    }
}

/// Mistakes of variables that are not set.
pub(super) fn undefined(file: &str, all: Vec<Undefined>) -> Vec<Mistake> {
    let mut mistakes: Vec<Mistake> = all
        .into_iter()
        .map(|one| Mistake {
            file: file.to_owned(),
            line: Some(one.line),
            path: one.path.to_string(),
            text: one.text,
        })
        .collect();
    mistakes.sort();
    mistakes.dedup();
    mistakes
}
