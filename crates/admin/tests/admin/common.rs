//! An Admin API with a store in memory, a data plane that writes down what it is told, and a clock that stands still.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Map, Value};
use tollgate_admin::{Admin, DataPlane, Key, Observed, Parts, Role, Settings};
use tollgate_gateway::health::ForOwner;
use tollgate_resources::SecretRef;
use tollgate_resources::objects::{Object, ObjectKey};
use tollgate_store::Store;
use tollgate_telemetry::ledger::Reader;

pub const KEY: &str = "edd1c9f034335f136f87ad84b625c8f1";
pub const VIEWER_KEY: &str = "4054f7cf07e344346cd3f287985e76a2";
pub const NOW: u64 = 1_700_000_000;

#[derive(Default)]
pub struct Recorder {
    pub told: Mutex<Vec<(String, bool)>>,
    pub unready: Option<String>,
    pub health: Vec<(&'static str, Map<String, Value>)>,
    pub usage: Option<Reader>,
}

impl Observed for Recorder {
    fn health(&self) -> Vec<ForOwner> {
        self.health
            .iter()
            .map(|(owner, told)| ForOwner {
                owner: (*owner).to_owned(),
                told: told.clone(),
            })
            .collect()
    }

    fn has(&self, object: &ObjectKey) -> bool {
        object.id == "there"
    }

    fn metrics(&self) -> Box<dyn Iterator<Item = String> + Send> {
        Box::new(["calls_total".to_owned(), " 3\n".to_owned()].into_iter())
    }

    fn usage(&self) -> Option<Reader> {
        self.usage.clone()
    }
}

impl DataPlane for Recorder {
    async fn apply(&self, changes: Vec<(ObjectKey, Option<Arc<Object>>)>) {
        let mut told = self.told.lock().unwrap();
        told.extend(
            changes
                .into_iter()
                .map(|(key, object)| (key.path(), object.is_some())),
        );
    }

    fn ready(&self) -> Result<(), String> {
        self.unready.clone().map_or(Ok(()), Err)
    }
}

pub struct Api {
    pub admin: Arc<Admin<Recorder>>,
    pub now: Arc<AtomicU64>,
}

pub struct Told {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Told {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// Asserts an error under `error_msg`.
    #[track_caller]
    pub fn refused(&self, status: u16, text: &str) {
        assert_eq!(
            (self.status.as_u16(), self.json()["error_msg"].as_str()),
            (status, Some(text))
        );
        assert!(self.text.ends_with('\n'), "no newline");
    }

    #[track_caller]
    pub fn is(&self, status: u16) -> &Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self
    }
}

pub fn settings() -> Settings {
    let key = |name: &str, key: &str, role| Key {
        name: name.to_owned(),
        key: SecretRef::new(key).unwrap().resolve(&|_| None).unwrap(),
        role,
        teams: Vec::new(),
    };
    Settings {
        keys: vec![
            key("admin", KEY, Role::Admin),
            key("viewer", VIEWER_KEY, Role::Viewer),
        ],
        ..Settings::default()
    }
}

pub fn api() -> Api {
    api_with(settings())
}

pub fn strict() -> Api {
    api_with(Settings {
        strict: true,
        ..settings()
    })
}

pub fn api_with(settings: Settings) -> Api {
    api_of(settings, Recorder::default())
}

pub fn api_of(settings: Settings, recorder: Recorder) -> Api {
    let now = Arc::new(AtomicU64::new(NOW));
    let (clock, steady) = (Arc::clone(&now), Arc::clone(&now));
    let parts = Parts {
        now_s: Box::new(move || clock.load(Ordering::Relaxed)),
        steady_s: Box::new(move || steady.load(Ordering::Relaxed)),
        ..Parts::default()
    };
    let store = Arc::new(Store::in_memory());
    Api {
        admin: Admin::new(settings, store, recorder, parts),
        now,
    }
}

impl Api {
    pub async fn send(&self, request: Request<Body>) -> Told {
        self.send_from(IpAddr::V4(Ipv4Addr::LOCALHOST), request).await
    }

    pub async fn send_from(&self, client: IpAddr, request: Request<Body>) -> Told {
        let response = self.admin.respond(client, request).await;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Told {
            status: parts.status,
            headers: parts.headers,
            text: String::from_utf8(bytes.to_vec()).unwrap(),
        }
    }

    /// Sends a request below `/apisix/admin` with the key.
    pub async fn call(&self, method: &str, path: &str, body: impl Into<Body>) -> Told {
        self.call_with(method, path, &[], body).await
    }

    pub async fn call_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Told {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/apisix/admin{path}"))
            .header("x-api-key", KEY);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).unwrap()).await
    }

    pub async fn get(&self, path: &str) -> Told {
        self.call("GET", path, Body::empty()).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Told {
        self.call("PUT", path, body.to_string()).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Told {
        self.call("POST", path, body.to_string()).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Told {
        self.call("PATCH", path, body.to_string()).await
    }

    pub async fn delete(&self, path: &str) -> Told {
        self.call("DELETE", path, Body::empty()).await
    }

    /// What the data plane was told since the last look: paths, and whether the object exists.
    pub fn told(&self) -> Vec<(String, bool)> {
        std::mem::take(&mut *self.admin.data_plane().told.lock().unwrap())
    }
}

/// An upstream with one server.
pub fn upstream() -> Value {
    serde_json::json!({"type": "roundrobin", "nodes": {"127.0.0.1:1980": 1}})
}

/// A route to one server.
pub fn route(uri: &str) -> Value {
    serde_json::json!({"uri": uri, "upstream": upstream()})
}
