//! What `proxy-rewrite` does to the headers of a request.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};
use tollgate_policy::expr::{Template, Variables};

use super::super::Unusable;
use super::super::auth::{check_header_text, header_name};

/// Changes of headers, in the order in which they are made: add, set, remove.
#[derive(Default)]
pub(super) struct Headers {
    add: Vec<(HeaderName, Vec<Template>)>,
    set: Vec<(HeaderName, Vec<Template>)>,
    remove: Vec<HeaderName>,
}

impl Headers {
    /// Reads `{"add": …, "set": …, "remove": …}`, or in the older form the headers to set.
    pub(super) fn new(conf: &Map<String, Value>) -> Result<Self, Unusable> {
        let objects = |name: &str| conf.get(name).and_then(Value::as_object);
        let (add, set) = (objects("add"), objects("set"));
        let remove = conf.get("remove").and_then(Value::as_array);
        if add.is_none() && set.is_none() && remove.is_none() {
            return Ok(Headers {
                set: templates("headers", conf)?,
                ..Headers::default()
            });
        }
        let none = Map::new();
        let names = remove.into_iter().flatten().filter_map(Value::as_str);
        Ok(Headers {
            add: templates("headers.add", add.unwrap_or(&none))?,
            set: templates("headers.set", set.unwrap_or(&none))?,
            remove: names
                .map(|name| header_name("headers.remove", name))
                .collect::<Result<_, _>>()?,
        })
    }

    /// Whether nothing changes.
    pub(super) fn is_empty(&self) -> bool {
        self.add.is_empty() && self.set.is_empty() && self.remove.is_empty()
    }

    /// The values for a call. They are made before anything changes, so that no change is seen by another.
    pub(super) fn render(&self, variables: &dyn Variables) -> Rendered<'_> {
        let render = |templates: &'_ [(HeaderName, Vec<Template>)]| -> Vec<(HeaderName, Vec<HeaderValue>)> {
            let values = |values: &[Template]| {
                values
                    .iter()
                    // What no header can hold, such as a line break out of the path, is left away.
                    .filter_map(|value| HeaderValue::try_from(value.render(variables).0).ok())
                    .collect()
            };
            templates
                .iter()
                .map(|(name, templates)| (name.clone(), values(templates)))
                .collect()
        };
        Rendered {
            add: render(&self.add),
            set: render(&self.set),
            remove: &self.remove,
        }
    }
}

/// Changes of the headers of one call.
pub(super) struct Rendered<'h> {
    add: Vec<(HeaderName, Vec<HeaderValue>)>,
    set: Vec<(HeaderName, Vec<HeaderValue>)>,
    remove: &'h [HeaderName],
}

impl Rendered<'_> {
    pub(super) fn apply(self, headers: &mut HeaderMap) {
        for (name, values) in self.add {
            for value in values {
                headers.append(name.clone(), value);
            }
        }
        for (name, values) in self.set {
            headers.remove(&name);
            for value in values {
                headers.append(name.clone(), value);
            }
        }
        for name in self.remove {
            headers.remove(name);
        }
    }
}

fn templates(
    field: &str,
    headers: &Map<String, Value>,
) -> Result<Vec<(HeaderName, Vec<Template>)>, Unusable> {
    let template = |value: &Value| match value {
        Value::String(text) => {
            check_header_text(field, text)?;
            Ok(Template::parse(&braced(text)))
        }
        Value::Number(number) => Ok(Template::parse(&number.to_string())),
        _ => Err(Unusable(format!("{field}: invalid type as header value"))),
    };
    let mut read = Vec::with_capacity(headers.len());
    for (name, value) in headers {
        let values = match value {
            Value::Array(values) => values.iter().map(template).collect::<Result<_, _>>()?,
            single => vec![template(single)?],
        };
        read.push((header_name(field, name)?, values));
    }
    Ok(read)
}

/// Puts groups into braces, `$1_$2` → `${1}_${2}`, because the name of a variable would go on with what follows.
fn braced(text: &str) -> String {
    let mut braced = String::with_capacity(text.len() + 2);
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        braced.push_str(before);
        braced.push('$');
        let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let (number, tail) = after.split_at(end);
        if number.is_empty() {
            rest = after;
        } else {
            braced.push('{');
            braced.push_str(number);
            braced.push('}');
            rest = tail;
        }
    }
    braced.push_str(rest);
    braced
}
