//! What objects mean must not depend on how they came to be: a compiler that has seen a history of changes is held
//! against one that is given the outcome at once.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};
use tollgate_resources::objects::{Kind, Object, ObjectKey};
use tollgate_resources::{Secret, SecretRef};

use super::{Chain, Change, Compiler, ObjectRoute, Plane};
use crate::plugins::Flow;
use crate::plugins::testing::{Caller, passed, told};
use crate::proxy::Upstream;
use crate::secrets::Secrets;

const HOSTS: [&str; 3] = ["a.com", "x.b.com", "c.org"];
const PATHS: [&str; 4] = ["/a", "/a/b", "/c", "/c/d"];
const KEYS: [&str; 3] = ["k0", "k1", "k2"];
const NAMES: [&str; 3] = ["jack", "jill", "john"];
const IDS: [&str; 3] = ["1", "2", "3"];
/// What a manager of secrets may be asked for.
const REFERENCE: &str = "vault/1/k";

static CERTIFICATE: LazyLock<(String, String)> = LazyLock::new(|| {
    let made = rcgen::generate_simple_self_signed(vec!["client".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
});

#[derive(Debug, Clone)]
enum Event {
    /// Objects are written (`Some`) or deleted.
    Apply(Vec<(ObjectKey, Option<Value>)>),
    /// A manager of secrets tells a value, or that there is none.
    Tell(Option<&'static str>),
}

fn id() -> impl Strategy<Value = &'static str> {
    select(&IDS[..])
}

/// An id as references write it.
fn reference() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => id().prop_map(|id| json!(id)),
        1 => Just(json!(1)),
        1 => Just(json!(2.0)),
    ]
}

/// Leaves members away or puts them in.
fn members(all: Vec<(&'static str, BoxedStrategy<Value>)>) -> impl Strategy<Value = Value> {
    let each: Vec<_> = all
        .into_iter()
        .map(|(name, value)| prop::option::of(value).prop_map(move |value| (name, value)))
        .collect();
    each.prop_map(|members| {
        let some = members
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Value::Object(some.collect())
    })
}

fn meta() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => Just(json!({})),
        1 => Just(json!({"disable": true})),
        1 => Just(json!({"priority": 12_000})),
    ]
}

fn plugins() -> BoxedStrategy<Value> {
    let body = select(vec!["one", "two", "$secret://vault/1/k"]);
    let fault = (body, meta())
        .prop_map(|(body, meta)| json!({"abort": {"http_status": 418, "body": body}, "_meta": meta}));
    let cors = meta().prop_map(|meta| json!({"allow_origins_by_metadata": ["m"], "_meta": meta}));
    let auth = meta().prop_map(|meta| json!({"_meta": meta}));
    members(vec![
        ("fault-injection", fault.boxed()),
        ("cors", cors.boxed()),
        ("key-auth", auth.boxed()),
    ])
    .boxed()
}

fn upstream() -> BoxedStrategy<Value> {
    let scheme = select(vec!["http", "http", "https", "grpc"]);
    (scheme, 1..3_u32, prop::option::of(reference()))
        .prop_map(|(scheme, retries, certificate)| {
            let mut upstream = json!({"nodes": {"127.0.0.1:9": 1}, "scheme": scheme, "retries": retries});
            if let Some(id) = certificate {
                upstream["tls"] = json!({"client_cert_id": id});
            }
            upstream
        })
        .boxed()
}

fn hosts() -> BoxedStrategy<Value> {
    select(vec![json!(["a.com"]), json!(["*.b.com", "a.com"]), json!([])]).boxed()
}

fn route() -> BoxedStrategy<Value> {
    let uris = select(vec![
        json!(["/a"]),
        json!(["/a", "/a"]),
        json!(["/a/*", "/c"]),
        json!(["/*"]),
        json!(["/:x/*y"]),
    ]);
    let optional = members(vec![
        ("hosts", hosts()),
        ("methods", select(vec![json!(["GET"]), json!(["POST"])]).boxed()),
        ("priority", select(vec![json!(0), json!(1)]).boxed()),
        ("status", select(vec![json!(1), json!(0)]).boxed()),
        ("plugins", plugins()),
        ("plugin_config_id", reference().boxed()),
        ("service_id", reference().boxed()),
        ("upstream_id", reference().boxed()),
        ("upstream", upstream()),
        (
            "timeout",
            Just(json!({"connect": 7, "send": 7, "read": 7})).boxed(),
        ),
    ]);
    (uris, optional)
        .prop_map(|(uris, mut route)| {
            route["uris"] = uris;
            route
        })
        .boxed()
}

fn service() -> BoxedStrategy<Value> {
    members(vec![
        ("hosts", hosts()),
        ("plugins", plugins()),
        ("upstream_id", reference().boxed()),
        ("upstream", upstream()),
        ("enable_websocket", any::<bool>().prop_map(Value::from).boxed()),
    ])
    .boxed()
}

fn set() -> BoxedStrategy<Value> {
    plugins().prop_map(|plugins| json!({"plugins": plugins})).boxed()
}

/// The credential of `key-auth`, perhaps one that needs a secret.
fn key_auth() -> BoxedStrategy<Value> {
    let key = select(vec!["k0", "k1", "$secret://vault/1/k"]);
    (key, meta())
        .prop_map(|(key, meta)| json!({"key": key, "_meta": meta}))
        .boxed()
}

fn credential() -> BoxedStrategy<Value> {
    key_auth()
        .prop_map(|conf| json!({"plugins": {"key-auth": conf}}))
        .boxed()
}

fn consumer() -> BoxedStrategy<Value> {
    let optional = members(vec![("group_id", reference().boxed())]);
    (optional, plugins(), prop::option::of(key_auth()))
        .prop_map(|(mut consumer, mut plugins, key)| {
            match key {
                Some(key) => plugins["key-auth"] = key,
                None => drop(plugins.as_object_mut().unwrap().remove("key-auth")),
            }
            consumer["plugins"] = plugins;
            consumer
        })
        .boxed()
}

fn metadata() -> BoxedStrategy<Value> {
    select(vec!["http://one", "http://two"])
        .prop_map(|origin| json!({"allow_origins": {"m": origin}}))
        .boxed()
}

fn ssl() -> BoxedStrategy<Value> {
    let (cert, key) = &*CERTIFICATE;
    Just(json!({"type": "client", "cert": cert, "key": key})).boxed()
}

fn change() -> BoxedStrategy<(ObjectKey, Option<Value>)> {
    let with_id = |kind: Kind, value: BoxedStrategy<Value>| {
        (id().prop_map(move |id| ObjectKey::new(kind, id)), value).boxed()
    };
    let name = || select(&NAMES[..]);
    let key_and_value = prop_oneof![
        4 => with_id(Kind::Route, route()),
        2 => with_id(Kind::Service, service()),
        2 => with_id(Kind::Upstream, upstream()),
        1 => with_id(Kind::PluginConfig, set()),
        1 => with_id(Kind::ConsumerGroup, set()),
        1 => with_id(Kind::GlobalRule, set()),
        1 => with_id(Kind::Ssl, ssl()),
        1 => (Just(ObjectKey::new(Kind::PluginMetadata, "cors")), metadata()),
        3 => (name().prop_map(|name| ObjectKey::new(Kind::Consumer, name)), consumer()),
        3 => ((name(), id()).prop_map(|(name, id)| ObjectKey::credential(name, id)), credential()),
    ];
    (key_and_value, prop::bool::weighted(0.7))
        .prop_map(|((key, value), is_written)| (key, is_written.then_some(value)))
        .boxed()
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => prop::collection::vec(change(), 1..8).prop_map(Event::Apply),
        1 => prop::option::of(select(vec!["k0", "k2"])).prop_map(Event::Tell),
    ]
}

fn compiler() -> Compiler {
    Compiler::new(&[7; 32], false, None, Vec::new(), Arc::default())
}

/// The objects as a store would hold them.
#[derive(Default)]
struct Store {
    objects: BTreeMap<ObjectKey, Arc<Object>>,
    revision: u64,
}

impl Store {
    fn write(&mut self, (key, value): (ObjectKey, Option<Value>)) -> Change {
        let Some(Value::Object(value)) = value else {
            self.objects.remove(&key);
            return (key, None);
        };
        self.revision += 1;
        let object = self.object(&key, value);
        self.objects.insert(key.clone(), object.clone());
        (key, Some(object))
    }

    fn object(&self, key: &ObjectKey, value: Map<String, Value>) -> Arc<Object> {
        // Two of a number: objects of files and those of the Admin API are counted apart.
        let created = self.objects.get(key).map(|before| before.created_index);
        Arc::new(Object {
            key: key.clone(),
            value,
            created_index: created.unwrap_or(self.revision / 2),
            modified_index: self.revision,
        })
    }
}

fn chain(chain: &Chain) -> String {
    let steps: Vec<_> = chain
        .steps()
        .iter()
        .map(|step| {
            let mut caller = Caller::get("/").header("origin", "http://one");
            let said = match caller.rewrite(&step.plugin) {
                Flow::Answer(reply) => told(Flow::Answer(reply)),
                _ => (0, String::new()),
            };
            let _ = caller.access(&step.plugin);
            let allowed = caller.answered("access-control-allow-origin").map(str::to_owned);
            (step.spec.name, step.priority, said, allowed)
        })
        .collect();
    format!("{steps:?} nothing: {}", chain.is_empty())
}

/// Everything that callers could notice.
fn observed(plane: &Plane) -> Vec<String> {
    let mut lines = vec![format!("routes: {}", plane.router.len())];
    let mut upstreams: Vec<Arc<Upstream>> = Vec::new();
    for host in HOSTS {
        for path in PATHS {
            for method in ["GET", "POST"] {
                let mut tried = Vec::new();
                // All candidates in order, not only the first.
                plane.router.find(host, path, |route| {
                    if route.takes(method, IpAddr::V4(Ipv4Addr::LOCALHOST)) {
                        tried.push(route.clone());
                    }
                    false
                });
                for route in tried {
                    let upstream = route.upstream.as_ref().map(|upstream| {
                        let known = upstreams.iter().position(|known| Arc::ptr_eq(known, upstream));
                        let number = known.unwrap_or_else(|| {
                            upstreams.push(upstream.clone());
                            upstreams.len() - 1
                        });
                        (number, upstream.figures())
                    });
                    lines.push(format!(
                        "{method} {host}{path}: {} {:?} {} {upstream:?} {:?} {}",
                        route.id,
                        route.service_id,
                        chain(&route.chain),
                        route.broken,
                        route.websocket,
                    ));
                }
            }
        }
    }
    for key in KEYS {
        let found = plane.directory.credential("key-auth", key);
        let found = found.map(|credential| (credential.consumer.clone(), credential.id.clone()));
        lines.push(format!("{key}: {found:?}"));
    }
    for name in NAMES {
        let found = plane.directory.consumer(name);
        let found = found.map(|consumer| {
            (
                consumer.group.clone(),
                consumer.group_missing,
                chain(&consumer.chain),
            )
        });
        lines.push(format!("{name}: {found:?}"));
    }
    lines.extend(plane.global.iter().map(|rule| chain(rule)));
    lines
}

fn told_value(value: &str) -> Option<Secret> {
    SecretRef::new(value).ok()?.resolve(&|_| None).ok()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_objects_mean_does_not_depend_on_their_history(events in prop::collection::vec(event(), 1..12)) {
        let secrets = Secrets::new(Box::new(|_| None));
        let mut store = Store::default();
        let mut grown = compiler();
        for event in events {
            let plane = match event {
                Event::Apply(changes) => {
                    let changes: Vec<Change> = changes.into_iter().map(|change| store.write(change)).collect();
                    grown.apply(&changes, &secrets)
                }
                Event::Tell(value) => {
                    secrets.set(REFERENCE, value.and_then(told_value));
                    let users = grown.users_of_secrets(&[REFERENCE.to_owned()].into());
                    grown.refresh(&users, &secrets)
                }
            };
            let all: Vec<Change> = store
                .objects
                .iter()
                .map(|(key, object)| (key.clone(), Some(object.clone())))
                .collect();
            let fresh = compiler().apply(&all, &secrets);
            prop_assert_eq!(observed(&plane), observed(&fresh));
        }
    }
}

/// A compiler with its store, written to one object at a time.
struct Grown {
    store: Store,
    secrets: Secrets,
    compiler: Compiler,
    plane: Plane,
}

impl Grown {
    fn new() -> Self {
        let secrets = Secrets::new(Box::new(|_| None));
        let mut compiler = compiler();
        let plane = compiler.apply(&[], &secrets);
        Grown {
            store: Store::default(),
            secrets,
            compiler,
            plane,
        }
    }

    fn write(&mut self, key: ObjectKey, value: impl Into<Option<Value>>) {
        // Ages differ but where a test says otherwise.
        self.store.revision += 1;
        let change = self.store.write((key, value.into()));
        self.plane = self.compiler.apply(&[change], &self.secrets);
    }

    fn owner(&self, key: &str) -> Option<&str> {
        let credential = self.plane.directory.credential("key-auth", key)?;
        Some(&credential.consumer)
    }

    fn route(&self, path: &str) -> Arc<ObjectRoute> {
        let found = self.plane.router.find("a.com", path, |_| true);
        found.unwrap().route.clone()
    }
}

fn consumer_with(key: &str) -> Value {
    json!({"plugins": {"key-auth": {"key": key}}})
}

#[test]
fn a_key_that_two_consumers_have_leads_to_the_older_one_until_it_gives_it_up() {
    let (jack, jill) = (
        ObjectKey::new(Kind::Consumer, "jack"),
        ObjectKey::new(Kind::Consumer, "jill"),
    );
    let mut grown = Grown::new();
    grown.write(jill.clone(), consumer_with("k"));
    grown.write(jack.clone(), consumer_with("k"));
    assert_eq!(grown.owner("k"), Some("jill"));
    grown.write(
        jack.clone(),
        json!({"plugins": {"key-auth": {"key": "k"}}, "desc": "changed"}),
    );
    assert_eq!(grown.owner("k"), Some("jill"));
    grown.write(jill.clone(), consumer_with("other"));
    assert_eq!(
        (grown.owner("k"), grown.owner("other")),
        (Some("jack"), Some("jill"))
    );
    grown.write(jill.clone(), consumer_with("k"));
    grown.write(jack, None);
    assert_eq!(grown.owner("k"), Some("jill"));
    grown.write(jill, None);
    assert_eq!(grown.owner("k"), None);
}

#[test]
fn credentials_go_and_come_back_with_their_consumer() {
    let jack = ObjectKey::new(Kind::Consumer, "jack");
    let mut grown = Grown::new();
    grown.write(ObjectKey::credential("jack", "c"), consumer_with("k"));
    assert_eq!(grown.owner("k"), None);
    grown.write(jack.clone(), json!({}));
    assert_eq!(grown.owner("k"), Some("jack"));
    grown.write(jack.clone(), None);
    assert_eq!(grown.owner("k"), None);
    grown.write(jack, json!({}));
    assert_eq!(grown.owner("k"), Some("jack"));
}

#[test]
fn what_a_route_disables_does_not_run_for_it_although_its_service_has_it() {
    let plugins = |meta: Value| json!({"ip-restriction": {"whitelist": ["10.0.0.1"], "_meta": meta}});
    let mut grown = Grown::new();
    grown.write(
        ObjectKey::new(Kind::Service, "s"),
        json!({"plugins": plugins(json!({}))}),
    );
    let route = |meta: Value| json!({"uri": "/a", "service_id": "s", "plugins": plugins(meta)});
    let key = ObjectKey::new(Kind::Route, "r");
    grown.write(key.clone(), route(json!({"disable": true})));
    assert!(!grown.route("/a").chain.has("ip-restriction"));
    grown.write(key.clone(), route(json!({"disable": false})));
    assert!(grown.route("/a").chain.has("ip-restriction"));

    // A consumer's word counts more than the route's, in both directions.
    let jack = ObjectKey::new(Kind::Consumer, "jack");
    for (on_route, on_consumer) in [(false, true), (true, false)] {
        grown.write(key.clone(), route(json!({"disable": on_route})));
        grown.write(
            jack.clone(),
            json!({"plugins": plugins(json!({"disable": on_consumer}))}),
        );
        let own = &grown.plane.directory.consumer("jack").unwrap().chain;
        assert!(!own.is_empty());
        let merged = grown.route("/a").chain.overlaid(own);
        assert_eq!(merged.has("ip-restriction"), !on_consumer);
    }
}

#[test]
fn a_route_serves_once_the_client_certificate_is_there_that_it_names_by_a_number() {
    let (cert, key) = &*CERTIFICATE;
    let mut grown = Grown::new();
    grown.write(
        ObjectKey::new(Kind::Route, "r"),
        json!({"uri": "/a", "upstream": {
            "nodes": {"127.0.0.1:9": 1}, "scheme": "https", "tls": {"client_cert_id": 7},
        }}),
    );
    assert!(grown.route("/a").broken.is_some());
    grown.write(
        ObjectKey::new(Kind::Ssl, "7"),
        json!({"type": "client", "cert": cert, "key": key}),
    );
    assert!(grown.route("/a").broken.is_none());
}

#[test]
fn routes_of_the_same_age_keep_their_order_when_one_is_written_again() {
    let mut grown = Grown::new();
    let keys = ["1", "2"].map(|id| ObjectKey::new(Kind::Route, id));
    for revision in [2, 2, 3] {
        for key in &keys {
            // What is counted apart can have the same number.
            grown.store.revision = revision;
            grown.write(key.clone(), json!({"uri": "/a"}));
            assert_eq!(&*grown.route("/a").id, "1");
        }
        grown.write(keys[0].clone(), json!({"uri": "/a", "desc": revision}));
        assert_eq!(&*grown.route("/a").id, "1");
    }
}

fn guarded_route(uri: &str, header: &str) -> Value {
    json!({"uri": uri, "plugins": {
        "key-auth": {"header": header},
        "limit-count": {"count": 1, "time_window": 60, "key": "remote_addr"},
        "ai-rate-limiting": {"limit": 10, "time_window": 60},
        "ai-proxy": {"provider": "openai", "auth": {"header": {"authorization": "Bearer k"}}},
    }})
}

#[test]
fn routes_with_the_same_configuration_share_what_is_made_of_it() {
    let mut grown = Grown::new();
    grown.write(ObjectKey::new(Kind::Route, "1"), guarded_route("/one", "x-key"));
    grown.write(ObjectKey::new(Kind::Route, "2"), guarded_route("/two", "x-key"));
    grown.write(
        ObjectKey::new(Kind::Route, "3"),
        guarded_route("/three", "x-other"),
    );
    let plugin = |path: &str, name: &str| {
        let route = grown.route(path);
        let mut steps = route.chain.steps().iter();
        steps.find(|step| step.spec.name == name).unwrap().plugin.clone()
    };
    let same = |name| Arc::ptr_eq(&plugin("/one", name), &plugin("/two", name));
    assert!(same("key-auth"));
    assert!(!Arc::ptr_eq(
        &plugin("/one", "key-auth"),
        &plugin("/three", "key-auth")
    ));
    let instance = |path| plugin(path, "ai-proxy").ai().unwrap().model.pool.instances()[0].clone();
    assert!(Arc::ptr_eq(&instance("/one"), &instance("/two")));
    // What is counted, and what operators say of an instance, is each route's own.
    assert!(!same("limit-count") && !same("ai-rate-limiting") && !same("ai-proxy"));
}

#[test]
fn routes_with_the_same_configuration_are_limited_apart() {
    let mut grown = Grown::new();
    grown.write(ObjectKey::new(Kind::Route, "1"), guarded_route("/one", "x-key"));
    grown.write(ObjectKey::new(Kind::Route, "2"), guarded_route("/two", "x-key"));
    let mut caller = Caller::get("/");
    let mut passes = |path: &str| {
        let route = grown.route(path);
        let mut steps = route.chain.steps().iter();
        let step = steps.find(|step| step.spec.name == "limit-count").unwrap();
        passed(&caller.access(&step.plugin))
    };
    assert_eq!([passes("/one"), passes("/one")], [true, false]);
    assert_eq!([passes("/two"), passes("/two")], [true, false]);
}
