//! What must last: inboxes, notifications and the logs of their events.
//!
//! The only place with SQL. Every method is one transaction that changes rows,
//! counters and log together, under the inbox's lock; publishing is left to the
//! caller, who gets what was appended.

pub mod postgres;
pub mod sqlite;

#[cfg(test)]
mod contract;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use journal::{Appended, Journal, NewEvent};
use serde_json::value::RawValue;
use service::{Cause, Database, Migrations, Pools, Timestamp};

use crate::error::{Error, Result};
use crate::event::{Event, InboxEvent};
use crate::inbox::{Counts, Mark, Marks};
use crate::notification::{Content, IdempotencyKey, Notification};
use crate::user::UserId;

pub use self::postgres::PostgresStore;
pub use self::sqlite::SqliteStore;

/// All tables, of inboxes and logs.
const TABLES: &[&str] = &["inboxes", "notifications", "logs", "log_events"];

/// The inboxes in a database. Works while the database is away.
///
/// # Errors
/// The folder of a SQLite file cannot be made.
pub fn open(database: &Database) -> std::io::Result<Arc<dyn Store>> {
    Ok(match database.pools("notify-service")? {
        Pools::Postgres(pool) => Arc::new(PostgresStore::new(pool)),
        Pools::Sqlite { reader, writer } => Arc::new(SqliteStore::new(reader, writer)),
    })
}

/// The tables of inboxes and logs.
#[must_use]
pub fn migrations() -> Migrations {
    Migrations {
        postgres: PostgresStore::migrator(),
        sqlite: SqliteStore::migrator(),
    }
}

/// Inboxes in a database.
///
/// Nothing here has a deadline of its own: dropping a call rolls it back.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Notifies users, all or none; they must be distinct and sorted. The answer is
    /// in their order.
    async fn notify(
        &self,
        users: &[UserId],
        content: &Arc<Content>,
        key: Option<&IdempotencyKey>,
        now: Timestamp,
    ) -> Result<Vec<Notified>>;

    /// Gives a user an inbox, and its log a first event, if there is none yet.
    async fn open(&self, user: &UserId) -> Result<Option<Appended>>;

    /// A page of an inbox, from one snapshot; `None` if it was never opened.
    async fn page(&self, user: &UserId, query: &PageQuery) -> Result<Option<Page>>;

    /// The counters; all zero if the inbox was never opened.
    async fn counts(&self, user: &UserId) -> Result<Counts>;

    /// Marks notifications of a user. Unknown ids are ignored.
    async fn mark(
        &self,
        user: &UserId,
        ids: &[String],
        mark: Mark,
        now: Timestamp,
    ) -> Result<Marked>;

    /// Marks everything in the inbox as read.
    async fn mark_all_read(&self, user: &UserId, now: Timestamp) -> Result<Marked>;

    /// Removes at most `limit` of the notifications that were created before a
    /// moment and are read or archived; the oldest first. Returns how many. Counters
    /// do not change: these notifications are in none.
    async fn remove_done(&self, before: Timestamp, limit: u32) -> Result<u64>;

    /// The tables that are not there: none, if all is well.
    async fn missing_tables(&self) -> Result<Vec<String>>;

    /// The inboxes' logs in the same database.
    fn journal(&self) -> Arc<dyn Journal>;
}

/// What became of one user's notification.
#[derive(Clone, Debug)]
pub enum Notified {
    /// It is in the inbox, and this was appended to the inbox's log.
    Created {
        /// Its id.
        id: String,
        /// The log's new event.
        appended: Appended,
    },
    /// The user has one with this idempotency key.
    Duplicate {
        /// The id of the one that was there.
        id: String,
    },
}

/// What a mark did.
#[derive(Clone, Debug)]
pub struct Marked {
    /// The counters after it.
    pub counts: Counts,
    /// The log's new event; `None` when nothing changed.
    pub appended: Option<Appended>,
}

impl Marked {
    fn nothing(counts: Counts) -> Self {
        Self {
            counts,
            appended: None,
        }
    }

    fn changed(counts: Counts, appended: Appended) -> Self {
        Self {
            counts,
            appended: Some(appended),
        }
    }
}

/// Which part of an inbox to read, newest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageQuery {
    /// Only notifications that are older than this one.
    pub before: Option<u64>,
    /// At most this many; at least 1.
    pub limit: u32,
    /// Which notifications.
    pub filter: Filter,
}

/// Which notifications a page is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Filter {
    /// What is not archived.
    #[default]
    Inbox,
    /// What is neither read nor archived.
    Unread,
    /// What is archived.
    Archived,
}

/// A part of an inbox.
#[derive(Clone, Debug)]
pub struct Page {
    /// Newest first.
    pub notifications: Vec<Notification>,
    /// There are older ones.
    pub has_more: bool,
    /// The counters; their version is the offset of the log's newest event.
    pub counts: Counts,
    /// The log's id.
    pub epoch: Arc<str>,
}

/// A locked row of `inboxes`.
#[derive(Clone, Copy, Debug, Default)]
struct InboxRow {
    counts: Counts,
    newest_at: Timestamp,
}

impl InboxRow {
    fn new(unread: i64, unseen: i64, version: i64, newest_at: i64) -> Result<Self> {
        Ok(Self {
            counts: Counts {
                unread: unsigned(unread)?,
                unseen: unsigned(unseen)?,
                version: unsigned(version)?,
            },
            newest_at: Timestamp::from_millis(newest_at),
        })
    }

    /// The next notification, the counters after it, and its event. `created_at`
    /// never runs backwards in an inbox, whatever the clocks of replicas say.
    fn next(
        self,
        user: &UserId,
        content: &Arc<Content>,
        now: Timestamp,
    ) -> Result<(Notification, Counts, NewEvent)> {
        let counts = self.counts.after_created();
        let notification = Notification {
            id: uuid::Uuid::now_v7().to_string(),
            user: user.clone(),
            seq: counts.version,
            content: Arc::clone(content),
            created_at: now.max(self.newest_at),
            marks: Marks::default(),
        };
        let event = event(counts, Event::Created(&notification))?;
        Ok((notification, counts, event))
    }
}

fn event(counts: Counts, event: Event<'_>) -> Result<NewEvent> {
    let event = InboxEvent {
        counts,
        event: Some(event),
    };
    Ok(NewEvent::new(event.encode()?))
}

/// The number that the log gave must be the one that the event's counters carry:
/// whoever appends holds the inbox's lock.
fn check_version(appended: &Appended, counts: Counts) -> Result<()> {
    let offset = appended.position().offset;
    if offset == counts.version {
        return Ok(());
    }
    Err(corrupt(format!(
        "inbox of {} is at version {}, its log at {offset}",
        appended.channel, counts.version
    )))
}

/// A row of `notifications`, as both databases give it.
#[derive(Debug, sqlx::FromRow)]
struct NotificationRow {
    seq: i64,
    id: String,
    category: String,
    title: String,
    body: String,
    link: String,
    actor: String,
    data: Option<String>,
    created_at: i64,
    seen_at: Option<i64>,
    read_at: Option<i64>,
    archived_at: Option<i64>,
}

impl NotificationRow {
    fn into_notification(self, user: &UserId) -> Result<Notification> {
        let data = self
            .data
            .map(RawValue::from_string)
            .transpose()
            .map_err(|error| Error::Internal(error.into()))?;
        Ok(Notification {
            id: self.id,
            user: user.clone(),
            seq: unsigned(self.seq)?,
            content: Arc::new(Content {
                category: self.category,
                title: self.title,
                body: self.body,
                link: self.link,
                actor: self.actor,
                data,
            }),
            created_at: Timestamp::from_millis(self.created_at),
            marks: marks(self.seen_at, self.read_at, self.archived_at),
        })
    }
}

/// A page out of one row more than it may have.
fn page(
    user: &UserId,
    query: &PageQuery,
    mut rows: Vec<NotificationRow>,
    inbox: InboxRow,
    epoch: Arc<str>,
) -> Result<Page> {
    let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let notifications = rows.into_iter().map(|row| row.into_notification(user));
    Ok(Page {
        notifications: notifications.collect::<Result<_>>()?,
        has_more,
        counts: inbox.counts,
        epoch,
    })
}

fn marks(seen_at: Option<i64>, read_at: Option<i64>, archived_at: Option<i64>) -> Marks {
    Marks {
        seen_at: seen_at.map(Timestamp::from_millis),
        read_at: read_at.map(Timestamp::from_millis),
        archived_at: archived_at.map(Timestamp::from_millis),
    }
}

fn unsigned(number: i64) -> Result<u64> {
    u64::try_from(number).map_err(|_| corrupt(format!("negative number {number}")))
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn corrupt(message: String) -> Error {
    Error::Internal(Cause::from(message))
}
