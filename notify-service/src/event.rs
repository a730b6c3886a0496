//! What the inbox channel carries: `fanfare.notify.v1.InboxEvent` as JSON.
//!
//! Field names are the Protobuf ones, 64-bit integers are numbers, times RFC 3339,
//! enums their names; zero values are left out except in the counters, where a
//! zero is news.

use bytes::Bytes;
use serde::Serialize;
use service::Timestamp;

use crate::error::{Error, Result};
use crate::inbox::{Counts, Mark};
use crate::notification::Notification;

/// A change of an inbox, with the counters after it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct InboxEvent<'a> {
    /// The counters after it.
    pub counts: Counts,
    /// What changed; nothing in the first event of a log, which only opens it.
    #[serde(flatten)]
    pub event: Option<Event<'a>>,
}

/// What changed in an inbox.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Event<'a> {
    /// There is one notification more.
    Created(&'a Notification),
    /// Notifications changed their state.
    Changed {
        /// Which.
        ids: &'a [String],
        /// What they are now.
        #[serde(serialize_with = "state_name")]
        state: Mark,
    },
    /// Everything created up to then was read, and so seen.
    AllRead {
        /// `created_at` of the newest.
        until: Timestamp,
    },
}

impl InboxEvent<'_> {
    /// The first event of every log: it gives the inbox an epoch, so that a user who
    /// was never notified has a position to subscribe with.
    pub const OPENED: Self = Self {
        counts: Counts::OPENED,
        event: None,
    };

    /// The event as the log keeps it and the channel carries it.
    ///
    /// # Errors
    /// [`Error::Internal`]; never for events made of checked content.
    pub fn encode(&self) -> Result<Bytes> {
        serde_json::to_vec(self)
            .map(Bytes::from)
            .map_err(|error| Error::Internal(error.into()))
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature is serde's"
)]
fn state_name<S: serde::Serializer>(
    state: &Mark,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(match state {
        Mark::Seen => "STATE_SEEN",
        Mark::Read => "STATE_READ",
        Mark::Unread => "STATE_UNREAD",
        Mark::Archived => "STATE_ARCHIVED",
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::value::RawValue;

    use super::*;
    use crate::inbox::Marks;
    use crate::notification::Content;
    use crate::user::UserId;

    fn json(counts: Counts, event: Event<'_>) -> String {
        let event = Some(event);
        let bytes = InboxEvent { counts, event }.encode().unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[test]
    fn the_first_event_opens_the_log() {
        let bytes = InboxEvent::OPENED.encode().unwrap();
        assert_eq!(
            &*bytes,
            br#"{"counts":{"unread":0,"unseen":0,"version":1}}"#
        );
    }

    #[test]
    fn a_created_event_holds_the_notification() {
        let notification = Notification {
            id: "n1".to_owned(),
            user: UserId::parse("ann").unwrap(),
            seq: 3,
            content: Arc::new(Content {
                category: "mention".to_owned(),
                title: "Bob mentioned you".to_owned(),
                data: Some(
                    RawValue::from_string(r#"{"room":"r1","seq":9007199254740991}"#.to_owned())
                        .unwrap(),
                ),
                ..Content::default()
            }),
            created_at: Timestamp::from_millis(1_795_554_245_007),
            marks: Marks::default(),
        };
        let counts = Counts {
            unread: 2,
            unseen: 1,
            version: 3,
        };
        assert_eq!(
            json(counts, Event::Created(&notification)),
            concat!(
                r#"{"counts":{"unread":2,"unseen":1,"version":3},"#,
                r#""created":{"id":"n1","user":"ann","category":"mention","title":"Bob mentioned you","#,
                r#""data":{"room":"r1","seq":9007199254740991},"created_at":"2026-11-24T21:04:05.007Z"}}"#,
            )
        );
    }

    #[test]
    fn zero_counters_are_written() {
        let counts = Counts {
            unread: 0,
            unseen: 0,
            version: 4,
        };
        let ids = ["n1".to_owned()];
        assert_eq!(
            json(
                counts,
                Event::Changed {
                    ids: &ids,
                    state: Mark::Archived
                }
            ),
            concat!(
                r#"{"counts":{"unread":0,"unseen":0,"version":4},"#,
                r#""changed":{"ids":["n1"],"state":"STATE_ARCHIVED"}}"#,
            )
        );
        let until = Timestamp::from_millis(1_000);
        assert_eq!(
            json(counts, Event::AllRead { until }),
            concat!(
                r#"{"counts":{"unread":0,"unseen":0,"version":4},"#,
                r#""all_read":{"until":"1970-01-01T00:00:01Z"}}"#,
            )
        );
    }
}
