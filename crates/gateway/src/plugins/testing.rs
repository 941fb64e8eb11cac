//! What tests of plugins share: a caller with a directory, and plugins set up from JSON as the gateway does it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use serde_json::Value;

use super::{Attached, Call, Flow, Plugin, Reply, ReplyBody, SchemaType, Setup, SharedState, Spec, auth};
use crate::objects::Chain;
use crate::who::{Consumer, Credential, Directory};

/// A client with one request, and the directory it is looked up in.
pub(crate) struct Caller {
    pub(crate) request: Parts,
    pub(crate) client: SocketAddr,
    pub(crate) directory: Directory,
    pub(crate) consumer: Option<Attached>,
    pub(crate) answer_headers: HeaderMap,
    pub(crate) now: SystemTime,
    pub(crate) service_id: Option<&'static str>,
}

impl Caller {
    pub(crate) fn get(uri: &str) -> Self {
        let (mut request, ()) = Request::new(()).into_parts();
        request.uri = uri.parse().unwrap();
        Caller {
            request,
            client: "203.0.113.7:5000".parse().unwrap(),
            directory: Directory::new(&[7; 32]),
            consumer: None,
            answer_headers: HeaderMap::new(),
            now: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
            service_id: Some("s1"),
        }
    }

    pub(crate) fn method(mut self, method: Method) -> Self {
        self.request.method = method;
        self
    }

    pub(crate) fn from(mut self, address: &str) -> Self {
        self.client.set_ip(address.parse().unwrap());
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.request.headers.append(
            name.parse::<HeaderName>().unwrap(),
            HeaderValue::from_str(value).unwrap(),
        );
        self
    }

    /// Adds a consumer; the label `custom_id` is `custom-<name>`.
    pub(crate) fn consumer(mut self, name: &str, group: Option<&str>) -> Self {
        self.directory.insert_consumer(Arc::new(Consumer {
            name: name.into(),
            group: group.map(Into::into),
            labels: BTreeMap::from([("custom_id".to_owned(), format!("custom-{name}"))]),
            group_missing: false,
            chain: Chain::default(),
        }));
        self
    }

    /// Adds a credential as the compiler of consumers does it.
    pub(crate) fn credential(mut self, consumer: &str, id: Option<&str>, plugin: &str, conf: &Value) -> Self {
        let (identity, proof) = auth::identity_and_proof(plugin, conf).unwrap();
        let credential = Credential {
            consumer: consumer.into(),
            id: id.map(Into::into),
            proof,
        };
        self.directory
            .insert_credential(plugin, &identity, Arc::new(credential));
        self
    }

    /// Makes a consumer the one that calls.
    pub(crate) fn attached(mut self, name: &str) -> Self {
        self.consumer = Some(Attached {
            consumer: self.directory.consumer(name).unwrap().clone(),
            credential_id: None,
        });
        self
    }

    pub(crate) fn call(&mut self) -> Call<'_> {
        Call {
            request: &mut self.request,
            client: self.client,
            tls: false,
            request_id: "req-1",
            route_id: "r1",
            service_id: self.service_id,
            path_parameters: &[],
            directory: &self.directory,
            consumer: self.consumer.clone(),
            body: None,
            now: self.now,
            wall: Some(self.now),
            answer_headers: self.answer_headers.clone(),
            at_end: Vec::new(),
        }
    }

    /// Runs one phase and keeps what it did.
    fn run(&mut self, phase: impl FnOnce(&mut Call<'_>) -> Flow) -> Flow {
        let mut call = self.call();
        let flow = phase(&mut call);
        let Call {
            consumer,
            answer_headers,
            ..
        } = call;
        self.consumer = consumer;
        self.answer_headers = answer_headers;
        flow
    }

    pub(crate) fn rewrite(&mut self, plugin: &Arc<dyn Plugin>) -> Flow {
        self.run(|call| plugin.rewrite(call))
    }

    pub(crate) fn access(&mut self, plugin: &Arc<dyn Plugin>) -> Flow {
        self.run(|call| plugin.access(call))
    }

    pub(crate) fn sent(&self, header: &str) -> Option<&str> {
        self.request
            .headers
            .get(header)
            .map(|value| value.to_str().unwrap())
    }

    pub(crate) fn answered(&self, header: &str) -> Option<&str> {
        self.answer_headers
            .get(header)
            .map(|value| value.to_str().unwrap())
    }

    pub(crate) fn later(&mut self, milliseconds: u64) {
        self.now += Duration::from_millis(milliseconds);
    }
}

/// Sets a plugin up with state of its own.
pub(crate) fn plugin(spec: &Spec, conf: &Value) -> Arc<dyn Plugin> {
    plugin_with(spec, conf, None, false, &SharedState::default())
}

pub(crate) fn plugin_with(
    spec: &Spec,
    conf: &Value,
    metadata: Option<&Value>,
    strict: bool,
    state: &SharedState,
) -> Arc<dyn Plugin> {
    let setup = Setup {
        owner: "route/1",
        strict,
        metadata,
        state,
    };
    assert_eq!((spec.check)(conf, SchemaType::Route), Ok(()));
    (spec.setup)(conf, &setup).unwrap_or_else(|error| panic!("{error}"))
}

/// The answer of a plugin that answered.
pub(crate) fn reply(flow: Flow) -> Reply {
    match flow {
        Flow::Answer(reply) => *reply,
        _ => panic!("the call went on"),
    }
}

pub(crate) fn passed(flow: &Flow) -> bool {
    matches!(flow, Flow::Next)
}

/// Status and body as APISIX would write them.
pub(crate) fn told(flow: Flow) -> (u16, String) {
    let reply = reply(flow);
    let key = |key| match key {
        super::Key::Message => "message",
        super::Key::ErrorMsg => "error_msg",
    };
    let body = match reply.body {
        ReplyBody::None => String::new(),
        ReplyBody::Error(name, text) => serde_json::json!({ key(name): text }).to_string(),
        ReplyBody::Json(value) => value.to_string(),
        ReplyBody::Text(text) => text.into_owned(),
    };
    (reply.status.as_u16(), body)
}
