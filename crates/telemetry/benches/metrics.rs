//! What counting a call costs, and what telling Prometheus everything costs.
//!
//!     cargo bench -p tollgate-telemetry
//!
//! A call that is like an earlier one must not allocate.

use std::sync::Arc;
use std::time::Instant;

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher, black_box};
use tollgate_telemetry::metrics::apisix::{ApisixMetrics, Settings, Shape};
use tollgate_telemetry::metrics::{CallLabels, CallMetrics, Histogram};
use tollgate_telemetry::{CallRecord, CallSink, Metrics, fixture};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

#[divan::bench(threads = [1, 4])]
fn observe(bencher: Bencher<'_, '_>) {
    let histogram = Histogram::new((1..17).map(|number| number * 1_000).collect());
    bencher.bench(|| histogram.observe(black_box(7_500)));
}

#[divan::bench(threads = [1, 4])]
fn call(bencher: Bencher<'_, '_>) {
    let sink = CallMetrics::new(Arc::default(), CallLabels::default());
    let call = fixture::call();
    bencher.bench(|| sink.call(black_box(&call)));
}

#[divan::bench(threads = [1, 4])]
fn call_as_apisix(bencher: Bencher<'_, '_>) {
    let sink = ApisixMetrics::new(Arc::default(), &Settings::default());
    let call = fixture::call();
    bencher.bench(|| sink.call(black_box(&call), &Shape::default()));
}

/// Every call asks for a model that nobody has asked for, when there is no room for further names.
#[divan::bench]
fn call_of_an_unknown_model(bencher: Bencher<'_, '_>) {
    let sink = CallMetrics::new(Arc::default(), CallLabels::default());
    let names: Vec<String> = (0..20_000).map(|number| format!("made-up-{number}")).collect();
    let mut names = names.iter().cycle();
    bencher.bench_local(|| {
        let name = names.next().map_or("", String::as_str);
        sink.call(black_box(&CallRecord {
            request_model: Some(name),
            ..fixture::call()
        }));
    });
}

#[divan::bench(args = [10_000])]
fn tell_series(bencher: Bencher<'_, '_>, series: usize) {
    let metrics = Arc::new(Metrics::default());
    let counters = (0..series).map(|number| {
        let name = number.to_string();
        metrics.counter("calls_total", "Calls.", &["route", "model"], &["chat", &name])
    });
    let kept: Vec<_> = counters.collect();
    bencher.counter(ItemsCount::new(series)).bench_local(|| {
        metrics
            .parts(Instant::now())
            .map(|part| black_box(part).len())
            .sum::<usize>()
    });
    drop(kept);
}
