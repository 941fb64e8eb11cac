//! What the schemas cannot say: rules over several fields. Texts are APISIX's where it has the rule.
//!
//! Sees configurations as people wrote them, so a secret may be a reference; what a reference stands for is not checked.

use std::collections::HashMap;

use http::{HeaderName, HeaderValue};
use serde_json::Value;

use super::ActiveCheck;
use super::legacy::{is_legacy, normalise};
use super::options::Endpoint;
use crate::ai::catalogue::{Key, Provider};
use crate::health::Sent;

/// Checks a configuration of `ai-proxy` that fits its schema. `strict` leaves out the rules that APISIX does not have.
///
/// # Errors
/// The text for the person who wrote it.
pub fn check(conf: &Value, strict: bool) -> Result<(), String> {
    if is_legacy(conf) {
        return check_instance(&normalise(conf)?.conf, strict);
    }
    check_instance(conf, strict)
}

/// Checks a configuration of `ai-proxy-multi` that fits its schema. `strict` leaves out the rules that APISIX does not
/// have.
///
/// # Errors
/// The text for the person who wrote it.
pub fn check_multi(conf: &Value, strict: bool) -> Result<(), String> {
    let instances = conf.get("instances").and_then(Value::as_array);
    let instances = instances.map(Vec::as_slice).unwrap_or_default();
    let mut seen = HashMap::new();
    for (i, instance) in instances.iter().enumerate() {
        let name = text(instance, &["name"]).unwrap_or("?");
        if let Some(first) = seen.insert(name, i + 1) {
            return Err(format!(
                "duplicate instance name '{name}' at instances[{first}] and instances[{}]",
                i + 1
            ));
        }
        check_endpoint(instance)?;
        check_instance(instance, strict).map_err(|problem| {
            // These two name no instance in APISIX.
            if problem.starts_with("invalid gcp") || problem.starts_with("ai provider") {
                problem
            } else {
                format!("instance '{name}': {problem}")
            }
        })?;
    }
    match text(conf, &["balancer", "algorithm"]) {
        Some("chash") => check_hash(conf),
        Some("semantic") => check_semantic(conf, instances, strict),
        _ => Ok(()),
    }
}

fn check_instance(conf: &Value, strict: bool) -> Result<(), String> {
    let name = text(conf, &["provider"]).unwrap_or_default();
    let provider = Provider::find(name).ok_or_else(|| format!("ai provider: {name} is not supported."))?;
    if let Some(account) = text(conf, &["auth", "gcp", "service_account_json"])
        && !is_reference(account)
    {
        serde_json::from_str::<Value>(account)
            .map_err(|error| format!("invalid gcp service_account_json: {error}"))?;
    }
    check_endpoint(conf)?;
    let has_endpoint = text(conf, &["override", "endpoint"]).is_some();
    let region = text(conf, &["provider_conf", "region"]);
    if provider.key() == Key::Gcp
        && !has_endpoint
        && (region.is_none() || text(conf, &["provider_conf", "project_id"]).is_none())
    {
        return Err(format!(
            "{name} requires either provider_conf (project_id + region) or override.endpoint"
        ));
    }
    if provider.is_signed() {
        if region.is_none() {
            return Err(format!("{name} requires provider_conf.region"));
        }
        if conf.pointer("/auth/aws").is_none() {
            return Err(format!("{name} requires auth.aws"));
        }
    }
    if strict {
        return Ok(());
    }
    if provider.host().is_none() && !has_endpoint {
        return Err(format!(
            "{name} has no address of its own: override.endpoint is required"
        ));
    }
    check_region(region)?;
    check_headers(conf)?;
    check_active(conf)
}

/// What the requests of an active check are made of.
fn check_active(conf: &Value) -> Result<(), String> {
    let Some(active) = conf.pointer("/checks/active") else {
        return Ok(());
    };
    // Its shape was checked by the schema.
    let Ok(active) = serde_json::from_value::<ActiveCheck>(active.clone()) else {
        return Ok(());
    };
    Sent::new(&active).map(drop)
}

fn check_endpoint(conf: &Value) -> Result<(), String> {
    match text(conf, &["override", "endpoint"]) {
        Some(endpoint) if !is_reference(endpoint) => Endpoint::parse(endpoint)
            .map(drop)
            .map_err(|error| error.to_string()),
        _ => Ok(()),
    }
}

/// A region becomes a part of a host name.
fn check_region(region: Option<&str>) -> Result<(), String> {
    match region {
        Some(region)
            if !is_reference(region) && !region.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') =>
        {
            Err("provider_conf.region may only hold letters, digits and `-`".to_owned())
        }
        _ => Ok(()),
    }
}

fn check_headers(conf: &Value) -> Result<(), String> {
    let headers = conf.pointer("/auth/header").and_then(Value::as_object);
    for (name, value) in headers.into_iter().flatten() {
        HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| format!("auth.header: `{name}` cannot be the name of a header"))?;
        let value = value.as_str().unwrap_or_default();
        if HeaderValue::from_str(value).is_err() {
            return Err(format!(
                "auth.header: the value of `{name}` holds characters that cannot stand in a header"
            ));
        }
    }
    Ok(())
}

fn check_hash(conf: &Value) -> Result<(), String> {
    // The schema's default, which APISIX fills in before it looks.
    let hash_on = text(conf, &["balancer", "hash_on"]).unwrap_or("vars");
    let key = text(conf, &["balancer", "key"]);
    if hash_on == "consumer" {
        return Ok(());
    }
    let Some(key) = key else {
        return Err("must configure `hash_key` when balancer `hash_on` is not set to cookie".to_owned());
    };
    let word = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
    };
    let fits = match hash_on {
        "vars" => HASHED_VARIABLES.contains(&key) || key.strip_prefix("arg_").is_some_and(word),
        "header" | "cookie" => word(key),
        _ => true,
    };
    if fits {
        Ok(())
    } else {
        Err(format!(
            "invalid configuration: failed to match pattern of `{hash_on}` with \"{key}\""
        ))
    }
}

fn check_semantic(conf: &Value, instances: &[Value], strict: bool) -> Result<(), String> {
    let Some(embeddings) = conf.pointer("/semantic_opts/embeddings") else {
        return Err(
            "must configure `semantic_opts.embeddings` when balancer algorithm is semantic".to_owned(),
        );
    };
    let endpoint = text(embeddings, &["endpoint"]).filter(|text| !is_reference(text));
    let parsed = endpoint
        .map(Endpoint::parse)
        .transpose()
        .map_err(|_| "invalid `semantic_opts.embeddings.endpoint`".to_owned())?;
    if text(embeddings, &["provider"]) == Some("azure-openai") {
        if text(embeddings, &["endpoint"]).is_none() {
            return Err(
                "must configure `semantic_opts.embeddings.endpoint` when embeddings provider is azure-openai"
                    .to_owned(),
            );
        }
        if parsed.is_some_and(|endpoint| matches!(endpoint.path.as_deref(), None | Some("/"))) {
            return Err("`semantic_opts.embeddings.endpoint` for azure-openai must include the full deployment path, \
                        e.g. https://{resource}.openai.azure.com/openai/deployments/{deployment}/embeddings\
                        ?api-version=..."
                .to_owned());
        }
    }
    for instance in instances {
        let examples = instance.get("examples").and_then(Value::as_array);
        let said = |example: &Value| example.as_str().is_some_and(|text| !text.is_empty());
        if !examples.is_some_and(|examples| examples.iter().any(said)) {
            return Err(format!(
                "instance '{}': must configure non-empty `examples` for the semantic algorithm",
                text(instance, &["name"]).unwrap_or("?")
            ));
        }
    }
    if !strict {
        check_headers(embeddings).map_err(|problem| format!("semantic_opts.embeddings.{problem}"))?;
    }
    match text(conf, &["semantic_opts", "fallback"]) {
        Some(fallback)
            if !instances
                .iter()
                .any(|instance| text(instance, &["name"]) == Some(fallback)) =>
        {
            Err(format!(
                "`semantic_opts.fallback` names unknown instance '{fallback}'"
            ))
        }
        _ => Ok(()),
    }
}

/// Whether a text stands for another that is looked up later.
fn is_reference(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.contains("$env://") || text.contains("$secret://")
}

fn text<'a>(value: &'a Value, path: &[&str]) -> Option<&'a str> {
    path.iter()
        .try_fold(value, |value, key| value.get(key))
        .and_then(Value::as_str)
}

/// Variables that may be hashed, besides `arg_…`.
const HASHED_VARIABLES: [&str; 10] = [
    "uri",
    "server_name",
    "server_addr",
    "request_uri",
    "remote_port",
    "remote_addr",
    "query_string",
    "host",
    "hostname",
    "mqtt_client_id",
];

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{check, check_multi};

    fn problem(conf: &Value) -> String {
        check(conf, false).unwrap_err()
    }

    #[test]
    fn a_check_that_cannot_be_sent_is_refused_with_its_field() {
        let with = |active: Value| json!({"instances": [{"name": "a", "provider": "openai", "auth": {}, "checks": {"active": active}}]});
        for (active, field) in [
            (json!({"req_headers": ["no header"]}), "checks.active.req_headers"),
            (json!({"http_path": "/a b"}), "checks.active.http_path"),
            (json!({"host": "a\nb"}), "checks.active.host"),
            (json!({"http_method": "GET IT"}), "checks.active.http_method"),
        ] {
            let problem = check_multi(&with(active.clone()), false).unwrap_err();
            assert!(
                problem.starts_with(&format!("instance 'a': {field}: ")),
                "{problem}"
            );
            assert_eq!(check_multi(&with(active), true), Ok(()));
        }
        let active = json!({"req_headers": ["X-Key: $env://KEY"], "http_path": "status?full=1"});
        assert_eq!(check_multi(&with(active), false), Ok(()));
    }

    #[test]
    fn what_a_provider_needs_is_said_in_apisix_words() {
        let vertex = "vertex-ai requires either provider_conf (project_id + region) or override.endpoint";
        for conf in [
            json!({"provider": "vertex-ai", "auth": {}}),
            json!({"provider": "vertex-ai", "auth": {}, "provider_conf": {"region": "us-east1"}}),
        ] {
            assert_eq!(problem(&conf), vertex);
            assert_eq!(check(&conf, true).unwrap_err(), vertex);
        }
        assert_eq!(
            problem(&json!({"provider": "bedrock", "auth": {}})),
            "bedrock requires provider_conf.region"
        );
        let conf = json!({"provider": "bedrock", "auth": {}, "provider_conf": {"region": "us-east-1"}});
        assert_eq!(problem(&conf), "bedrock requires auth.aws");
        let conf = json!({"provider": "vertex-ai", "auth": {"gcp": {"service_account_json": "{"}}});
        assert!(problem(&conf).starts_with("invalid gcp service_account_json: "));
        let conf = json!({"provider": "vertex-ai", "auth": {"gcp": {"service_account_json": "$ENV://GCP"}},
                          "override": {"endpoint": "https://x"}});
        assert_eq!(check(&conf, false), Ok(()));
    }

    #[test]
    fn providers_without_an_address_need_an_endpoint_unless_strict() {
        for provider in ["openai-compatible", "azure-openai"] {
            let conf = json!({"provider": provider, "auth": {}});
            assert_eq!(
                problem(&conf),
                format!("{provider} has no address of its own: override.endpoint is required")
            );
            assert_eq!(check(&conf, true), Ok(()));
            let conf = json!({"provider": provider, "auth": {}, "override": {"endpoint": "https://x"}});
            assert_eq!(check(&conf, false), Ok(()));
        }
    }

    #[test]
    fn headers_that_cannot_be_sent_are_refused_without_showing_their_value() {
        let conf = json!({"provider": "openai", "auth": {"header": {"Authorization": "Bearer sk-1\n"}}});
        let problem = problem(&conf);
        assert!(
            problem.contains("`Authorization`") && !problem.contains("sk-1"),
            "{problem}"
        );
    }

    #[test]
    fn a_region_cannot_move_the_host() {
        let conf =
            json!({"provider": "bedrock", "auth": {"aws": {}}, "provider_conf": {"region": "x.evil.com/"}});
        assert!(problem(&conf).contains("region"));
    }

    #[test]
    fn instances_are_told_apart() {
        let one = json!({"name": "a", "provider": "openai", "auth": {}, "weight": 1});
        let conf = json!({"instances": [one, {"name": "b", "provider": "openai", "auth": {}}, one]});
        assert_eq!(
            check_multi(&conf, false).unwrap_err(),
            "duplicate instance name 'a' at instances[1] and instances[3]"
        );
        let conf = json!({"instances": [{"name": "b", "provider": "bedrock", "auth": {}}]});
        assert_eq!(
            check_multi(&conf, true).unwrap_err(),
            "instance 'b': bedrock requires provider_conf.region"
        );
        let conf = json!({"instances": [{"name": "b", "provider": "openai", "auth": {},
                          "override": {"endpoint": "http//127.0.0.1"}}]});
        assert_eq!(check_multi(&conf, true).unwrap_err(), "invalid endpoint");
    }

    #[test]
    fn what_is_hashed_must_be_named() {
        let conf = |hash_on: &str, key: Value| json!({"instances": [], "balancer": {"algorithm": "chash", "hash_on": hash_on, "key": key}});
        for (hash_on, key) in [
            ("vars", "arg_user"),
            ("vars", "remote_addr"),
            ("header", "x-user"),
            ("vars_combinations", "$a$b"),
        ] {
            assert_eq!(
                check_multi(&conf(hash_on, json!(key)), false),
                Ok(()),
                "{hash_on} {key}"
            );
        }
        assert_eq!(check_multi(&conf("consumer", Value::Null), false), Ok(()));
        assert_eq!(
            check_multi(&conf("header", Value::Null), false).unwrap_err(),
            "must configure `hash_key` when balancer `hash_on` is not set to cookie"
        );
        for (hash_on, key) in [("vars", "nonsense"), ("header", "a b"), ("cookie", "")] {
            let problem = check_multi(&conf(hash_on, json!(key)), false).unwrap_err();
            assert!(problem.starts_with("invalid configuration: "), "{problem}");
        }
    }

    #[test]
    fn choosing_by_meaning_needs_examples_and_a_known_fallback() {
        let with = |instance: Value, fallback: &str| {
            json!({
                "instances": [instance],
                "balancer": {"algorithm": "semantic"},
                "semantic_opts": {"embeddings": {"provider": "openai"}, "fallback": fallback},
            })
        };
        let bare = json!({"name": "a", "provider": "openai", "auth": {}});
        let taught = json!({"name": "a", "provider": "openai", "auth": {}, "examples": ["hello"]});
        assert_eq!(
            check_multi(&with(bare, "a"), false).unwrap_err(),
            "instance 'a': must configure non-empty `examples` for the semantic algorithm"
        );
        assert_eq!(
            check_multi(&with(taught.clone(), "z"), false).unwrap_err(),
            "`semantic_opts.fallback` names unknown instance 'z'"
        );
        assert_eq!(check_multi(&with(taught, "a"), false), Ok(()));
    }
}
