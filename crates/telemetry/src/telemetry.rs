//! Everything that is told of finished calls, and in which order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;

use crate::access_log::AccessLog;
use crate::metrics::apisix::{ActiveCall, ActiveLabels, ApisixLogger, ApisixMetrics, Settings, Shape};
use crate::metrics::{Metrics, Traffic};
use crate::outlets::Outlets;
use crate::record::CallRecord;
use crate::redaction::PayloadRules;
use crate::traces::{CallTrace, Traces};

/// Something that is told of finished calls.
///
/// It runs on the thread that served the call, so it must not block, and must not take long.
pub trait CallSink: Send + Sync {
    /// A call has ended.
    fn call(&self, call: &CallRecord<'_>);

    /// Whether it reads what costs something to gather: providers' own usage objects, and what was said.
    fn reads_details(&self) -> bool {
        true
    }

    /// Files may have been moved away: they are to be opened anew.
    fn reopen(&self) {}

    /// Hands on what waits, for at most so long; returns whether nothing was lost. The process is about to end.
    fn flush_and_stop(&self, _wait: Duration) -> bool {
        true
    }
}

/// A sink of the calls of some routes only.
pub trait RouteLogger: CallSink {
    /// What it wants to be kept of a call while the call is under way.
    fn wants(&self) -> Wants;

    /// Whether it is told of a call by one place only, though global rules and the route have it: by the route's.
    fn is_told_once(&self) -> bool {
        false
    }

    /// The call is handed to a model. What comes of this is kept until the model has answered or failed.
    fn begins(&self, _labels: &ActiveLabels<'_>) -> Option<ActiveCall> {
        None
    }
}

/// What is to be kept of a call for those who are told of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// Bytes of the request's body.
    pub request_body: usize,
    /// Bytes of the answer's body.
    pub response_body: usize,
    /// The headers of the answer.
    pub response_headers: bool,
}

impl Wants {
    /// What both want.
    #[must_use]
    pub fn and(self, other: Wants) -> Wants {
        Wants {
            request_body: self.request_body.max(other.request_body),
            response_body: self.response_body.max(other.response_body),
            response_headers: self.response_headers || other.response_headers,
        }
    }
}

/// The access log and all sinks that hear of every call. Clones are cheap and share them.
#[derive(Clone)]
pub struct Telemetry {
    access_log: AccessLog,
    outlets: Outlets,
    apisix: Arc<ApisixMetrics>,
    traffic: Traffic,
    sinks: Arc<[Arc<dyn CallSink>]>,
    reads_details: bool,
    loggers: Arc<Loggers>,
    traces: Option<Arc<Traces>>,
}

/// Loggers of all calls, and what log entries tell of model calls.
#[derive(Default)]
pub struct Loggers {
    /// Loggers that are told of every call, beside those of its route.
    pub all_calls: Vec<Arc<dyn RouteLogger>>,
    /// Whether entries tell what model calls of routes use that do not say themselves whether they should.
    pub summaries: bool,
    /// Whether entries tell what is said in model calls of such routes.
    pub payloads: bool,
    /// How that is told, for all routes.
    pub rules: PayloadRules,
}

impl Telemetry {
    /// The access log and nothing else.
    pub fn new(access_log: AccessLog) -> Telemetry {
        Telemetry::with_sinks(access_log, Arc::default(), &Settings::default(), Vec::new())
    }

    /// The access log and sinks, which are told in this order. `metrics` is where they and the gateway count; `apisix` says
    /// how calls are counted under APISIX's names.
    pub fn with_sinks(
        access_log: AccessLog,
        metrics: Arc<Metrics>,
        apisix: &Settings,
        sinks: Vec<Arc<dyn CallSink>>,
    ) -> Telemetry {
        Telemetry::with_outlets(access_log, Outlets::new(metrics), apisix, sinks)
    }

    /// The access log and sinks, which are told in this order. `outlets` is where loggers of routes write.
    pub fn with_outlets(
        access_log: AccessLog,
        outlets: Outlets,
        apisix: &Settings,
        sinks: Vec<Arc<dyn CallSink>>,
    ) -> Telemetry {
        let metrics = outlets.metrics();
        let traffic = Traffic::shown(metrics, &apisix.prefix);
        let apisix = Arc::new(ApisixMetrics::new(metrics.clone(), apisix));
        Telemetry {
            access_log,
            apisix,
            outlets,
            traffic,
            reads_details: sinks.iter().any(|sink| sink.reads_details()),
            sinks: sinks.into(),
            loggers: Arc::default(),
            traces: None,
        }
    }

    /// One that tells nobody and counts for nobody.
    #[must_use]
    pub fn to_nobody(&self) -> Telemetry {
        Telemetry {
            loggers: Arc::default(),
            ..Telemetry::new(AccessLog::off())
        }
    }

    /// The same with loggers of all calls.
    #[must_use]
    pub fn with_loggers(self, loggers: Loggers) -> Telemetry {
        Telemetry {
            loggers: Arc::new(loggers),
            ..self
        }
    }

    /// The same with traces, which hear of every call too.
    #[must_use]
    pub fn with_traces(self, traces: Traces) -> Telemetry {
        Telemetry {
            traces: Some(Arc::new(traces)),
            ..self
        }
    }

    /// Loggers of all calls, and what log entries tell of model calls.
    pub fn loggers(&self) -> &Arc<Loggers> {
        &self.loggers
    }

    /// A call with these headers begins: its place in a trace, if calls are traced.
    pub fn trace(&self, headers: &HeaderMap) -> Option<CallTrace> {
        Some(self.traces.as_ref()?.begin(headers))
    }

    /// Whether what is said in a call of this trace is told.
    pub fn tells_prompts(&self, trace: Option<&CallTrace>) -> bool {
        let (Some(traces), Some(trace)) = (&self.traces, trace) else {
            return false;
        };
        traces.tells_prompts(trace)
    }

    /// Where loggers of routes write.
    pub fn outlets(&self) -> &Outlets {
        &self.outlets
    }

    /// The numbers that are told to Prometheus.
    pub fn metrics(&self) -> &Arc<Metrics> {
        self.outlets.metrics()
    }

    /// What counts calls under APISIX's names, for the plugin that says which.
    pub fn apisix(&self) -> &Arc<ApisixMetrics> {
        &self.apisix
    }

    /// What counts the calls of routes that have no plugins under APISIX's names, so that dashboards made for APISIX show
    /// them. To be made once for a thread: calls share it, and threads should not share what calls count in it.
    pub fn native_logger(&self) -> Arc<ApisixLogger> {
        Arc::new(ApisixLogger::new(self.apisix.clone(), Shape::default()))
    }

    /// Connections and calls as they come and go.
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Whether a sink reads what costs something to gather.
    pub fn reads_details(&self) -> bool {
        self.reads_details || self.traces.is_some()
    }

    /// A call has ended: tells everybody. Never blocks.
    pub fn call(&self, call: &CallRecord<'_>) {
        self.access_log.log(call);
        for sink in self.sinks.iter() {
            sink.call(call);
        }
        if let Some(traces) = &self.traces {
            traces.call(call);
        }
    }

    /// The access log.
    pub fn access_log(&self) -> &AccessLog {
        &self.access_log
    }

    /// Asks for files to be opened anew, as after a rotation; returns at once.
    pub fn reopen(&self) {
        self.access_log.reopen();
        for sink in self.sinks.iter() {
            sink.reopen();
        }
        self.outlets.reopen();
    }

    /// Hands on what waits, for at most about so long; returns whether nothing was lost. Calls that end afterwards are
    /// counted as dropped.
    pub fn flush_and_stop(&self, wait: Duration) -> bool {
        let until = Instant::now() + wait;
        let mut all = self.access_log.flush_and_stop();
        for sink in self.sinks.iter() {
            all &= sink.flush_and_stop(until.saturating_duration_since(Instant::now()));
        }
        all &= self
            .outlets
            .flush_and_stop(until.saturating_duration_since(Instant::now()));
        all
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::access_log::Target;
    use crate::fixture;
    use crate::format::Format;

    #[derive(Default)]
    struct Kept(Mutex<Vec<String>>);

    impl CallSink for Kept {
        fn call(&self, call: &CallRecord<'_>) {
            self.0.lock().unwrap().push(call.request_id.to_owned());
        }

        fn flush_and_stop(&self, _: Duration) -> bool {
            self.0.lock().unwrap().is_empty()
        }
    }

    #[test]
    fn every_sink_hears_of_a_call_and_one_that_loses_something_is_told() {
        let (first, second) = (Arc::new(Kept::default()), Arc::new(Kept::default()));
        let log = AccessLog::start(Target::Off, Format::Json).unwrap();
        let telemetry = Telemetry::with_sinks(
            log,
            Arc::default(),
            &Settings::default(),
            vec![first.clone(), second.clone()],
        );
        assert!(telemetry.flush_and_stop(Duration::ZERO));
        telemetry.call(&fixture::call());
        for kept in [&first, &second] {
            assert_eq!(*kept.0.lock().unwrap(), ["5c5e0b95f8d303cb81e4dc456a4b12d9"]);
        }
        first.0.lock().unwrap().clear();
        assert!(!telemetry.flush_and_stop(Duration::ZERO));
    }

    #[test]
    fn what_two_want_is_enough_for_both() {
        let one = Wants {
            request_body: 10,
            ..Wants::default()
        };
        let other = Wants {
            request_body: 3,
            response_body: 5,
            response_headers: true,
        };
        let both = Wants {
            request_body: 10,
            response_body: 5,
            response_headers: true,
        };
        assert_eq!(one.and(other), both);
        assert_eq!(other.and(one), both);
    }
}
