//! The account that owns an inbox, and the channel of that inbox.

use std::fmt;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::error::{Error, Result};

/// Namespace of inbox channels.
const CHANNEL_PREFIX: &str = "inbox:#";

/// A user's id, fit to stand in a channel's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(Arc<str>);

impl UserId {
    /// Longest id in bytes: with its prefix it fits a channel name of 255.
    pub const MAX_LEN: usize = 200;

    /// Parses an id.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is empty, too long, or has control characters,
    /// `#` or `,`: in the name of a user-limited channel these separate users.
    pub fn parse(id: &str) -> Result<Self> {
        if id.is_empty() {
            return Err(Error::invalid("a user id must not be empty"));
        }
        if id.len() > Self::MAX_LEN {
            return Err(Error::invalid(format!(
                "a user id must have at most {} bytes, not {}",
                Self::MAX_LEN,
                id.len()
            )));
        }
        if id.contains(|c: char| c.is_control() || c == '#' || c == ',') {
            return Err(Error::invalid(
                "a user id must not contain `#`, `,` or control characters",
            ));
        }
        Ok(Self(id.into()))
    }

    /// The user whose inbox a channel is; `None` when it is not an inbox.
    #[must_use]
    pub fn of_channel(channel: &str) -> Option<Self> {
        Self::parse(channel.strip_prefix(CHANNEL_PREFIX)?).ok()
    }

    /// The channel of the user's inbox, `inbox:#<user>`.
    #[must_use]
    pub fn channel(&self) -> String {
        format!("{CHANNEL_PREFIX}{self}")
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for UserId {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_names_one_user() {
        let user = UserId::parse("auth0|ann").unwrap();
        assert_eq!(user.channel(), "inbox:#auth0|ann");
        assert_eq!(UserId::of_channel("inbox:#auth0|ann"), Some(user));
        for other in [
            "inbox:ann",
            "inbox:#",
            "inbox:#ann,bob",
            "inbox:#a#b",
            "room:#ann",
            "",
        ] {
            assert_eq!(UserId::of_channel(other), None, "{other}");
        }
    }

    #[test]
    fn the_longest_id_fits_a_channel() {
        let longest = "u".repeat(UserId::MAX_LEN);
        assert!(UserId::parse(&longest).unwrap().channel().len() <= 255);
        assert!(UserId::parse(&format!("{longest}u")).is_err());
        assert!(UserId::parse("").is_err());
        assert!(UserId::parse("a\0").is_err());
    }
}
