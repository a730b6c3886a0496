//! The flags that every binary has.

use std::path::PathBuf;

use super::Sources;

/// `--config`, `--set` and `--log-level`; flatten it into a binary's own flags.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Flags {
    /// Configuration file: TOML, YAML or JSON by its extension
    #[arg(
        long,
        short,
        value_name = "FILE",
        env = "FANFARE_CONFIG",
        global = true
    )]
    pub config: Option<PathBuf>,

    /// Sets one key above the file and the environment, such as
    /// `--set client.ping_interval=10s`; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value, global = true)]
    pub set: Vec<(String, String)>,

    /// Short for `--set log.level=LEVEL`
    #[arg(long, value_name = "LEVEL", global = true)]
    pub log_level: Option<String>,
}

impl Flags {
    /// These flags above this process's environment above the file.
    #[must_use]
    pub fn sources(self) -> Sources {
        let level = self.log_level.map(|level| ("log.level".to_owned(), level));
        Sources::from_process(self.config, self.set.into_iter().chain(level).collect())
    }
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.to_owned()))
}
