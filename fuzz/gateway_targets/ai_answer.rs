#![no_main]

#[path = "../gateway_checks.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::run("ai_answer", bytes));
