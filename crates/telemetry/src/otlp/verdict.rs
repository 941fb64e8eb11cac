//! What a collector says about a batch.

use std::time::Duration;

use super::protobuf::fields;

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The collector has it.
    Taken,
    /// The collector has all but so many items, which it will never take.
    Partly {
        /// Items that it refused.
        refused: u64,
        /// Why.
        message: String,
    },
    /// The collector cannot take it now.
    Later {
        /// Why.
        reason: String,
        /// How long it wants to be left alone, if it says so.
        after: Option<Duration>,
    },
    /// The collector will not take it.
    Never {
        /// Why.
        reason: String,
    },
}

/// Longest text of a collector that gets into our own log, in characters.
const MAX_MESSAGE: usize = 300;

impl Verdict {
    /// What a message of success says: `Export…ServiceResponse`, the same for all signals.
    pub(super) fn of_success(message: &[u8]) -> Verdict {
        let partly = fields(message).filter(|field| field.number == PARTIAL_SUCCESS);
        let Some(partly) = partly.filter_map(|field| field.value.as_bytes()).last() else {
            return Verdict::Taken;
        };
        let mut refused = 0;
        let mut said = String::new();
        for field in fields(partly) {
            match field.number {
                REJECTED => refused = field.value.as_number().unwrap_or(0),
                ERROR_MESSAGE => said = field.value.as_text().unwrap_or_default(),
                _ => {}
            }
        }
        // The type is signed.
        match i64::try_from(refused) {
            // A message without a refusal is a warning.
            Ok(0) | Err(_) => {
                if !said.is_empty() {
                    tracing::warn!(message = shortened(&said), "the collector warns");
                }
                Verdict::Taken
            }
            Ok(_) => Verdict::Partly {
                refused,
                message: shortened(&said),
            },
        }
    }

    /// What HTTP's status and body say.
    pub(super) fn of_http(status: u16, retry_after: Option<Duration>, body: &[u8]) -> Verdict {
        match status {
            200..=299 => Verdict::of_success(body),
            // https://opentelemetry.io/docs/specs/otlp/#failures-1
            429 | 502 | 503 | 504 => Verdict::Later {
                reason: format!("the collector answers with status {status}"),
                after: retry_after,
            },
            _ => {
                let said = Status::read(body).message;
                Verdict::Never {
                    reason: match said.is_empty() {
                        true => format!("the collector refuses with status {status}"),
                        false => format!("the collector refuses with status {status}: {}", shortened(&said)),
                    },
                }
            }
        }
    }

    /// What gRPC's status says. `details` is the `google.rpc.Status` of `grpc-status-details-bin`.
    pub(super) fn of_grpc(code: u32, message: &str, details: &[u8]) -> Verdict {
        let reason = match message.is_empty() {
            true => format!("the collector answers with gRPC status {code}"),
            false => format!(
                "the collector answers with gRPC status {code}: {}",
                shortened(message)
            ),
        };
        let after = Status::read(details).retry_after;
        // https://opentelemetry.io/docs/specs/otlp/#failures
        match code {
            CANCELLED | DEADLINE_EXCEEDED | ABORTED | OUT_OF_RANGE | UNAVAILABLE | DATA_LOSS => {
                Verdict::Later { reason, after }
            }
            RESOURCE_EXHAUSTED if after.is_some() => Verdict::Later { reason, after },
            _ => Verdict::Never { reason },
        }
    }
}

/// What a `google.rpc.Status` says.
#[derive(Debug, Default)]
struct Status {
    message: String,
    retry_after: Option<Duration>,
}

impl Status {
    /// Reads what can be read of it.
    fn read(bytes: &[u8]) -> Status {
        let mut status = Status::default();
        for field in fields(bytes) {
            match field.number {
                STATUS_MESSAGE => status.message = field.value.as_text().unwrap_or_default(),
                STATUS_DETAILS => {
                    if let Some(delay) = field.value.as_bytes().and_then(retry_delay) {
                        status.retry_after = Some(delay);
                    }
                }
                _ => {}
            }
        }
        status
    }
}

/// The delay of a `google.rpc.RetryInfo` in an `Any`.
fn retry_delay(any: &[u8]) -> Option<Duration> {
    let value = |number| {
        let of_number = fields(any).filter(move |field| field.number == number);
        of_number.filter_map(|field| field.value.as_bytes()).last()
    };
    if !value(ANY_TYPE)?.ends_with(b"/google.rpc.RetryInfo") {
        return None;
    }
    let mut delay = Duration::ZERO;
    for field in fields(value(ANY_VALUE).unwrap_or_default()).filter(|field| field.number == RETRY_DELAY) {
        let mut seconds = 0;
        let mut nanos = 0;
        for part in fields(field.value.as_bytes()?) {
            match part.number {
                DURATION_SECONDS => seconds = part.value.as_number()?,
                DURATION_NANOS => nanos = part.value.as_number()?,
                _ => {}
            }
        }
        // Negative ones are what is left of them.
        let seconds = i64::try_from(seconds).unwrap_or(0).unsigned_abs();
        let nanos = u32::try_from(nanos)
            .ok()
            .filter(|nanos| *nanos < NANOS_PER_SECOND);
        delay = Duration::new(seconds, nanos.unwrap_or(0));
    }
    Some(delay)
}

fn shortened(text: &str) -> String {
    let printable = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    printable.take(MAX_MESSAGE).collect()
}

/// Reads bytes as every message that a collector may answer. For the fuzzer.
#[doc(hidden)]
pub fn fuzz_answers(bytes: &[u8]) {
    let _ = Verdict::of_success(bytes);
    let _ = Verdict::of_http(400, None, bytes);
    let _ = Verdict::of_grpc(RESOURCE_EXHAUSTED, "", bytes);
    let _ = super::grpc::unframe(bytes);
}

/// Of `Export…ServiceResponse`.
const PARTIAL_SUCCESS: u64 = 1;

/// Of `Export…PartialSuccess`.
const REJECTED: u64 = 1;
const ERROR_MESSAGE: u64 = 2;

/// Of `google.rpc.Status`.
const STATUS_MESSAGE: u64 = 2;
const STATUS_DETAILS: u64 = 3;

/// Of `google.protobuf.Any`.
const ANY_TYPE: u64 = 1;
const ANY_VALUE: u64 = 2;

/// Of `google.rpc.RetryInfo`.
const RETRY_DELAY: u64 = 1;

/// Of `google.protobuf.Duration`.
const DURATION_SECONDS: u64 = 1;
const DURATION_NANOS: u64 = 2;
const NANOS_PER_SECOND: u32 = 1_000_000_000;

/// Codes of gRPC.
const CANCELLED: u32 = 1;
const DEADLINE_EXCEEDED: u32 = 4;
const RESOURCE_EXHAUSTED: u32 = 8;
const ABORTED: u32 = 10;
const OUT_OF_RANGE: u32 = 11;
const UNAVAILABLE: u32 = 14;
const DATA_LOSS: u32 = 15;

#[cfg(test)]
mod tests {
    use super::super::protobuf::Writer;
    use super::*;

    fn status_with_delay(seconds: u64, nanos: u64) -> Vec<u8> {
        let mut status = Writer::default();
        status.number(1, 8);
        status.bytes(2, b"slow down");
        status.message(3, |any| {
            any.bytes(1, b"type.googleapis.com/google.rpc.RetryInfo");
            any.message(2, |info| {
                info.message(1, |delay| {
                    delay.number(1, seconds);
                    delay.number(2, nanos);
                });
            });
        });
        status.into_bytes()
    }

    #[test]
    fn an_empty_answer_is_full_success() {
        assert_eq!(Verdict::of_http(200, None, b""), Verdict::Taken);
        assert_eq!(Verdict::of_success(b""), Verdict::Taken);
    }

    #[test]
    fn refused_items_are_counted_and_a_warning_refuses_nothing() {
        let mut answer = Writer::default();
        answer.message(1, |partly| {
            partly.number(1, 3);
            partly.bytes(2, b"too old");
        });
        let partly = Verdict::Partly {
            refused: 3,
            message: "too old".to_owned(),
        };
        assert_eq!(Verdict::of_success(&answer.into_bytes()), partly);
        let mut warning = Writer::default();
        warning.message(1, |partly| partly.bytes(2, b"deprecated"));
        assert_eq!(Verdict::of_success(&warning.into_bytes()), Verdict::Taken);
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for status in [429, 502, 503, 504] {
            let after = Some(Duration::from_secs(7));
            let verdict = Verdict::of_http(status, after, b"");
            assert!(
                matches!(&verdict, Verdict::Later { after: told, .. } if *told == after),
                "{status}"
            );
        }
        for status in [400, 401, 404, 413, 500, 301] {
            assert!(
                matches!(Verdict::of_http(status, None, b""), Verdict::Never { .. }),
                "{status}"
            );
        }
        for code in [1, 4, 10, 11, 14, 15] {
            assert!(
                matches!(Verdict::of_grpc(code, "", b""), Verdict::Later { .. }),
                "{code}"
            );
        }
        for code in [2, 3, 5, 6, 7, 8, 9, 12, 13, 16, 99] {
            assert!(
                matches!(Verdict::of_grpc(code, "", b""), Verdict::Never { .. }),
                "{code}"
            );
        }
    }

    #[test]
    fn an_exhausted_collector_is_asked_again_only_when_it_says_when() {
        let verdict = Verdict::of_grpc(8, "slow down", &status_with_delay(2, 500_000_000));
        let Verdict::Later { after, reason } = verdict else {
            panic!("{verdict:?}")
        };
        assert_eq!(after, Some(Duration::from_millis(2500)));
        assert!(reason.contains("slow down"), "{reason}");
    }

    #[test]
    fn a_negative_delay_is_none() {
        let verdict = Verdict::of_grpc(14, "", &status_with_delay(u64::MAX, u64::MAX));
        assert!(matches!(
            verdict,
            Verdict::Later {
                after: Some(Duration::ZERO),
                ..
            }
        ));
    }

    #[test]
    fn the_reason_of_a_refusal_is_told_without_what_would_break_a_line() {
        let mut status = Writer::default();
        status.bytes(2, b"no such\ntenant");
        let verdict = Verdict::of_http(400, None, &status.into_bytes());
        let Verdict::Never { reason } = verdict else {
            panic!("{verdict:?}")
        };
        assert!(reason.ends_with("400: no such tenant"), "{reason}");
    }
}
