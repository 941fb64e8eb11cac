//! `proxy-rewrite`: changes what upstreams get to see of a request: path, host, method, headers.

mod headers;

use std::sync::Arc;

use http::header::HOST;
use http::{HeaderValue, Method, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tollgate_policy::expr::{self, Template, Variables};
use tollgate_resources::objects::schema;

use self::headers::Headers;
use super::auth::check_header_text;
use super::spec::read;
use super::substitution::{Substitution, encode_path, encode_query};
use super::variables::variable;

use super::{Call, CallVariables, Flow, Key, Plugin, Reply, SchemaType, Scope, Spec, Unusable, query};

/// `proxy-rewrite`.
pub(super) static SPEC: Spec = Spec {
    name: "proxy-rewrite",
    priority: 1008,
    version: 0.1,
    is_auth: false,
    scope: Scope::Any,
    schema: |kind| (kind == SchemaType::Route).then(schema::of::<Config>),
    check: |conf, _| Rewrite::new(conf).map(drop).map_err(|unusable| unusable.0),
    setup: |conf, _| Ok(Arc::new(Rewrite::new(conf)?)),
    secret_fields: &[],
};

/// What upstreams get to see.
#[derive(Deserialize, JsonSchema)]
#[schemars(extend("minProperties" = 1))]
struct Config {
    /// The path, and perhaps a query to which the call's is added; with variables.
    #[schemars(length(min = 1, max = 4096), regex(pattern = r"^\/.*"))]
    uri: Option<String>,
    /// The method.
    method: Option<MethodName>,
    /// Regular expressions for the path, each with what stands in place of its match; the first that matches counts.
    #[schemars(length(min = 2))]
    regex_uri: Option<Vec<String>>,
    /// The host.
    #[schemars(regex(pattern = r"^[0-9a-zA-Z-.]+(:\d{1,5})?$"))]
    host: Option<String>,
    /// Headers that are added, set and removed; or, in the older form, headers that are set.
    #[schemars(extend("oneOf" = header_forms()))]
    headers: Option<Map<String, Value>>,
    /// Whether the path is taken as the client wrote it, with its query.
    #[serde(default)]
    use_real_request_uri_unsafe: bool,
}

/// A method that upstreams may be called with.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
enum MethodName {
    Get,
    Post,
    Put,
    Head,
    Delete,
    Options,
    Mkcol,
    Copy,
    Move,
    Propfind,
    Lock,
    Unlock,
    Patch,
    Trace,
}

impl MethodName {
    fn name(self) -> &'static str {
        match self {
            MethodName::Get => "GET",
            MethodName::Post => "POST",
            MethodName::Put => "PUT",
            MethodName::Head => "HEAD",
            MethodName::Delete => "DELETE",
            MethodName::Options => "OPTIONS",
            MethodName::Mkcol => "MKCOL",
            MethodName::Copy => "COPY",
            MethodName::Move => "MOVE",
            MethodName::Propfind => "PROPFIND",
            MethodName::Lock => "LOCK",
            MethodName::Unlock => "UNLOCK",
            MethodName::Patch => "PATCH",
            MethodName::Trace => "TRACE",
        }
    }
}

/// The two forms of `headers`.
fn header_forms() -> Value {
    let scalar = json!({"oneOf": [{"type": "string"}, {"type": "number"}]});
    let one_or_many = json!({
        "type": "object",
        "minProperties": 1,
        "patternProperties": {"^[^:]+$": {"oneOf": [
            {"type": "string"},
            {"type": "number"},
            {"type": "array", "minItems": 1, "items": scalar},
        ]}},
    });
    json!([
        {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": false,
            "properties": {
                "add": one_or_many,
                "set": one_or_many,
                "remove": {
                    "type": "array",
                    "minItems": 1,
                    "items": {"type": "string", "pattern": "^[^:]+$"},
                },
            },
        },
        {"type": "object", "minProperties": 1, "patternProperties": {"^[^:]+$": scalar}},
    ])
}

struct Rewrite {
    uri: Uri,
    is_raw: bool,
    method: Option<Method>,
    host: Option<HeaderValue>,
    headers: Headers,
}

/// How the path is made.
enum Uri {
    Same,
    Made(Template),
    Replaced(Vec<Substitution>),
}

/// Groups of the regular expression that matched; the first is the whole match.
type Groups = Vec<String>;

impl Rewrite {
    fn new(conf: &Value) -> Result<Self, Unusable> {
        let config: Config = read(conf)?;
        let regexes = config.regex_uri.unwrap_or_default();
        let mut substitutions = Vec::with_capacity(regexes.len() / 2);
        for pair in regexes.chunks(2) {
            let [pattern, replacement] = pair else {
                return Err(Unusable(
                    "The length of regex_uri should be an even number".to_owned(),
                ));
            };
            substitutions.push(Substitution::new(pattern, replacement)?);
        }
        let uri = match config.uri {
            Some(uri) => {
                check_header_text("uri", &uri)?;
                Uri::Made(Template::parse(&uri))
            }
            None if substitutions.is_empty() => Uri::Same,
            None => Uri::Replaced(substitutions),
        };
        let method = config
            .method
            .map(|method| Method::from_bytes(method.name().as_bytes()));
        let host = config.host.as_deref().map(HeaderValue::from_str);
        Ok(Rewrite {
            uri,
            is_raw: config.use_real_request_uri_unsafe,
            method: method
                .transpose()
                .map_err(|_| Unusable("method: there is none of this name".to_owned()))?,
            host: host
                .transpose()
                .map_err(|_| Unusable("host: cannot stand in a header".to_owned()))?,
            headers: config
                .headers
                .as_ref()
                .map(Headers::new)
                .transpose()?
                .unwrap_or_default(),
        })
    }

    /// Path and query as the upstream gets them, when they change, and the groups that matched.
    fn uri(&self, call: &Call<'_>) -> (Option<String>, Groups) {
        let current = &call.request.uri;
        match &self.uri {
            Uri::Same => (None, Groups::new()),
            Uri::Made(template) => {
                let variables = Escaped(CallVariables::new(call));
                let made = template.render(&variables).0;
                (Some(with_query(&made, current.query())), Groups::new())
            }
            Uri::Replaced(substitutions) => {
                let raw = current.path_and_query().map_or("/", |text| text.as_str());
                let path = variable(call, "uri").unwrap_or_default();
                let text = if self.is_raw { raw } else { &path };
                let Some((replaced, captures)) = substitutions.iter().find_map(|one| one.apply(text)) else {
                    return (None, Groups::new());
                };
                let groups = captures
                    .iter()
                    .map(|group| group.map_or("", |group| group.as_str()).to_owned())
                    .collect();
                let uri = if self.is_raw {
                    encode_query(&replaced)
                } else if text.contains('?') {
                    // A question mark of the path, sent as %3F, begins no query.
                    let path = encode_path(&replaced);
                    current
                        .query()
                        .map_or(path.clone(), |query| format!("{path}?{query}"))
                } else {
                    with_query(&replaced, current.query())
                };
                (Some(uri), groups)
            }
        }
    }
}

/// Encodes a path, perhaps with a query of its own, and adds the call's query.
fn with_query(made: &str, query: Option<&str>) -> String {
    let (path, own) = match made.split_once('?') {
        Some((path, own)) => (path, Some(own)),
        None => (made, None),
    };
    let mut uri = encode_path(path);
    for (separator, part) in [('?', own.map(encode_query)), ('&', query.map(str::to_owned))] {
        if let Some(part) = part {
            uri.push(if uri.contains('?') { separator } else { '?' });
            uri.push_str(&part);
        }
    }
    uri
}

/// Variables whose question marks do not begin a query.
struct Escaped<'c>(CallVariables<'c>);

impl Variables for Escaped<'_> {
    fn get(&self, name: &str) -> Option<expr::Value<'_>> {
        match self.0.get(name)? {
            expr::Value::Text(text) if text.contains('?') => {
                Some(expr::Value::from(text.replace('?', "%3F")))
            }
            other => Some(other),
        }
    }
}

/// Variables, and `$1` for groups.
struct WithGroups<'c> {
    call: CallVariables<'c>,
    groups: &'c Groups,
}

impl Variables for WithGroups<'_> {
    fn get(&self, name: &str) -> Option<expr::Value<'_>> {
        match name.parse::<usize>() {
            Ok(number) => self.groups.get(number).map(|group| group.as_str().into()),
            Err(_) => self.call.get(name),
        }
    }
}

impl Plugin for Rewrite {
    fn rewrite(&self, call: &mut Call<'_>) -> Flow {
        let (uri, groups) = self.uri(call);
        let headers = (!self.headers.is_empty()).then(|| {
            self.headers.render(&WithGroups {
                call: CallVariables::new(call),
                groups: &groups,
            })
        });
        if let Some(uri) = uri
            && !query::set_path_and_query(&mut call.request.uri, &uri)
        {
            return Reply::error(
                StatusCode::INTERNAL_SERVER_ERROR,
                "rewrite_failed",
                Key::ErrorMsg,
                "the rewritten uri is none",
            )
            .into();
        }
        if let Some(host) = &self.host {
            call.request.headers.insert(HOST, host.clone());
        }
        if let Some(headers) = headers {
            headers.apply(&mut call.request.headers);
        }
        if let Some(method) = &self.method {
            call.request.method = method.clone();
        }
        Flow::Next
    }

    fn is_alike_everywhere(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
