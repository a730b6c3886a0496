//! Messages, and who is mentioned in them.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::value::RawValue;
use service::Timestamp;

use crate::error::{Error, Result};
use crate::room::RoomId;
use crate::user::UserId;

/// Characters of a text at most.
pub const MAX_TEXT: usize = 8_000;
/// Bytes of application data as JSON at most.
pub const MAX_CUSTOM: usize = 16 * 1024;
/// Users that one message can mention.
pub const MAX_MENTIONS: usize = 50;
const MAX_CLIENT_MSG_ID: usize = 64;
/// Characters of a text that a notification shows.
const EXCERPT: usize = 160;

/// A message. Serialises as `fanfare.chat.v1.Message` does in JSON.
#[derive(Clone, Debug, Serialize)]
pub struct Message {
    /// The room it is in.
    pub room_id: RoomId,
    /// Its number in the room, from 1.
    pub seq: u64,
    /// Unique in the whole system.
    pub id: String,
    /// Who wrote it.
    pub author: UserId,
    /// What the author's client calls it.
    pub client_msg_id: String,
    /// Empty once deleted.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// Application data: a JSON object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub custom: Option<Box<RawValue>>,
    /// Members mentioned, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mentions: Vec<UserId>,
    /// When it was sent.
    pub created_at: Timestamp,
    /// When it was edited last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub edited_at: Option<Timestamp>,
    /// When it was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Timestamp>,
}

impl PartialEq for Message {
    fn eq(&self, other: &Self) -> bool {
        let fields = |message: &Self| {
            let custom = message
                .custom
                .as_ref()
                .map(|custom| custom.get().to_owned());
            let times = (message.created_at, message.edited_at, message.deleted_at);
            (
                message.seq,
                message.text.clone(),
                custom,
                message.mentions.clone(),
                times,
            )
        };
        self.id == other.id && fields(self) == fields(other)
    }
}

/// A text that may be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text(String);

impl Text {
    /// Checks a text.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is empty or too long, or holds a character that
    /// PostgreSQL cannot store.
    pub fn parse(text: String) -> Result<Self> {
        // Bytes first: counting the characters of a huge text is work.
        if text.len() > 4 * MAX_TEXT || text.chars().count() > MAX_TEXT {
            return Err(Error::invalid(format!(
                "text must have at most {MAX_TEXT} characters"
            )));
        }
        if text.trim().is_empty() {
            return Err(Error::invalid("text must not be empty"));
        }
        if text.contains('\0') {
            return Err(Error::invalid("text must not contain U+0000"));
        }
        Ok(Self(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text.
    #[must_use]
    pub fn into_string(self) -> String {
        self.0
    }

    /// Whom it may mention: `@user` at the beginning or after something that is no
    /// part of a word. Which of them are members is for the database to say.
    #[must_use]
    pub fn mentioned(&self) -> Vec<UserId> {
        let mut users = BTreeSet::new();
        let mut before = ' ';
        for (index, c) in self.0.char_indices() {
            if c == '@' && !before.is_alphanumeric() && users.len() < MAX_MENTIONS {
                let rest = &self.0[index + 1..];
                let end = rest.find(|c: char| !is_name(c)).unwrap_or(rest.len());
                // A full stop ends the sentence rather than the name.
                let name = rest[..end].trim_end_matches(['.', '-', ':']);
                users.extend(UserId::parse(name));
            }
            before = c;
        }
        users.into_iter().collect()
    }

    /// Tells whether two texts are the same without keeping both.
    pub(crate) fn fingerprint(&self) -> String {
        uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, self.0.as_bytes()).to_string()
    }

    /// The beginning, for a notification.
    pub(crate) fn excerpt(&self) -> String {
        match self.0.char_indices().nth(EXCERPT) {
            Some((end, _)) => format!("{}…", self.0[..end].trim_end()),
            None => self.0.clone(),
        }
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || "_-.:|+@".contains(c)
}

/// Checks a `client_msg_id`.
///
/// # Errors
/// [`Error::Invalid`] if it is empty, too long or has control characters.
pub fn client_msg_id(id: String) -> Result<String> {
    let length = id.chars().take(MAX_CLIENT_MSG_ID + 1).count();
    if length == 0 || length > MAX_CLIENT_MSG_ID || id.contains(char::is_control) {
        return Err(Error::invalid(format!(
            "client_msg_id must have 1 to {MAX_CLIENT_MSG_ID} characters and no control characters"
        )));
    }
    Ok(id)
}

/// Which part of a room's messages to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// The newest.
    Newest,
    /// Those just before a message.
    Before(u64),
    /// Those just after a message.
    After(u64),
    /// A message and what surrounds it.
    Around(u64),
}

impl Anchor {
    /// First and last number of the page in a room whose newest message is `last`;
    /// the page is empty when they are in the wrong order. Arithmetic is enough,
    /// because numbers have no gaps and a deleted message leaves a tombstone.
    #[must_use]
    pub fn range(self, limit: u64, last: u64) -> (u64, u64) {
        let up_to = |to: u64| (to.saturating_sub(limit).saturating_add(1), to);
        match self {
            Self::Newest => up_to(last),
            Self::Before(seq) => up_to(seq.saturating_sub(1).min(last)),
            Self::After(seq) => (seq.saturating_add(1), seq.saturating_add(limit).min(last)),
            Self::Around(seq) => {
                let from = seq.saturating_sub(limit / 2).max(1);
                let to = from.saturating_add(limit - 1).min(last);
                (from.min(to.saturating_sub(limit - 1)).max(1), to)
            }
        }
    }
}

/// A part of a room's messages, oldest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The messages.
    pub messages: Vec<Message>,
    /// There are older ones.
    pub has_more_before: bool,
    /// There are newer ones.
    pub has_more_after: bool,
    /// The log's position: it is not newer than the messages.
    pub position: broker::Position,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mentioned(text: &str) -> Vec<String> {
        let text = Text::parse(text.to_owned()).unwrap();
        text.mentioned().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn mentions_are_words_that_begin_with_at() {
        assert_eq!(
            mentioned("@bob, @alice. And (@carol)!"),
            ["alice", "bob", "carol"]
        );
        assert_eq!(
            mentioned("@auth0|ann @Zoë @用户"),
            ["Zoë", "auth0|ann", "用户"]
        );
        assert_eq!(mentioned("@bob @bob"), ["bob"]);
        assert!(mentioned("mail me@example.org, @ nobody").is_empty());
        assert_eq!(mentioned(&"@a@b@c ".repeat(3)), ["a@b@c"]);
        let many: String = (0..99).map(|n| format!("@u{n} ")).collect();
        assert_eq!(mentioned(&many).len(), MAX_MENTIONS);
    }

    #[test]
    fn texts_are_bounded_in_characters() {
        assert!(Text::parse("ü".repeat(MAX_TEXT)).is_ok());
        assert!(Text::parse("ü".repeat(MAX_TEXT + 1)).is_err());
        assert!(Text::parse(" \n".into()).is_err());
        assert!(Text::parse("a\0".into()).is_err());
        assert!(client_msg_id("x".repeat(64)).is_ok());
        assert!(client_msg_id("x".repeat(65)).is_err());
        assert!(client_msg_id(String::new()).is_err());
        let long = Text::parse("ü ".repeat(200)).unwrap();
        assert_eq!(long.excerpt().chars().count(), EXCERPT);
    }

    #[test]
    fn pages_are_ranges() {
        assert_eq!(Anchor::Newest.range(3, 10), (8, 10));
        assert_eq!(Anchor::Newest.range(3, 2), (1, 2));
        assert_eq!(Anchor::Newest.range(3, 0), (1, 0));
        assert_eq!(Anchor::Before(5).range(3, 10), (2, 4));
        assert_eq!(Anchor::Before(1).range(3, 10), (1, 0));
        assert_eq!(Anchor::Before(99).range(3, 10), (8, 10));
        assert_eq!(Anchor::After(5).range(3, 10), (6, 8));
        assert_eq!(Anchor::After(9).range(3, 10), (10, 10));
        assert_eq!(Anchor::After(10).range(3, 10), (11, 10));
        assert_eq!(Anchor::Around(5).range(4, 10), (3, 6));
        assert_eq!(Anchor::Around(1).range(4, 10), (1, 4));
        assert_eq!(Anchor::Around(10).range(4, 10), (7, 10));
        assert_eq!(Anchor::Around(1).range(4, 0).1, 0);
        for anchor in [
            Anchor::Before(u64::MAX),
            Anchor::After(u64::MAX),
            Anchor::Around(u64::MAX),
        ] {
            let (from, to) = anchor.range(200, 10);
            assert!(to <= 10 && (from > to || to - from < 200), "{anchor:?}");
        }
    }
}
