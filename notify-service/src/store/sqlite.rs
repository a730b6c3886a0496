//! Inboxes in a SQLite file.
//!
//! SQLite has one writer at a time: all writes of this process queue for the one
//! connection of the `writer` pool, and begin as `begin immediate`, so that a
//! transaction that read before it writes cannot fail because another wrote.

use std::sync::Arc;

use async_trait::async_trait;
use journal::sql::sqlite::{self as log, SqliteJournal};
use journal::{Appended, Journal, NewEvent};
use service::{Timestamp, tables::missing_in_sqlite};
use sqlx::migrate::Migrator;
use sqlx::{Sqlite, SqliteConnection, SqlitePool, Transaction};

use super::{
    Filter, InboxRow, Marked, NotificationRow, Notified, Page, PageQuery, Store, TABLES,
    check_version, event, marks, page, signed,
};
use crate::error::Result;
use crate::event::{Event, InboxEvent};
use crate::inbox::{Change, Counts, Mark};
use crate::notification::{Content, IdempotencyKey, Notification};
use crate::user::UserId;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// Inboxes in a SQLite file.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    reader: SqlitePool,
    writer: SqlitePool,
}

impl SqliteStore {
    /// The inboxes in one file: a pool to read with, and the pool of one connection
    /// through which all writes of this process go.
    #[must_use]
    pub fn new(reader: SqlitePool, writer: SqlitePool) -> Self {
        Self { reader, writer }
    }

    /// The tables of inboxes and logs.
    #[must_use]
    pub fn migrator() -> Migrator {
        log::migrator(&MIGRATIONS)
    }

    async fn write(&self) -> Result<Transaction<'static, Sqlite>> {
        Ok(self.writer.begin_with("begin immediate").await?)
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn notify(
        &self,
        users: &[UserId],
        content: &Arc<Content>,
        key: Option<&IdempotencyKey>,
        now: Timestamp,
    ) -> Result<Vec<Notified>> {
        let mut transaction = self.write().await?;
        let mut notified = Vec::with_capacity(users.len());
        for user in users {
            if let Some(id) = with_key(&mut transaction, user, key).await? {
                notified.push(Notified::Duplicate { id });
                continue;
            }
            let inbox = inbox(&mut transaction, user).await?.unwrap_or_default();
            let (notification, counts, event) = inbox.next(user, content, now)?;
            let appended = log::append(&mut transaction, &user.channel(), &[event]).await?;
            check_version(&appended, counts)?;
            insert(&mut transaction, &notification, key, counts).await?;
            notified.push(Notified::Created {
                id: notification.id,
                appended,
            });
        }
        transaction.commit().await?;
        Ok(notified)
    }

    async fn open(&self, user: &UserId) -> Result<Option<Appended>> {
        let mut transaction = self.write().await?;
        let opened = sqlx::query(
            "insert into inboxes (user_id, version) values (?1, 1) on conflict do nothing",
        )
        .bind(user.as_str())
        .execute(&mut *transaction)
        .await?;
        if opened.rows_affected() == 0 {
            return Ok(None);
        }
        let event = NewEvent::new(InboxEvent::OPENED.encode()?);
        let appended = log::append(&mut transaction, &user.channel(), &[event]).await?;
        check_version(&appended, Counts::OPENED)?;
        transaction.commit().await?;
        Ok(Some(appended))
    }

    async fn page(&self, user: &UserId, query: &PageQuery) -> Result<Option<Page>> {
        // A transaction that only reads is a snapshot, from its first read on.
        let mut snapshot = self.reader.begin().await?;
        let Some(state) = log::state(&mut snapshot, &user.channel()).await? else {
            return Ok(None);
        };
        let Some(inbox) = inbox(&mut snapshot, user).await? else {
            return Ok(None);
        };
        let rows: Vec<NotificationRow> = sqlx::query_as(match query.filter {
            Filter::Inbox => {
                "select * from notifications
                where user_id = ?1 and seq < ?2 and archived_at is null
                order by seq desc limit ?3"
            }
            Filter::Unread => {
                "select * from notifications
                where user_id = ?1 and seq < ?2 and archived_at is null and read_at is null
                order by seq desc limit ?3"
            }
            Filter::Archived => {
                "select * from notifications
                where user_id = ?1 and seq < ?2 and archived_at is not null
                order by seq desc limit ?3"
            }
        })
        .bind(user.as_str())
        .bind(query.before.map_or(i64::MAX, signed))
        .bind(i64::from(query.limit) + 1)
        .fetch_all(&mut *snapshot)
        .await?;
        snapshot.commit().await?;
        page(user, query, rows, inbox, state.epoch).map(Some)
    }

    async fn counts(&self, user: &UserId) -> Result<Counts> {
        let mut connection = self.reader.acquire().await?;
        let inbox = inbox(&mut connection, user).await?;
        Ok(inbox.unwrap_or_default().counts)
    }

    async fn mark(
        &self,
        user: &UserId,
        ids: &[String],
        mark: Mark,
        now: Timestamp,
    ) -> Result<Marked> {
        let mut transaction = self.write().await?;
        let Some(inbox) = inbox(&mut transaction, user).await? else {
            return Ok(Marked::nothing(Counts::default()));
        };
        let rows: Vec<(String, Option<i64>, Option<i64>, Option<i64>)> = sqlx::query_as(
            "select id, seen_at, read_at, archived_at from notifications
            where user_id = ?1 and id in (select value from json_each(?2)) order by seq",
        )
        .bind(user.as_str())
        .bind(serde_json::json!(ids).to_string())
        .fetch_all(&mut *transaction)
        .await?;
        let before = rows
            .into_iter()
            .map(|(id, seen, read, archived)| (id, marks(seen, read, archived)));
        let Some(change) = Change::new(mark, inbox.counts, before, now) else {
            return Ok(Marked::nothing(inbox.counts));
        };
        update_marks(&mut transaction, user, &change).await?;
        let event = event(
            change.counts,
            Event::Changed {
                ids: &change.ids,
                state: mark,
            },
        )?;
        let appended = advance(&mut transaction, user, change.counts, event).await?;
        transaction.commit().await?;
        Ok(Marked::changed(change.counts, appended))
    }

    async fn mark_all_read(&self, user: &UserId, now: Timestamp) -> Result<Marked> {
        let mut transaction = self.write().await?;
        let Some(inbox) = inbox(&mut transaction, user).await? else {
            return Ok(Marked::nothing(Counts::default()));
        };
        if inbox.counts.unread == 0 {
            return Ok(Marked::nothing(inbox.counts));
        }
        sqlx::query(
            "update notifications set read_at = ?2, seen_at = coalesce(seen_at, ?2)
            where user_id = ?1 and read_at is null and archived_at is null",
        )
        .bind(user.as_str())
        .bind(now.millis())
        .execute(&mut *transaction)
        .await?;
        let counts = inbox.counts.after_all_read();
        let event = event(
            counts,
            Event::AllRead {
                until: inbox.newest_at,
            },
        )?;
        let appended = advance(&mut transaction, user, counts, event).await?;
        transaction.commit().await?;
        Ok(Marked::changed(counts, appended))
    }

    async fn remove_done(&self, before: Timestamp, limit: u32) -> Result<u64> {
        let mut transaction = self.write().await?;
        let removed = sqlx::query(
            "delete from notifications where rowid in (
                select rowid from notifications
                where created_at < ?1 and (read_at is not null or archived_at is not null)
                order by created_at limit ?2
            )",
        )
        .bind(before.millis())
        .bind(limit)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(removed.rows_affected())
    }

    async fn missing_tables(&self) -> Result<Vec<String>> {
        Ok(missing_in_sqlite(&self.reader, TABLES).await?)
    }

    fn journal(&self) -> Arc<dyn Journal> {
        Arc::new(SqliteJournal::new(self.reader.clone(), self.writer.clone()))
    }
}

async fn inbox(connection: &mut SqliteConnection, user: &UserId) -> Result<Option<InboxRow>> {
    let row: Option<(i64, i64, i64, i64)> =
        sqlx::query_as("select unread, unseen, version, newest_at from inboxes where user_id = ?1")
            .bind(user.as_str())
            .fetch_optional(connection)
            .await?;
    row.map(|(unread, unseen, version, newest_at)| {
        InboxRow::new(unread, unseen, version, newest_at)
    })
    .transpose()
}

/// The id of the user's notification with this key.
async fn with_key(
    connection: &mut SqliteConnection,
    user: &UserId,
    key: Option<&IdempotencyKey>,
) -> Result<Option<String>> {
    let Some(key) = key else {
        return Ok(None);
    };
    let id = sqlx::query_scalar(
        "select id from notifications where user_id = ?1 and idempotency_key = ?2",
    )
    .bind(user.as_str())
    .bind(key.as_str())
    .fetch_optional(connection)
    .await?;
    Ok(id)
}

/// Stores a new notification and counts it.
async fn insert(
    connection: &mut SqliteConnection,
    notification: &Notification,
    key: Option<&IdempotencyKey>,
    counts: Counts,
) -> Result<()> {
    let content = &*notification.content;
    sqlx::query(
        "insert into notifications (user_id, seq, id, created_at,
            category, title, body, link, actor, data, idempotency_key)
        values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )
    .bind(notification.user.as_str())
    .bind(signed(notification.seq))
    .bind(&notification.id)
    .bind(notification.created_at.millis())
    .bind(&content.category)
    .bind(&content.title)
    .bind(&content.body)
    .bind(&content.link)
    .bind(&content.actor)
    .bind(content.data.as_ref().map(|data| data.get()))
    .bind(key.map(IdempotencyKey::as_str))
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "insert into inboxes (user_id, unread, unseen, version, newest_at)
        values (?1, ?2, ?3, ?4, ?5)
        on conflict (user_id) do update set
            unread = excluded.unread,
            unseen = excluded.unseen,
            version = excluded.version,
            newest_at = excluded.newest_at",
    )
    .bind(notification.user.as_str())
    .bind(signed(counts.unread))
    .bind(signed(counts.unseen))
    .bind(signed(counts.version))
    .bind(notification.created_at.millis())
    .execute(connection)
    .await?;
    Ok(())
}

async fn update_marks(
    connection: &mut SqliteConnection,
    user: &UserId,
    change: &Change,
) -> Result<()> {
    for (id, marks) in change.ids.iter().zip(&change.marks) {
        sqlx::query(
            "update notifications set seen_at = ?3, read_at = ?4, archived_at = ?5
            where user_id = ?1 and id = ?2",
        )
        .bind(user.as_str())
        .bind(id)
        .bind(marks.seen_at.map(Timestamp::millis))
        .bind(marks.read_at.map(Timestamp::millis))
        .bind(marks.archived_at.map(Timestamp::millis))
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// Appends an event to an inbox's log and stores the counters after it.
async fn advance(
    connection: &mut SqliteConnection,
    user: &UserId,
    counts: Counts,
    event: NewEvent,
) -> Result<Appended> {
    sqlx::query("update inboxes set unread = ?2, unseen = ?3, version = ?4 where user_id = ?1")
        .bind(user.as_str())
        .bind(signed(counts.unread))
        .bind(signed(counts.unseen))
        .bind(signed(counts.version))
        .execute(&mut *connection)
        .await?;
    let appended = log::append(connection, &user.channel(), &[event]).await?;
    check_version(&appended, counts)?;
    Ok(appended)
}
