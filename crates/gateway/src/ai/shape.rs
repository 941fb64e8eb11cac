//! How a request's body is changed for its vendor.
//!
//! Works on the client's bytes: what is not changed is not touched, and what a configuration wants as it already is counts
//! as not changed. Knows top-level members and the members things are merged into; never builds a tree.

use bytes::Bytes;
use serde_json::{Map, Value};
use thiserror::Error;
use tollgate_dialects::scan::{Edit, Members, Piece, ScanError, edit, nested, scan};

use super::config::InstanceConf;
use super::protocol::Protocol;
use crate::upstream::RequestBody;

/// A body for a vendor.
#[derive(Clone, Debug)]
pub struct Shaped {
    /// The body: the client's bytes with new ones between them.
    pub body: RequestBody,
    /// The model that is asked for, also where the body no longer says it.
    pub model: Option<String>,
    /// Whether any byte differs from the client's.
    pub changed: bool,
    /// Whether the vendor is asked for a stream.
    pub streaming: bool,
    /// Whether usage was asked for in a stream although the client did not.
    pub usage_added: bool,
}

/// A body that cannot be changed as configured. The client's fault.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ShapeError {
    /// A member that something is merged into is ambiguous.
    #[error("`{path}`: {problem}")]
    Ambiguous {
        /// Which member.
        path: String,
        /// Why.
        problem: ScanError,
    },
}

/// Changes a body as the configuration says, in APISIX's order: what the API needs, `options`, `llm_options`,
/// `request_body`, and last the model where the vendor does not want it. `protocol` is the one the vendor is spoken to in.
///
/// `strict` does exactly what APISIX does. Otherwise the client's other `stream_options` stay, what the API needs is found
/// after `options` (which may switch streaming), and a limit of tokens replaces the client's under either name.
///
/// # Errors
/// See [`ShapeError`].
pub fn shape(
    body: &Bytes,
    members: &Members,
    conf: &InstanceConf,
    protocol: Protocol,
    strict: bool,
) -> Result<Shaped, ShapeError> {
    let mut draft = Draft {
        document: body,
        members,
        edits: Vec::new(),
    };
    let client_asked_usage = asks_for_usage(&draft);
    let mut streaming = false;
    if strict {
        streaming = prepare(&mut draft, conf, protocol, strict)?;
    }
    for (key, value) in &conf.options.members {
        draft.set(key, value.clone());
    }
    if !strict {
        streaming = prepare(&mut draft, conf, protocol, strict)?;
    }
    limit_tokens(&mut draft, conf, protocol, strict)?;
    if let Some(patch) = conf.replaced.request_body.of(protocol) {
        draft.merge(patch, conf.replaced.request_body_force_override)?;
    }
    let model = draft
        .get("model")
        .and_then(|raw| serde_json::from_str::<String>(raw).ok());
    let unwanted = if strict {
        conf.provider.removes_model()
    } else {
        protocol == Protocol::VertexPredict || (conf.provider.removes_model() && !wants_model(conf, protocol))
    };
    if unwanted {
        draft.remove("model");
    }
    let usage_added = !client_asked_usage && asks_for_usage(&draft);
    let changed = !draft.edits.is_empty();
    Ok(Shaped {
        streaming: streaming || is_true(&draft, "stream"),
        model,
        changed,
        usage_added,
        body: draft.into_body(body),
    })
}

/// Whether the address leaves it to the body to name the model although the provider's addresses usually do that: Azure's
/// v1 API, which has no deployment in its path.
fn wants_model(conf: &InstanceConf, protocol: Protocol) -> bool {
    let path = conf
        .replaced
        .endpoint
        .as_ref()
        .and_then(|endpoint| endpoint.path.as_deref());
    protocol == Protocol::OpenaiChat && path.is_some_and(|path| path.contains("/openai/v1/"))
}

/// Changes what the API needs; says whether a stream is asked for.
fn prepare<'a>(
    draft: &mut Draft<'a>,
    conf: &'a InstanceConf,
    protocol: Protocol,
    strict: bool,
) -> Result<bool, ShapeError> {
    let streaming = match draft.get("stream") {
        // What a lenient vendor could take for true, APISIX does too.
        Some(raw) if protocol == Protocol::OpenaiChat => !matches!(raw, "false" | "null"),
        raw => raw == Some("true"),
    };
    match protocol {
        Protocol::OpenaiChat if streaming && strict => {
            draft.set(STREAM_OPTIONS, r#"{"include_usage":true}"#.to_owned());
        }
        Protocol::OpenaiChat if streaming => {
            let written = conf.options.members.iter().any(|(key, _)| key == STREAM_OPTIONS);
            if conf.provider.takes_stream_options() && !written {
                draft.merge_into(STREAM_OPTIONS, "include_usage", &Value::Bool(true))?;
            }
        }
        // Bedrock is told by the path.
        Protocol::BedrockConverse => draft.remove("stream"),
        _ => {}
    }
    Ok(streaming)
}

/// Sets the limit of tokens under the vendor's name.
fn limit_tokens<'a>(
    draft: &mut Draft<'a>,
    conf: &'a InstanceConf,
    protocol: Protocol,
    strict: bool,
) -> Result<(), ShapeError> {
    let capability = conf.provider.capability(protocol);
    let (Some(limit), Some(capability)) = (conf.replaced.llm_options.max_tokens, capability) else {
        return Ok(());
    };
    let Some(name) = &capability.max_tokens else {
        return Ok(());
    };
    match name.split_once('.') {
        Some((outer, inner)) => draft.merge_into(outer, inner, &limit.into())?,
        None => draft.set(name, limit.to_string()),
    }
    if let Some(other) = &capability.instead_of {
        draft.remove(other);
    }
    if protocol == Protocol::OpenaiChat && !strict {
        // Left in, the client's own limit would count at some vendors.
        for other in ["max_tokens", "max_completion_tokens"] {
            if other != name {
                draft.remove(other);
            }
        }
    }
    Ok(())
}

fn asks_for_usage(draft: &Draft<'_>) -> bool {
    draft
        .get(STREAM_OPTIONS)
        .is_some_and(|options| nested(options, "include_usage") == Some("true"))
}

fn is_true(draft: &Draft<'_>, key: &str) -> bool {
    draft.get(key) == Some("true")
}

/// A document and what is to become of its top-level members.
struct Draft<'a> {
    document: &'a [u8],
    members: &'a Members,
    /// At most one for each key, and only such as change something.
    edits: Vec<Edit<'a>>,
}

impl<'a> Draft<'a> {
    /// The raw JSON of a member as it stands now.
    fn get(&self, key: &str) -> Option<&str> {
        match self.edits.iter().find(|edit| edit.key == key) {
            Some(edit) => edit.value.as_deref(),
            None => self.members.value(self.document, key),
        }
    }

    fn set(&mut self, key: &'a str, value: String) {
        let edit = Edit {
            key,
            value: Some(value),
        };
        let known = self.edits.iter().position(|known| known.key == key);
        let changes = edit.value.as_deref() != self.members.value(self.document, key);
        match known {
            Some(at) if changes => self.edits[at] = edit,
            Some(at) => drop(self.edits.remove(at)),
            None if changes => self.edits.push(edit),
            None => {}
        }
    }

    fn remove(&mut self, key: &'a str) {
        self.edits.retain(|edit| edit.key != key);
        if self.members.has(self.document, key) {
            self.edits.push(Edit { key, value: None });
        }
    }

    /// Merges members in: objects into objects, anything else where nothing stands, or everywhere if forced.
    fn merge(&mut self, patch: &'a Map<String, Value>, force: bool) -> Result<(), ShapeError> {
        for (key, value) in patch {
            if let Some(new) = merged(self.get(key), value, force, key)? {
                self.set(key, new);
            }
        }
        Ok(())
    }

    /// Sets one member of the object `outer`, which is made if it is not there.
    fn merge_into(&mut self, outer: &'a str, inner: &str, value: &Value) -> Result<(), ShapeError> {
        let patch = Value::Object(Map::from_iter([(inner.to_owned(), value.clone())]));
        if let Some(new) = merged(self.get(outer), &patch, true, outer)? {
            self.set(outer, new);
        }
        Ok(())
    }

    fn into_body(self, body: &Bytes) -> RequestBody {
        if self.edits.is_empty() {
            return body.clone().into();
        }
        let mut out = RequestBody::default();
        for piece in edit(self.document, self.members, &self.edits) {
            out.push(match piece {
                Piece::Kept(range) => body.slice(range),
                Piece::New(bytes) => bytes.into(),
            });
        }
        out
    }
}

/// What becomes of a value that `patch` is merged into; `None` if it stays.
fn merged(
    current: Option<&str>,
    patch: &Value,
    force: bool,
    path: &str,
) -> Result<Option<String>, ShapeError> {
    let (Some(current), Value::Object(patch)) = (current.filter(|raw| raw.starts_with('{')), patch) else {
        return Ok((force || current.is_none()).then(|| patch.to_string()));
    };
    let document = current.as_bytes();
    let members = scan(document).map_err(|problem| ShapeError::Ambiguous {
        path: path.to_owned(),
        problem,
    })?;
    let mut edits = Vec::new();
    for (key, value) in patch {
        let inner = members.value(document, key);
        let new = merged(inner, value, force, &format!("{path}.{key}"))?;
        if new.is_some() && new.as_deref() != inner {
            edits.push(Edit { key, value: new });
        }
    }
    if edits.is_empty() {
        return Ok(None);
    }
    let mut out = String::with_capacity(current.len() + 64);
    for piece in edit(document, &members, &edits) {
        match piece {
            Piece::Kept(range) => out.push_str(current.get(range).unwrap_or_default()),
            Piece::New(bytes) => out.push_str(&String::from_utf8_lossy(&bytes)),
        }
    }
    Ok(Some(out))
}

const STREAM_OPTIONS: &str = "stream_options";

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::{Value, json};
    use tollgate_dialects::scan::scan;

    use super::{Protocol, Shaped, shape};

    fn shaped_with(conf: Value, protocol: Protocol, body: &'static str, strict: bool) -> Shaped {
        let conf = serde_json::from_value(conf).unwrap();
        let members = scan(body.as_bytes()).unwrap();
        shape(
            &Bytes::from_static(body.as_bytes()),
            &members,
            &conf,
            protocol,
            strict,
        )
        .unwrap()
    }

    fn text(shaped: &Shaped) -> String {
        String::from_utf8(shaped.body.to_bytes().to_vec()).unwrap()
    }

    fn chat(mut conf: Value, body: &'static str) -> String {
        conf["auth"] = json!({});
        if conf.get("provider").is_none() {
            conf["provider"] = json!("openai");
        }
        text(&shaped_with(conf, Protocol::OpenaiChat, body, false))
    }

    #[test]
    fn without_a_change_the_client_s_bytes_pass() {
        let body = "{ \"model\" : \"m\",\n \"messages\":[] , \"n\":1e400 }";
        let conf = json!({"provider": "openai", "auth": {}, "options": {"model": "m"},
                          "override": {"request_body": {"openai-chat": {"n": 1}}}});
        let shaped = shaped_with(conf, Protocol::OpenaiChat, body, false);
        assert!(!shaped.changed);
        assert_eq!(text(&shaped), body);
        assert_eq!(shaped.model.as_deref(), Some("m"));
    }

    #[test]
    fn options_replace_members_and_leave_the_rest_as_it_was() {
        assert_eq!(
            chat(
                json!({"options": {"model": "new", "temperature": 0.5, "stop": ["a"]}}),
                "{\"messages\": [ 1.50 ], \"model\":\"old\" , \"stop\":null}"
            ),
            "{\"messages\": [ 1.50 ], \"model\":\"new\" , \"stop\":[\"a\"],\"temperature\":0.5}"
        );
    }

    #[test]
    fn streams_are_asked_for_usage() {
        for (body, out) in [
            (
                r#"{"messages":[],"stream":true}"#,
                r#"{"messages":[],"stream":true,"stream_options":{"include_usage":true}}"#,
            ),
            (
                r#"{"stream":true,"stream_options":{"include_obfuscation":false,"include_usage": false}}"#,
                r#"{"stream":true,"stream_options":{"include_obfuscation":false,"include_usage": true}}"#,
            ),
            (
                r#"{"stream":true,"stream_options":null}"#,
                r#"{"stream":true,"stream_options":{"include_usage":true}}"#,
            ),
            (
                r#"{"stream":true,"stream_options":{ "include_usage": true}}"#,
                r#"{"stream":true,"stream_options":{ "include_usage": true}}"#,
            ),
            (r#"{"stream":false}"#, r#"{"stream":false}"#),
            (r#"{"stream":null}"#, r#"{"stream":null}"#),
        ] {
            assert_eq!(chat(json!({}), body), out);
        }
    }

    #[test]
    fn it_is_known_whether_the_client_wanted_the_usage() {
        let conf = || json!({"provider": "openai", "auth": {}});
        let added = shaped_with(conf(), Protocol::OpenaiChat, r#"{"stream":true}"#, false);
        assert!(added.usage_added && added.streaming);
        let body = r#"{"stream":true,"stream_options":{"include_usage":true}}"#;
        assert!(!shaped_with(conf(), Protocol::OpenaiChat, body, false).usage_added);
        assert!(!shaped_with(conf(), Protocol::OpenaiChat, "{}", false).usage_added);
        // Other APIs always tell it, or have no such member.
        let other = shaped_with(conf(), Protocol::OpenaiResponses, r#"{"stream":true}"#, false);
        assert!(!other.changed && other.streaming);
    }

    #[test]
    fn strictly_the_client_s_stream_options_are_replaced_before_the_options_count() {
        let conf = json!({"provider": "openai", "auth": {}, "options": {"stream": false}});
        let body = r#"{"stream":true,"stream_options":{"include_obfuscation":false}}"#;
        assert_eq!(
            text(&shaped_with(conf.clone(), Protocol::OpenaiChat, body, true)),
            r#"{"stream":false,"stream_options":{"include_usage":true}}"#
        );
        assert_eq!(
            text(&shaped_with(conf, Protocol::OpenaiChat, body, false)),
            r#"{"stream":false,"stream_options":{"include_obfuscation":false}}"#
        );
    }

    #[test]
    fn stream_options_of_the_operator_win() {
        assert_eq!(
            chat(
                json!({"options": {"stream_options": {"include_usage": false}}}),
                r#"{"stream":true}"#
            ),
            r#"{"stream":true,"stream_options":{"include_usage":false}}"#
        );
    }

    #[test]
    fn the_limit_of_tokens_has_the_name_the_vendor_knows() {
        let conf = |provider: &str| {
            json!({"provider": provider, "auth": {}, "override": {"llm_options": {"max_tokens": 9}},
                   "provider_conf": {"region": "r"}})
        };
        for (provider, protocol, body, out) in [
            (
                "openai",
                Protocol::OpenaiChat,
                r#"{"max_tokens":1}"#,
                r#"{"max_completion_tokens":9}"#,
            ),
            (
                "openai",
                Protocol::OpenaiResponses,
                r#"{"a":1}"#,
                r#"{"a":1,"max_output_tokens":9}"#,
            ),
            ("openai", Protocol::OpenaiEmbeddings, r#"{"a":1}"#, r#"{"a":1}"#),
            (
                "deepseek",
                Protocol::OpenaiChat,
                r#"{"max_tokens":1}"#,
                r#"{"max_tokens":9}"#,
            ),
            (
                "gemini",
                Protocol::OpenaiChat,
                r#"{"max_completion_tokens":1}"#,
                r#"{"max_completion_tokens":9}"#,
            ),
            (
                "vertex-ai",
                Protocol::OpenaiChat,
                "{}",
                r#"{"max_completion_tokens":9}"#,
            ),
            (
                "anthropic",
                Protocol::AnthropicMessages,
                r#"{"max_tokens":1}"#,
                r#"{"max_tokens":9}"#,
            ),
            (
                "bedrock",
                Protocol::BedrockConverse,
                "{}",
                r#"{"inferenceConfig":{"maxTokens":9}}"#,
            ),
            (
                "bedrock",
                Protocol::BedrockConverse,
                r#"{"inferenceConfig":{"topP":1.0,"maxTokens":1}}"#,
                r#"{"inferenceConfig":{"topP":1.0,"maxTokens":9}}"#,
            ),
            (
                "openai",
                Protocol::Passthrough,
                r#"{"max_tokens":1}"#,
                r#"{"max_tokens":1}"#,
            ),
        ] {
            for strict in [false, true] {
                assert_eq!(
                    text(&shaped_with(conf(provider), protocol, body, strict)),
                    out,
                    "{provider}"
                );
            }
        }
    }

    #[test]
    fn a_limit_cannot_be_passed_by_under_another_name() {
        let conf =
            json!({"provider": "deepseek", "auth": {}, "override": {"llm_options": {"max_tokens": 9}}});
        let body = r#"{"max_completion_tokens":100000}"#;
        let out = text(&shaped_with(conf.clone(), Protocol::OpenaiChat, body, false));
        assert_eq!(out, r#"{"max_tokens":9}"#);
        let out = text(&shaped_with(conf, Protocol::OpenaiChat, body, true));
        assert_eq!(out, r#"{"max_completion_tokens":100000,"max_tokens":9}"#);
    }

    #[test]
    fn bodies_are_merged_object_by_object() {
        let patch = json!({"a": {"b": {"c": 1, "d": 2}}, "list": [9], "new": {"x": null}, "nothing": 1});
        let body = "{\"a\":{ \"b\":{\"c\":0, \"z\":1.50}},\"list\":[1],\"nothing\":null}";
        let conf = |force: bool| json!({"override": {"request_body": {"openai-chat": patch}, "request_body_force_override": force}});
        assert_eq!(
            chat(conf(false), body),
            "{\"a\":{ \"b\":{\"c\":0, \"z\":1.50,\"d\":2}},\"list\":[1],\"nothing\":null,\"new\":{\"x\":null}}"
        );
        assert_eq!(
            chat(conf(true), body),
            "{\"a\":{ \"b\":{\"c\":1, \"z\":1.50,\"d\":2}},\"list\":[9],\"nothing\":1,\"new\":{\"x\":null}}"
        );
    }

    #[test]
    fn an_object_takes_the_place_of_something_else_only_by_force() {
        let conf = |force: bool| json!({"override": {"request_body": {"openai-chat": {"a": {"b": 1}}}, "request_body_force_override": force}});
        assert_eq!(chat(conf(false), r#"{"a":"text"}"#), r#"{"a":"text"}"#);
        assert_eq!(chat(conf(true), r#"{"a":"text"}"#), r#"{"a":{"b":1}}"#);
    }

    #[test]
    fn merged_bodies_rule_over_limits_and_belong_to_one_api() {
        let conf = json!({"override": {
            "llm_options": {"max_tokens": 9},
            "request_body": {"openai-chat": {"max_completion_tokens": 5}, "anthropic-messages": {"x": 1}},
            "request_body_force_override": true,
        }});
        assert_eq!(chat(conf, "{}"), r#"{"max_completion_tokens":5}"#);
    }

    #[test]
    fn an_object_with_one_member_twice_is_not_merged_into() {
        let conf = json!({"provider": "openai", "auth": {},
                          "override": {"request_body": {"openai-chat": {"a": {"b": {"c": 1}}}}}});
        let conf = serde_json::from_value(conf).unwrap();
        let body = Bytes::from_static(br#"{"a":{"b":{"x":1,"x":2}}}"#);
        let members = scan(&body).unwrap();
        let error = shape(&body, &members, &conf, Protocol::OpenaiChat, false).unwrap_err();
        assert_eq!(error.to_string(), "`a.b`: a member name stands twice at byte 7");
    }

    #[test]
    fn azure_s_v1_api_is_told_the_model_unless_apisix_is_followed_to_the_letter() {
        for (path, strict, out) in [
            ("/openai/v1/chat/completions", false, r#"{"a":1,"model":"m"}"#),
            ("/openai/v1/chat/completions", true, r#"{"a":1}"#),
            ("/openai/deployments/m/chat/completions", false, r#"{"a":1}"#),
        ] {
            let conf = json!({"provider": "azure-openai", "auth": {}, "options": {"model": "m"},
                              "override": {"endpoint": format!("https://team.openai.azure.com{path}")}});
            let shaped = shaped_with(conf, Protocol::OpenaiChat, r#"{"a":1}"#, strict);
            assert_eq!(
                (text(&shaped).as_str(), shaped.model.as_deref()),
                (out, Some("m"))
            );
        }
    }

    #[test]
    fn the_model_goes_where_it_is_not_wanted_but_stays_known() {
        let conf = json!({"provider": "azure-openai", "auth": {}, "options": {"model": "m"}});
        let shaped = shaped_with(conf, Protocol::OpenaiChat, r#"{"messages":[]}"#, false);
        assert_eq!(
            (text(&shaped).as_str(), shaped.model.as_deref()),
            (r#"{"messages":[]}"#, Some("m"))
        );
        assert!(!shaped.changed);
        let conf = json!({"provider": "bedrock", "auth": {}});
        let body = r#"{"model":"m","messages":[],"stream":true}"#;
        let shaped = shaped_with(conf, Protocol::BedrockConverse, body, false);
        assert_eq!(
            (text(&shaped).as_str(), shaped.model.as_deref()),
            (r#"{"messages":[]}"#, Some("m"))
        );
        assert!(shaped.changed && shaped.streaming);
    }
}
