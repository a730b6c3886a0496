//! The rules of one inbox: which marks change what, and what that does to the
//! counters. Pure: storing and publishing are left to `store` and `inboxes`.

use serde::Serialize;

use service::Timestamp;

/// Absolute counters of one inbox; of two, the one with the greater version is true.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Notifications neither read nor archived.
    pub unread: u64,
    /// Notifications neither seen nor archived; never more than `unread`, because
    /// what is read counts as seen.
    pub unseen: u64,
    /// Offset of the newest event in the inbox's log.
    pub version: u64,
}

impl Counts {
    /// The counters of an inbox whose log has just begun.
    pub const OPENED: Self = Self {
        unread: 0,
        unseen: 0,
        version: 1,
    };

    /// The counters after one more notification.
    #[must_use]
    pub fn after_created(self) -> Self {
        Self {
            unread: self.unread + 1,
            unseen: self.unseen + 1,
            version: self.version + 1,
        }
    }

    /// The counters after all notifications were read.
    #[must_use]
    pub fn after_all_read(self) -> Self {
        Self {
            unread: 0,
            unseen: 0,
            version: self.version + 1,
        }
    }
}

/// What a user can say of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It was shown in a list.
    Seen,
    /// It was read, and so seen.
    Read,
    /// It shall count as unread again. It stays seen.
    Unread,
    /// It leaves the inbox. Final: no mark changes it any more.
    Archived,
}

/// When a notification was seen, read and archived.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// First time seen.
    pub seen_at: Option<Timestamp>,
    /// When it was read, if it counts as read.
    pub read_at: Option<Timestamp>,
    /// When it was archived.
    pub archived_at: Option<Timestamp>,
}

impl Marks {
    /// The marks after one more; `None` when it changes nothing.
    #[must_use]
    pub fn after(self, mark: Mark, now: Timestamp) -> Option<Self> {
        if self.archived_at.is_some() {
            return None;
        }
        let after = match mark {
            Mark::Seen => Self {
                seen_at: self.seen_at.or(Some(now)),
                ..self
            },
            Mark::Read => Self {
                seen_at: self.seen_at.or(Some(now)),
                read_at: self.read_at.or(Some(now)),
                ..self
            },
            Mark::Unread => Self {
                read_at: None,
                ..self
            },
            Mark::Archived => Self {
                archived_at: Some(now),
                ..self
            },
        };
        (after != self).then_some(after)
    }

    /// Whether it counts as unread.
    #[must_use]
    pub const fn is_unread(self) -> bool {
        self.read_at.is_none() && self.archived_at.is_none()
    }

    /// Whether it counts as unseen.
    #[must_use]
    pub const fn is_unseen(self) -> bool {
        self.seen_at.is_none() && self.archived_at.is_none()
    }
}

/// What a mark changes in an inbox: the notifications that it applies to, and the
/// counters afterwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The notifications that change, in the order given.
    pub ids: Vec<String>,
    /// Their marks afterwards, in the same order.
    pub marks: Vec<Marks>,
    /// The counters after it, with the next version.
    pub counts: Counts,
}

impl Change {
    /// Applies a mark to notifications of an inbox with these counters. `None` when
    /// nothing changes: then there is no event either.
    #[must_use]
    pub fn new(
        mark: Mark,
        counts: Counts,
        notifications: impl IntoIterator<Item = (String, Marks)>,
        now: Timestamp,
    ) -> Option<Self> {
        let (mut ids, mut marks) = (Vec::new(), Vec::new());
        let (mut unread, mut unseen) = (counts.unread, counts.unseen);
        for (id, before) in notifications {
            let Some(after) = before.after(mark, now) else {
                continue;
            };
            ids.push(id);
            marks.push(after);
            unread = recount(unread, before.is_unread(), after.is_unread());
            unseen = recount(unseen, before.is_unseen(), after.is_unseen());
        }
        (!ids.is_empty()).then(|| Self {
            ids,
            marks,
            counts: Counts {
                unread,
                unseen,
                version: counts.version + 1,
            },
        })
    }
}

fn recount(count: u64, before: bool, after: bool) -> u64 {
    match (before, after) {
        (true, false) => count.saturating_sub(1),
        (false, true) => count + 1,
        (true, true) | (false, false) => count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000);
    const LATER: Timestamp = Timestamp::from_millis(2_000);

    fn marked(marks: &[Mark]) -> Marks {
        marks.iter().fold(Marks::default(), |before, &mark| {
            before.after(mark, NOW).unwrap_or(before)
        })
    }

    #[test]
    fn what_is_read_is_seen() {
        let read = marked(&[Mark::Read]);
        assert_eq!(read.seen_at, Some(NOW));
        assert_eq!(read.after(Mark::Seen, LATER), None);
    }

    #[test]
    fn what_is_unread_again_stays_seen() {
        let unread = marked(&[Mark::Read, Mark::Unread]);
        assert!(unread.is_unread());
        assert!(!unread.is_unseen());
    }

    #[test]
    fn every_mark_is_idempotent() {
        for mark in [Mark::Seen, Mark::Read, Mark::Unread, Mark::Archived] {
            assert_eq!(
                marked(&[Mark::Read, mark]).after(mark, LATER),
                None,
                "{mark:?}"
            );
        }
        assert_eq!(marked(&[]).after(Mark::Unread, NOW), None);
    }

    #[test]
    fn what_is_archived_never_changes() {
        for mark in [Mark::Seen, Mark::Read, Mark::Unread, Mark::Archived] {
            assert_eq!(
                marked(&[Mark::Archived]).after(mark, LATER),
                None,
                "{mark:?}"
            );
        }
    }

    #[test]
    fn counts_follow_the_marks() {
        let counts = Counts {
            unread: 2,
            unseen: 1,
            version: 7,
        };
        let notifications = [
            ("new".to_owned(), marked(&[])),
            ("seen".to_owned(), marked(&[Mark::Seen])),
            ("read".to_owned(), marked(&[Mark::Read])),
            ("gone".to_owned(), marked(&[Mark::Archived])),
        ];
        let check = |mark, ids: &[&str], unread, unseen| {
            let change =
                Change::new(mark, counts, notifications.clone(), NOW).expect("something changes");
            assert_eq!(change.ids, ids, "{mark:?}");
            let expected = Counts {
                unread,
                unseen,
                version: 8,
            };
            assert_eq!(change.counts, expected, "{mark:?}");
        };
        check(Mark::Seen, &["new"], 2, 0);
        check(Mark::Read, &["new", "seen"], 0, 0);
        check(Mark::Unread, &["read"], 3, 1);
        check(Mark::Archived, &["new", "seen", "read"], 0, 0);
    }

    #[test]
    fn nothing_changed_is_no_change() {
        let seen = [("seen".to_owned(), marked(&[Mark::Seen]))];
        assert_eq!(Change::new(Mark::Seen, Counts::default(), seen, NOW), None);
        assert_eq!(Change::new(Mark::Seen, Counts::default(), [], NOW), None);
    }
}
