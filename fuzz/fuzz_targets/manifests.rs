#![no_main]

#[path = "../configuration.rs"]
mod checks;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| checks::run("manifests", bytes));
