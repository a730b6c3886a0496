//! What users do with their inboxes: read them, and mark what is in them.

use std::sync::Arc;
use std::time::Duration;

use journal::Publisher;
use service::{Timestamp, within};

use crate::error::{Error, Result};
use crate::inbox::{Counts, Mark};
use crate::store::{Filter, Marked, Page, PageQuery, Store};
use crate::user::UserId;

/// Notifications marked by one call at most.
pub const MAX_IDS: usize = 500;
/// Longest id in bytes; ours are shorter.
const MAX_ID_LEN: usize = 64;
/// Notifications on one page at most.
pub const MAX_PAGE: u32 = 100;
/// Notifications on a page when the caller does not say.
const DEFAULT_PAGE: u32 = 30;

/// Users' inboxes. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Inboxes {
    store: Arc<dyn Store>,
    publisher: Publisher,
    deadline: Duration,
}

impl Inboxes {
    /// The inboxes in a store, each call to which gets a deadline.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, publisher: Publisher, deadline: Duration) -> Self {
        Self {
            store,
            publisher,
            deadline,
        }
    }

    /// A page of the user's inbox, newest first, with the counters and the position
    /// of the same moment.
    ///
    /// # Errors
    /// [`Error::Invalid`]: the cursor is not one of [`cursor`]'s.
    pub async fn list(
        &self,
        user: &UserId,
        limit: u32,
        cursor: &str,
        filter: Filter,
    ) -> Result<Page> {
        let query = PageQuery {
            before: parse_cursor(cursor)?,
            limit: match limit {
                0 => DEFAULT_PAGE,
                limit => limit.min(MAX_PAGE),
            },
            filter,
        };
        if let Some(page) = within(self.deadline, self.store.page(user, &query)).await? {
            return Ok(page);
        }
        self.open(user).await?;
        let page = within(self.deadline, self.store.page(user, &query)).await?;
        page.ok_or_else(|| Error::Internal("an opened inbox is missing".into()))
    }

    /// The user's counters.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn counts(&self, user: &UserId) -> Result<Counts> {
        within(self.deadline, self.store.counts(user)).await
    }

    /// Marks notifications of the user; ids of others are ignored. Returns the
    /// counters afterwards. When nothing changes there is no event.
    ///
    /// # Errors
    /// [`Error::Invalid`]: too many ids.
    pub async fn mark(&self, user: &UserId, ids: &[String], mark: Mark) -> Result<Counts> {
        if ids.len() > MAX_IDS {
            return Err(Error::invalid(format!(
                "ids must have at most {MAX_IDS} entries, not {}",
                ids.len()
            )));
        }
        if let Some(index) = ids.iter().position(|id| !is_id(id)) {
            return Err(Error::invalid(format!(
                "ids[{index}] is not the id of a notification"
            )));
        }
        if ids.is_empty() {
            return self.counts(user).await;
        }
        let call = self.store.mark(user, ids, mark, Timestamp::now());
        Ok(self.publish(within(self.deadline, call).await?))
    }

    /// Marks everything in the user's inbox as read. Returns the counters afterwards.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn mark_all_read(&self, user: &UserId) -> Result<Counts> {
        let call = self.store.mark_all_read(user, Timestamp::now());
        Ok(self.publish(within(self.deadline, call).await?))
    }

    /// Whether a user may subscribe to a channel: only to the own inbox's. From then
    /// on the inbox has a log, whose epoch the subscription can rely on.
    ///
    /// # Errors
    /// [`Error::NotFound`]: it is not an inbox's channel. [`Error::Denied`]: it is
    /// somebody else's.
    pub async fn authorize_subscribe(&self, channel: &str, user: &str) -> Result<()> {
        let owner = UserId::of_channel(channel)
            .ok_or_else(|| Error::NotFound("it is not the channel of an inbox".into()))?;
        if owner.as_str() != user {
            return Err(Error::Denied("it is the inbox of another user".into()));
        }
        if self.counts(&owner).await?.version == 0 {
            self.open(&owner).await?;
        }
        Ok(())
    }

    async fn open(&self, user: &UserId) -> Result<()> {
        if let Some(appended) = within(self.deadline, self.store.open(user)).await? {
            self.publisher.committed(appended);
        }
        Ok(())
    }

    fn publish(&self, marked: Marked) -> Counts {
        if let Some(appended) = marked.appended {
            self.publisher.committed(appended);
        }
        marked.counts
    }
}

/// The cursor of the page after this one; empty when it is the last.
#[must_use]
pub fn cursor(page: &Page) -> String {
    match page.notifications.last() {
        Some(oldest) if page.has_more => oldest.seq.to_string(),
        _ => String::new(),
    }
}

fn parse_cursor(cursor: &str) -> Result<Option<u64>> {
    if cursor.is_empty() {
        return Ok(None);
    }
    let seq = cursor.parse();
    seq.map(Some)
        .map_err(|_| Error::invalid("cursor must be a next_cursor of ListInbox"))
}

fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= MAX_ID_LEN && id.bytes().all(|byte| byte.is_ascii_graphic())
}
