//! Which calls are traced, and what each of them knows of its trace while it is under way.

use http::{HeaderMap, HeaderValue};

use super::context::{Incoming, TRACE_PARENT, TRACE_STATE, TraceState, trace_parent};
use super::identifiers::{SpanId, TraceId};

/// Decides which calls are traced. A client that traces decides for its own calls; of the others it is a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampler {
    /// Traces whose number is below are kept.
    below: u64,
}

/// A call's place in its trace.
#[derive(Clone, Debug)]
pub struct CallTrace {
    /// The trace.
    pub trace: TraceId,
    /// The span of the call.
    pub span: SpanId,
    /// The client's span; `None` if the trace begins here.
    pub parent: Option<SpanId>,
    /// Whether spans are kept, here and by those who are called.
    pub sampled: bool,
    /// What tracing systems before us have noted.
    pub state: Option<TraceState>,
}

/// Numbers of traces: 63 bits, as OpenTelemetry's SDKs count, so that services with the same share keep the same traces.
const NUMBERS: u64 = 1 << 63;

impl Sampler {
    /// Keeps this share of the traces that begin here, between 0 and 1.
    pub fn new(share: f64) -> Sampler {
        let below = match share {
            share if share >= 1.0 => NUMBERS,
            share if share > 0.0 => (share * NUMBERS as f64) as u64,
            _ => 0,
        };
        Sampler { below }
    }

    /// A call with these headers begins.
    pub fn begin(&self, headers: &HeaderMap) -> CallTrace {
        match Incoming::read(headers) {
            Some((incoming, state)) => CallTrace {
                trace: incoming.trace,
                span: SpanId::random(),
                parent: Some(incoming.span),
                sampled: incoming.sampled,
                state,
            },
            None => {
                let trace = TraceId::random();
                CallTrace {
                    trace,
                    span: SpanId::random(),
                    parent: None,
                    sampled: self.keeps(trace),
                    state: None,
                }
            }
        }
    }

    fn keeps(&self, trace: TraceId) -> bool {
        trace.low() >> 1 < self.below
    }
}

impl CallTrace {
    /// The headers of a request that this span makes, in place of those of the client.
    pub fn write(&self, span: SpanId, headers: &mut HeaderMap) {
        remove(headers);
        if let Some(parent) = trace_parent(self.trace, span, self.sampled) {
            headers.insert(TRACE_PARENT, parent);
        }
        if let Some(state) = &self.state {
            headers.insert(TRACE_STATE, HeaderValue::clone(state));
        }
    }
}

fn remove(headers: &mut HeaderMap) {
    headers.remove(TRACE_PARENT);
    headers.remove(TRACE_STATE);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    http::HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn a_share_of_the_traces_that_begin_here_is_kept() {
        let kept = |share: f64| {
            let sampler = Sampler::new(share);
            let none = HeaderMap::new();
            (0..10_000).filter(|_| sampler.begin(&none).sampled).count()
        };
        assert_eq!(kept(0.0), 0);
        assert_eq!(kept(1.0), 10_000);
        // Far beyond any deviation that happens by chance.
        assert!((2000..3000).contains(&kept(0.25)), "{}", kept(0.25));
    }

    #[test]
    fn the_same_trace_is_always_decided_alike() {
        let low = TraceId((1_u128 << 100 | 0x0fff_ffff_ffff_ffff).to_be_bytes());
        let high = TraceId((1_u128 << 100 | 0xffff_ffff_ffff_ffff).to_be_bytes());
        let half = Sampler::new(0.5);
        assert!(half.keeps(low));
        assert!(!half.keeps(high));
        assert!(Sampler::new(1.0).keeps(high));
    }

    #[test]
    fn the_client_decides_about_its_traces() {
        for (flags, sampled) in [("01", true), ("00", false)] {
            let parent: &'static str = match flags {
                "01" => "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                _ => "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00",
            };
            for share in [0.0, 1.0] {
                let call = Sampler::new(share).begin(&headers(&[("traceparent", parent)]));
                assert_eq!(call.sampled, sampled);
                assert_eq!(call.trace.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
                assert_eq!(call.parent.unwrap().to_string(), "00f067aa0ba902b7");
                assert_ne!(Some(call.span), call.parent);
            }
        }
    }

    #[test]
    fn the_next_server_gets_our_span_and_the_state_as_it_came() {
        let came = headers(&[
            (
                "traceparent",
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            ),
            ("tracestate", "rojo=1, congo=2"),
        ]);
        let call = Sampler::new(0.0).begin(&came);
        let span = SpanId::random();
        let mut sent = came;
        call.write(span, &mut sent);
        assert_eq!(
            sent.get("traceparent").unwrap(),
            &format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{span}-01")
        );
        assert_eq!(sent.get("tracestate").unwrap(), "rojo=1, congo=2");
    }

    #[test]
    fn a_state_without_a_parent_goes_nowhere() {
        let came = headers(&[("traceparent", "00-1"), ("tracestate", "rojo=1")]);
        let call = Sampler::new(1.0).begin(&came);
        let mut sent = came;
        call.write(call.span, &mut sent);
        assert_eq!(call.parent, None);
        assert!(sent.get("tracestate").is_none());
    }
}
