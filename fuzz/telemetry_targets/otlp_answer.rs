#![no_main]

#[path = "../telemetry_checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::run("otlp_answer", bytes));
