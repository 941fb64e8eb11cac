//! The loggers of `tollgate.yaml`, which are told of all calls.

use std::sync::Arc;
use std::time::Duration;

use tollgate_resources::egress::Origin;
use tollgate_resources::model::{HttpLog, KafkaLog, KafkaMechanism, LogAcks, LogPlace, Logger as Configured};
use tollgate_resources::{Json, SecretRef};
use tollgate_telemetry::delivery::Limits;
use tollgate_telemetry::entry::{Entry, LogFormat};
use tollgate_telemetry::kafka::{Acks, Broker, Mechanism, Sasl, Settings};
use tollgate_telemetry::{Outlets, RouteLogger};

use super::super::Unusable;
use super::conf::size;
use super::http::{ConcatMethod, Place};
use super::{Body, Form, Logger, Outlet, file, kafka};
use crate::upstream::{TlsSettings, client_config};

/// Starts a logger of all calls. `env` looks up environment variables.
///
/// # Errors
/// A variable is missing, or the place where entries go cannot be used.
pub fn logger(
    conf: &Configured,
    env: &dyn Fn(&str) -> Option<String>,
    outlets: &Outlets,
) -> Result<Arc<dyn RouteLogger>, Unusable> {
    let format = |json: &Option<Json>| {
        let value = serde_json::from_str(json.as_ref()?.text()).unwrap_or_default();
        Some(LogFormat::read(&value))
    };
    let body = |bytes: Option<u64>| Body {
        is_included: bytes.is_some(),
        condition: None,
        limit: bytes.map_or(DEFAULT_BODY_BYTES, size),
    };
    Ok(Arc::new(Logger {
        form: Form::Json {
            entry: Box::new(Entry {
                log_format: format(&conf.log_format),
                log_format_extra: format(&conf.log_format_extra),
                ..Entry::default()
            }),
            is_line: matches!(conf.place, LogPlace::File(_)),
        },
        matches: None,
        request_body: body(conf.request_body_bytes),
        response_body: body(conf.response_body_bytes),
        outlet: match &conf.place {
            LogPlace::File(path) => file::outlet(path, outlets)?,
            LogPlace::Http(http) => http_outlet(http, env, outlets)?,
            LogPlace::Kafka(kafka) => kafka_outlet(kafka, env, outlets)?,
        },
    }))
}

/// Takes texts that are posted to an address, one by one. It never waits; what cannot be delivered is counted and told there.
pub type Post = Box<dyn Fn(&[u8]) + Send + Sync>;

/// A queue in front of an address of the operator's that is posted JSON, one text at a time, each tried a few times.
///
/// # Errors
/// The address cannot be used.
pub(crate) fn webhook(url: &str, authorization: Option<&str>, outlets: &Outlets) -> Result<Post, Unusable> {
    let outlet = Place {
        uri: url,
        authorization,
        timeout: Duration::from_secs(5),
        tls: TlsSettings {
            ca_file: None,
            verify: true,
        },
        concat_method: ConcatMethod::Json,
        limits: Limits {
            batch_max_size: 1,
            inactive_timeout: Duration::ZERO,
            max_retry_count: 5,
            retry_delay: Duration::from_secs(2),
            max_pending_entries: 1024,
            ..Limits::default()
        },
        origin: Origin::Operator,
    }
    .outlet(outlets)?;
    Ok(Box::new(move |text| outlet.take(text)))
}

fn http_outlet(
    conf: &HttpLog,
    env: &dyn Fn(&str) -> Option<String>,
    outlets: &Outlets,
) -> Result<Box<dyn Outlet>, Unusable> {
    let resolve = |secret: &SecretRef| secret.resolve(env).map_err(|error| Unusable(error.to_string()));
    let authorization = conf.authorization.as_ref().map(resolve).transpose()?;
    Place {
        uri: &conf.url,
        authorization: authorization.as_ref().map(|secret| secret.expose()),
        timeout: Duration::from_millis(conf.timeout_ms),
        tls: TlsSettings {
            ca_file: conf.tls.ca_file.clone(),
            verify: conf.tls.verify,
        },
        concat_method: match conf.lines {
            true => ConcatMethod::NewLine,
            false => ConcatMethod::Json,
        },
        limits: Limits {
            batch_max_size: conf.batch.size,
            inactive_timeout: match conf.batch.size {
                1 => Duration::ZERO,
                _ => Duration::from_millis(conf.batch.inactive_ms),
            },
            buffer_duration: Duration::from_millis(conf.batch.longest_ms),
            max_retry_count: conf.batch.retries,
            retry_delay: Duration::from_millis(conf.batch.retry_delay_ms),
            max_pending_entries: conf.batch.queue,
            ..Limits::default()
        },
        origin: Origin::Operator,
    }
    .outlet(outlets)
}

fn kafka_outlet(
    conf: &KafkaLog,
    env: &dyn Fn(&str) -> Option<String>,
    outlets: &Outlets,
) -> Result<Box<dyn Outlet>, Unusable> {
    let sasl = conf
        .sasl
        .as_ref()
        .map(|sasl| {
            let password = sasl
                .password
                .resolve(env)
                .map_err(|error| Unusable(error.to_string()))?;
            Ok(Sasl {
                mechanism: match sasl.mechanism {
                    KafkaMechanism::Plain => Mechanism::Plain,
                    KafkaMechanism::ScramSha256 => Mechanism::ScramSha256,
                    KafkaMechanism::ScramSha512 => Mechanism::ScramSha512,
                },
                user: sasl.user.clone(),
                password: Arc::new(password),
            })
        })
        .transpose()?;
    let brokers = conf.brokers.iter().map(|broker| Broker {
        host: broker.host.clone(),
        port: broker.port,
        sasl: sasl.clone(),
    });
    let tls = conf.tls.as_ref().map(|tls| {
        let settings = TlsSettings {
            ca_file: tls.ca_file.clone(),
            verify: tls.verify,
        };
        client_config(&settings, None).map_err(|error| Unusable(error.to_string()))
    });
    let mut settings = Settings::new(brokers.collect(), conf.topic.clone());
    settings.tls = tls.transpose()?;
    settings.acks = match conf.acks {
        LogAcks::Leader => Acks::Leader,
        LogAcks::All => Acks::All,
    };
    settings.timeout = Duration::from_millis(conf.timeout_ms);
    settings.linger = Duration::from_millis(conf.linger_ms);
    settings.max_buffered_records = conf.queue;
    // References stand for secrets here, which are the same as long as the process lives.
    let identity = format!("{conf:?}");
    kafka::outlet(&identity, &settings, conf.key.as_deref(), None, outlets)
}

/// Bytes of `$request_body` in formats of loggers that set no limit, as in APISIX.
const DEFAULT_BODY_BYTES: usize = 512 * 1024;
