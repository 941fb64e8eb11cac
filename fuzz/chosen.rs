//! Which of a binary's targets is fuzzed: the one that the environment names.

use std::sync::OnceLock;

use crate::checks::FuzzTarget;

/// Runs the target that the variable `TARGET` names.
///
/// # Panics
/// The variable names no target of this binary, or the bytes have broken what must hold.
pub(crate) fn run(targets: &[FuzzTarget], bytes: &[u8]) {
    static CHOSEN: OnceLock<fn(&[u8])> = OnceLock::new();
    let check = CHOSEN.get_or_init(|| {
        let wanted = std::env::var("TARGET").unwrap_or_default();
        let found = targets.iter().find(|(name, _)| *name == wanted);
        let names: Vec<_> = targets.iter().map(|(name, _)| *name).collect();
        found
            .unwrap_or_else(|| panic!("TARGET={wanted}: this binary has {}", names.join(", ")))
            .1
    });
    check(bytes);
}
