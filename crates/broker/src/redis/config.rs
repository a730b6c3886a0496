//! How to reach Redis. The names are those of Centrifugo's `engine.redis`.

use std::fmt;
use std::time::Duration;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::error::Error;

/// Where Redis is and how to talk to it.
///
/// Its debug output and its serialized form hide the password.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RedisConfig {
    /// `host:port`, `redis://[user:password@]host[:port][/db]` or
    /// `unix:///path[?db=n&user=…&pass=…]`. Names are resolved at every connect.
    #[serde(serialize_with = "hide_in_address")]
    pub address: String,
    /// User for AUTH; takes precedence over the address.
    pub user: String,
    /// Password for AUTH; takes precedence over the address.
    #[serde(serialize_with = "hide")]
    pub password: String,
    /// Number of the database; takes precedence over the address unless 0. Pub/sub
    /// knows no databases: two installations on one Redis need two prefixes.
    pub db: i64,
    /// What all keys and pub/sub channels begin with. Not empty, no braces.
    pub prefix: String,
    /// Within this time a connection is made, including its handshake.
    #[serde(with = "duration")]
    pub connect_timeout: Duration,
    /// Within this time, or a quarter of it later, every call ends, also while the link is
    /// down.
    #[serde(with = "duration")]
    pub io_timeout: Duration,
    /// How many connections receive publications. Channels are spread over them, and
    /// they over the node's threads, so that decoding and fan-out use several cores. By
    /// default one per processor, at most 16.
    pub subscriber_connections: usize,
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            address: "redis://127.0.0.1:6379".into(),
            user: String::new(),
            password: String::new(),
            db: 0,
            prefix: "fanfare".into(),
            connect_timeout: Duration::from_secs(1),
            io_timeout: Duration::from_secs(4),
            subscriber_connections: processors().min(16),
        }
    }
}

impl RedisConfig {
    /// Finds what makes no sense, without connecting.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the first problem.
    pub fn check(&self) -> Result<()> {
        self.connection_info()?;
        let invalid = |text: &str| Err(Error::Invalid(text.into()));
        if self.prefix.is_empty() || self.prefix.contains(['{', '}', '\n']) {
            return invalid("redis prefix must not be empty and not contain braces");
        }
        if self.connect_timeout.is_zero() || self.io_timeout.is_zero() {
            return invalid("redis timeouts must not be zero");
        }
        if !(1..=64).contains(&self.subscriber_connections) {
            return invalid("redis subscriber_connections must be 1 to 64");
        }
        Ok(())
    }

    /// The address with user, password and database applied.
    pub(super) fn connection_info(&self) -> Result<ConnectionInfo> {
        let has_scheme = self.address.contains("://") || self.address.starts_with("unix:");
        let url = if has_scheme {
            self.address.clone()
        } else {
            format!("redis://{}", self.address)
        };
        // The library's error is dropped: it might repeat the address.
        let invalid = || Error::Invalid("redis address is not understood".into());
        let info = url.as_str().into_connection_info().map_err(|_| invalid())?;
        if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
            let text = "redis over TLS (rediss://) is not supported yet";
            return Err(Error::Invalid(text.into()));
        }
        let mut settings = info.redis_settings().clone();
        if !self.user.is_empty() {
            settings = settings.set_username(&self.user);
        }
        if !self.password.is_empty() {
            settings = settings.set_password(&self.password);
        }
        if self.db != 0 {
            settings = settings.set_db(self.db);
        }
        Ok(info.set_redis_settings(settings))
    }
}

impl fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("address", &without_password(&self.address))
            .field("user", &self.user)
            .field("password", &hidden(&self.password))
            .field("db", &self.db)
            .field("prefix", &self.prefix)
            .field("connect_timeout", &self.connect_timeout)
            .field("io_timeout", &self.io_timeout)
            .field("subscriber_connections", &self.subscriber_connections)
            .finish()
    }
}

fn hidden(secret: &str) -> &'static str {
    if secret.is_empty() { "" } else { "***" }
}

/// The address with what is between scheme and host, and the query, hidden.
fn without_password(address: &str) -> String {
    let (address, query) = match address.split_once('?') {
        Some((address, _)) => (address, "?***"),
        None => (address, ""),
    };
    let (scheme, rest) = match address.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), address),
    };
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}***@{host}{query}"),
        None => format!("{scheme}{rest}{query}"),
    }
}

fn hide<S: serde::Serializer>(secret: &str, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(hidden(secret))
}

fn hide_in_address<S: serde::Serializer>(
    address: &str,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(&without_password(address))
}

/// Durations are written as in `1s` or `250ms`.
mod duration {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(
        duration: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_duration(*duration))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        humantime::parse_duration(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_never_shown() {
        for address in [
            "redis://user:s3cret@host:1/2",
            "redis://:s3cret@host:1",
            "user:s3cret@host:1",
            "redis://u:s3cret@with-at@host",
            "unix:///tmp/redis.sock?pass=s3cret",
        ] {
            let config = RedisConfig {
                address: address.into(),
                password: "s3cret".into(),
                ..RedisConfig::default()
            };
            let debug = format!("{config:?}");
            assert!(!debug.contains("s3cret"), "{debug}");
        }
    }

    #[test]
    fn nonsense_is_refused_at_start() {
        let with = |change: fn(&mut RedisConfig)| {
            let mut config = RedisConfig::default();
            change(&mut config);
            config.check()
        };
        assert!(with(|_| ()).is_ok());
        assert!(with(|c| c.address = "127.0.0.1:7000".into()).is_ok());
        assert!(with(|c| c.address = "unix:///tmp/redis.sock".into()).is_ok());
        assert!(with(|c| c.address = "http://host".into()).is_err());
        assert!(with(|c| c.prefix = String::new()).is_err());
        assert!(with(|c| c.prefix = "a{b".into()).is_err());
        assert!(with(|c| c.io_timeout = Duration::ZERO).is_err());
        assert!(with(|c| c.subscriber_connections = 0).is_err());
    }

    #[test]
    fn what_the_fields_say_wins_over_the_address() {
        let config = RedisConfig {
            address: "redis://a:b@host/1".into(),
            user: "c".into(),
            password: "d".into(),
            db: 2,
            ..RedisConfig::default()
        };
        let info = config.connection_info().unwrap();
        assert_eq!(info.redis_settings().username(), Some("c"));
        assert_eq!(info.redis_settings().password(), Some("d"));
        assert_eq!(info.redis_settings().db(), 2);
    }
}
