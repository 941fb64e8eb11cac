//! Who refers to whom: what must exist before an object is written, and what keeps one from being deleted.
//!
//! Looking things up is for the caller, who has the store; the texts are APISIX's.

use serde_json::{Map, Value};

use super::schema::number_text;
use super::{Kind, Object, ObjectKey};

/// What an object refers to, in the order in which APISIX looks it up.
pub fn references(kind: Kind, value: &Map<String, Value>) -> Vec<ObjectKey> {
    let own = Some(value);
    let certificate = |upstream: Option<&Map<String, Value>>| {
        let tls = upstream?.get("tls")?.as_object();
        reference(tls, "client_cert_id", Kind::Ssl)
    };
    let upstream = || reference(own, "upstream_id", Kind::Upstream);
    let service = || reference(own, "service_id", Kind::Service);
    let inner = || certificate(value.get("upstream").and_then(Value::as_object));
    let found = match kind {
        Kind::Upstream => [certificate(own), None, None, None],
        Kind::Route => [
            inner(),
            upstream(),
            service(),
            reference(own, "plugin_config_id", Kind::PluginConfig),
        ],
        Kind::Service => [inner(), upstream(), None, None],
        Kind::StreamRoute => [upstream(), service(), None, None],
        Kind::Consumer => [reference(own, "group_id", Kind::ConsumerGroup), None, None, None],
        _ => [None, None, None, None],
    };
    found.into_iter().flatten().collect()
}

fn reference(inside: Option<&Map<String, Value>>, name: &str, to: Kind) -> Option<ObjectKey> {
    Some(ObjectKey::new(to, id_text(inside?.get(name)?)?))
}

/// The refusal to write an object that refers to one that does not exist.
pub fn missing(target: &ObjectKey) -> String {
    format!("{}, response code: 404", not_fetched(target))
}

/// The refusal to write an upstream whose certificate is not for clients.
pub fn wrong_ssl_type(target: &ObjectKey) -> String {
    format!("{}, wrong ssl type", not_fetched(target))
}

fn not_fetched(target: &ObjectKey) -> String {
    let (word, id) = (target.kind, &target.id);
    format!("failed to fetch {word} info by {word} id [{id}]")
}

/// The refusal to delete an object, if one of the others still uses it. Of several it names the one that APISIX would find
/// first: by kind, then by age.
pub fn still_used<'a>(target: &ObjectKey, others: impl IntoIterator<Item = &'a Object>) -> Option<String> {
    others
        .into_iter()
        .filter_map(|other| {
            let text = use_of(target, &other.key, &other.value)?;
            Some((rank(other.key.kind), other.created_index, text))
        })
        .min()
        .map(|(_, _, text)| text)
}

/// The refusal to delete `target` because of one other object; `None` if that does not use it.
fn use_of(target: &ObjectKey, user: &ObjectKey, value: &Map<String, Value>) -> Option<String> {
    let is_named = |name: &str| value.get(name).and_then(id_text).as_ref() == Some(&target.id);
    let refuse = |what: &str, place: &str| {
        let id = user.short_id();
        Some(format!(
            "can not delete this {what}, {place} [{id}] is still using it now"
        ))
    };
    let word = user_word(user.kind);
    match (target.kind, user.kind) {
        (Kind::Upstream, _) if splits_to(value, &target.id) => {
            refuse("upstream", &format!("plugin in {word}"))
        }
        (Kind::Upstream, Kind::Route | Kind::Service) if is_named("upstream_id") => refuse("upstream", word),
        (Kind::Service, Kind::Route | Kind::StreamRoute) if is_named("service_id") => {
            refuse("service directly", word)
        }
        (Kind::PluginConfig, Kind::Route) if is_named("plugin_config_id") => refuse("plugin config", word),
        (Kind::ConsumerGroup, Kind::Consumer) if is_named("group_id") => refuse("consumer group", word),
        _ => None,
    }
}

/// Whether the plugin `traffic-split` of an object sends calls to an upstream.
fn splits_to(value: &Map<String, Value>, upstream_id: &str) -> bool {
    let Some(split) = value
        .get("plugins")
        .and_then(|plugins| plugins.get("traffic-split"))
    else {
        return false;
    };
    let mut targets = list(split, "rules")
        .iter()
        .flat_map(|rule| list(rule, "weighted_upstreams"));
    targets.any(|target| target.get("upstream_id").and_then(id_text).as_deref() == Some(upstream_id))
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value
        .get(name)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The word for whoever uses an object, which is not always the word for its kind.
const fn user_word(kind: Kind) -> &'static str {
    match kind {
        Kind::GlobalRule => "global_rules",
        kind => kind.place().schema,
    }
}

/// The order in which APISIX asks.
const fn rank(kind: Kind) -> u8 {
    match kind {
        Kind::Route => 0,
        Kind::Service => 1,
        Kind::PluginConfig => 2,
        Kind::Consumer => 3,
        Kind::ConsumerGroup => 4,
        Kind::GlobalRule => 5,
        _ => 6,
    }
}

/// An id as text, whether it is written as text or as a number.
pub(super) fn id_text(id: &Value) -> Option<String> {
    match id {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(match number.as_f64() {
            Some(float) if number.is_f64() => number_text(float),
            _ => number.to_string(),
        }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(kind: Kind, id: &str, created_index: u64, value: &Value) -> Object {
        Object {
            key: ObjectKey::new(kind, id),
            value: value.as_object().unwrap().clone(),
            created_index,
            modified_index: created_index,
        }
    }

    #[test]
    fn what_does_not_exist_is_named_as_in_apisix() {
        let route = json!({
            "upstream": {"tls": {"client_cert_id": 9_999_999}},
            "upstream_id": "9999999999",
            "service_id": 99_999_999_999_999_u64,
            "plugin_config_id": "not_found",
        });
        let texts: Vec<String> = references(Kind::Route, route.as_object().unwrap())
            .iter()
            .map(missing)
            .collect();
        assert_eq!(
            texts,
            [
                "failed to fetch ssl info by ssl id [9999999], response code: 404",
                "failed to fetch upstream info by upstream id [9999999999], response code: 404",
                "failed to fetch service info by service id [99999999999999], response code: 404",
                "failed to fetch plugin config info by plugin config id [not_found], response code: 404",
            ]
        );
        let consumer = json!({"username": "jack", "group_id": "gold"});
        let [group] = &references(Kind::Consumer, consumer.as_object().unwrap())[..] else {
            panic!("one reference");
        };
        assert_eq!(
            missing(group),
            "failed to fetch consumer group info by consumer group id [gold], response code: 404"
        );
        assert_eq!(
            wrong_ssl_type(&ObjectKey::new(Kind::Ssl, "1")),
            "failed to fetch ssl info by ssl id [1], wrong ssl type"
        );
    }

    #[test]
    fn what_is_used_is_not_deleted_and_the_user_is_named() {
        let split =
            json!({"plugins": {"traffic-split": {"rules": [{"weighted_upstreams": [{"upstream_id": 1}]}]}}});
        for (target, user, value, text) in [
            (
                Kind::Service,
                (Kind::Route, "1"),
                json!({"service_id": 1}),
                "can not delete this service directly, route [1] is still using it now",
            ),
            (
                Kind::Service,
                (Kind::StreamRoute, "1"),
                json!({"service_id": "1"}),
                "can not delete this service directly, stream_route [1] is still using it now",
            ),
            (
                Kind::Upstream,
                (Kind::Route, "1"),
                json!({"upstream_id": "1"}),
                "can not delete this upstream, route [1] is still using it now",
            ),
            (
                Kind::Upstream,
                (Kind::Service, "s"),
                json!({"upstream_id": 1}),
                "can not delete this upstream, service [s] is still using it now",
            ),
            (
                Kind::PluginConfig,
                (Kind::Route, "1"),
                json!({"plugin_config_id": "1"}),
                "can not delete this plugin config, route [1] is still using it now",
            ),
            (
                Kind::ConsumerGroup,
                (Kind::Consumer, "foobar"),
                json!({"group_id": "1"}),
                "can not delete this consumer group, consumer [foobar] is still using it now",
            ),
            (
                Kind::Upstream,
                (Kind::GlobalRule, "1"),
                split.clone(),
                "can not delete this upstream, plugin in global_rules [1] is still using it now",
            ),
            (
                Kind::Upstream,
                (Kind::PluginConfig, "1"),
                split,
                "can not delete this upstream, plugin in plugin_config [1] is still using it now",
            ),
        ] {
            let user = object(user.0, user.1, 1, &value);
            assert_eq!(
                still_used(&ObjectKey::new(target, "1"), [&user]).as_deref(),
                Some(text)
            );
            assert_eq!(still_used(&ObjectKey::new(target, "2"), [&user]), None);
        }
    }

    #[test]
    fn of_several_users_the_first_route_is_named() {
        let users = [
            object(Kind::Service, "s", 1, &json!({"upstream_id": "1"})),
            object(Kind::Route, "late", 3, &json!({"upstream_id": "1"})),
            object(Kind::Route, "early", 2, &json!({"upstream_id": "1"})),
        ];
        assert_eq!(
            still_used(&ObjectKey::new(Kind::Upstream, "1"), &users).unwrap(),
            "can not delete this upstream, route [early] is still using it now"
        );
    }
}
