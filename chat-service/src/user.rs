//! The account that is a member, and its personal channel.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A user's id, fit to stand in a channel's name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
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
        if id.is_empty() || id.len() > Self::MAX_LEN {
            return Err(Error::invalid(format!(
                "a user id must have 1 to {} bytes, not {}",
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

    /// One that was parsed before it was stored.
    pub(crate) fn stored(id: String) -> Self {
        Self(id.into())
    }

    /// The user's personal channel, `inbox:#<user>`.
    #[must_use]
    pub fn channel(&self) -> String {
        format!("inbox:#{self}")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_fits_a_channel() {
        let longest = "u".repeat(UserId::MAX_LEN);
        assert!(UserId::parse(&longest).unwrap().channel().len() <= 255);
        for bad in ["", "a#b", "a,b", "a\n", &format!("{longest}u")] {
            assert!(UserId::parse(bad).is_err(), "{bad}");
        }
    }
}
