//! Values that must not be seen: masked in logs and in the printed configuration.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use subtle::ConstantTimeEq;

const MASK: &str = "***";

/// A key, password or token.
///
/// `Debug` and `Serialize` show a mask, or nothing when it is empty.
#[derive(Clone, Default, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Hides `value`.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself: never log it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether none is configured.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether `other` is this secret, in a time that depends only on the lengths.
    #[must_use]
    pub fn matches(&self, other: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(other).into()
    }

    fn masked(&self) -> &'static str {
        if self.is_empty() { "" } else { MASK }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.masked())
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.masked())
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Self {
        Self::new(value)
    }
}

/// An address that may hold a password: `postgres://user:password@host/db`.
///
/// `Debug` and `Serialize` mask the password and keep the rest, because an
/// operator needs to see which host it is.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SecretUrl(String);

impl SecretUrl {
    /// Hides the password in `value`.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The whole address: never log it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether none is configured.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The address with its password masked: for people.
    #[must_use]
    pub fn masked(&self) -> String {
        let (scheme, rest) = match self.0.split_once("://") {
            Some((scheme, rest)) => (format!("{scheme}://"), rest),
            None => (String::new(), self.0.as_str()),
        };
        // The last '@' ends the user information: a password may hold '@', and
        // then hiding too much is right.
        let authority_end = rest.rfind('@').map_or(0, |at| at + 1);
        let (userinfo, rest) = rest.split_at(authority_end);
        let userinfo = match userinfo.split_once(':') {
            Some((user, _)) => format!("{user}:{MASK}@"),
            None => userinfo.to_owned(),
        };
        let rest = match rest.split_once("password=") {
            Some((before, after)) => {
                let tail = after.find('&').map_or("", |end| &after[end..]);
                format!("{before}password={MASK}{tail}")
            }
            None => rest.to_owned(),
        };
        format!("{scheme}{userinfo}{rest}")
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.masked())
    }
}

impl Serialize for SecretUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.masked())
    }
}

impl From<&str> for SecretUrl {
    fn from(value: &str) -> Self {
        Self::new(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_seen_by_nobody() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret:?}"), "\"***\"");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"***\"");
        assert_eq!(serde_json::to_string(&Secret::default()).unwrap(), "\"\"");
        assert!(secret.matches(b"hunter2"));
        assert!(!secret.matches(b"hunter3"));
        assert!(!secret.matches(b"hunter"));
    }

    #[test]
    fn an_address_keeps_its_host_and_hides_its_password() {
        for (url, masked) in [
            ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379"),
            ("redis://:pw@host:6379/1", "redis://:***@host:6379/1"),
            ("postgres://app:p@w:x@db/chat", "postgres://app:***@db/chat"),
            ("postgres://app@db/chat", "postgres://app@db/chat"),
            (
                "postgres://db/chat?password=pw&sslmode=require",
                "postgres://db/chat?password=***&sslmode=require",
            ),
            ("sqlite:data/chat.db", "sqlite:data/chat.db"),
        ] {
            assert_eq!(SecretUrl::new(url).masked(), masked);
        }
    }
}
