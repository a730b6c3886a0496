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
    Run(Box<bench::run::Options>),
    /// Starts servers, runs every scenario against each in turn, and writes the comparison.
    Ladder(bench::ladder::LadderOptions),
    /// Writes the comparison again from the results of a ladder.
    Report(bench::report::ReportOptions),
    /// One server in one scenario: what the ladder runs.
    #[command(hide = true)]
    Trial(bench::ladder::TrialOptions),
}

#[expect(clippy::print_stderr, reason = "it is a command-line tool")]
fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Run(options) => bench::run::run(&options),
        Command::Ladder(options) => bench::ladder::ladder(&options),
        Command::Report(options) => bench::report::again(&options),
        Command::Trial(options) => bench::ladder::trial(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fanfare-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
