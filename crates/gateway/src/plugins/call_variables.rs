//! A call as expressions see it: the variables of its head, and members of its body.

use std::borrow::Cow;
use std::cell::OnceCell;

use http::header::CONTENT_TYPE;
use serde_json::{Map, Value as Json};
use tollgate_policy::expr::{Value, Variables, json_path};

use super::variables::variable;
use super::{Call, query};

/// What stands before the path of a member of the body.
const BODY: &str = "post_arg.";

/// What stands before the name of a field of a form.
const FORM: &str = "post_arg_";

/// The variables of a call. The body is parsed when it is first asked for, and once.
pub struct CallVariables<'a> {
    call: &'a Call<'a>,
    body: OnceCell<Option<Json>>,
}

impl<'a> CallVariables<'a> {
    /// The variables of this call.
    pub fn new(call: &'a Call<'a>) -> Self {
        CallVariables {
            call,
            body: OnceCell::new(),
        }
    }

    fn media_type(&self) -> &str {
        self.call
            .request
            .headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    fn body(&self) -> Option<&Json> {
        self.body.get_or_init(|| self.parsed()).as_ref()
    }

    fn parsed(&self) -> Option<Json> {
        let bytes = self.call.body?;
        let media_type = self.media_type();
        if media_type.starts_with("application/json") {
            return serde_json::from_slice(bytes).ok();
        }
        let text = std::str::from_utf8(bytes).ok()?;
        if media_type.starts_with("application/x-www-form-urlencoded") {
            let fields = query::pairs(text).map(|(name, value)| {
                (
                    query::decode(name).into_owned(),
                    query::decode(value).into_owned().into(),
                )
            });
            return Some(Json::Object(fields.collect::<Map<_, _>>()));
        }
        let boundary = media_type
            .strip_prefix("multipart/form-data")?
            .split_once("boundary=")?
            .1
            .trim_matches('"');
        Some(Json::Object(form_fields(text, boundary)))
    }
}

/// The plain fields of a form of several parts; files are left out.
pub(crate) fn form_fields(text: &str, boundary: &str) -> Map<String, Json> {
    let delimiter = format!("--{boundary}");
    text.split(delimiter.as_str())
        .filter_map(|part| {
            let (head, value) = part.split_once("\r\n\r\n")?;
            let name = head.split_once(" name=\"")?.1.split_once('"')?.0;
            if head.contains("filename=") {
                return None;
            }
            let value = value.strip_suffix("\r\n").unwrap_or(value);
            Some((name.to_owned(), value.into()))
        })
        .collect()
}

impl Variables for CallVariables<'_> {
    fn get(&self, name: &str) -> Option<Value<'_>> {
        if let Some(path) = name.strip_prefix(BODY) {
            return json_path::field(self.body()?, path).map(Value::Json);
        }
        if let Some(field) = name.strip_prefix(FORM) {
            if !self.media_type().starts_with("application/x-www-form-urlencoded") {
                return None;
            }
            let text = self.body()?.get(field)?.as_str()?;
            return Some(Value::Text(Cow::Borrowed(text)));
        }
        variable(self.call, name).map(Value::Text)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tollgate_policy::expr::Template;

    use super::super::testing::Caller;
    use super::*;

    fn rendered(media_type: &str, body: Option<&str>, template: &str) -> (String, usize) {
        let body = body.map(|text| Bytes::copy_from_slice(text.as_bytes()));
        let mut caller = Caller::get("/?a=1").header("content-type", media_type);
        let mut call = caller.call();
        call.body = body.as_ref();
        Template::parse(template).render(&CallVariables::new(&call))
    }

    #[test]
    fn members_of_the_body_are_variables_once_it_was_read() {
        let json = r#"{"model":"gpt-4","metadata":{"tier":2}}"#;
        let template = "$arg_a $post_arg.model ${post_arg.metadata.tier} $post_arg.none";
        let of = |body| rendered("application/json; charset=utf-8", body, template);
        assert_eq!(of(None), ("1   ".to_owned(), 1));
        assert_eq!(of(Some("no json")), ("1   ".to_owned(), 1));
        assert_eq!(of(Some(json)), ("1 gpt-4 2 ".to_owned(), 3));
    }

    #[test]
    fn fields_of_forms_are_variables() {
        let form = rendered(
            "application/x-www-form-urlencoded",
            Some("model=gpt+4&b=%31"),
            "$post_arg_model $post_arg.b $post_arg_none",
        );
        assert_eq!(form, ("gpt 4 1 ".to_owned(), 2));
        let parts = "--x\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper\r\n--x--\r\n";
        let multipart = rendered("multipart/form-data; boundary=x", Some(parts), "$post_arg.model");
        assert_eq!(multipart, ("whisper".to_owned(), 1));
    }
}
