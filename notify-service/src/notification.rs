//! A notification, and the bounds of what a sender may put into one.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;
use service::Timestamp;

use crate::error::{Error, Result};
use crate::inbox::Marks;
use crate::user::UserId;

/// What a sender wants users to know. Checked: see [`Content::check`].
#[derive(Clone, Debug, Default)]
pub struct Content {
    /// What kind it is, chosen by the sender: `mention`, `direct_message`, …
    pub category: String,
    /// One line.
    pub title: String,
    /// More text; may be empty when there is a title.
    pub body: String,
    /// Where a click leads; may be empty.
    pub link: String,
    /// Who caused it; may be empty.
    pub actor: String,
    /// The sender's own data, a JSON object.
    pub data: Option<Box<RawValue>>,
}

impl Content {
    /// Longest category in characters.
    pub const MAX_CATEGORY: usize = 64;
    /// Longest title in characters.
    pub const MAX_TITLE: usize = 256;
    /// Longest body in characters.
    pub const MAX_BODY: usize = 4_096;
    /// Longest link in bytes.
    pub const MAX_LINK: usize = 2_048;
    /// Longest actor in bytes.
    pub const MAX_ACTOR: usize = UserId::MAX_LEN;
    /// Largest data in bytes of JSON.
    pub const MAX_DATA: usize = 16 * 1_024;

    /// Checks the bounds.
    ///
    /// # Errors
    /// [`Error::Invalid`] names the field and its bound.
    pub fn check(&self) -> Result<()> {
        if self.category.is_empty()
            || self.category.len() > Self::MAX_CATEGORY
            || !self.category.bytes().all(is_category_byte)
        {
            return Err(Error::invalid(format!(
                "category must have 1 to {} letters, digits, `_`, `-`, `.` or `:`",
                Self::MAX_CATEGORY
            )));
        }
        if self.title.is_empty() && self.body.is_empty() {
            return Err(Error::invalid("title and body must not both be empty"));
        }
        check_text("title", &self.title, Self::MAX_TITLE)?;
        check_text("body", &self.body, Self::MAX_BODY)?;
        check_bytes("link", &self.link, Self::MAX_LINK)?;
        check_bytes("actor", &self.actor, Self::MAX_ACTOR)?;
        if is_script(&self.link) {
            return Err(Error::invalid("link must not run a script when followed"));
        }
        let data_len = self.data.as_ref().map_or(0, |data| data.get().len());
        if data_len > Self::MAX_DATA {
            return Err(Error::invalid(format!(
                "data must have at most {} bytes of JSON, not {data_len}",
                Self::MAX_DATA
            )));
        }
        Ok(())
    }
}

/// A sender's mark on a notification: a second one with the same key for the same
/// user is not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Longest key in characters.
    pub const MAX_LEN: usize = 128;

    /// Parses a key; `None` when it is empty.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is too long or has control characters.
    pub fn parse(key: String) -> Result<Option<Self>> {
        check_text("idempotency_key", &key, Self::MAX_LEN)?;
        if key.contains(char::is_control) {
            return Err(Error::invalid(
                "idempotency_key must not contain control characters",
            ));
        }
        Ok((!key.is_empty()).then_some(Self(key)))
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A notification in a user's inbox.
#[derive(Clone, Debug)]
pub struct Notification {
    /// Unique in the whole system.
    pub id: String,
    /// Whose inbox it is in.
    pub user: UserId,
    /// Offset of the event that created it: the order of the inbox.
    pub seq: u64,
    /// What it says; shared by all who got it at once.
    pub content: Arc<Content>,
    /// When it was stored; never before an older one of the same inbox.
    pub created_at: Timestamp,
    /// What the user has done with it.
    pub marks: Marks,
}

impl Serialize for Notification {
    /// As `fanfare.notify.v1.Notification` in JSON, without zero values.
    fn serialize<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Fields<'a> {
            id: &'a str,
            user: &'a UserId,
            category: &'a str,
            #[serde(skip_serializing_if = "str::is_empty")]
            title: &'a str,
            #[serde(skip_serializing_if = "str::is_empty")]
            body: &'a str,
            #[serde(skip_serializing_if = "str::is_empty")]
            link: &'a str,
            #[serde(skip_serializing_if = "str::is_empty")]
            actor: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            data: Option<&'a RawValue>,
            created_at: Timestamp,
            #[serde(skip_serializing_if = "Option::is_none")]
            seen_at: Option<Timestamp>,
            #[serde(skip_serializing_if = "Option::is_none")]
            read_at: Option<Timestamp>,
            #[serde(skip_serializing_if = "Option::is_none")]
            archived_at: Option<Timestamp>,
        }
        let content = &*self.content;
        Fields {
            id: &self.id,
            user: &self.user,
            category: &content.category,
            title: &content.title,
            body: &content.body,
            link: &content.link,
            actor: &content.actor,
            data: content.data.as_deref(),
            created_at: self.created_at,
            seen_at: self.marks.seen_at,
            read_at: self.marks.read_at,
            archived_at: self.marks.archived_at,
        }
        .serialize(serializer)
    }
}

const fn is_category_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':')
}

fn check_text(field: &str, text: &str, max_chars: usize) -> Result<()> {
    // A character has one byte at least: most texts need no counting.
    if text.len() > max_chars && text.chars().count() > max_chars {
        return Err(Error::invalid(format!(
            "{field} must have at most {max_chars} characters"
        )));
    }
    if text.contains('\0') {
        return Err(Error::invalid(format!(
            "{field} must not contain a null character"
        )));
    }
    Ok(())
}

fn check_bytes(field: &str, text: &str, max_bytes: usize) -> Result<()> {
    if text.len() > max_bytes {
        return Err(Error::invalid(format!(
            "{field} must have at most {max_bytes} bytes, not {}",
            text.len()
        )));
    }
    if text.contains(char::is_control) {
        return Err(Error::invalid(format!(
            "{field} must not contain control characters"
        )));
    }
    Ok(())
}

/// Whether following a link runs code in the page that shows it.
fn is_script(link: &str) -> bool {
    let scheme = link.trim_start().split(':').next().unwrap_or_default();
    ["javascript", "vbscript", "data"]
        .iter()
        .any(|script| scheme.eq_ignore_ascii_case(script))
        && link.contains(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> Content {
        Content {
            category: "mention".to_owned(),
            title: "Ann mentioned you".to_owned(),
            ..Content::default()
        }
    }

    #[test]
    fn bounds_name_the_field() {
        let check = |field: &str, content: Content| {
            let error = content.check().expect_err(field);
            assert!(error.to_string().starts_with(field), "{error}");
        };
        content().check().unwrap();
        check(
            "category",
            Content {
                category: String::new(),
                ..content()
            },
        );
        check(
            "category",
            Content {
                category: "a b".to_owned(),
                ..content()
            },
        );
        check(
            "category",
            Content {
                category: "c".repeat(65),
                ..content()
            },
        );
        check(
            "title",
            Content {
                title: String::new(),
                ..content()
            },
        );
        check(
            "title",
            Content {
                title: "ä".repeat(257),
                ..content()
            },
        );
        check(
            "title",
            Content {
                title: "a\0b".to_owned(),
                ..content()
            },
        );
        check(
            "body",
            Content {
                body: "b".repeat(4_097),
                ..content()
            },
        );
        check(
            "link",
            Content {
                link: format!("/{}", "l".repeat(2_048)),
                ..content()
            },
        );
        check(
            "link",
            Content {
                link: " JavaScript:alert(1)".to_owned(),
                ..content()
            },
        );
        check(
            "actor",
            Content {
                actor: "a".repeat(201),
                ..content()
            },
        );
        let data = serde_json::value::to_raw_value(&"d".repeat(16 * 1_024)).unwrap();
        check(
            "data",
            Content {
                data: Some(data),
                ..content()
            },
        );
    }

    #[test]
    fn texts_at_their_bounds_pass() {
        Content {
            category: "c".repeat(64),
            title: "ä".repeat(256),
            body: "線\n".repeat(2_048),
            link: "myapp://rooms/7?data=x:y".to_owned(),
            ..content()
        }
        .check()
        .unwrap();
    }

    #[test]
    fn an_empty_key_is_none() {
        assert_eq!(IdempotencyKey::parse(String::new()).unwrap(), None);
        assert!(IdempotencyKey::parse("k".repeat(128)).unwrap().is_some());
        assert!(IdempotencyKey::parse("k".repeat(129)).is_err());
        assert!(IdempotencyKey::parse("k\n".to_owned()).is_err());
    }
}
