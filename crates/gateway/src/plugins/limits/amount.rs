//! Amounts and times of limits, which may depend on the call.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::Deserialize;
use tollgate_policy::expr::Template;

use super::super::{Call, CallVariables, Unusable};

/// A number, or a text with variables that gives one, as it is configured.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum Number {
    Fixed(u64),
    Template(String),
}

impl JsonSchema for Number {
    fn schema_name() -> Cow<'static, str> {
        "Number".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "oneOf": [{"type": "integer", "exclusiveMinimum": 0}, {"type": "string"}],
        })
    }
}

/// A number above 0, or a text with variables that gives one.
pub(crate) enum Amount {
    Fixed(u64),
    Template(Template),
}

impl Amount {
    pub(crate) fn new(field: &str, number: Number) -> Result<Self, Unusable> {
        match number {
            Number::Fixed(0) => Err(Unusable(format!("{field}: must be above 0"))),
            Number::Fixed(number) => Ok(Amount::Fixed(number)),
            Number::Template(text) => Ok(Amount::Template(Template::parse(&text))),
        }
    }

    /// The number for a call; nothing when its variables give none.
    pub(crate) fn of(&self, call: &Call<'_>) -> Option<u64> {
        match self {
            Amount::Fixed(number) => Some(*number),
            Amount::Template(template) => {
                let (text, _) = template.render(&CallVariables::new(call));
                text.trim().parse().ok().filter(|number| *number > 0)
            }
        }
    }
}
