//! The request, rebuilt.

use crate::json::Raw;

use super::schema;
use super::turns::write_messages;
use crate::canonical::DecodeError;
use crate::json::{Object, RawJson, Writer};
use crate::loss::Losses;
use crate::tool_names::{OPENAI, RENAMED, Renames};

/// A request for an OpenAI Chat provider.
#[derive(Debug)]
pub struct Rebuilt {
    /// The JSON document.
    pub body: Vec<u8>,
    /// Tools that were sent under another name; needed to write the answer.
    pub renames: Renames,
    /// What was left out or changed. Nothing here refuses the call.
    pub losses: Losses,
}

/// Rebuilds an Anthropic Messages request for OpenAI Chat. `model` is the model's name at the provider; `None` if nobody named
/// one.
///
/// # Errors
/// The body is no JSON object, `messages` is missing or empty, or one of them is no message. The texts are APISIX's.
pub fn rebuild_request(body: &str, model: Option<&str>) -> Result<Rebuilt, DecodeError> {
    let mut object =
        Object::parse(body, "").map_err(|error| DecodeError::new("", format!("invalid request: {error}")))?;
    let messages = list(&mut object, "messages").filter(|list| !list.is_empty());
    let Some(messages) = messages else {
        return Err(DecodeError::new("", "missing messages"));
    };
    let mut losses = Losses::new();
    let mut renames = Renames::default();
    let mut out = Vec::new();
    let mut written = Ok(());
    Writer::new(&mut out).object(|w| {
        w.optional_string("model", model);
        object.take("model");
        let system = object.take("system");
        w.key("messages")
            .array(|w| written = write_messages(w, system, &messages, &mut renames, &mut losses));
        write_stream(w, &mut object);
        for (name, new_name) in [
            ("max_tokens", "max_completion_tokens"),
            ("temperature", "temperature"),
            ("top_p", "top_p"),
        ] {
            let value = object.take_some(name).filter(|raw| raw.get() != "false");
            w.optional_raw(new_name, value.map(RawJson::from).as_ref());
        }
        let stop = object
            .take_some("stop_sequences")
            .filter(|raw| raw.get().starts_with('['))
            .map(RawJson::from)
            .filter(|stop| !stop.is_blank());
        w.optional_raw("stop", stop.as_ref());
        let mut output_config = inner(&mut object, "output_config");
        w.optional_string(
            "reasoning_effort",
            reasoning_effort(&mut object, output_config.as_mut()).as_deref(),
        );
        write_response_format(w, &mut object, output_config.as_mut(), &mut losses);
        let mut metadata = inner(&mut object, "metadata");
        let user = metadata.as_mut().and_then(|metadata| string(metadata, "user_id"));
        w.optional_string("user", user.as_deref());
        w.optional_string("service_tier", string(&mut object, "service_tier").as_deref());
        write_tools(w, &mut object, &mut renames, &mut losses);
        for rest in [output_config, metadata].into_iter().flatten() {
            report(rest, &mut losses);
        }
    });
    written?;
    report(object, &mut losses);
    Ok(Rebuilt {
        body: out,
        renames,
        losses,
    })
}

/// Tells what was not taken of an object.
fn report(rest: Object<'_>, losses: &mut Losses) {
    let place = rest.path().to_owned();
    for (name, _) in rest.into_ext().iter().filter(|(_, raw)| !raw.is_blank()) {
        let field = if place.is_empty() {
            name.to_owned()
        } else {
            format!("{place}.{name}")
        };
        losses.dropped(field, "on no list of what is carried over");
    }
}

fn write_stream(w: &mut Writer<'_>, object: &mut Object<'_>) {
    let Some(stream) = object.take_some("stream") else {
        return;
    };
    w.key("stream").raw(&RawJson::from(stream));
    if stream.get() != "false" {
        w.key("stream_options")
            .object(|w| w.key("include_usage").bool(true));
    }
}

/// The effort that stands for `thinking`. Without it there is none, whatever `output_config` says.
fn reasoning_effort(object: &mut Object<'_>, output_config: Option<&mut Object<'_>>) -> Option<String> {
    let mut thinking = inner(object, "thinking")?;
    match string(&mut thinking, "type")?.as_str() {
        "adaptive" => {
            let told = output_config
                .and_then(|config| string(config, "effort"))
                .filter(|effort| !effort.is_empty());
            Some(told.unwrap_or_else(|| "medium".to_owned()))
        }
        "enabled" => {
            let budget = thinking
                .take("budget_tokens")
                .and_then(|raw| serde_json::from_str::<f64>(raw.get()).ok())
                .unwrap_or(0.0);
            let effort = if budget >= 4096.0 {
                "high"
            } else if budget >= 2048.0 {
                "medium"
            } else if budget >= 1024.0 {
                "low"
            } else {
                "minimal"
            };
            Some(effort.to_owned())
        }
        _ => None,
    }
}

/// `output_format`, the member's name in its beta, counts before `output_config.format`.
fn write_response_format(
    w: &mut Writer<'_>,
    object: &mut Object<'_>,
    output_config: Option<&mut Object<'_>>,
    losses: &mut Losses,
) {
    let beta = object
        .take_some("output_format")
        .filter(|raw| is_table(*raw) && !RawJson::from(*raw).is_blank());
    let format = beta.or_else(|| output_config.and_then(|config| config.take_some("format")));
    let Some(mut format) = format.and_then(|raw| Object::parse(raw.get(), "").ok()) else {
        return;
    };
    let kind = string(&mut format, "type");
    let schema = format
        .take_some("schema")
        .filter(|raw| is_table(*raw) && !RawJson::from(*raw).is_blank());
    let (Some("json_schema"), Some(schema)) = (kind.as_deref(), schema) else {
        return losses.dropped("output_config.format", "not a schema");
    };
    w.key("response_format").object(|w| {
        w.key("type").string("json_schema");
        w.key("json_schema").object(|w| {
            w.key("name").string("structured_output");
            w.key("schema").raw(&schema::strict(schema));
            w.key("strict").bool(true);
        });
    });
}

/// A tool of the client's own.
struct Tool<'a> {
    name: String,
    description: Option<Raw<'a>>,
    parameters: Option<Raw<'a>>,
}

/// The tools, and the choice among them, which is refused where there are none.
fn write_tools(w: &mut Writer<'_>, object: &mut Object<'_>, renames: &mut Renames, losses: &mut Losses) {
    let raw_tools = list(object, "tools").unwrap_or_default();
    let choice = inner(object, "tool_choice");
    let mut tools = Vec::new();
    for (i, raw) in raw_tools.into_iter().enumerate() {
        let Ok(mut tool) = Object::parse(raw.get(), crate::path::item("tools", i)) else {
            losses.dropped(crate::path::item("tools", i), "not a tool");
            continue;
        };
        let kind = string(&mut tool, "type").unwrap_or_default();
        if BUILT_IN.iter().any(|prefix| kind.starts_with(prefix)) {
            losses.dropped(
                crate::path::item("tools", i),
                "a tool that the provider does not have",
            );
            continue;
        }
        let Some(name) = string(&mut tool, "name").filter(|name| !name.is_empty()) else {
            losses.dropped(crate::path::item("tools", i), "a tool without a name");
            continue;
        };
        tools.push(Tool {
            name,
            description: tool.take_some("description"),
            parameters: tool.take_some("input_schema"),
        });
        report(tool, losses);
    }
    if tools.is_empty() {
        return;
    }
    w.key("tools").array(|w| {
        for (i, tool) in tools.iter().enumerate() {
            let sent = renames.send(&tool.name, &OPENAI);
            if *sent != tool.name {
                losses.approximated(format!("tools[{i}].name"), RENAMED);
            }
            w.object(|w| {
                w.key("type").string("function");
                w.key("function").object(|w| {
                    w.key("name").string(&sent);
                    w.optional_raw("description", tool.description.map(RawJson::from).as_ref());
                    w.optional_raw("parameters", tool.parameters.map(RawJson::from).as_ref());
                });
            });
        }
    });
    if let Some(mut choice) = choice {
        write_choice(w, &mut choice, &tools, renames, losses);
        let one_at_a_time = choice.take("disable_parallel_tool_use");
        if one_at_a_time.is_some_and(|raw| raw.get() == "true") {
            w.key("parallel_tool_calls").bool(false);
        }
    }
}

fn write_choice(
    w: &mut Writer<'_>,
    choice: &mut Object<'_>,
    tools: &[Tool<'_>],
    renames: &mut Renames,
    losses: &mut Losses,
) {
    let kind = string(choice, "type").unwrap_or_default();
    let word = match kind.as_str() {
        "auto" => "auto",
        "any" => "required",
        "none" => "none",
        "tool" => {
            let Some(name) = string(choice, "name") else {
                return;
            };
            // A name that no tool has stays as it is: there is nothing it must agree with.
            let sent = if tools.iter().any(|tool| tool.name == name) {
                renames.send(&name, &OPENAI)
            } else {
                name.as_str().into()
            };
            w.key("tool_choice").object(|w| {
                w.key("type").string("function");
                w.key("function").object(|w| w.key("name").string(&sent));
            });
            return;
        }
        _ => return losses.dropped("tool_choice", "not a choice the provider knows"),
    };
    w.key("tool_choice").string(word);
}

/// A string member; anything else counts as missing.
pub(super) fn string(object: &mut Object<'_>, name: &str) -> Option<String> {
    object.take_string(name).ok().flatten()
}

/// An object member; anything else counts as missing.
pub(super) fn inner<'a>(object: &mut Object<'a>, name: &str) -> Option<Object<'a>> {
    object.take_object(name).ok().flatten()
}

/// The elements of a list; anything else counts as missing, but `{}` is how Lua writes an empty list.
pub(super) fn list<'a>(object: &mut Object<'a>, name: &str) -> Option<Vec<Raw<'a>>> {
    elements(object.take(name)?)
}

/// The elements of a list, or none for an object, in which Lua finds no elements.
pub(super) fn elements(raw: Raw<'_>) -> Option<Vec<Raw<'_>>> {
    if raw.get().starts_with('{') {
        return Some(Vec::new());
    }
    serde_json::from_str(raw.get()).ok()
}

/// Whether a value is what Lua calls a table.
pub(super) fn is_table(raw: Raw<'_>) -> bool {
    raw.get().starts_with(['{', '['])
}

/// Types of tools that Anthropic runs or defines.
const BUILT_IN: [&str; 5] = [
    "computer_",
    "bash_",
    "text_editor_",
    "web_search",
    "code_execution_",
];
