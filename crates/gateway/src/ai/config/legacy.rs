//! The configuration of `ai-proxy` as APISIX 3.11 had it, brought into today's shape.
//!
//! What was written is kept, with one difference from 3.11: options that were not written are not sent. There, every
//! request without them got `max_tokens: 256` and `stream: false`, which cut answers and broke clients that stream.

use serde_json::{Map, Value};

/// A configuration in today's shape, and what today's shape has no place for.
#[derive(Clone, Debug, PartialEq)]
pub struct Normal {
    /// Fits the schema of today.
    pub conf: Value,
    /// Whether it was written in the old shape. Then clients' headers are not sent to the vendor.
    pub legacy: bool,
    /// Costs that were written among the options.
    pub price: Option<Price>,
    /// Whether the vendor's answer becomes the request for the route's upstream.
    pub passthrough: bool,
}

/// Costs, in the unit that was written: per token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Price {
    /// Of a token of input.
    pub input: f64,
    /// Of a token of output.
    pub output: f64,
}

/// Whether a configuration is written in the old shape.
pub fn is_legacy(conf: &Value) -> bool {
    conf.get("provider").is_none() && conf.get("model").is_some_and(Value::is_object)
}

/// Brings a configuration into today's shape; one that has it stays as it is.
///
/// # Errors
/// An old configuration lacks what today's needs.
pub fn normalise(conf: &Value) -> Result<Normal, String> {
    if !is_legacy(conf) {
        return Ok(Normal {
            conf: conf.clone(),
            legacy: false,
            price: None,
            passthrough: false,
        });
    }
    let written = conf.as_object().ok_or("the configuration must be an object")?;
    let model = written.get("model").and_then(Value::as_object);
    let model = model.ok_or("property \"model\" must be an object")?;
    let provider = model
        .get("provider")
        .ok_or("property \"model\" validation failed: property \"provider\" is required")?;

    let mut options = match model.get("options") {
        None => Map::new(),
        Some(Value::Object(options)) => options.clone(),
        Some(_) => {
            return Err("property \"model\" validation failed: \"options\" must be an object".to_owned());
        }
    };
    let price = price(&mut options)?;
    if let Some(name) = model.get("name") {
        options.insert("model".to_owned(), name.clone());
    }

    let mut new = Map::new();
    new.insert("provider".to_owned(), provider.clone());
    if !options.is_empty() {
        new.insert("options".to_owned(), Value::Object(options));
    }
    // The pages of 3.11 showed it inside `model`, its code looked outside.
    if let Some(replaced) = written.get("override").or_else(|| model.get("override")) {
        new.insert("override".to_owned(), replaced.clone());
    }
    for key in [
        "auth",
        "timeout",
        "keepalive",
        "keepalive_timeout",
        "keepalive_pool",
        "ssl_verify",
        "_meta",
    ] {
        if let Some(value) = written.get(key) {
            new.insert(key.to_owned(), value.clone());
        }
    }
    new.entry("timeout").or_insert_with(|| LEGACY_TIMEOUT.into());
    Ok(Normal {
        conf: Value::Object(new),
        legacy: true,
        price,
        passthrough: written.get("passthrough") == Some(&Value::Bool(true)),
    })
}

/// Takes the costs out of the options.
fn price(options: &mut Map<String, Value>) -> Result<Option<Price>, String> {
    let mut cost = |key: &str| match options.remove(key) {
        None => Ok(None),
        Some(value) => match value.as_f64() {
            Some(cost) if cost >= 0.0 => Ok(Some(cost)),
            _ => Err(format!(
                "property \"{key}\" must be a number that is not negative"
            )),
        },
    };
    let (input, output) = (cost("input_cost")?, cost("output_cost")?);
    Ok((input.is_some() || output.is_some()).then(|| Price {
        input: input.unwrap_or(0.0),
        output: output.unwrap_or(0.0),
    }))
}

/// Milliseconds; what 3.11 waited if nothing was written.
const LEGACY_TIMEOUT: u64 = 3_000;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Price, normalise};

    #[test]
    fn an_old_configuration_is_brought_into_the_new_shape() {
        let normal = normalise(&json!({
            "auth": {"header": {"Authorization": "Bearer x"}},
            "model": {
                "provider": "openai",
                "name": "gpt-4",
                "options": {"max_tokens": 512, "temperature": 1.0, "input_cost": 0.5, "output_cost": 2},
            },
            "override": {"endpoint": "http://localhost:6724"},
            "ssl_verify": false,
            "passthrough": true,
        }))
        .unwrap();
        assert_eq!(
            normal.conf,
            json!({
                "provider": "openai",
                "auth": {"header": {"Authorization": "Bearer x"}},
                "options": {"model": "gpt-4", "max_tokens": 512, "temperature": 1.0},
                "override": {"endpoint": "http://localhost:6724"},
                "ssl_verify": false,
                "timeout": 3000,
            })
        );
        assert_eq!(
            normal.price,
            Some(Price {
                input: 0.5,
                output: 2.0
            })
        );
        assert!(normal.legacy && normal.passthrough);
    }

    #[test]
    fn the_endpoint_is_found_inside_the_model_too() {
        let conf = json!({"auth": {}, "model": {"provider": "openai", "override": {"endpoint": "http://x"}}});
        assert_eq!(normalise(&conf).unwrap().conf["override"]["endpoint"], "http://x");
    }

    #[test]
    fn a_new_configuration_stays_as_it_is() {
        let conf = json!({"auth": {}, "provider": "openai", "options": {"input_cost": 1}});
        let normal = normalise(&conf).unwrap();
        assert_eq!((normal.conf, normal.legacy, normal.price), (conf, false, None));
    }

    #[test]
    fn an_old_configuration_without_a_provider_is_refused() {
        let problem = normalise(&json!({"auth": {}, "model": {"name": "x"}})).unwrap_err();
        assert!(problem.contains("\"provider\" is required"), "{problem}");
        assert!(
            normalise(&json!({"auth": {}, "model": {"provider": "openai", "options": {"input_cost": -1}}}))
                .is_err()
        );
    }
}
