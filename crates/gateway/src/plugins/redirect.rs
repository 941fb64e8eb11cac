//! `redirect`: sends clients elsewhere.

use std::sync::Arc;

use http::header::LOCATION;
use http::{HeaderValue, Method, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use tollgate_policy::expr::Template;
use tollgate_resources::objects::schema;

use super::auth::check_header_text;
use super::spec::{read, status};
use super::substitution::{Substitution, encode_path};
use super::variables::variable;
use super::{Call, CallVariables, Flow, Plugin, Reply, SchemaType, Scope, Spec, Unusable};

/// `redirect`.
pub(super) static SPEC: Spec = Spec {
    name: "redirect",
    priority: 900,
    version: 0.1,
    is_auth: false,
    scope: Scope::Any,
    schema: |kind| (kind == SchemaType::Route).then(schema::of::<Config>),
    check: |conf, _| Redirect::new(conf).map(drop).map_err(|unusable| unusable.0),
    setup: |conf, _| Ok(Arc::new(Redirect::new(conf)?)),
    secret_fields: &[],
};

/// Where clients are sent.
#[derive(Deserialize, JsonSchema)]
#[schemars(extend("oneOf" = [
    {"required": ["uri"]},
    {"required": ["regex_uri"]},
    {"required": ["http_to_https"]},
]))]
struct Config {
    /// Status of the answer.
    #[serde(default = "found")]
    #[schemars(range(min = 200, max = 999))]
    ret_code: u16,
    /// Where to, with variables.
    #[schemars(length(min = 2))]
    uri: Option<String>,
    /// A regular expression for the path, and what stands in place of its match; other paths are not redirected.
    #[schemars(length(min = 2, max = 2))]
    regex_uri: Option<Vec<String>>,
    /// Whether clients without encryption are sent to where there is some.
    http_to_https: Option<bool>,
    /// Whether the path of the target is encoded.
    #[serde(default)]
    encode_uri: bool,
    /// Whether the query of the call is added.
    #[serde(default)]
    append_query_string: bool,
}

fn found() -> u16 {
    302
}

struct Redirect {
    target: Target,
    status: StatusCode,
    encode: bool,
    append_query: bool,
}

enum Target {
    Uri(Template),
    Replaced(Substitution),
    /// The same over TLS.
    Https(Template),
    Nowhere,
}

impl Redirect {
    fn new(conf: &Value) -> Result<Self, Unusable> {
        let config: Config = read(conf)?;
        let is_https = config.http_to_https.unwrap_or(false);
        if is_https && config.append_query_string {
            return Err(Unusable(
                "only one of `http_to_https` and `append_query_string` can be configured.".to_owned(),
            ));
        }
        let target = match (&config.uri, config.regex_uri.as_deref()) {
            (Some(uri), _) => {
                check_header_text("uri", uri)?;
                Target::Uri(Template::parse(uri))
            }
            (None, Some([pattern, replacement])) => {
                Target::Replaced(Substitution::new(pattern, replacement)?)
            }
            (None, Some(_)) => {
                return Err(Unusable(
                    "regex_uri: an expression and its replacement are needed".to_owned(),
                ));
            }
            (None, None) if is_https => Target::Https(Template::parse("https://$host$request_uri")),
            (None, None) => Target::Nowhere,
        };
        Ok(Redirect {
            target,
            status: status("ret_code", config.ret_code)?,
            encode: config.encode_uri,
            append_query: config.append_query_string,
        })
    }

    fn target(&self, call: &Call<'_>) -> Option<(StatusCode, String)> {
        match &self.target {
            Target::Uri(template) => Some((self.status, template.render(&CallVariables::new(call)).0)),
            Target::Replaced(substitution) => {
                let uri = variable(call, "uri")?;
                Some((self.status, substitution.apply(&uri)?.0))
            }
            Target::Https(template) => {
                // A proxy in front that ended the encryption says so.
                let forwarded = variable(call, "http_x_forwarded_proto");
                let scheme = forwarded.or_else(|| variable(call, "scheme"))?;
                if scheme.eq_ignore_ascii_case("https") {
                    return None;
                }
                // Browsers may make a GET of anything else after a 301.
                let status = match call.request.method {
                    Method::GET | Method::HEAD => StatusCode::MOVED_PERMANENTLY,
                    _ => StatusCode::PERMANENT_REDIRECT,
                };
                Some((status, template.render(&CallVariables::new(call)).0))
            }
            Target::Nowhere => None,
        }
    }
}

impl Plugin for Redirect {
    fn rewrite(&self, call: &mut Call<'_>) -> Flow {
        let Some((status, mut uri)) = self.target(call) else {
            return Flow::Next;
        };
        if self.encode {
            uri = match uri.split_once('?') {
                Some((path, query)) => format!("{}?{query}", encode_path(path)),
                None => encode_path(&uri),
            };
        }
        if self.append_query
            && let Some(query) = call.request.uri.query()
        {
            uri.push(if uri.contains('?') { '&' } else { '?' });
            uri.push_str(query);
        }
        match HeaderValue::from_bytes(uri.as_bytes()) {
            Ok(location) => Reply::status(status, "redirect").with(LOCATION, location).into(),
            // Made from what the client sent, such as a line break in the path.
            Err(_) => Reply::status(StatusCode::BAD_REQUEST, "redirect_impossible").into(),
        }
    }

    fn is_alike_everywhere(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::{Caller, passed, plugin, reply};
    use super::*;

    fn sent_to(caller: &mut Caller, conf: &Value) -> (u16, String) {
        let answer = reply(caller.rewrite(&plugin(&SPEC, conf)));
        let location = answer.headers["location"].to_str().unwrap().to_owned();
        (answer.status.as_u16(), location)
    }

    #[test]
    fn clients_are_sent_to_a_uri_with_variables() {
        for (conf, expected) in [
            (json!({"uri": "/test/add"}), (302, "/test/add")),
            (
                json!({"uri": "$uri/test/${arg_name}x", "ret_code": 301}),
                (301, "/hello/test/jsonx"),
            ),
            (
                json!({"uri": "/new", "append_query_string": true}),
                (302, "/new?name=json"),
            ),
            (
                json!({"uri": "/new?a=1", "append_query_string": true}),
                (302, "/new?a=1&name=json"),
            ),
            (
                json!({"uri": "/a b?c d", "encode_uri": true}),
                (302, "/a%20b?c d"),
            ),
        ] {
            let (status, location) = sent_to(&mut Caller::get("/hello?name=json"), &conf);
            assert_eq!((status, location.as_str()), expected, "{conf}");
        }
    }

    #[test]
    fn paths_are_replaced_by_regular_expression_or_go_through() {
        let conf = json!({"regex_uri": ["^/test/(.*)", "http://test.com/${1}"]});
        assert_eq!(
            sent_to(&mut Caller::get("/test/x"), &conf),
            (302, "http://test.com/x".to_owned())
        );
        assert!(passed(&Caller::get("/other").rewrite(&plugin(&SPEC, &conf))));
    }

    #[test]
    fn clients_without_encryption_are_sent_to_https() {
        let conf = json!({"http_to_https": true});
        let caller = || Caller::get("/p?a=1").header("host", "foo.com:9080");
        let target = "https://foo.com/p?a=1".to_owned();
        assert_eq!(sent_to(&mut caller(), &conf), (301, target.clone()));
        assert_eq!(sent_to(&mut caller().method(Method::POST), &conf), (308, target));
        let mut behind_proxy = caller().header("x-forwarded-proto", "https");
        assert!(passed(&behind_proxy.rewrite(&plugin(&SPEC, &conf))));
        let off = plugin(&SPEC, &json!({"http_to_https": false}));
        assert!(passed(&caller().rewrite(&off)));
    }

    #[test]
    fn a_line_break_of_the_client_does_not_get_into_a_header() {
        let plugin = plugin(&SPEC, &json!({"uri": "$uri"}));
        let answer = reply(Caller::get("/a%0d%0aset-cookie:%20x").rewrite(&plugin));
        assert_eq!(answer.status, 400);
        assert!(answer.headers.is_empty());
    }

    #[test]
    fn what_contradicts_itself_is_refused_at_the_check() {
        let conf = json!({"http_to_https": true, "append_query_string": true});
        assert!((SPEC.check)(&conf, SchemaType::Route).is_err());
        let conf = json!({"regex_uri": ["(", "/"]});
        assert!((SPEC.check)(&conf, SchemaType::Route).is_err());
    }
}
