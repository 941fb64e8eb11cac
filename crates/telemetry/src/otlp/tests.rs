//! Against a collector on this machine that does as it is told, over both transports.
#![expect(clippy::disallowed_methods, reason = "the collector ends with the test")]

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use ::http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, SeverityNumber};
use prost::Message;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_rustls::rustls::{RootCertStore, crypto};

#[path = "../../../../tests/servers/port.rs"]
mod port;

use self::port::Port;
use super::logs::of_call;
use super::protobuf::Writer;
use super::{ITEMS, Item, Protocol, Resource, Settings, Signal, queue};
use crate::delivery::{Hub, Queue, Tally};
use crate::fixture;
use crate::metrics::Metrics;
use crate::outbound::{Address, ClientConfig};
use crate::record::CallRecord;
use crate::traces::Sampler;

const BOTH: [Protocol; 2] = [Protocol::Http, Protocol::Grpc];

/// What the collector answers.
#[derive(Clone)]
enum Says {
    /// This message, with success.
    Message(Vec<u8>),
    /// This status of HTTP, or of gRPC, and a header beside it.
    Status(u16, Option<(&'static str, String)>),
}

/// What the collector was sent.
#[derive(Clone)]
struct Got {
    path: String,
    headers: HeaderMap,
    message: Vec<u8>,
}

#[derive(Clone, Default)]
struct Collector {
    script: Arc<Mutex<VecDeque<Says>>>,
    got: Arc<Mutex<Vec<Got>>>,
}

impl Collector {
    fn will(script: impl IntoIterator<Item = Says>) -> Collector {
        let collector = Collector::default();
        collector.script.lock().unwrap().extend(script);
        collector
    }

    fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    /// Listens from now on.
    async fn listen(&self, protocol: Protocol, address: &str) -> String {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let collector = self.clone();
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                let collector = collector.clone();
                let service = service_fn(move |request| collector.clone().answer(protocol, request));
                let io = TokioIo::new(tcp);
                match protocol {
                    Protocol::Http => drop(tokio::spawn(http1::Builder::new().serve_connection(io, service))),
                    Protocol::Grpc => drop(tokio::spawn(
                        http2::Builder::new(TokioExecutor::new()).serve_connection(io, service),
                    )),
                }
            }
        });
        address
    }

    async fn answer(
        self,
        protocol: Protocol,
        request: Request<Incoming>,
    ) -> Result<Response<BoxBody<Bytes, Infallible>>, Infallible> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let message = match protocol {
            Protocol::Http => body.to_vec(),
            Protocol::Grpc => super::grpc::unframe(&body).unwrap().to_vec(),
        };
        self.got.lock().unwrap().push(Got {
            path: head.uri.path_and_query().unwrap().to_string(),
            headers: head.headers,
            message,
        });
        let says = self.script.lock().unwrap().pop_front();
        let says = says.unwrap_or(Says::Message(Vec::new()));
        Ok(match (protocol, says) {
            (Protocol::Http, Says::Message(message)) => {
                Response::new(Full::new(Bytes::from(message)).boxed())
            }
            (Protocol::Http, Says::Status(status, header)) => {
                let mut response = Response::new(Full::default().boxed());
                *response.status_mut() = status.try_into().unwrap();
                response.headers_mut().extend(pair(header));
                response
            }
            (Protocol::Grpc, Says::Message(message)) => {
                let mut framed = super::grpc::frame_head(message.len()).to_vec();
                framed.extend(message);
                let trailers = HeaderMap::from_iter(pair(Some(("grpc-status", "0".to_owned()))));
                let body = Full::new(Bytes::from(framed)).with_trailers(async { Some(Ok(trailers)) });
                Response::new(body.boxed())
            }
            (Protocol::Grpc, Says::Status(status, header)) => {
                let mut response = Response::new(Full::default().boxed());
                let told = [Some(("grpc-status", status.to_string())), header];
                response.headers_mut().extend(told.into_iter().flat_map(pair));
                response
            }
        })
    }
}

fn pair(header: Option<(&'static str, String)>) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    header.into_iter().map(|(name, value)| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_str(&value).unwrap(),
        )
    })
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(test);
}

fn settings(address: &str, protocol: Protocol) -> Settings {
    Settings {
        endpoint: Address::parse(&format!("http://{address}/base/")).unwrap(),
        protocol,
        headers: HeaderMap::from_iter(pair(Some(("x-tenant", "blue".to_owned())))),
        timeout: Duration::from_secs(10),
        tls: no_trust(),
        resource: Resource {
            service_name: "gateway".to_owned(),
            service_version: "1.2.3".to_owned(),
            service_instance: "here".to_owned(),
            attributes: vec![("deployment.environment.name".to_owned(), "test".to_owned())],
        },
        queue: 100,
        queue_bytes: 1024 * 1024,
        batch: 10,
        flush_interval: Duration::from_millis(1),
    }
}

fn no_trust() -> Arc<ClientConfig> {
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    Arc::new(config)
}

/// A span that has nothing but a name.
fn named(name: &str) -> Item {
    let mut writer = Writer::default();
    writer.message(ITEMS, |span| span.bytes(5, name.as_bytes()));
    Item {
        bytes: writer.into_bytes(),
        count: 1,
    }
}

fn start(settings: Settings, signal: Signal) -> Queue<Item> {
    let hub = Hub::on(Handle::current(), Arc::new(Metrics::default()));
    queue(&hub, "test", signal, settings).unwrap()
}

fn push(queue: &Queue<Item>, name: &str) {
    let item = named(name);
    let bytes = item.bytes.len();
    let _ = queue.push(item, bytes);
}

async fn until(queue: &Queue<Item>, reached: impl Fn(Tally) -> bool) -> Tally {
    loop {
        let tally = queue.tally();
        if reached(tally) {
            return tally;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn names(got: &[Got]) -> Vec<String> {
    got.iter()
        .flat_map(|got| {
            ExportTraceServiceRequest::decode(got.message.as_slice())
                .unwrap()
                .resource_spans
        })
        .flat_map(|of_resource| of_resource.scope_spans)
        .flat_map(|of_scope| of_scope.spans)
        .map(|span| span.name)
        .collect()
}

#[test]
fn spans_arrive_with_who_sends_them() {
    for protocol in BOTH {
        run(async {
            let collector = Collector::default();
            let address = collector.listen(protocol, "127.0.0.1:0").await;
            let queue = start(settings(&address, protocol), Signal::Traces);
            push(&queue, "one");
            push(&queue, "two");
            until(&queue, |tally| tally.sent == 2).await;
            let got = collector.got();
            assert_eq!(names(&got), ["one", "two"]);
            let first = &got[0];
            let (path, media_type) = match protocol {
                Protocol::Http => ("/base/v1/traces", "application/x-protobuf"),
                Protocol::Grpc => (
                    "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
                    "application/grpc",
                ),
            };
            assert_eq!(first.path, path);
            assert_eq!(first.headers["content-type"], media_type);
            assert_eq!(first.headers["x-tenant"], "blue");
            let request = ExportTraceServiceRequest::decode(first.message.as_slice()).unwrap();
            let of_resource = &request.resource_spans[0];
            let resource = of_resource.resource.as_ref().unwrap();
            let attributes: Vec<_> = resource
                .attributes
                .iter()
                .map(|attribute| {
                    let value = attribute.value.as_ref().unwrap().value.as_ref().unwrap();
                    let Value::StringValue(value) = value else {
                        panic!("{value:?}")
                    };
                    (attribute.key.as_str(), value.as_str())
                })
                .collect();
            assert_eq!(
                attributes,
                [
                    ("service.name", "gateway"),
                    ("service.version", "1.2.3"),
                    ("service.instance.id", "here"),
                    ("deployment.environment.name", "test"),
                ]
            );
            assert_eq!(
                of_resource.scope_spans[0].scope.as_ref().unwrap().name,
                "tollgate"
            );
        });
    }
}

#[test]
fn what_a_collector_cannot_take_now_is_sent_again() {
    for protocol in BOTH {
        run(async {
            let (busy, exhausted) = match protocol {
                Protocol::Http => (
                    Says::Status(503, None),
                    Says::Status(429, Some(("retry-after", "0".to_owned()))),
                ),
                Protocol::Grpc => (Says::Status(14, None), Says::Status(14, None)),
            };
            let collector = Collector::will([busy, exhausted]);
            let address = collector.listen(protocol, "127.0.0.1:0").await;
            let queue = start(settings(&address, protocol), Signal::Traces);
            push(&queue, "one");
            let tally = until(&queue, |tally| tally.sent == 1).await;
            assert_eq!(names(&collector.got()), ["one"; 3]);
            assert_eq!((tally.failed, tally.retries), (0, 2));
        });
    }
}

#[test]
fn what_a_collector_never_takes_is_dropped_and_the_next_goes_through() {
    for protocol in BOTH {
        run(async {
            let status = match protocol {
                Protocol::Http => 400,
                Protocol::Grpc => 3,
            };
            let collector = Collector::will([Says::Status(status, None)]);
            let address = collector.listen(protocol, "127.0.0.1:0").await;
            let queue = start(settings(&address, protocol), Signal::Traces);
            push(&queue, "odd");
            until(&queue, |tally| tally.failed == 1).await;
            push(&queue, "fine");
            until(&queue, |tally| tally.sent == 1).await;
            assert_eq!(names(&collector.got()), ["odd", "fine"]);
        });
    }
}

#[test]
fn refused_spans_are_counted_as_dropped() {
    for protocol in BOTH {
        run(async {
            let answer = ExportTraceServiceResponse {
                partial_success: Some(ExportTracePartialSuccess {
                    rejected_spans: 2,
                    error_message: "too old".to_owned(),
                }),
            };
            let collector = Collector::will([Says::Message(answer.encode_to_vec())]);
            let address = collector.listen(protocol, "127.0.0.1:0").await;
            let settings = Settings {
                flush_interval: Duration::from_secs(60),
                batch: 5,
                ..settings(&address, protocol)
            };
            let queue = start(settings, Signal::Traces);
            for name in ["1", "2", "3", "4", "5"] {
                push(&queue, name);
            }
            let tally = until(&queue, |tally| tally.sent > 0 && tally.failed > 0).await;
            assert_eq!((tally.sent, tally.failed), (3, 2));
            assert_eq!(collector.got().len(), 1);
        });
    }
}

#[test]
fn a_collector_that_is_away_loses_nothing_within_the_queue_and_what_is_beyond_is_counted() {
    for protocol in BOTH {
        run(async {
            let reserved = Port::reserve();
            let address = reserved.address().to_string();
            let settings = Settings {
                queue: 3,
                ..settings(&address, protocol)
            };
            let queue = start(settings, Signal::Traces);
            for name in ["1", "2", "3", "4", "5"] {
                push(&queue, name);
            }
            let tally = until(&queue, |tally| tally.errors > 0).await;
            assert_eq!((tally.sent, tally.full, tally.failed), (0, 2, 0));
            let collector = Collector::default();
            collector.listen(protocol, &address).await;
            let tally = until(&queue, |tally| tally.sent == 3).await;
            assert_eq!(tally.failed, 0);
            assert_eq!(names(&collector.got()), ["1", "2", "3"]);
        });
    }
}

#[test]
fn a_collector_can_ask_for_a_longer_pause_over_grpc() {
    run(async {
        let mut status = Writer::default();
        status.number(1, 8);
        status.message(3, |any| {
            any.bytes(1, b"type.googleapis.com/google.rpc.RetryInfo");
            any.message(2, |info| info.message(1, |delay| delay.number(2, 1_000_000)));
        });
        let details = STANDARD_NO_PAD.encode(status.into_bytes());
        let collector = Collector::will([Says::Status(8, Some(("grpc-status-details-bin", details)))]);
        let address = collector.listen(Protocol::Grpc, "127.0.0.1:0").await;
        let queue = start(settings(&address, Protocol::Grpc), Signal::Traces);
        push(&queue, "one");
        let tally = until(&queue, |tally| tally.sent == 1).await;
        assert_eq!((tally.retries, tally.failed), (1, 0));
    });
}

#[test]
fn a_call_is_one_log_record_with_its_trace() {
    let trace = Sampler::new(1.0).begin(&HeaderMap::new());
    let call = CallRecord {
        trace: Some(&trace),
        request_uri: "/v1/chat/completions?key=secret",
        ..fixture::call()
    };
    let record = log_record(&call);
    assert_eq!(record.severity_number(), SeverityNumber::Info);
    assert_eq!(record.trace_id, trace.trace.as_bytes());
    assert_eq!(record.span_id, trace.span.as_bytes());
    assert_eq!(record.flags, 1);
    assert_eq!(record.event_name, "tollgate.call");
    let body = record.body.unwrap().value.unwrap();
    assert_eq!(
        body,
        Value::StringValue("POST /v1/chat/completions 200".to_owned())
    );
    let consumer = record
        .attributes
        .iter()
        .find(|attribute| attribute.key == "tollgate.consumer");
    let consumer = consumer.unwrap().value.clone().unwrap().value.unwrap();
    assert_eq!(consumer, Value::StringValue("user-a".to_owned()));
}

#[test]
fn severity_says_whose_fault_it_was() {
    let severity = |status, error_code| {
        let call = CallRecord {
            status,
            error_code,
            ..fixture::call()
        };
        log_record(&call).severity_number()
    };
    assert_eq!(severity(200, None), SeverityNumber::Info);
    assert_eq!(severity(404, Some("no_route")), SeverityNumber::Warn);
    assert_eq!(severity(499, None), SeverityNumber::Warn);
    assert_eq!(severity(502, Some("upstream_error")), SeverityNumber::Error);
    assert_eq!(severity(200, Some("upstream_error")), SeverityNumber::Error);
}

#[test]
fn log_records_arrive() {
    for protocol in BOTH {
        run(async {
            let collector = Collector::default();
            let address = collector.listen(protocol, "127.0.0.1:0").await;
            let queue = start(settings(&address, protocol), Signal::Logs);
            let item = of_call(&fixture::call(), SystemTime::now());
            let bytes = item.bytes.len();
            queue.push(item, bytes).unwrap();
            until(&queue, |tally| tally.sent == 1).await;
            let got = collector.got();
            let path = match protocol {
                Protocol::Http => "/base/v1/logs",
                Protocol::Grpc => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
            };
            assert_eq!(got[0].path, path);
            let request = ExportLogsServiceRequest::decode(got[0].message.as_slice()).unwrap();
            assert_eq!(request.resource_logs[0].scope_logs[0].log_records.len(), 1);
        });
    }
}

fn log_record(call: &CallRecord<'_>) -> LogRecord {
    let item = of_call(call, SystemTime::now());
    let of_scope = opentelemetry_proto::tonic::logs::v1::ScopeLogs::decode(item.bytes.as_slice());
    of_scope.unwrap().log_records.remove(0)
}
