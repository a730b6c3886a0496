//! Fanfare as a process composed of all parts, and its tools as commands.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends at the first thing that it did not expect"
)]

mod commands;
mod documented;
mod everything;

use std::path::Path;

use fanfare::config::Config;
use runtime::config::{ConfigError, Sources};

/// A configuration with a data folder and a port of its own.
fn config(data: &Path, keys: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let mut overrides = vec![
        ("data_dir".to_owned(), data.display().to_string()),
        ("http_server.port".to_owned(), "0".to_owned()),
    ];
    overrides.extend(keys.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
    Config::from_sources(Sources {
        overrides,
        ..Sources::default()
    })
}
