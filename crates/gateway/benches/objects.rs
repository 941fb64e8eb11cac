//! How long a change of one route takes with many routes, and a look-up among them.
//!
//!     cargo bench -p tollgate-gateway --bench objects
#![expect(clippy::print_stdout, clippy::expect_used, reason = "prints figures")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tollgate_gateway::{Change, Forwarding, Gateway, Setting};
use tollgate_resources::Resources;
use tollgate_resources::objects::{Kind, Object, ObjectKey};
use tollgate_telemetry::{AccessLog, Format, Target, Telemetry};

const ROUNDS: u32 = 2000;

fn main() {
    println!("routes  first load (ms)  change of one route (µs: median, p99)");
    for routes in [100, 1_000, 10_000] {
        measure(routes);
    }
}

fn measure(routes: u64) {
    let gateway = gateway();
    let all: Vec<Change> = (0..routes).map(|number| route(number, number + 1)).collect();
    let begun = Instant::now();
    gateway.apply(&all);
    let load = begun.elapsed();
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|round| {
            let change = [route(u64::from(round) % routes, routes + 1 + u64::from(round))];
            let begun = Instant::now();
            gateway.apply(black_box(&change));
            begun.elapsed()
        })
        .collect();
    times.sort();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_micros();
    println!(
        "{routes:>6}  {:>15.1}  {:>6} {:>6}",
        load.as_secs_f64() * 1000.0,
        at(0.5),
        at(0.99)
    );
}

fn gateway() -> Gateway {
    let setting = Setting {
        pepper: [7; 32],
        telemetry: Telemetry::new(AccessLog::start(Target::Off, Format::Json).expect("no file is opened")),
        env: Box::new(|_| None),
        strict_apisix: false,
        plugins: None,
        forwarding: Forwarding::default(),
        tls_versions: Vec::new(),
    };
    Gateway::new(&Resources::default(), &|_| None, setting).expect("there is nothing to compile")
}

/// A route as gateways have them: key-auth and ai-proxy.
fn route(number: u64, revision: u64) -> Change {
    let id = number.to_string();
    let Value::Object(value) = json!({
        "id": id,
        "uri": format!("/team-{}/service-{number}/v1/chat/completions", number % 97),
        "methods": ["POST"],
        "plugins": {
            "key-auth": {},
            "ai-proxy": {
                "provider": "openai",
                "auth": {"header": {"Authorization": "Bearer sk-test"}},
                "options": {"model": format!("gpt-{revision}")},
                "override": {"endpoint": "http://127.0.0.1:9"},
            },
        },
    }) else {
        unreachable!("an object was written");
    };
    let key = ObjectKey::new(Kind::Route, id);
    let object = Object {
        key: key.clone(),
        value,
        created_index: number + 1,
        modified_index: revision,
    };
    (key, Some(Arc::new(object)))
}
