#![no_main]

#[path = "../telemetry_checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::run("trace_context", bytes));
