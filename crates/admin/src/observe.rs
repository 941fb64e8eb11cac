//! How the data plane is doing: the health of instances, as APISIX's control API tells it, and numbers for Prometheus.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Map, Value, json};
use tollgate_gateway::health::ForOwner;
use tollgate_resources::objects::{Kind, ObjectKey};

use crate::admin::Observed;
use crate::answer::Answer;
use crate::errors::Refusal;
use crate::guarded::Guarded;
use crate::query::segments;
use crate::settings::Settings;

/// What a listener of its own tells, to every address that may connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observation {
    /// APISIX's control API: the health of instances.
    Control,
    /// Numbers for Prometheus.
    Metrics,
}

/// Serves an observation until `shutdown` is done. Numbers are told at `path` too.
///
/// # Errors
/// The listener fails for good.
pub async fn serve_observed<O: Observed>(
    listener: tokio::net::TcpListener,
    observation: Observation,
    path: Option<String>,
    observed: Arc<O>,
    strict: bool,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let told = Told {
        observation,
        path: path.map(Arc::from),
        observed,
        settings: Arc::new(Settings {
            cors: false,
            strict,
            ..Settings::default()
        }),
    };
    let router = Router::new().fallback(respond::<O>).with_state(told);
    axum::serve(Guarded::new(listener), router)
        .with_graceful_shutdown(shutdown)
        .await
}

struct Told<O> {
    observation: Observation,
    path: Option<Arc<str>>,
    observed: Arc<O>,
    settings: Arc<Settings>,
}

impl<O> Clone for Told<O> {
    fn clone(&self) -> Self {
        Told {
            observation: self.observation,
            path: self.path.clone(),
            observed: self.observed.clone(),
            settings: self.settings.clone(),
        }
    }
}

async fn respond<O: Observed>(State(told): State<Told<O>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let segments = segments(parts.uri.path());
    let observed = &*told.observed;
    let answer = match told.observation {
        Observation::Control if is_health(&segments) => {
            health(&parts, &segments, observed, told.settings.strict)
        }
        Observation::Metrics if is_metrics(&segments) || told.path.as_deref() == Some(parts.uri.path()) => {
            metrics(&parts.method, observed, None)
        }
        Observation::Control | Observation::Metrics => Err(Refusal::NoPath),
    };
    answer.unwrap_or_else(Answer::from).finish(&told.settings)
}

/// Whether a path is that of the numbers: ours or APISIX's.
pub(crate) fn is_metrics(segments: &[String]) -> bool {
    let path: Vec<&str> = segments.iter().map(String::as_str).collect();
    matches!(path.as_slice(), ["metrics"] | ["apisix", "prometheus", "metrics"])
}

/// Whether a path asks for health.
pub(crate) fn is_health(segments: &[String]) -> bool {
    matches!(segments, [first, second, ..] if first == "v1" && second == "healthcheck")
}

/// The numbers.
pub(crate) fn metrics(
    method: &Method,
    observed: &impl Observed,
    own: Option<String>,
) -> Result<Answer, Refusal> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Err(Refusal::NoPath);
    }
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    let parts = Box::new(observed.metrics().chain(own));
    Ok(Answer::parts(StatusCode::OK, parts).with(CONTENT_TYPE, kind))
}

/// What the Admin API itself has counted, once there is something to tell.
pub(crate) fn own_metrics(wrong_keys: u64) -> Option<String> {
    (wrong_keys > 0).then(|| {
        format!(
            "# HELP tollgate_admin_wrong_keys_total Requests to the Admin API with a key that opens nothing.\n\
             # TYPE tollgate_admin_wrong_keys_total counter\n\
             tollgate_admin_wrong_keys_total {wrong_keys}\n"
        )
    })
}

/// The health of all objects, or of one.
pub(crate) fn health(
    parts: &Parts,
    segments: &[String],
    observed: &impl Observed,
    strict: bool,
) -> Result<Answer, Refusal> {
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        return Err(Refusal::NoPath);
    }
    let of_all = || {
        observed.health().into_iter().filter_map(|one| {
            let (kind, id) = one.owner.split_once('/')?;
            // What the owners' kinds are called in paths; models of our own configuration are no objects.
            let collection = collection(kind).unwrap_or(kind);
            Some((
                collection.to_owned(),
                id.to_owned(),
                named(collection, id, one.told),
            ))
        })
    };
    let path: Vec<&str> = segments.iter().skip(2).map(String::as_str).collect();
    let (told, shown) = match path.as_slice() {
        [] => {
            let all: Vec<Value> = of_all().map(|(_, _, told)| told).collect();
            let told = match all.is_empty() && strict {
                // Lua does not tell an empty list from an empty object.
                true => json!({}),
                false => Value::from(all.clone()),
            };
            (told, all)
        }
        [kind] => return Err(Refusal::Missing(format!("missing src id for src type {kind}"))),
        [kind, id, ..] => {
            let found = of_all().find(|(collection, of, _)| collection == kind && of == id);
            let told = match found {
                Some((_, _, told)) => told,
                None => return Err(unknown(kind, id, observed)),
            };
            (told.clone(), vec![told])
        }
    };
    let wants_page = parts
        .headers
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    Ok(match wants_page {
        true => Answer::text(StatusCode::OK, page(&shown))
            .with(CONTENT_TYPE, HeaderValue::from_static("text/html")),
        false => Answer::json(StatusCode::OK, told),
    })
}

/// Which addresses are well, as APISIX's metric `upstream_status` tells it: whose they are, address and port.
pub fn statuses_of_addresses(health: Vec<ForOwner>) -> Vec<(Vec<String>, u64)> {
    let mut statuses = Vec::new();
    for one in health {
        let Some((kind, id)) = one.owner.split_once('/') else {
            continue;
        };
        let name = format!("/apisix/{}/{id}", collection(kind).unwrap_or(kind));
        let nodes = one.told.get("nodes").and_then(Value::as_array);
        for node in nodes.into_iter().flatten() {
            let is_well = matches!(node["status"].as_str(), Some("healthy" | "mostly_healthy"));
            let text = |key: &str| {
                node[key]
                    .as_str()
                    .map_or_else(|| node[key].to_string(), str::to_owned)
            };
            statuses.push((vec![name.clone(), text("ip"), text("port")], u64::from(is_well)));
        }
    }
    statuses
}

fn named(collection: &str, id: &str, mut told: Map<String, Value>) -> Value {
    told.insert("name".to_owned(), format!("/apisix/{collection}/{id}").into());
    told.into()
}

/// The collection of the objects of a kind, which is written as owners of state are.
fn collection(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "route" => Kind::Route.collection(),
        "service" => Kind::Service.collection(),
        "upstream" => Kind::Upstream.collection(),
        "consumer" => Kind::Consumer.collection(),
        "consumer_group" => Kind::ConsumerGroup.collection(),
        "plugin_config" => Kind::PluginConfig.collection(),
        "global_rule" => Kind::GlobalRule.collection(),
        _ => return None,
    })
}

fn unknown(collection: &str, id: &str, observed: &impl Observed) -> Refusal {
    if collection == "stream_routes" {
        return Refusal::Missing(format!("{collection}[{id}] not found"));
    }
    match Kind::of_collection(collection) {
        None => Refusal::Invalid(format!("invalid src type {collection}")),
        Some(kind) if observed.has(&ObjectKey::new(kind, id)) => {
            Refusal::Missing(format!("no checker for {collection}[{id}]"))
        }
        Some(_) => Refusal::Missing(format!("{collection}[{id}] not found")),
    }
}

/// A table of the addresses that are checked, for browsers.
fn page(shown: &[Value]) -> String {
    let mut rows = String::new();
    let mut number = 0;
    for one in shown {
        let nodes = one["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
        for node in nodes {
            number += 1;
            let status = text(&node["status"]);
            let row = match status.as_str() {
                "healthy" | "mostly_healthy" => "<tr>",
                _ => "<tr bgcolor=\"#FF0000\">",
            };
            let counter = &node["counter"];
            let cells = [
                number.to_string(),
                text(&one["name"]),
                text(&one["type"]),
                format!("{}:{}", text(&node["ip"]), text(&node["port"])),
                status,
                text(&counter["success"]),
                text(&counter["tcp_failure"]),
                text(&counter["http_failure"]),
                text(&counter["timeout_failure"]),
            ];
            rows.push_str(row);
            for cell in cells {
                rows.push_str("<td>");
                rows.push_str(&cell);
                rows.push_str("</td>");
            }
            rows.push_str("</tr>\n");
        }
    }
    PAGE.replace("ROWS", &rows)
}

/// A value as text that can stand in a page.
fn text(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

const PAGE: &str = r#"<html xmlns="http://www.w3.org/1999/xhtml">
<head><title>Health checks</title></head>
<body>
<h1>Health checks</h1>
<table border="1">
<tr><th>Index</th><th>Upstream</th><th>Check type</th><th>Host</th><th>Status</th><th>Successes</th><th>TCP failures</th><th>HTTP failures</th><th>Timeouts</th></tr>
ROWS</table>
</body>
</html>
"#;
