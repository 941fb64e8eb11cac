//! Measures the gateway against plain nginx on the same machine in the same run: see docs/performance.md.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod check;
mod compare;
mod count;
mod http;
mod latency;
mod load;
mod mock;
mod process;
mod profile;
mod scenario;
mod targets;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

/// Measures Tollgate against plain nginx. Everything stays on loopback and ends by itself.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start nginx, the gateway (bare and governed) and a provider, measure all scenarios in turns, print the table
    Compare {
        /// The gateway's release binary
        #[arg(long)]
        gateway: PathBuf,
        /// Rounds of each scenario; the table shows medians
        #[arg(long, default_value_t = 5)]
        rounds: usize,
        /// Seconds of a run
        #[arg(long, default_value_t = 5)]
        seconds: u64,
        /// Only these scenarios, such as S1,S3
        #[arg(long, value_delimiter = ',')]
        only: Vec<String>,
    },
    /// Count the instructions of a call with callgrind, and compare them with the committed figures
    Count {
        /// The gateway's release binary
        #[arg(long)]
        gateway: PathBuf,
        /// The file with the committed figures
        #[arg(long, default_value = "benches/instructions.json")]
        figures: PathBuf,
        /// Write the figures anew
        #[arg(long)]
        update: bool,
    },
    /// The provider alone
    Mock {
        /// Where it listens
        #[arg(long, default_value = targets::PROVIDER)]
        listen: SocketAddr,
    },
    /// One run of load, as JSON in and out (what `compare` starts)
    #[command(hide = true)]
    Job {
        /// The run
        job: String,
    },
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> std::io::Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let tasks = tokio::task::LocalSet::new();
    match command {
        Command::Mock { listen } => {
            tasks.block_on(&runtime, mock::serve(listen))?;
            Ok(true)
        }
        Command::Count {
            gateway,
            figures,
            update,
        } => {
            let plan = count::Plan {
                gateway: &gateway,
                figures: &figures,
                update,
            };
            tasks.block_on(&runtime, count::count(&plan))
        }
        Command::Job { job } => {
            let job: compare::Job = serde_json::from_str(&job)?;
            let load = load::run(
                job.ask,
                job.pace,
                Duration::from_millis(job.warm_up_ms),
                Duration::from_millis(job.duration_ms),
                &job.pids,
            );
            let outcome = tasks.block_on(&runtime, load)?;
            println!("{}", serde_json::to_string(&outcome)?);
            Ok(true)
        }
        Command::Compare {
            gateway,
            rounds,
            seconds,
            only,
        } => {
            let plan = compare::Plan {
                gateway: &gateway,
                rounds,
                duration: Duration::from_secs(seconds),
                only: &only,
            };
            tasks.block_on(&runtime, compare::compare(&plan))
        }
    }
}
