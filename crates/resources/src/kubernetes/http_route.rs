//! `HTTPRoute`: a service for each rule, a route for each of its matches.

use serde_json::{Map, Value as Json, json};

use super::Lowering;
use super::cluster::Manifest;
use super::fields::{At, Fields};
use super::upstreams::set;
use crate::tree::Path;

/// The methods of the Gateway API.
const METHODS: [&str; 9] = [
    "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
];

/// Where the parts of a priority stand, from its lowest bit. Each part has the bits up to the next.
const RULE: u32 = 7;
const QUERY: u32 = 12;
const HEADERS: u32 = 17;
const METHOD: u32 = 22;
const HOST: u32 = 23;
const EXACT_HOST: u32 = 31;

/// The largest part that a count of matches can have, and the number of rules that differ in priority.
const MOST_MATCHES: usize = 31;
const MOST_RULES: usize = 16;

/// The largest part that the length of a host can have.
const MOST_HOST: usize = 255;

/// What a match asks of a call.
struct Match {
    uris: Vec<String>,
    vars: Vec<Json>,
    method: Option<&'static str>,
    headers: usize,
    query: usize,
    /// The prefix of its path, when it asks for one.
    prefix: Option<String>,
    path: Path,
}

impl Lowering<'_, '_> {
    pub(super) fn http_route(&mut self, manifest: &Manifest<'_>) {
        let Some(mut spec) = self.spec(manifest) else {
            return;
        };
        // Any gateway is this one.
        spec.get("parentRefs");
        let hosts = spec.texts("hostnames", self.report);
        let rules = spec.list("rules", self.report);
        if rules.is_empty() {
            spec.missing("rules", self.report);
        }
        spec.end(&["useDefaultGateways"], self);
        for (index, rule) in rules.into_iter().enumerate() {
            if let Some(rule) = rule.fields(self.report) {
                self.rule(manifest, &hosts, index, rule);
            }
        }
    }

    fn rule(&mut self, manifest: &Manifest<'_>, hosts: &[String], index: usize, mut rule: Fields<'_>) {
        let at = rule.path.clone();
        // Nothing is called after it.
        rule.get("name");
        let written = rule.list("matches", self.report);
        let mut matches = Vec::new();
        for item in &written {
            matches.extend(self.route_match(item));
        }
        if written.is_empty() {
            matches.push(Match::any(at.clone()));
        }
        let prefixes: Vec<&str> = matches
            .iter()
            .filter_map(|found| found.prefix.as_deref())
            .collect();
        let filters = rule.list("filters", self.report);
        let plugins = self.filters(filters, &manifest.namespace, &prefixes);
        let refs = rule.list("backendRefs", self.report);
        let backends = self.backend_refs(refs, &manifest.namespace);
        rule.end(&["timeouts", "retry", "sessionPersistence"], self);

        let upstream = self.upstream_or_none(backends, &plugins, &at);
        let service = format!("{}_{index}", manifest.composed_name());
        let id = self.add_service(&service, hosts.to_vec(), plugins, upstream, &at);
        for (position, found) in matches.iter().enumerate() {
            let mut value = Map::new();
            value.insert("uris".to_owned(), json!(found.uris));
            set(&mut value, "methods", found.method.map(|method| json!([method])));
            if !found.vars.is_empty() {
                value.insert("vars".to_owned(), json!(found.vars));
            }
            value.insert("priority".to_owned(), priority(hosts, found, index).into());
            self.add_route(
                &service,
                &id,
                &format!("{service}-{position}"),
                value,
                &found.path,
            );
        }
    }

    fn route_match(&mut self, at: &At<'_>) -> Option<Match> {
        let mut fields = at.clone().fields(self.report)?;
        let mut found = Match::any(at.path.clone());
        if let Some(path) = fields.map("path", self.report) {
            self.path_match(path, &mut found);
        }
        found.method = fields.word("method", &METHODS, self.report);
        let headers = fields.list("headers", self.report);
        found.headers = self.value_matches(headers, "http", &mut found.vars);
        let query = fields.list("queryParams", self.report);
        found.query = self.value_matches(query, "arg", &mut found.vars);
        fields.end(&[], self);
        Some(found)
    }

    fn path_match(&mut self, mut fields: Fields<'_>, found: &mut Match) {
        let kinds = ["Exact", "PathPrefix", "RegularExpression"];
        let kind = fields.word("type", &kinds, self.report).unwrap_or("PathPrefix");
        let value = fields.text("value", self.report).unwrap_or("/");
        if kind != "RegularExpression" && !value.starts_with('/') {
            self.report
                .mistake(&fields.path.key("value"), "must begin with `/`");
        }
        fields.end(&[], self);
        found.prefix = None;
        match kind {
            "Exact" => found.uris = vec![value.to_owned()],
            "PathPrefix" => {
                found.uris = match value.strip_suffix('/') {
                    Some(_) => vec![value.to_owned(), format!("{value}*")],
                    None => vec![value.to_owned(), format!("{value}/*")],
                };
                found.prefix = Some(value.to_owned());
            }
            _ => {
                found.uris = vec!["/*".to_owned()];
                found.vars.push(json!(["uri", "~~", value]));
            }
        }
    }

    /// Matches of headers or query parameters; gives how many there are.
    fn value_matches(&mut self, items: Vec<At<'_>>, scope: &str, vars: &mut Vec<Json>) -> usize {
        let mut count = 0;
        for item in items {
            let Some(mut fields) = item.fields(self.report) else {
                continue;
            };
            let kinds = ["Exact", "RegularExpression"];
            let operator = match fields.word("type", &kinds, self.report) {
                Some("RegularExpression") => "~~",
                _ => "==",
            };
            let name = fields.needed_text("name", self.report);
            let value = fields.needed_text("value", self.report);
            fields.end(&[], self);
            if let (Some(name), Some(value)) = (name, value) {
                vars.push(json!([variable(scope, name), operator, value]));
                count += 1;
            }
        }
        count
    }
}

impl Match {
    /// Asks for nothing.
    fn any(path: Path) -> Match {
        Match {
            uris: vec!["/".to_owned(), "/*".to_owned()],
            vars: Vec::new(),
            method: None,
            headers: 0,
            query: 0,
            prefix: Some("/".to_owned()),
            path,
        }
    }
}

/// The variable that holds a header or a query parameter.
pub(super) fn variable(scope: &str, name: &str) -> String {
    match scope {
        "http" => format!("http_{}", name.to_ascii_lowercase().replace('-', "_")),
        scope => format!("{scope}_{name}"),
    }
}

/// Which of several routes that fit is taken, as the controller computes it from what the Gateway API asks for; its path
/// counts before, in the router.
fn priority(hosts: &[String], found: &Match, rule: usize) -> i64 {
    let longest = |exact: bool| {
        let fitting = hosts.iter().filter(|host| !exact || !host.starts_with('*'));
        part(fitting.map(String::len).max().unwrap_or(0), MOST_HOST)
    };
    (longest(true) << EXACT_HOST)
        | (longest(false) << HOST)
        | (i64::from(found.method.is_some()) << METHOD)
        | (part(found.headers, MOST_MATCHES) << HEADERS)
        | (part(found.query, MOST_MATCHES) << QUERY)
        | (part(MOST_RULES.saturating_sub(rule), MOST_RULES) << RULE)
}

fn part(count: usize, most: usize) -> i64 {
    i64::try_from(count.min(most)).unwrap_or(0)
}
