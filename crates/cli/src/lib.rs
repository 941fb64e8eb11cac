//! What `tollgate` does when it is called: commands, signals, and the wiring of everything else.
//!
//! It is no part of the binary's own crate because it is built small: of the last crate it is the level at which all are linked.

mod administration;
mod banner;
mod check;
mod cli;
mod conversations;
mod convert;
mod core_dumps;
mod dump;
mod explain;
mod file_objects;
mod files;
mod keys;
mod last_used;
mod listening;
mod load;
mod loggers;
mod memory;
mod observation;
mod offline;
mod otlp;
mod own_log;
mod plan;
mod prices;
mod reprice;
mod run;
mod secret_files;
mod simulate;
mod spending;
mod sync;
mod telemetry;
mod trail;
mod trial;
mod trust;
mod upgrade;
mod usage;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

/// Does what the command line asks for.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match &cli.command {
        Command::Run(arguments) => run::run(arguments),
        Command::Check(arguments) => arguments.source().and_then(|source| check::check(&source)),
        Command::Dump(arguments) => dump::dump(arguments),
        Command::Sync(arguments) => sync::sync(arguments),
        Command::Diff(arguments) => sync::diff(arguments),
        Command::Plan(arguments) => plan::plan(arguments),
        Command::Audit(arguments) => trail::audit(arguments),
        Command::Validate(arguments) => sync::validate(arguments),
        Command::Convert(arguments) => convert::convert(arguments),
        Command::Explain(arguments) => explain::explain(arguments),
        Command::Keys(arguments) => keys::keys(arguments),
        Command::Try(arguments) => trial::trial(arguments),
        Command::Simulate(arguments) => simulate::simulate(arguments),
        Command::Prices(arguments) => prices::prices(arguments),
        Command::Usage(arguments) => usage::usage(arguments),
        Command::Reprice(arguments) => reprice::reprice(arguments),
        Command::Upgrade(arguments) => upgrade::upgrade(arguments),
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
