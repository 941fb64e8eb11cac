//! What a person sees when the gateway has started.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;

use tollgate_admin::reachable;
use tollgate_resources::Resources;
use tollgate_resources::model::{AiAuth, AiModels, Compat, Dialect, Provider};

use crate::administration::Administration;
use crate::cli::Source;

/// An address where calls are served.
pub struct Served {
    /// `http` or `https`.
    pub scheme: &'static str,
    /// The address.
    pub address: SocketAddr,
}

/// Says where the gateway listens, which models it serves, and three lines to try it with.
pub fn print(
    resources: &Resources,
    notes: &[String],
    addresses: &[Served],
    source: &Source,
    administration: Option<&Administration>,
    observations: &[(&str, SocketAddr)],
) {
    let text = text(resources, notes, addresses, source, administration, observations);
    // Without standard error the gateway serves all the same.
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

fn text(
    resources: &Resources,
    notes: &[String],
    addresses: &[Served],
    source: &Source,
    administration: Option<&Administration>,
    observations: &[(&str, SocketAddr)],
) -> String {
    let mut text = format!("\nTollgate {}\n\n", env!("CARGO_PKG_VERSION"));
    let mut line = |line: String| {
        text.push_str(&line);
        text.push('\n');
    };
    for Served { scheme, address } in addresses {
        line(format!("  listening on   {scheme}://{address}"));
    }
    if let Some(administration) = administration {
        for address in &administration.addresses {
            let (scheme, address) = (administration.scheme, reachable(*address));
            match &administration.code {
                Some(code) => {
                    line(format!("  dashboard      {scheme}://{address}/ui/#code={code}"));
                    line("                 (signs you in once, within 15 minutes)".to_owned());
                }
                None => line(format!("  dashboard      {scheme}://{address}/ui/")),
            }
            line(format!("  Admin API      {scheme}://{address}/apisix/admin"));
        }
        if let Some(location) = &administration.key_location {
            line(format!(
                "  its key        in {} (made up at the first start)",
                location.display()
            ));
        }
    }
    for (name, address) in observations {
        line(format!("  {name:<13}  http://{address}"));
    }
    line(format!("  configuration  {}", configuration(source)));
    for route in &resources.routes {
        let Some(models) = &route.plugins.ai_models else {
            continue;
        };
        line(format!(
            "  models         {}",
            models.models.names().collect::<Vec<_>>().join(", ")
        ));
    }
    for note in notes {
        line(format!("  note           {note}"));
    }
    for (what, line) in trials(resources, addresses) {
        // Writing to memory does not fail.
        let _ = writeln!(text, "\n# {what}\n{line}");
    }
    text.push('\n');
    text
}

fn configuration(source: &Source) -> String {
    let files: Vec<String> = source
        .rbac
        .iter()
        .chain(&source.config)
        .map(|path| format!("{} (watched)", path.display()))
        .collect();
    if files.is_empty() {
        "built in; `tollgate run --config tollgate.yaml` uses yours".to_owned()
    } else {
        files.join(", ")
    }
}

/// Lines for a shell that try the gateway at its first address, each with what it shows.
pub fn trials(resources: &Resources, addresses: &[Served]) -> Vec<(String, String)> {
    let Some(Served { scheme, address }) = addresses.first() else {
        return Vec::new();
    };
    let base = format!("{scheme}://{}", reachable(*address));
    let mut lines = Vec::new();
    for route in &resources.routes {
        let Some(models) = &route.plugins.ai_models else {
            continue;
        };
        let auth = auth(route.plugins.ai_auth.as_ref(), resources);
        let Some(model) = preferred(models, &[Dialect::OpenaiChat, Dialect::AnthropicMessages]) else {
            continue;
        };
        let say = |model: &str, more: &str| {
            format!(r#"{{"model":"{model}",{more}"messages":[{{"role":"user","content":"Hello"}}]}}"#)
        };
        let mut curl = |what: &str, path: &str, flags: &str, body: String| {
            let line =
                format!("curl -s{flags} {base}{path} {auth}-H 'content-type: application/json' -d '{body}'");
            lines.push((what.to_owned(), line));
        };
        curl("OpenAI chat", "/v1/chat/completions", "", say(model, ""));
        curl(
            "OpenAI chat, streamed",
            "/v1/chat/completions",
            "N",
            say(model, r#""stream":true,"#),
        );
        if models.compat != Compat::NginxDemo {
            let model =
                preferred(models, &[Dialect::AnthropicMessages, Dialect::OpenaiChat]).unwrap_or(model);
            curl(
                "Anthropic messages",
                "/v1/messages",
                "",
                say(model, r#""max_tokens":256,"#),
            );
        }
    }
    lines
}

fn auth(auth: Option<&AiAuth>, resources: &Resources) -> String {
    match auth {
        Some(AiAuth::Key { .. }) => "-H 'authorization: Bearer <your key>' ".to_owned(),
        Some(AiAuth::Header { name }) => {
            let user = resources
                .consumers
                .first()
                .map_or("<user>", |consumer| &consumer.username);
            format!("-H '{name}: {user}' ")
        }
        Some(AiAuth::Anonymous) | None => String::new(),
    }
}

/// A model to show: a simulated one if there is one, since that works without a key.
fn preferred<'a>(models: &'a AiModels, dialects: &[Dialect]) -> Option<&'a str> {
    let named = || models.models.iter().filter(|(name, _)| !name.contains('*'));
    let speaks = |dialect: Dialect, only_simulated: bool| {
        named().find(move |(_, model)| {
            model.instances.first().is_some_and(|instance| {
                instance.dialects.first() == Some(&dialect)
                    && (!only_simulated || instance.provider == Provider::Simulated)
            })
        })
    };
    let found = dialects.iter().find_map(|dialect| speaks(*dialect, true));
    found
        .or_else(|| dialects.iter().find_map(|dialect| speaks(*dialect, false)))
        .map(|(name, _)| name)
}
