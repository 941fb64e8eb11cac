//! Tells the linker how to keep the program small: in the file, one of several functions whose code is the same; in memory,
//! what is needed together side by side, because the system keeps whole pages.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={FUNCTIONS}");
    let target = |what: &str| env::var(format!("CARGO_CFG_TARGET_{what}")).unwrap_or_default();
    // There rustc brings a linker that can (LLD); others may not know the word.
    let has_lld = [target("OS"), target("ENV"), target("ARCH")] == ["linux", "gnu", "x86_64"];
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let is_chosen = flags.contains("fuse-ld") || flags.contains("linker=");
    if has_lld && !is_chosen && env::var("PROFILE").as_deref() == Ok("release") {
        for word in ["--icf=all", "--no-warn-symbol-ordering"] {
            println!("cargo:rustc-link-arg-bins=-Wl,{word}");
        }
        // Names that are not there, such as those of another compiler, change nothing.
        let folder = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        for word in [
            "-Xlinker",
            &format!("--symbol-ordering-file={folder}/{FUNCTIONS}"),
        ] {
            println!("cargo:rustc-link-arg-bins={word}");
        }
    }
}

/// The names of the functions that are needed together (`make order`).
const FUNCTIONS: &str = "functions.txt";
