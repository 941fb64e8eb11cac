//! The binary. What it does is `tollgate-cli`; only what has to be settled for a whole program is here.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tollgate_cli::main()
}
