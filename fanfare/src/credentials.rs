//! Secrets that nobody configured: made once at random, kept in the data folder.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use rand::TryRngCore as _;
use runtime::config::Secret;

use crate::config::Config;

/// The file with the key that signs tokens.
pub const TOKEN_KEY: &str = "token.key";
/// The file with the key of the server API.
pub const API_KEY: &str = "api.key";

/// Random bytes of a key.
const KEY_BYTES: usize = 32;

/// Fills in the keys that are not configured, making them at the first start.
///
/// # Errors
/// The data folder or a file in it cannot be made or read.
pub fn ensure(mut config: Config) -> anyhow::Result<Config> {
    let folder = config.data_dir.clone();
    let token = &mut config.gateway.client.token;
    if !token.has_keys() {
        token.hmac_secret_key = load_or_make(&folder, TOKEN_KEY)?;
    }
    let api = &mut config.gateway.http_api;
    if api.key.is_empty() && !api.insecure && !api.disabled {
        api.key = load_or_make(&folder, API_KEY)?;
    }
    Ok(config)
}

fn load_or_make(folder: &Path, name: &str) -> anyhow::Result<Secret> {
    let path = folder.join(name);
    make(folder, &path)?;
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let key = text.trim();
    ensure!(!key.is_empty(), "{} is empty", path.display());
    Ok(Secret::new(key))
}

/// Writes a new key unless there is one. The file appears complete or not at all,
/// whoever else starts or dies meanwhile.
fn make(folder: &Path, path: &PathBuf) -> anyhow::Result<()> {
    if path.exists() {
        return Ok(());
    }
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.with_context(|| folder.display().to_string())?;

    let mut key = [0; KEY_BYTES];
    rand::rngs::OsRng
        .try_fill_bytes(&mut key)
        .context("the system gives no random bytes")?;
    let text: String = key.iter().map(|byte| format!("{byte:02x}")).collect();

    let draft = path.with_extension(format!("{}.new", std::process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
    written.with_context(|| draft.display().to_string())?;
    // A link, unlike a rename, does not replace what another process has made.
    let linked = std::fs::hard_link(&draft, path);
    let _ = std::fs::remove_file(&draft);
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(error).with_context(|| path.display().to_string())
        }
        _ => Ok(()),
    }
}
