//! Holds a value against a JSON schema and words the first violation as APISIX does.
//!
//! The texts and the order of checks are those of api7/jsonschema for Lua 0.9.13, which APISIX uses: tools and their tests
//! compare them. They are the reason why this is not the `jsonschema` crate: a reference to a secret passes wherever a
//! string would, also inside `anyOf`, which of several violations comes first decides the text, and a violation inside a
//! choice has no text of its own. None of that can be told from the errors of a general validator.
//!
//! Supported is what schemas of objects and plugins use of draft-07; other keywords are annotations, `$ref` reaches
//! `#/definitions/`, and of the formats only `ipv4` and `ipv6` are held. Where Lua cannot tell an empty list from an empty
//! object this checker can, and does. Patterns match bytes, in linear time.

use std::collections::BTreeMap;

use regex::bytes::{Regex, RegexBuilder};
use serde_json::{Map, Value};

use super::equality::{equal_items, same};
use super::words::{list_text, number_text, quoted, type_word};

/// A schema, ready to hold values against.
pub struct Schema {
    root: Node,
    definitions: BTreeMap<String, Node>,
}

impl Schema {
    /// Reads a schema.
    ///
    /// # Errors
    /// The keyword that cannot be read, and why.
    pub fn new(schema: &Value) -> Result<Schema, String> {
        let mut definitions = BTreeMap::new();
        if let Some(schemas) = schema.get("definitions").and_then(Value::as_object) {
            for (name, definition) in schemas {
                definitions.insert(name.clone(), Node::new(definition)?);
            }
        }
        let root = Node::new(schema)?;
        Ok(Schema { root, definitions })
    }

    /// Finds the first violation.
    ///
    /// # Errors
    /// The violation, such as `property "uri" validation failed: wrong type: expected string, got number`.
    pub fn check(&self, value: &Value) -> Result<(), String> {
        self.root.check(value, self)
    }

    /// Reads a schema of our own making. One that cannot be read fits no value; tests see to it that there is none.
    pub(in crate::objects) fn of_own(schema: &Value) -> Schema {
        Schema::new(schema).unwrap_or(Schema {
            root: Node::Never,
            definitions: BTreeMap::new(),
        })
    }
}

/// Whether a text stands for a secret that is kept elsewhere.
pub fn is_secret_reference(text: &str) -> bool {
    let env = |start: &str| start.eq_ignore_ascii_case("$env://");
    text.starts_with("$secret://") || text.get(..7).is_some_and(env)
}

enum Node {
    Any,
    Never,
    Definition(String),
    Rules(Box<Rules>),
}

#[derive(Default)]
struct Rules {
    types: Vec<String>,
    properties: BTreeMap<String, Node>,
    required: Vec<String>,
    dependencies: BTreeMap<String, Dependency>,
    patterns: Vec<(Pattern, Node)>,
    additional: Option<Node>,
    min_properties: Option<u64>,
    max_properties: Option<u64>,
    items: Items,
    min_items: Option<u64>,
    max_items: Option<u64>,
    unique: bool,
    min_length: Option<u64>,
    max_length: Option<u64>,
    pattern: Option<Pattern>,
    minimum: Option<f64>,
    exclusive_minimum: Option<f64>,
    maximum: Option<f64>,
    exclusive_maximum: Option<f64>,
    multiple_of: Option<f64>,
    choices: Option<Vec<Value>>,
    all_of: Vec<Node>,
    any_of: Vec<Node>,
    /// What the branches of `any_of` demand, in words.
    any_of_required: String,
    one_of: Vec<Node>,
    condition: Option<Condition>,
    not: Option<Node>,
    format: Option<Format>,
    constant: Option<Value>,
    contains: Option<Node>,
}

enum Dependency {
    Names(Vec<String>),
    Schema(Node),
}

#[derive(Default)]
enum Items {
    #[default]
    Any,
    All(Node),
    Each(Vec<Node>, Option<Node>),
}

struct Condition {
    test: Node,
    then: Option<Node>,
    otherwise: Option<Node>,
}

#[derive(Clone, Copy)]
enum Format {
    Ipv4,
    Ipv6,
}

struct Pattern {
    text: String,
    regex: Regex,
}

impl Pattern {
    fn new(text: &str) -> Result<Pattern, String> {
        let regex = RegexBuilder::new(text)
            .unicode(false)
            .build()
            .map_err(|error| format!("pattern {text:?}: {error}"))?;
        Ok(Pattern {
            text: text.to_owned(),
            regex,
        })
    }

    fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text.as_bytes())
    }
}

impl Node {
    fn new(schema: &Value) -> Result<Node, String> {
        match schema {
            Value::Bool(true) => Ok(Node::Any),
            Value::Bool(false) => Ok(Node::Never),
            Value::Object(keywords) => match keywords.get("$ref").and_then(Value::as_str) {
                Some(reference) => reference
                    .strip_prefix("#/definitions/")
                    .map(|name| Node::Definition(name.to_owned()))
                    .ok_or_else(|| format!("$ref {reference:?} is not within #/definitions/")),
                None => Ok(Node::Rules(Box::new(Rules::new(keywords)?))),
            },
            _ => Err(format!("a schema is an object or a boolean, not {schema}")),
        }
    }

    fn check(&self, value: &Value, schema: &Schema) -> Result<(), String> {
        match self {
            Node::Any => Ok(()),
            Node::Never => Err("expect false always".to_owned()),
            Node::Definition(name) => match schema.definitions.get(name) {
                // A definition that is nothing but a reference could lead back to itself.
                Some(Node::Definition(_)) | None => Err(format!("no schema is called {name}")),
                Some(definition) => definition.check(value, schema),
            },
            Node::Rules(rules) => rules.check(value, schema),
        }
    }

    fn fits(&self, value: &Value, schema: &Schema) -> bool {
        self.check(value, schema).is_ok()
    }
}

impl Rules {
    fn new(keywords: &Map<String, Value>) -> Result<Rules, String> {
        let node = |key: &str| keywords.get(key).map(Node::new).transpose();
        let nodes = |key: &str| match keywords.get(key).and_then(Value::as_array) {
            Some(schemas) => schemas.iter().map(Node::new).collect::<Result<Vec<_>, _>>(),
            None => Ok(Vec::new()),
        };
        let named = |key: &str| {
            let schemas = keywords.get(key).and_then(Value::as_object);
            schemas.into_iter().flatten()
        };
        let number = |key: &str| keywords.get(key).and_then(Value::as_f64);
        let count = |key: &str| keywords.get(key).and_then(Value::as_u64);

        let mut rules = Rules {
            types: one_or_many(keywords.get("type")),
            required: names(keywords.get("required")),
            additional: node("additionalProperties")?,
            min_properties: count("minProperties"),
            max_properties: count("maxProperties"),
            min_items: count("minItems"),
            max_items: count("maxItems"),
            unique: keywords.get("uniqueItems") == Some(&Value::Bool(true)),
            min_length: count("minLength"),
            max_length: count("maxLength"),
            minimum: number("minimum"),
            exclusive_minimum: number("exclusiveMinimum"),
            maximum: number("maximum"),
            exclusive_maximum: number("exclusiveMaximum"),
            multiple_of: number("multipleOf"),
            choices: keywords.get("enum").and_then(Value::as_array).cloned(),
            all_of: nodes("allOf")?,
            any_of: nodes("anyOf")?,
            any_of_required: demanded(keywords.get("anyOf")),
            one_of: nodes("oneOf")?,
            not: node("not")?,
            constant: keywords.get("const").cloned(),
            contains: node("contains")?,
            ..Rules::default()
        };
        for (name, schema) in named("properties") {
            rules.properties.insert(name.clone(), Node::new(schema)?);
        }
        for (pattern, schema) in named("patternProperties") {
            rules.patterns.push((Pattern::new(pattern)?, Node::new(schema)?));
        }
        for (name, dependency) in named("dependencies") {
            let dependency = match dependency {
                Value::Array(_) => Dependency::Names(names(Some(dependency))),
                schema => Dependency::Schema(Node::new(schema)?),
            };
            rules.dependencies.insert(name.clone(), dependency);
        }
        rules.items = match keywords.get("items") {
            None => Items::Any,
            Some(Value::Array(schemas)) => Items::Each(
                schemas.iter().map(Node::new).collect::<Result<_, _>>()?,
                node("additionalItems")?,
            ),
            Some(schema) => Items::All(Node::new(schema)?),
        };
        if let Some(pattern) = keywords.get("pattern").and_then(Value::as_str) {
            rules.pattern = Some(Pattern::new(pattern)?);
        }
        rules.format = match keywords.get("format").and_then(Value::as_str) {
            Some("ipv4") => Some(Format::Ipv4),
            Some("ipv6") => Some(Format::Ipv6),
            _ => None,
        };
        if let Some(test) = node("if")? {
            rules.condition = Some(Condition {
                test,
                then: node("then")?,
                otherwise: node("else")?,
            });
        }
        Ok(rules)
    }

    fn check(&self, value: &Value, schema: &Schema) -> Result<(), String> {
        if let Value::String(text) = value
            && is_secret_reference(text)
            && self.types.iter().all(|name| name == "string")
        {
            return Ok(());
        }
        self.check_type(value)?;
        match value {
            Value::Object(object) => self.check_object(object, value, schema)?,
            Value::Array(items) => self.check_items(items, schema)?,
            Value::String(text) => self.check_text(text)?,
            Value::Number(number) => self.check_number(number.as_f64().unwrap_or(f64::NAN))?,
            Value::Null | Value::Bool(_) => {}
        }
        if let Some(choices) = &self.choices
            && !choices.iter().any(|choice| same(choice, value))
        {
            return Err("matches none of the enum values".to_owned());
        }
        self.check_branches(value, schema)?;
        self.check_rest(value, schema)
    }

    fn check_type(&self, value: &Value) -> Result<(), String> {
        let fits = self.types.is_empty() || self.types.iter().any(|name| is_a(value, name));
        let found = type_word(value);
        match self.types.as_slice() {
            _ if fits => Ok(()),
            [only] => Err(format!("wrong type: expected {only}, got {found}")),
            many => Err(format!(
                "wrong type: expected one of {}, got {found}",
                many.join(", ")
            )),
        }
    }

    fn check_object(
        &self,
        object: &Map<String, Value>,
        whole: &Value,
        schema: &Schema,
    ) -> Result<(), String> {
        for (name, node) in &self.properties {
            match object.get(name) {
                Some(value) => {
                    node.check(value, schema)
                        .map_err(|violation| format!("property \"{name}\" validation failed: {violation}"))?;
                    self.check_dependency(name, object, whole, schema)?;
                }
                None if self.required.contains(name) => {
                    return Err(format!("property \"{name}\" is required"));
                }
                None => {}
            }
        }
        if let Some(name) = self.required.iter().find(|name| !object.contains_key(*name)) {
            return Err(format!("property \"{name}\" is required"));
        }
        for name in self.dependencies.keys() {
            if !self.properties.contains_key(name) && object.contains_key(name) {
                self.check_dependency(name, object, whole, schema)?;
            }
        }
        for (name, value) in object {
            self.check_further(name, value, schema)?;
        }
        let count = object.len() as u64;
        if let Some(least) = self.min_properties.filter(|least| count < *least) {
            return Err(format!("expect object to have at least {least} properties"));
        }
        if let Some(most) = self.max_properties.filter(|most| count > *most) {
            return Err(format!("expect object to have at most {most} properties"));
        }
        Ok(())
    }

    /// What a property that is there demands of the whole object.
    fn check_dependency(
        &self,
        name: &str,
        object: &Map<String, Value>,
        whole: &Value,
        schema: &Schema,
    ) -> Result<(), String> {
        match self.dependencies.get(name) {
            None => Ok(()),
            Some(Dependency::Names(others)) => {
                match others.iter().find(|other| !object.contains_key(*other)) {
                    Some(other) => Err(format!("property \"{other}\" is required when \"{name}\" is set")),
                    None => Ok(()),
                }
            }
            Some(Dependency::Schema(node)) => node.check(whole, schema).map_err(|violation| {
                format!("failed to validate dependent schema for \"{name}\": {violation}")
            }),
        }
    }

    /// The property against patterns, and against what holds for properties that are not named.
    fn check_further(&self, name: &str, value: &Value, schema: &Schema) -> Result<(), String> {
        let mut known = self.properties.contains_key(name);
        for (pattern, node) in &self.patterns {
            if pattern.matches(name) {
                node.check(value, schema).map_err(|violation| {
                    format!(
                        "failed to validate {name} (matching \"{}\"): {violation}",
                        pattern.text
                    )
                })?;
                known = true;
            }
        }
        match &self.additional {
            Some(Node::Never) if !known => Err(format!("additional properties forbidden, found {name}")),
            Some(node) if !known => node
                .check(value, schema)
                .map_err(|violation| format!("failed to validate additional property {name}: {violation}")),
            _ => Ok(()),
        }
    }

    fn check_items(&self, items: &[Value], schema: &Schema) -> Result<(), String> {
        let count = items.len() as u64;
        if let Some(least) = self.min_items.filter(|least| count < *least) {
            return Err(format!("expect array to have at least {least} items"));
        }
        if let Some(most) = self.max_items.filter(|most| count > *most) {
            return Err(format!("expect array to have at most {most} items"));
        }
        let (first, rest) = match &self.items {
            Items::Any => (&[][..], None),
            Items::All(node) => (&[][..], Some((node, ""))),
            Items::Each(nodes, rest) => (nodes.as_slice(), rest.as_ref().map(|node| (node, "additional "))),
        };
        for (index, item) in items.iter().enumerate() {
            let (node, word) = match (first.get(index), rest) {
                (Some(node), _) => (node, ""),
                (None, Some((Node::Never, "additional "))) => {
                    return Err("found unexpected extra items in array".to_owned());
                }
                (None, Some(rest)) => rest,
                (None, None) => break,
            };
            node.check(item, schema)
                .map_err(|violation| format!("failed to validate {word}item {}: {violation}", index + 1))?;
        }
        match self.unique.then(|| equal_items(items)).flatten() {
            Some((one, other)) => Err(format!(
                "expected unique items but items {one} and {other} are equal"
            )),
            None => Ok(()),
        }
    }

    fn check_text(&self, text: &str) -> Result<(), String> {
        if self.min_length.is_some() || self.max_length.is_some() {
            let length = text.chars().count() as u64;
            if let Some(least) = self.min_length.filter(|least| length < *least) {
                return Err(format!(
                    "string too short, expected at least {least}, got {length}"
                ));
            }
            if let Some(most) = self.max_length.filter(|most| length > *most) {
                return Err(format!("string too long, expected at most {most}, got {length}"));
            }
        }
        match &self.pattern {
            Some(pattern) if !pattern.matches(text) => Err(format!(
                "failed to match pattern {} with {}",
                quoted(&pattern.text),
                quoted(text)
            )),
            _ => Ok(()),
        }
    }

    fn check_number(&self, number: f64) -> Result<(), String> {
        let violation = |demand: &str, limit: f64| {
            let (number, limit) = (number_text(number), number_text(limit));
            Err(format!("expected {number} to be {demand} {limit}"))
        };
        if let Some(limit) = self.minimum.filter(|limit| number < *limit) {
            return violation("at least", limit);
        }
        if let Some(limit) = self.exclusive_minimum.filter(|limit| number <= *limit) {
            return violation("greater than", limit);
        }
        if let Some(limit) = self.maximum.filter(|limit| number > *limit) {
            return violation("at most", limit);
        }
        if let Some(limit) = self.exclusive_maximum.filter(|limit| number >= *limit) {
            return violation("smaller than", limit);
        }
        match self.multiple_of {
            Some(unit) if !is_multiple(number, unit) => violation("a multiple of", unit),
            _ => Ok(()),
        }
    }

    fn check_branches(&self, value: &Value, schema: &Schema) -> Result<(), String> {
        for (index, node) in self.all_of.iter().enumerate() {
            node.check(value, schema)
                .map_err(|violation| format!("allOf {} failed: {violation}", index + 1))?;
        }
        if !self.any_of.is_empty() && !self.any_of.iter().any(|node| node.fits(value, schema)) {
            return Err(format!(
                "object matches none of the required{}",
                self.any_of_required
            ));
        }
        let mut fitting = (1..)
            .zip(&self.one_of)
            .filter(|(_, node)| node.fits(value, schema));
        if !self.one_of.is_empty() {
            match (fitting.next(), fitting.next()) {
                (None, _) => {
                    return Err("value should match only one schema, but matches none".to_owned());
                }
                (Some((one, _)), Some((other, _))) => {
                    return Err(format!(
                        "value should match only one schema, but matches both schemas {one} and {other}"
                    ));
                }
                (Some(_), None) => {}
            }
        }
        if let Some(condition) = &self.condition {
            let (branch, word) = if condition.test.fits(value, schema) {
                (&condition.then, "then")
            } else {
                (&condition.otherwise, "else")
            };
            if branch.as_ref().is_some_and(|node| !node.fits(value, schema)) {
                return Err(format!("{word} clause did not match"));
            }
        }
        match &self.not {
            Some(node) if node.fits(value, schema) => Err("value wasn't supposed to match schema".to_owned()),
            _ => Ok(()),
        }
    }

    fn check_rest(&self, value: &Value, schema: &Schema) -> Result<(), String> {
        if let (Some(format), Value::String(text)) = (self.format, value) {
            let (fits, word) = match format {
                Format::Ipv4 => (text.parse::<std::net::Ipv4Addr>().is_ok(), "ipv4"),
                Format::Ipv6 => (text.parse::<std::net::Ipv6Addr>().is_ok(), "ipv6"),
            };
            if !fits {
                return Err(format!("expect valid {word} format but got: {text}"));
            }
        }
        if let Some(constant) = &self.constant
            && !same(constant, value)
        {
            return Err("failed to check const value".to_owned());
        }
        match (&self.contains, value) {
            (Some(_), Value::Array(items)) if items.is_empty() => {
                Err("check contains: empty array is invalid".to_owned())
            }
            (Some(node), Value::Array(items)) if !items.iter().any(|item| node.fits(item, schema)) => {
                Err("failed to check contains".to_owned())
            }
            _ => Ok(()),
        }
    }
}

fn names(list: Option<&Value>) -> Vec<String> {
    let items = list.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn one_or_many(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(one)) => vec![one.clone()],
        many => names(many),
    }
}

fn demanded(branches: Option<&Value>) -> String {
    let branches = branches.and_then(Value::as_array).into_iter().flatten();
    let demands: Vec<String> = branches
        .filter_map(|branch| branch.get("required"))
        .map(list_text)
        .collect();
    if demands.is_empty() {
        return String::new();
    }
    format!(": {}", demands.join(" or "))
}

fn is_a(value: &Value, name: &str) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "table" => value.is_object() || value.is_array(),
        "string" => value.is_string(),
        "number" => value.is_number(),
        "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        _ => false,
    }
}

fn is_multiple(number: f64, unit: f64) -> bool {
    if unit.fract() == 0.0 {
        return number % unit == 0.0;
    }
    let quotient = number / unit;
    let whole = quotient.round();
    (quotient - whole).abs() <= 1e-12 * whole.abs().max(1.0)
}
