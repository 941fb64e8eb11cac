#![no_main]

#[path = "../checks/gateway.rs"]
mod checks;
#[path = "../chosen.rs"]
mod chosen;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| chosen::run(checks::TARGETS, bytes));
