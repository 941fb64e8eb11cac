//! `tollgate`: an AI gateway in one binary.

mod administration;
mod banner;
mod check;
mod cli;
mod dump;
mod file_objects;
mod load;
mod run;
mod simulate;
mod trial;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        Command::Run(arguments) => run::run(arguments),
        Command::Check(source) => check::check(source),
        Command::Dump(arguments) => dump::dump(arguments),
        Command::Try(arguments) => trial::trial(arguments),
        Command::Simulate(arguments) => simulate::simulate(arguments),
        Command::Schema => dump::schema(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.tell();
            ExitCode::FAILURE
        }
    }
}
