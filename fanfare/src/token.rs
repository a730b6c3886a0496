//! Making tokens on the command line, for development and for trying things out.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, ensure};
use runtime::config::{Secret, duration};
use serde_json::{Map, Value, json};

/// What the token says.
#[derive(Clone, Debug, clap::Args)]
pub struct Request {
    /// The user; empty for an anonymous client
    #[arg(long)]
    pub user: String,

    /// Makes a subscription token for this channel
    #[arg(long)]
    pub channel: Option<String>,

    /// How long it is valid, such as 15m or 720h; 0 for ever
    #[arg(long, default_value = "24h", value_parser = duration::parse)]
    pub expires: Duration,

    /// JSON that others see with the user in presence and publications
    #[arg(long, value_name = "JSON")]
    pub info: Option<String>,
}

/// Makes a token signed with `key`.
///
/// # Errors
/// There is no key, or the info is no JSON.
pub fn make(request: &Request, key: &Secret) -> anyhow::Result<String> {
    ensure!(
        !key.is_empty(),
        "client.token.hmac_secret_key is not set: tokens are made by whoever has the private key"
    );
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .context("the clock stands before 1970")?
        .as_secs();
    let mut claims = Map::new();
    claims.insert("sub".to_owned(), json!(request.user));
    claims.insert("iat".to_owned(), json!(now));
    if !request.expires.is_zero() {
        let at = now.saturating_add(request.expires.as_secs().max(1));
        claims.insert("exp".to_owned(), json!(at));
    }
    if let Some(channel) = &request.channel {
        ensure!(!channel.is_empty(), "the channel is empty");
        claims.insert("channel".to_owned(), json!(channel));
    }
    if let Some(info) = &request.info {
        let info: Value = serde_json::from_str(info).context("--info is no JSON")?;
        claims.insert("info".to_owned(), info);
    }
    Ok(auth::sign_hs256(key.expose(), &Value::Object(claims)))
}
