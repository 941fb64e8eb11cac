//! `cors`: which origins' pages may read answers. Answers preflights itself.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use regex::RegexSet;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use tollgate_resources::objects::schema;

use super::spec::read;
use super::{Call, Flow, Plugin, Reply, SchemaType, Scope, Spec, Unusable};

/// `cors`.
pub(super) static SPEC: Spec = Spec {
    name: "cors",
    priority: 4000,
    version: 0.1,
    is_auth: false,
    scope: Scope::Any,
    schema: |kind| match kind {
        SchemaType::Route => Some(schema::of::<Config>()),
        SchemaType::Metadata => Some(schema::of::<Metadata>()),
        SchemaType::Consumer => None,
    },
    check: |conf, kind| match kind {
        SchemaType::Route => Cors::new(conf, None).map(drop).map_err(|unusable| unusable.0),
        _ => Ok(()),
    },
    setup: |conf, setup| Ok(Arc::new(Cors::new(conf, setup.metadata)?)),
    secret_fields: &[],
};

/// Origins as APISIX writes them: one of the stars, `null`, or a list.
const ORIGINS: &str = r"^(\*|\*\*|null|\w+://[^,]+(,\w+://[^,]+)*)$";

/// What pages of other origins may do.
#[derive(Deserialize, JsonSchema)]
#[serde(default)]
struct Config {
    /// Origins that may read answers, separated by commas; `*` is all, `**` is all, also with credentials.
    #[schemars(regex(pattern = ORIGINS))]
    allow_origins: String,
    /// Methods that may be used, separated by commas; `*` is all, `**` is all, also with credentials.
    allow_methods: String,
    /// Headers that may be sent, separated by commas; `*` is all, `**` is those that a preflight asks for.
    allow_headers: String,
    /// Headers of answers that may be read, separated by commas.
    expose_headers: Option<String>,
    /// Seconds for which browsers may keep the answer to a preflight; -1 is not at all.
    max_age: i64,
    /// Whether browsers may send cookies and other credentials. Then nothing else may be `*`.
    allow_credential: bool,
    /// Regular expressions of origins that may read answers; when set, they stand in place of `allow_origins`.
    #[schemars(length(min = 1), inner(length(min = 1, max = 4096)), extend("uniqueItems" = true))]
    allow_origins_by_regex: Option<Vec<String>>,
    /// Names of lists of origins in the plugin's metadata.
    #[schemars(length(min = 1), inner(length(min = 1, max = 4096)), extend("uniqueItems" = true))]
    allow_origins_by_metadata: Option<Vec<String>>,
    /// Origins that may read how long things took, separated by commas.
    #[schemars(regex(pattern = ORIGINS))]
    timing_allow_origins: Option<String>,
    /// Regular expressions of such origins; when set, they stand in place of `timing_allow_origins`.
    #[schemars(length(min = 1), inner(length(min = 1, max = 4096)), extend("uniqueItems" = true))]
    timing_allow_origins_by_regex: Option<Vec<String>>,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            allow_origins: "*".to_owned(),
            allow_methods: "*".to_owned(),
            allow_headers: "*".to_owned(),
            expose_headers: None,
            max_age: 5,
            allow_credential: false,
            allow_origins_by_regex: None,
            allow_origins_by_metadata: None,
            timing_allow_origins: None,
            timing_allow_origins_by_regex: None,
        }
    }
}

/// Lists of origins that routes refer to by name.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(default)]
struct Metadata {
    /// Origins, separated by commas, by the name of their list.
    #[schemars(extend("additionalProperties" = {"type": "string", "pattern": ORIGINS}))]
    allow_origins: HashMap<String, String>,
}

const TIMING_ALLOW_ORIGIN: HeaderName = HeaderName::from_static("timing-allow-origin");

const ALL_METHODS: &str = "GET,POST,PUT,DELETE,PATCH,HEAD,OPTIONS,CONNECT,TRACE";

struct Cors {
    origins: Origins,
    /// Lists of the metadata that are asked besides.
    named: Vec<Origins>,
    /// Whether the answer to one origin may differ from that to another.
    varies: bool,
    timing: Option<Origins>,
    /// Headers that are the same for all origins.
    fixed: HeaderMap,
    /// Whether the headers that a preflight asks for are allowed.
    echo_headers: bool,
}

/// Which origins are allowed.
enum Origins {
    /// None of itself.
    Nobody,
    /// `*`.
    All,
    /// `**`: all, and each is told its own name.
    Each,
    /// These.
    Listed(HashSet<String>),
    /// Those that match.
    Matching(RegexSet),
}

impl Origins {
    fn listed(text: &str) -> Self {
        match text {
            "*" => Origins::All,
            "**" => Origins::Each,
            list => Origins::Listed(list.split(',').map(str::to_owned).collect()),
        }
    }

    fn matching(field: &str, patterns: &[String]) -> Result<Self, Unusable> {
        RegexSet::new(patterns)
            .map(Origins::Matching)
            .map_err(|error| Unusable(format!("{field}: {error}")))
    }

    /// What an origin is told: its name, `*`, or nothing.
    fn allow<'o>(&self, origin: Option<&'o str>) -> Option<&'o str> {
        match self {
            Origins::Nobody => None,
            Origins::All => Some("*"),
            Origins::Each => Some(origin.unwrap_or("*")),
            Origins::Listed(list) => origin.filter(|origin| list.contains(*origin)),
            Origins::Matching(patterns) => origin.filter(|origin| patterns.is_match(origin)),
        }
    }
}

impl Cors {
    fn new(conf: &Value, metadata: Option<&Value>) -> Result<Self, Unusable> {
        let config: Config = read(conf)?;
        let starred = [
            Some(&config.allow_origins),
            Some(&config.allow_methods),
            Some(&config.allow_headers),
            config.expose_headers.as_ref(),
            config.timing_allow_origins.as_ref(),
        ];
        if config.allow_credential && starred.into_iter().flatten().any(|text| text == "*") {
            return Err(Unusable(
                "you can not set '*' for other option when 'allow_credential' is true".to_owned(),
            ));
        }
        let metadata: Metadata = metadata.map(read).transpose()?.unwrap_or_default();
        let by_metadata = config.allow_origins_by_metadata.as_deref();
        let named = by_metadata
            .unwrap_or_default()
            .iter()
            .filter_map(|name| metadata.allow_origins.get(name))
            // With credentials a star would let every page act in its user's name; nobody can have meant that.
            .filter(|text| !(config.allow_credential && *text == "*"))
            .map(|text| match Origins::listed(text) {
                Origins::All => Origins::Each,
                origins => origins,
            })
            .collect();
        let origins = match &config.allow_origins_by_regex {
            // A default of `*` beside names in the metadata would make them pointless.
            _ if by_metadata.is_some() && config.allow_origins == "*" => Origins::Nobody,
            Some(patterns) => Origins::matching("allow_origins_by_regex", patterns)?,
            None => Origins::listed(&config.allow_origins),
        };
        let timing = match (
            &config.timing_allow_origins_by_regex,
            &config.timing_allow_origins,
        ) {
            (Some(patterns), _) => Some(Origins::matching("timing_allow_origins_by_regex", patterns)?),
            (None, Some(text)) => Some(Origins::listed(text)),
            (None, None) => None,
        };
        Ok(Cors {
            varies: config.allow_origins != "*" || !matches!(origins, Origins::All),
            origins,
            named,
            timing,
            fixed: fixed(&config)?,
            echo_headers: config.allow_headers == "**",
        })
    }
}

/// Headers that do not depend on who asks.
fn fixed(config: &Config) -> Result<HeaderMap, Unusable> {
    let mut headers = HeaderMap::new();
    let methods = match config.allow_methods.as_str() {
        "**" => ALL_METHODS,
        methods => methods,
    };
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, value("allow_methods", methods)?);
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(config.max_age));
    if let Some(exposed) = config.expose_headers.as_deref().filter(|text| !text.is_empty()) {
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, value("expose_headers", exposed)?);
    }
    if config.allow_headers != "**" {
        let allowed = value("allow_headers", &config.allow_headers)?;
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed);
    }
    if config.allow_credential {
        headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    }
    Ok(headers)
}

fn value(field: &str, text: &str) -> Result<HeaderValue, Unusable> {
    HeaderValue::from_str(text).map_err(|_| Unusable(format!("{field}: cannot stand in a header")))
}

impl Plugin for Cors {
    fn rewrite(&self, call: &mut Call<'_>) -> Flow {
        let sent = &call.request.headers;
        let origin = sent.get(ORIGIN).and_then(|value| value.to_str().ok());
        let answer = &mut call.answer_headers;
        if self.varies {
            answer.append(VARY, HeaderValue::from_static("Origin"));
        }
        let named = || self.named.iter().find_map(|origins| origins.allow(origin));
        // The text came out of a header or is a star, so it can stand in one.
        if let Some(Ok(allowed)) = self
            .origins
            .allow(origin)
            .or_else(named)
            .map(HeaderValue::from_str)
        {
            answer.extend(self.fixed.clone());
            answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
            if self.echo_headers
                && let Some(asked) = sent.get(ACCESS_CONTROL_REQUEST_HEADERS)
            {
                answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
            }
        }
        let timing = self.timing.as_ref().and_then(|origins| origins.allow(origin));
        if let Some(Ok(allowed)) = timing.map(HeaderValue::from_str) {
            answer.insert(TIMING_ALLOW_ORIGIN, allowed);
        }
        if call.request.method == Method::OPTIONS {
            return Reply::text(StatusCode::OK, "preflight", "").into();
        }
        Flow::Next
    }

    fn is_alike_everywhere(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
