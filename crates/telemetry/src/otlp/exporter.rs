//! Sends batches of items to a collector.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until};

use super::protobuf::Writer;
use super::settings::{Protocol, Resource, Settings, Signal};
use super::verdict::Verdict;
use super::{Attributes, Item, grpc, http};
use crate::delivery::{self, Fate, Hub, Queue, SendError, Sent, Sink};
use crate::outbound::{AddressError, Client, Limits, OutboundError, Version};

/// Bytes of items in one request at most. Collectors take 4 MiB in a message of gRPC, unless they are told otherwise.
const MAX_BATCH_BYTES: usize = 3 * 1024 * 1024;

/// For a new connection; the time limit of a request holds too.
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// Bytes of an answer at most. Answers are counts and error texts.
const MAX_ANSWER: usize = 64 * 1024;

/// The first pause after a failure; each following one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// The longest pause, unless the collector asks for more. Shorter than a shutdown takes, which waits for it.
const MAX_PAUSE: Duration = Duration::from_secs(3);

/// The longest pause a collector can ask for.
const MAX_ASKED_PAUSE: Duration = Duration::from_secs(300);

/// The name of what makes the items.
const SCOPE: &str = "tollgate";

/// A queue whose items go to a collector. `name` is the sink's in metrics and in our own log.
///
/// # Errors
/// The collector's address cannot be used.
pub(crate) fn queue(
    hub: &Hub,
    name: &str,
    signal: Signal,
    settings: Settings,
) -> Result<Queue<Item>, AddressError> {
    let version = match settings.protocol {
        Protocol::Grpc => Version::Http2,
        Protocol::Http => Version::Http1,
    };
    let limits = Limits {
        connect: CONNECT_TIME.min(settings.timeout),
        total: settings.timeout,
        answer: MAX_ANSWER,
    };
    let client = Client::new(settings.endpoint.clone(), version, &settings.tls, limits)?;
    let shared = Arc::new(Shared {
        signal,
        client,
        head: head(&settings.resource),
        settings,
    });
    let limits = delivery::Limits {
        batch_max_size: shared.settings.batch,
        batch_max_bytes: MAX_BATCH_BYTES,
        inactive_timeout: shared.settings.flush_interval,
        buffer_duration: shared.settings.flush_interval,
        // What may pass is tried until it does; the queue's bounds say how much is kept meanwhile.
        max_retry_count: u32::MAX,
        // The pauses are the exporter's.
        retry_delay: Duration::ZERO,
        max_pending_entries: shared.settings.queue,
        max_pending_bytes: shared.settings.queue_bytes,
        senders: 1,
    };
    Ok(hub.queue(name, limits, || Exporter {
        shared: shared.clone(),
        pause: FIRST_PAUSE,
        not_before: None,
    }))
}

struct Shared {
    signal: Signal,
    settings: Settings,
    client: Client,
    head: Head,
}

/// What comes before the items of every request.
struct Head {
    /// The field with the resource, of `Resource…`.
    resource: Vec<u8>,
    /// The field with the scope, of `Scope…`.
    scope: Vec<u8>,
}

struct Exporter {
    shared: Arc<Shared>,
    /// How long to wait after the next failure.
    pause: Duration,
    not_before: Option<Instant>,
}

impl Sink<Item> for Exporter {
    async fn send(&mut self, batch: &[Item]) -> Result<Sent, SendError> {
        if let Some(not_before) = self.not_before.take() {
            sleep_until(not_before).await;
        }
        let verdict = match self.shared.exchange(batch).await {
            Ok(verdict) => verdict,
            Err(error @ OutboundError::Request { .. }) => Verdict::Never {
                reason: error.to_string(),
            },
            // Sent again even if the collector may have had it: identifiers tell what is double.
            Err(error) => Verdict::Later {
                reason: error.to_string(),
                after: None,
            },
        };
        match verdict {
            Verdict::Later { reason, after } => {
                let asked = after.unwrap_or_default().min(MAX_ASKED_PAUSE);
                self.not_before = Some(Instant::now() + asked.max(self.pause));
                self.pause = (self.pause * 2).min(MAX_PAUSE);
                return Err(SendError::passing(reason));
            }
            Verdict::Never { reason } => return Err(SendError::lasting(reason)),
            Verdict::Taken | Verdict::Partly { .. } => self.pause = FIRST_PAUSE,
        }
        match verdict {
            Verdict::Partly { refused, message } => Ok(Sent::Each {
                fates: fates(batch, refused),
                cause: format!("the collector refuses {refused} of a batch: {message}").into(),
            }),
            _ => Ok(Sent::All),
        }
    }
}

impl Shared {
    async fn exchange(&self, batch: &[Item]) -> Result<Verdict, OutboundError> {
        let message = Bytes::from(self.message(batch));
        let request = match self.settings.protocol {
            Protocol::Grpc => grpc::request(&self.settings, self.signal, message),
            Protocol::Http => http::request(&self.settings, self.signal, message),
        };
        let request = request.map_err(|error| OutboundError::Request {
            place: self.client.address().to_string(),
            reason: error.to_string(),
        })?;
        let answer = self.client.send(request).await?;
        Ok(match self.settings.protocol {
            Protocol::Grpc => grpc::verdict(&answer),
            Protocol::Http => http::verdict(&answer),
        })
    }

    /// `Export…ServiceRequest` with one resource and one scope; for gRPC in its frame.
    fn message(&self, batch: &[Item]) -> Vec<u8> {
        let items: usize = batch.iter().map(|item| item.bytes.len()).sum();
        let room = items + self.head.resource.len() + self.head.scope.len() + FRAMES;
        let mut writer = Writer::with_capacity(room);
        if self.settings.protocol == Protocol::Grpc {
            writer.raw(&[0; grpc::FRAME_HEAD]);
        }
        writer.message(RESOURCE_ITEMS, |of_resource| {
            of_resource.raw(&self.head.resource);
            of_resource.message(SCOPE_ITEMS, |of_scope| {
                of_scope.raw(&self.head.scope);
                for item in batch {
                    of_scope.raw(&item.bytes);
                }
            });
        });
        let mut bytes = writer.into_bytes();
        if self.settings.protocol == Protocol::Grpc {
            let head = grpc::frame_head(bytes.len().saturating_sub(grpc::FRAME_HEAD));
            for (place, byte) in bytes.iter_mut().zip(head) {
                *place = byte;
            }
        }
        bytes
    }
}

fn head(resource: &Resource) -> Head {
    let mut of_resource = Writer::default();
    of_resource.message(RESOURCE, |message| {
        let mut attributes = Attributes::new(message, RESOURCE_ATTRIBUTES);
        attributes.text("service.name", &resource.service_name);
        attributes.text("service.version", &resource.service_version);
        attributes.text("service.instance.id", &resource.service_instance);
        for (name, value) in &resource.attributes {
            attributes.text(name, value);
        }
    });
    let mut of_scope = Writer::default();
    of_scope.message(SCOPE_OF_ITEMS, |scope| {
        scope.bytes(SCOPE_NAME, SCOPE.as_bytes());
        scope.bytes(SCOPE_VERSION, env!("CARGO_PKG_VERSION").as_bytes());
    });
    Head {
        resource: of_resource.into_bytes(),
        scope: of_scope.into_bytes(),
    }
}

/// The collector does not say which items it refused, so the last entries are told as refused, which makes the count right.
fn fates(batch: &[Item], refused: u64) -> Vec<Fate> {
    let mut left = refused;
    let mut fates: Vec<Fate> = batch
        .iter()
        .rev()
        .map(|item| match left {
            0 => Fate::Delivered,
            _ => {
                left = left.saturating_sub(u64::from(item.count));
                Fate::Refused
            }
        })
        .collect();
    fates.reverse();
    fates
}

/// Room for keys and lengths around the items.
const FRAMES: usize = 64;

/// Of `Export…ServiceRequest`.
const RESOURCE_ITEMS: u32 = 1;

/// Of `ResourceSpans` and `ResourceLogs`.
const RESOURCE: u32 = 1;
const SCOPE_ITEMS: u32 = 2;

/// Of `ScopeSpans` and `ScopeLogs`.
const SCOPE_OF_ITEMS: u32 = 1;

/// Of `Resource`.
const RESOURCE_ATTRIBUTES: u32 = 1;

/// Of `InstrumentationScope`.
const SCOPE_NAME: u32 = 1;
const SCOPE_VERSION: u32 = 2;
