//! `request-id`: an id for each call, told to upstream and client; a client may bring its own.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand;
use http::{HeaderName, HeaderValue};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tollgate_resources::objects::schema;
use uuid::Uuid;

use super::auth::header_name;
use super::spec::read;
use super::{Call, Flow, Plugin, SchemaType, Scope, Spec, Unusable};

/// `request-id`.
pub(super) static SPEC: Spec = Spec {
    name: "request-id",
    priority: 12015,
    version: 0.1,
    is_auth: false,
    scope: Scope::Any,
    schema: |kind| (kind == SchemaType::Route).then(schema::of::<Config>),
    check: |conf, _| RequestId::new(conf).map(drop).map_err(|unusable| unusable.0),
    setup: |conf, _| Ok(Arc::new(RequestId::new(conf)?)),
    secret_fields: &[],
};

/// How calls get their ids.
#[derive(Deserialize, JsonSchema)]
#[serde(default)]
struct Config {
    /// Header that carries the id.
    header_name: String,
    /// Whether the client is told the id.
    include_in_response: bool,
    /// How ids are made.
    algorithm: Algorithm,
    /// Ids of the algorithm `range_id`.
    range_id: Range,
}

impl Default for Config {
    fn default() -> Self {
        Config {
            header_name: "X-Request-Id".to_owned(),
            include_in_response: true,
            algorithm: Algorithm::Uuid,
            range_id: Range::default(),
        }
    }
}

/// How ids are made.
#[derive(Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Algorithm {
    /// A random UUID (version 4).
    Uuid,
    /// 21 random characters.
    Nanoid,
    /// Random characters of a set.
    RangeId,
    /// 27 characters that sort by time.
    Ksuid,
    /// A UUID that sorts by time (version 7).
    Uuidv7,
}

/// Random characters of a set.
#[derive(Deserialize, Serialize, JsonSchema)]
#[serde(default)]
struct Range {
    /// Number of characters.
    #[schemars(range(min = 6))]
    length: usize,
    /// The set.
    #[schemars(length(min = 6))]
    char_set: String,
}

impl Default for Range {
    fn default() -> Self {
        Range {
            length: 16,
            char_set: "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789".to_owned(),
        }
    }
}

/// Longest id, so that it fits a header everywhere.
const MAX_LENGTH: usize = 1024;

const NANOID: &[u8; 64] = b"-_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Seconds between 1970 and the moment from which a KSUID counts.
const KSUID_EPOCH: u64 = 1_400_000_000;

struct RequestId {
    header: HeaderName,
    tell: bool,
    algorithm: Algorithm,
    range: Range,
}

impl RequestId {
    fn new(conf: &Value) -> Result<Self, Unusable> {
        let config: Config = read(conf)?;
        let range = config.range_id;
        if range.length > MAX_LENGTH {
            return Err(Unusable(format!(
                "range_id.length: must not be above {MAX_LENGTH}"
            )));
        }
        // Each byte of randomness picks a character, so the set must be one of bytes, and of no more than those.
        if range.char_set.len() > 256 || !range.char_set.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Unusable(
                "range_id.char_set: up to 256 printable ASCII characters".to_owned(),
            ));
        }
        Ok(RequestId {
            header: header_name("header_name", &config.header_name)?,
            tell: config.include_in_response,
            algorithm: config.algorithm,
            range,
        })
    }

    /// A new id, or nothing when the system has no randomness to give.
    fn make(&self, now: SystemTime) -> Option<String> {
        Some(match self.algorithm {
            Algorithm::Uuid => uuid::Builder::from_random_bytes(random()?)
                .into_uuid()
                .to_string(),
            Algorithm::Uuidv7 => Uuid::now_v7().to_string(),
            Algorithm::Nanoid => pick(NANOID, 21)?,
            Algorithm::RangeId => pick(self.range.char_set.as_bytes(), self.range.length)?,
            Algorithm::Ksuid => ksuid(now, random()?),
        })
    }
}

impl Plugin for RequestId {
    fn rewrite(&self, call: &mut Call<'_>) -> Flow {
        let brought = call.request.headers.get(&self.header);
        let id = match brought.filter(|value| !value.is_empty()) {
            Some(value) => value.clone(),
            None => {
                let made = self
                    .make(call.wall())
                    .and_then(|id| HeaderValue::try_from(id).ok());
                let Some(id) = made else { return Flow::Next };
                call.request.headers.insert(self.header.clone(), id.clone());
                id
            }
        };
        if self.tell {
            call.answer_headers.insert(self.header.clone(), id);
        }
        Flow::Next
    }

    fn is_alike_everywhere(&self) -> bool {
        true
    }
}

fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).ok()?;
    Some(bytes)
}

/// Random characters of a set, each as likely as any other.
fn pick(set: &[u8], length: usize) -> Option<String> {
    // Bytes from the last, incomplete round through the set would favour its first characters.
    let usable = 256 - 256 % set.len().max(1);
    let mut id = String::with_capacity(length);
    while id.len() < length {
        let bytes: [u8; 32] = random()?;
        let chosen = bytes
            .iter()
            .map(|byte| usize::from(*byte))
            .filter(|byte| *byte < usable)
            .filter_map(|byte| set.get(byte % set.len()))
            .map(|character| char::from(*character));
        id.extend(chosen.take(length - id.len()));
    }
    Some(id)
}

/// Four bytes of time and 16 random ones, in base 62.
fn ksuid(now: SystemTime, random: [u8; 16]) -> String {
    let seconds = now
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs().saturating_sub(KSUID_EPOCH));
    // The format has 32 bits; they last until 2150.
    let time = u32::try_from(seconds).unwrap_or(u32::MAX);
    let mut number: Vec<u8> = time.to_be_bytes().into_iter().chain(random).collect();
    let mut digits = [b'0'; 27];
    for digit in digits.iter_mut().rev() {
        let mut remainder = 0_u32;
        for byte in &mut number {
            let value = remainder << 8 | u32::from(*byte);
            *byte = u8::try_from(value / 62).unwrap_or(u8::MAX);
            remainder = value % 62;
        }
        *digit = usize::try_from(remainder)
            .ok()
            .and_then(|index| BASE62.get(index).copied())
            .unwrap_or(b'0');
    }
    digits.iter().map(|digit| char::from(*digit)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::json;

    use super::super::testing::{Caller, passed, plugin};
    use super::*;

    fn made(conf: &Value) -> String {
        let mut caller = Caller::get("/");
        assert!(passed(&caller.rewrite(&plugin(&SPEC, conf))));
        let id = caller.sent("x-request-id").unwrap().to_owned();
        assert_eq!(caller.answered("x-request-id"), Some(id.as_str()));
        id
    }

    #[test]
    fn each_algorithm_makes_ids_of_its_form_and_no_two_alike() {
        for (algorithm, length) in [
            ("uuid", 36),
            ("uuidv7", 36),
            ("nanoid", 21),
            ("range_id", 16),
            ("ksuid", 27),
        ] {
            let ids: HashSet<String> = (0..50).map(|_| made(&json!({"algorithm": algorithm}))).collect();
            assert_eq!(ids.len(), 50, "{algorithm}");
            assert!(ids.iter().all(|id| id.len() == length), "{ids:?}");
        }
        assert_eq!(Uuid::parse_str(&made(&json!({}))).unwrap().get_version_num(), 4);
        let seven = Uuid::parse_str(&made(&json!({"algorithm": "uuidv7"}))).unwrap();
        assert_eq!(seven.get_version_num(), 7);
    }

    #[test]
    fn range_ids_use_their_set_and_length() {
        let id = made(&json!({"algorithm": "range_id", "range_id": {"length": 70, "char_set": "abcdef"}}));
        assert_eq!(id.len(), 70);
        assert!(id.bytes().all(|byte| b"abcdef".contains(&byte)));
        let refused = (SPEC.check)(&json!({"range_id": {"char_set": "äöüßéè"}}), SchemaType::Route);
        assert!(refused.unwrap_err().contains("char_set"));
    }

    #[test]
    fn ksuids_have_the_published_form() {
        // The example of the format's authors: 107608047 seconds and this payload.
        let payload = 0xB5A1_CD34_B5F9_9D11_54FB_6853_345C_9735_u128.to_be_bytes();
        let at = UNIX_EPOCH + std::time::Duration::from_secs(KSUID_EPOCH + 107_608_047);
        assert_eq!(ksuid(at, payload), "0ujtsYcgvSTl8PAuAdqWYSMnLOv");
    }

    #[test]
    fn an_id_that_the_client_brings_is_kept() {
        let plugin_id = plugin(&SPEC, &json!({"header_name": "X-Trace"}));
        let mut caller = Caller::get("/").header("x-trace", "mine");
        assert!(passed(&caller.rewrite(&plugin_id)));
        assert_eq!(caller.sent("x-trace"), Some("mine"));
        assert_eq!(caller.answered("x-trace"), Some("mine"));

        let mut empty = Caller::get("/").header("x-trace", "");
        assert!(passed(&empty.rewrite(&plugin_id)));
        assert_eq!(empty.sent("x-trace").map(str::len), Some(36));
    }

    #[test]
    fn the_client_is_not_told_where_that_is_switched_off() {
        let mut caller = Caller::get("/");
        let silent = plugin(&SPEC, &json!({"include_in_response": false}));
        assert!(passed(&caller.rewrite(&silent)));
        assert!(caller.sent("x-request-id").is_some());
        assert_eq!(caller.answered("x-request-id"), None);
    }
}
