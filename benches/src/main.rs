//! Measures the gateway against plain nginx on the same machine in the same run: see docs/performance.md.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod callgrind;
mod check;
mod compare;
mod count;
mod files;
mod footprint;
mod growth;
mod http;
mod job;
mod latency;
mod link;
mod load;
mod mock;
mod order;
mod process;
mod profile;
mod report;
mod scenario;
mod targets;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

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
        #[arg(long, default_value_t = 4)]
        seconds: u64,
        /// Only these scenarios, such as idle,S1,S3-tls
        #[arg(long, value_delimiter = ',')]
        only: Vec<String>,
    },
    /// Measure how cost grows with connections, bodies, streams, routes, consumers, instances and processors
    Growth {
        /// The gateway's release binary
        #[arg(long)]
        gateway: PathBuf,
        /// Rounds of each point; the tables show medians
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        /// Seconds of a run
        #[arg(long, default_value_t = 2)]
        seconds: u64,
        /// Only these: connections, body, chunks, routes, consumers, instances, cores
        #[arg(long, value_delimiter = ',')]
        only: Vec<String>,
        /// Where all figures are written, for benches/plot
        #[arg(long)]
        out: PathBuf,
    },
    /// Count the instructions of a call with callgrind, measure the memory at rest, and compare both with the committed figures
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
    /// Find out which functions are needed together, for the linker
    Order {
        /// The gateway's release binary, with its symbols
        #[arg(long)]
        gateway: PathBuf,
        /// Where their names are written
        #[arg(long, default_value = "crates/tollgate/functions.txt")]
        out: PathBuf,
    },
    /// The provider alone
    Mock {
        /// Where it listens
        #[arg(long, default_value = "127.0.0.1:19100")]
        listen: SocketAddr,
        /// So many further addresses, 127.1.0.0 and up, at the same port
        #[arg(long, default_value_t = 0)]
        further: u16,
        /// Where it listens for TLS
        #[arg(long, requires = "certificate", requires = "key")]
        tls_listen: Option<SocketAddr>,
        /// PEM file with its certificate
        #[arg(long)]
        certificate: Option<PathBuf>,
        /// PEM file with its key
        #[arg(long)]
        key: Option<PathBuf>,
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
    files::allow(files::USUAL)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let tasks = tokio::task::LocalSet::new();
    // Told to end, it ends what it has started.
    let unless_ended = async |task: Pin<Box<dyn Future<Output = std::io::Result<bool>> + '_>>| {
        let mut asked = signal(SignalKind::terminate())?;
        tokio::select! {
            outcome = task => outcome,
            _ = asked.recv() => Err(std::io::Error::other("told to end")),
            told = tokio::signal::ctrl_c() => told.and(Err(std::io::Error::other("told to end"))),
        }
    };
    match command {
        Command::Mock {
            listen,
            further,
            tls_listen,
            certificate,
            key,
        } => {
            let tls = match (tls_listen, certificate, key) {
                (Some(address), Some(certificate), Some(key)) => {
                    Some((address, link::acceptor(&certificate, &key)?))
                }
                _ => None,
            };
            let listen = mock::Listen {
                plain: listen,
                further,
                tls,
            };
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
            tasks.block_on(&runtime, unless_ended(Box::pin(count::count(&plan))))
        }
        Command::Order { gateway, out } => {
            let ordered = async { order::order(&gateway, &out).await.map(|()| true) };
            tasks.block_on(&runtime, unless_ended(Box::pin(ordered)))
        }
        Command::Job { job } => {
            let job: job::Job = serde_json::from_str(&job)?;
            let outcome = tasks.block_on(&runtime, job.run())?;
            println!("{}", serde_json::to_string(&outcome)?);
            Ok(true)
        }
        Command::Growth {
            gateway,
            rounds,
            seconds,
            only,
            out,
        } => {
            let plan = growth::Plan {
                gateway: &gateway,
                rounds,
                duration: Duration::from_secs(seconds),
                only: &only,
                out: &out,
            };
            tasks.block_on(&runtime, unless_ended(Box::pin(growth::grow(&plan))))
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
            tasks.block_on(&runtime, unless_ended(Box::pin(compare::compare(&plan))))
        }
    }
}
