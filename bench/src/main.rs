//! `fanfare-bench`: what there is to run, and nothing else.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Measures servers that deliver messages over WebSocket.
#[derive(Parser, Debug)]
#[command(name = "fanfare-bench", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Runs one scenario against one running server and prints what was measured.
    Run(bench::run::Options),
}

#[expect(clippy::print_stderr, reason = "it is a command-line tool")]
fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Run(options) => bench::run::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fanfare-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
