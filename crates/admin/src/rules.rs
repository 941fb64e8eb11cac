//! temporary
use serde_json::{Map, Value};
use tollgate_resources::objects::{Kind, ObjectKey, schema};
use tollgate_store::Store;

pub(crate) fn check(key: &ObjectKey, value: &Map<String, Value>) -> Result<(), String> {
    schema::checker(key.kind).check(&Value::Object(value.clone())).map_err(|e| format!("invalid configuration: {e}"))
}
pub(crate) fn references(_key: &ObjectKey, _value: &Map<String, Value>, _store: &Store) -> Result<(), String> {
    Ok(())
}
pub(crate) fn unused(_key: &ObjectKey, _store: &Store) -> Result<(), String> {
    Ok(())
}
pub(crate) fn refuse_times(_value: &Map<String, Value>) -> Result<(), String> {
    Ok(())
}
pub(crate) fn patched(old: &Map<String, Value>, _part: &[String], patch: Value) -> Result<Map<String, Value>, String> {
    let _ = patch;
    Ok(old.clone())
}
/// The key of a consumer by its name.
pub(crate) fn username(in_path: Option<&str>, value: &Map<String, Value>) -> Result<ObjectKey, String> {
    let own = value.get("username").and_then(Value::as_str);
    match (in_path, own) {
        (Some(path), Some(own)) if path != own => Err("wrong username".to_owned()),
        (_, Some(own)) => Ok(ObjectKey::new(Kind::Consumer, own)),
        // The check of the schema says what is wrong with a missing name.
        (path, None) => Ok(ObjectKey::new(Kind::Consumer, path.unwrap_or_default())),
    }
}
pub(crate) fn type_word(value: &Value) -> &'static str {
    match value {
        Value::Null => "nil",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "table",
    }
}
