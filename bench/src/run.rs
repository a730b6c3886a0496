//! One scenario against one running server.

use clap::Args;

/// What is run, against what.
#[derive(Args, Debug)]
pub struct Options {
    /// Address of the server's endpoint.
    #[arg(long)]
    url: String,
}

/// Runs the scenario and prints its outcome.
///
/// # Errors
///
/// When the server cannot be reached, or the options contradict each other.
pub fn run(options: &Options) -> anyhow::Result<()> {
    anyhow::bail!("no scenario for {}", options.url)
}
