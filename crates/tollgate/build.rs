//! Tells the linker to keep one of several functions whose code is the same, which makes the binary smaller.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let target = |what: &str| env::var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default();
    // There rustc brings a linker that can (LLD); others may not know the word.
    let has_lld = [target("OS"), target("ENV"), target("ARCH")] == ["linux", "gnu", "x86_64"];
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let is_chosen = flags.contains("fuse-ld") || flags.contains("linker=");
    if has_lld && !is_chosen && env::var("PROFILE").as_deref() == Ok("release") {
        println!("cargo:rustc-link-arg-bins=-Wl,--icf=all");
    }
}
