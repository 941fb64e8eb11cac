//! The front end for the NGINX AI-proxy demo's `rbac.json`, taken unchanged.
//!
//! ```text
//! users.<user>.models[]  {name, failover?}       -> consumers, known by the header X-User
//! models.<name>          {provider, location}    -> models; `location` is NGINX's own affair
//! ```
//!
//! Keys and addresses of providers, and everything about the process, come from a native file next to it, or from the
//! defaults. What the demo answers only when a call comes (a user's model that is missing in `models`) is no mistake here.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::check;
use crate::glob::Glob;
use crate::lowered::Lowered;
use crate::mistake::Mistake;
use crate::model::{
    AccessLog, AiAuth, AiModels, Compat, Consumer, FallbackOn, LogFormat, Logging, Metrics, Model,
    ModelAccess, Plugins, PriceSettings, Provider, Resources, Responses, Route, Server, Timeouts, UriPattern,
    Usage,
};
use crate::named::Named;
use crate::native::{
    Connection, File, MissingKey, Providers, Use, lower_metrics, lower_server, parse, prices, traces,
    unverified, usage,
};
use crate::report::{Report, quote, syntax_mistake, unknown};
use crate::tree::{Node, Path, Value, parse_json};

/// The header that names the caller.
const USER_HEADER: &str = "x-user";

/// The demo's own port, but on this machine only: whoever reaches it can be any user.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 4242);

/// Output limit the demo sends to Anthropic, which demands one, when the client gave none.
const ANTHROPIC_MAX_OUTPUT_TOKENS: u64 = 512;

/// The demo's `log_format`.
const LOG_FORMAT: &str = concat!(
    r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "#,
    r#""$http_user_agent" "$http_x_forwarded_for" prompt_tokens=$ai_proxy_response_prompt_tokens "#,
    "completion_tokens=$ai_proxy_response_completion_tokens total_tokens=$ai_proxy_response_total_tokens",
);

/// Lowers the text of an `rbac.json`. `file_name` is what mistakes call it; `beside` is the name and the text of the native
/// file given with it, of which `providers`, `server`, `on_loss` and `compat` count; `env` looks up environment variables.
///
/// # Errors
/// All mistakes of both files.
pub fn lower_rbac(
    file_name: &str,
    text: &str,
    beside: Option<(&str, &str)>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Lowered, Vec<Mistake>> {
    let tree = parse_json(text).map_err(|error| vec![syntax_mistake(file_name, error)])?;
    let mut report = Report::new(file_name, tree);
    let (file, mut base) = match beside {
        Some((name, text)) => {
            let (file, base) = parse(name, text)?;
            (file, Some(base))
        }
        None => (File::default(), None),
    };
    if let Some(base) = &mut base {
        refuse_sections(base);
    }

    let tree = report.tree.clone();
    let mut providers = match &mut base {
        Some(base) => Providers::new(&file, base),
        None => Providers::new(
            &file,
            &mut Report::new(
                file_name,
                Node {
                    line: 1,
                    value: Value::Null,
                },
            ),
        ),
    };
    let compat = file.compat.unwrap_or(Compat::NginxDemo);
    let mut models = Named::new();
    for (name, entry) in section(&tree, "models", &mut report) {
        let path = Path::of(["models", name]);
        if let Some((provider, connection)) = connection(
            name,
            entry,
            &path,
            &mut providers,
            &mut report,
            base.as_mut(),
            env,
        ) {
            models.insert(name, model(provider, connection, compat));
        }
    }
    let mut consumers = Vec::new();
    for (username, entry) in section(&tree, "users", &mut report) {
        let access = access(entry, &Path::of(["users", username]), &models, &tree, &mut report);
        consumers.push(Consumer {
            team: None,
            username: username.to_owned(),
            keys: Vec::new(),
            access,
            labels: Named::new(),
        });
    }
    note_ignored(&tree, &Path::root(), &["users", "models"], &mut report);
    report.note(unverified(USER_HEADER));

    let server = server(&file, base.as_mut());
    let place = Path::of(["traces"]);
    let traces = base
        .as_mut()
        .and_then(|base| traces::lower(file.traces.as_ref(), &place, base));
    let prices = match &mut base {
        Some(base) => prices::lower(file.prices.as_ref(), &Path::of(["prices"]), base),
        None => PriceSettings::default(),
    };
    let usage = match &mut base {
        Some(base) => usage::lower(file.usage.as_ref(), &Path::of(["usage"]), base),
        None => Usage::default(),
    };
    let metrics = match &mut base {
        Some(base) => lower_metrics(file.metrics.as_ref(), base),
        None => Metrics::default(),
    };
    if let Some(base) = &base {
        providers.note_unused(&mut report);
        report.notes.extend(base.notes.iter().cloned());
        report.mistakes.extend(base.mistakes.iter().cloned());
    }
    let route = Route {
        id: "nginx-demo".to_owned(),
        uris: UriPattern::new("/v1/chat/completions*").into_iter().collect(),
        methods: Vec::new(),
        plugins: Plugins {
            ai_auth: Some(AiAuth::Header {
                name: USER_HEADER.to_owned(),
            }),
            ai_models: Some(AiModels {
                models,
                compat,
                on_loss: file.on_loss.unwrap_or_default(),
            }),
        },
    };
    let (resources, notes) = report.finish(Resources {
        governance: crate::model::Governance::default(),
        routes: vec![route],
        consumers,
        server,
        responses: Responses::default(),
        logging: Logging::default(),
        traces,
        prices,
        usage,
        metrics,
        admin: None,
    })?;
    Ok(Lowered { resources, notes })
}

/// The entries of `models` or `users`.
fn section<'a>(tree: &'a Node, key: &str, report: &mut Report) -> Vec<(&'a str, &'a Node)> {
    match tree.get(key) {
        Some(Node {
            value: Value::Map(entries),
            ..
        }) => entries
            .iter()
            .map(|entry| (entry.key.as_str(), &entry.node))
            .collect(),
        Some(_) => {
            report.mistake(&Path::of([key]), "expected an object");
            Vec::new()
        }
        None if matches!(tree.value, Value::Map(_)) => {
            report.mistake(&Path::of([key]), "missing");
            Vec::new()
        }
        None => {
            report.mistake(&Path::root(), "expected an object with `users` and `models`");
            Vec::new()
        }
    }
}

/// The name of a model's provider and what the model has from it; `None` when it is off or mistaken.
fn connection<'a>(
    name: &str,
    entry: &'a Node,
    path: &Path,
    providers: &mut Providers,
    report: &mut Report,
    base: Option<&mut Report>,
    env: &dyn Fn(&str) -> Option<String>,
) -> Option<(&'a str, Connection)> {
    if let Err(text) = check::name(name).and_then(|()| check::no_glob(name)) {
        report.mistake(path, text);
    }
    note_ignored(entry, path, &["provider", "location"], report);
    let provider = text_of(entry, "provider", path, Need::Required, report)?;
    let place = path.key("provider");
    if !providers.knows(provider) {
        report.mistake(
            &place,
            unknown("provider", provider, providers.names().collect::<Vec<_>>()),
        );
        return None;
    }
    let (place, report_of_providers) = match base {
        Some(base) => (Path::of(["providers", provider]), base),
        None => (place, &mut *report),
    };
    match providers.connect(provider, &place, MissingKey::SendNone, report_of_providers, env) {
        Use::On(connection) => Some((provider, *connection)),
        Use::Off { variable } => {
            report.note(format!("{}: off until {variable} is set", quote(name)));
            None
        }
        Use::Mistaken => None,
    }
}

fn model(provider: &str, connection: Connection, compat: Compat) -> Model {
    let demo = compat == Compat::NginxDemo;
    Model {
        max_output_tokens: (demo && connection.kind == Provider::Anthropic)
            .then_some(ANTHROPIC_MAX_OUTPUT_TOKENS),
        instances: vec![connection.instance(provider)],
        fallback: Vec::new(),
        fallback_on: if demo {
            FallbackOn::EveryStatusBut200
        } else {
            FallbackOn::default()
        },
        timeouts: Timeouts::default(),
        on_loss: None,
    }
}

/// What a user may use. A model that `models` lacks stays in the list: the demo tells so when it is called.
fn access(
    entry: &Node,
    path: &Path,
    models: &Named<Model>,
    tree: &Node,
    report: &mut Report,
) -> Vec<ModelAccess> {
    if !matches!(entry.value, Value::Map(_)) {
        report.mistake(path, "expected an object");
        return Vec::new();
    }
    note_ignored(entry, path, &["models"], report);
    let list = path.key("models");
    let Some(Node {
        value: Value::List(items),
        ..
    }) = entry.get("models")
    else {
        report.mistake(
            &list,
            "expected a list of objects such as `{\"name\": \"gpt-5\"}`",
        );
        return Vec::new();
    };
    let written = |name: &str| {
        tree.get("models")
            .is_some_and(|models| models.get(name).is_some())
    };
    let mut access = Vec::new();
    for item in items {
        let path = list.index(item.index);
        note_ignored(&item.node, &path, &["name", "failover"], report);
        let Some(name) = text_of(&item.node, "name", &path, Need::Required, report) else {
            continue;
        };
        if let Err(text) = check::no_glob(name) {
            report.mistake(&path.key("name"), text);
            continue;
        }
        if !written(name) {
            report.note(format!(
                "{path}: `{}` is not in `models`; calls for it are answered with an error",
                quote(name)
            ));
        }
        let failover =
            text_of(&item.node, "failover", &path, Need::Optional, report).filter(|name| !name.is_empty());
        if let Some(failover) = failover
            && !written(failover)
        {
            report.note(format!(
                "{path}: the failover `{}` is not in `models`; it is not tried",
                quote(failover)
            ));
        }
        let fallback = failover.map(|failover| {
            if models.contains(failover) {
                vec![failover.to_owned()]
            } else {
                Vec::new()
            }
        });
        access.push(ModelAccess {
            name: Glob::new(name),
            fallback,
        });
    }
    access
}

fn server(file: &File, base: Option<&mut Report>) -> Server {
    let server = match base {
        Some(base) => lower_server(&file.server, base),
        None => Server::default(),
    };
    let listen = if file.server.listen.is_some() {
        server.listen
    } else {
        vec![DEFAULT_LISTEN]
    };
    let written = file.server.access_log.as_ref();
    let format = match written.and_then(|log| log.format.as_ref()) {
        Some(_) => server.access_log.format,
        None => LogFormat::Template(LOG_FORMAT.to_owned()),
    };
    Server {
        listen,
        access_log: AccessLog {
            path: server.access_log.path,
            format,
        },
        ..server
    }
}

/// Sections of the native file that say what `rbac.json` says already.
fn refuse_sections(base: &mut Report) {
    for key in ["models", "consumers", "auth"] {
        if base.tree.get(key).is_some() {
            base.mistake(
                &Path::of([key]),
                "has no place beside an rbac.json, which says it already; remove it",
            );
        }
    }
    if base.tree.get("responses").is_some() {
        base.mistake(
            &Path::of(["responses"]),
            "has no place beside an rbac.json, which serves chat completions only; remove it",
        );
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Need {
    Required,
    Optional,
}

/// A text member of an object. `null` counts as absent, as it does for the demo's script.
fn text_of<'a>(object: &'a Node, key: &str, path: &Path, need: Need, report: &mut Report) -> Option<&'a str> {
    if !matches!(object.value, Value::Map(_)) {
        if need == Need::Required {
            report.mistake(path, "expected an object");
        }
        return None;
    }
    match object.get(key).map(|node| &node.value) {
        Some(Value::Text(text)) => Some(text),
        None | Some(Value::Null) => {
            if need == Need::Required {
                report.mistake(&path.key(key), "missing");
            }
            None
        }
        Some(_) => {
            report.mistake(&path.key(key), "expected text");
            None
        }
    }
}

/// Members of an object that nobody reads. The demo ignores them, and so do we, but not in silence.
fn note_ignored(object: &Node, path: &Path, known: &[&str], report: &mut Report) {
    for key in object.keys().filter(|key| !known.contains(key)) {
        report.note(format!("{}: ignored", path.key(key)));
    }
}
