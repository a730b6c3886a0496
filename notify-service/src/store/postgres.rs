//! Inboxes in PostgreSQL.
//!
//! Locks are always taken in this order: inboxes by user, their notifications,
//! their logs. So two calls never wait for one another.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use journal::sql::postgres::{self as log, PostgresJournal};
use journal::{Appended, Journal, NewEvent};
use service::{Timestamp, tables::missing_in_postgres};
use sqlx::migrate::Migrator;
use sqlx::{PgConnection, PgPool};

use super::{
    Filter, InboxRow, Marked, NotificationRow, Notified, Page, PageQuery, Store, TABLES,
    check_version, event, marks, page, signed,
};
use crate::error::Result;
use crate::event::{Event, InboxEvent};
use crate::inbox::{Change, Counts, Mark, Marks};
use crate::notification::{Content, IdempotencyKey, Notification};
use crate::user::UserId;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

/// Inboxes in a PostgreSQL database.
#[derive(Clone, Debug)]
pub struct PostgresStore {
    pool: PgPool,
}

impl PostgresStore {
    /// The inboxes in the database of this pool.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// The tables of inboxes and logs.
    #[must_use]
    pub fn migrator() -> Migrator {
        log::migrator(&MIGRATIONS)
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn notify(
        &self,
        users: &[UserId],
        content: &Arc<Content>,
        key: Option<&IdempotencyKey>,
        now: Timestamp,
    ) -> Result<Vec<Notified>> {
        let mut transaction = self.pool.begin().await?;
        let inboxes = lock_or_insert(&mut transaction, users).await?;
        let mut known = with_key(&mut transaction, users, key).await?;
        let mut created = Vec::with_capacity(users.len());
        let mut notified = Vec::with_capacity(users.len());
        for user in users {
            if let Some(id) = known.remove(user.as_str()) {
                notified.push(Notified::Duplicate { id });
                continue;
            }
            let inbox = inboxes.get(user.as_str()).copied().unwrap_or_default();
            let (notification, counts, event) = inbox.next(user, content, now)?;
            let appended = log::append(&mut transaction, &user.channel(), &[event]).await?;
            check_version(&appended, counts)?;
            notified.push(Notified::Created {
                id: notification.id.clone(),
                appended,
            });
            created.push(notification);
        }
        if !created.is_empty() {
            insert(&mut transaction, &created, content, key).await?;
        }
        transaction.commit().await?;
        Ok(notified)
    }

    async fn open(&self, user: &UserId) -> Result<Option<Appended>> {
        let mut transaction = self.pool.begin().await?;
        let opened = sqlx::query(
            "insert into inboxes (user_id, version) values ($1, 1) on conflict do nothing",
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
        let mut snapshot = self
            .pool
            .begin_with("begin isolation level repeatable read, read only")
            .await?;
        let Some(state) = log::state(&mut snapshot, &user.channel()).await? else {
            return Ok(None);
        };
        let Some(inbox) = inbox(&mut snapshot, user).await? else {
            return Ok(None);
        };
        let rows: Vec<NotificationRow> = sqlx::query_as(match query.filter {
            Filter::Inbox => {
                "select * from notifications
                where user_id = $1 and seq < $2 and archived_at is null
                order by seq desc limit $3"
            }
            Filter::Unread => {
                "select * from notifications
                where user_id = $1 and seq < $2 and archived_at is null and read_at is null
                order by seq desc limit $3"
            }
            Filter::Archived => {
                "select * from notifications
                where user_id = $1 and seq < $2 and archived_at is not null
                order by seq desc limit $3"
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
        let mut connection = self.pool.acquire().await?;
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
        let mut transaction = self.pool.begin().await?;
        let Some(inbox) = lock(&mut transaction, user).await? else {
            return Ok(Marked::nothing(Counts::default()));
        };
        // Locked too, because retention removes rows without the inbox's lock.
        let rows: Vec<(String, Option<i64>, Option<i64>, Option<i64>)> = sqlx::query_as(
            "select id, seen_at, read_at, archived_at from notifications
            where user_id = $1 and id = any($2) order by seq for update",
        )
        .bind(user.as_str())
        .bind(ids)
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
        let mut transaction = self.pool.begin().await?;
        let Some(inbox) = lock(&mut transaction, user).await? else {
            return Ok(Marked::nothing(Counts::default()));
        };
        if inbox.counts.unread == 0 {
            return Ok(Marked::nothing(inbox.counts));
        }
        sqlx::query(
            "update notifications set read_at = $2, seen_at = coalesce(seen_at, $2)
            where user_id = $1 and read_at is null and archived_at is null",
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
        // A row that a mark holds is skipped: waiting for it while holding others
        // could be a deadlock.
        let removed = sqlx::query(
            "with done as (
                select user_id, seq from notifications
                where created_at < $1 and (read_at is not null or archived_at is not null)
                order by created_at limit $2
                for update skip locked
            )
            delete from notifications using done
            where notifications.user_id = done.user_id and notifications.seq = done.seq",
        )
        .bind(before.millis())
        .bind(i64::from(limit))
        .execute(&self.pool)
        .await?;
        Ok(removed.rows_affected())
    }

    async fn missing_tables(&self) -> Result<Vec<String>> {
        Ok(missing_in_postgres(&self.pool, TABLES).await?)
    }

    fn journal(&self) -> Arc<dyn Journal> {
        Arc::new(PostgresJournal::new(self.pool.clone()))
    }
}

async fn inbox(connection: &mut PgConnection, user: &UserId) -> Result<Option<InboxRow>> {
    let row: Option<(i64, i64, i64, i64)> =
        sqlx::query_as("select unread, unseen, version, newest_at from inboxes where user_id = $1")
            .bind(user.as_str())
            .fetch_optional(connection)
            .await?;
    row.map(|(unread, unseen, version, newest_at)| {
        InboxRow::new(unread, unseen, version, newest_at)
    })
    .transpose()
}

/// Locks an inbox: devices of the user that mark at the same time take turns.
async fn lock(connection: &mut PgConnection, user: &UserId) -> Result<Option<InboxRow>> {
    let row: Option<(i64, i64, i64, i64)> = sqlx::query_as(
        "select unread, unseen, version, newest_at from inboxes
        where user_id = $1 for no key update",
    )
    .bind(user.as_str())
    .fetch_optional(connection)
    .await?;
    row.map(|(unread, unseen, version, newest_at)| {
        InboxRow::new(unread, unseen, version, newest_at)
    })
    .transpose()
}

/// Locks the inboxes of sorted users, making those that are missing.
async fn lock_or_insert(
    connection: &mut PgConnection,
    users: &[UserId],
) -> Result<HashMap<String, InboxRow>> {
    let ids: Vec<&str> = users.iter().map(UserId::as_str).collect();
    sqlx::query(
        "insert into inboxes (user_id) select * from unnest($1::text[]) on conflict do nothing",
    )
    .bind(&ids)
    .execute(&mut *connection)
    .await?;
    let rows: Vec<(String, i64, i64, i64, i64)> = sqlx::query_as(
        "select user_id, unread, unseen, version, newest_at from inboxes
        where user_id = any($1) order by user_id for no key update",
    )
    .bind(&ids)
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|(user, unread, unseen, version, newest_at)| {
            Ok((user, InboxRow::new(unread, unseen, version, newest_at)?))
        })
        .collect()
}

/// Which of these users have a notification with this key, and its id.
async fn with_key(
    connection: &mut PgConnection,
    users: &[UserId],
    key: Option<&IdempotencyKey>,
) -> Result<HashMap<String, String>> {
    let Some(key) = key else {
        return Ok(HashMap::new());
    };
    let ids: Vec<&str> = users.iter().map(UserId::as_str).collect();
    let rows: Vec<(String, String)> = sqlx::query_as(
        "select user_id, id from notifications
        where user_id = any($1) and idempotency_key = $2",
    )
    .bind(ids)
    .bind(key.as_str())
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().collect())
}

/// Stores new notifications of several users and counts them, in two statements.
async fn insert(
    connection: &mut PgConnection,
    created: &[Notification],
    content: &Content,
    key: Option<&IdempotencyKey>,
) -> Result<()> {
    let users: Vec<&str> = created.iter().map(|n| n.user.as_str()).collect();
    let seqs: Vec<i64> = created.iter().map(|n| signed(n.seq)).collect();
    let ids: Vec<&str> = created.iter().map(|n| n.id.as_str()).collect();
    let times: Vec<i64> = created.iter().map(|n| n.created_at.millis()).collect();
    sqlx::query(
        "insert into notifications (user_id, seq, id, created_at,
            category, title, body, link, actor, data, idempotency_key)
        select one.*, $5, $6, $7, $8, $9, $10, $11
        from unnest($1::text[], $2::bigint[], $3::text[], $4::bigint[]) as one",
    )
    .bind(&users)
    .bind(&seqs)
    .bind(ids)
    .bind(&times)
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
        "update inboxes set
            unread = unread + 1,
            unseen = unseen + 1,
            version = one.seq,
            newest_at = one.created_at
        from unnest($1::text[], $2::bigint[], $3::bigint[]) as one (user_id, seq, created_at)
        where inboxes.user_id = one.user_id",
    )
    .bind(users)
    .bind(seqs)
    .bind(times)
    .execute(connection)
    .await?;
    Ok(())
}

async fn update_marks(connection: &mut PgConnection, user: &UserId, change: &Change) -> Result<()> {
    let column = |at: fn(&Marks) -> Option<Timestamp>| -> Vec<Option<i64>> {
        let times = change.marks.iter().map(at);
        times.map(|time| time.map(Timestamp::millis)).collect()
    };
    sqlx::query(
        "update notifications set
            seen_at = mark.seen_at, read_at = mark.read_at, archived_at = mark.archived_at
        from unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[])
            as mark (id, seen_at, read_at, archived_at)
        where notifications.user_id = $1 and notifications.id = mark.id",
    )
    .bind(user.as_str())
    .bind(&change.ids)
    .bind(column(|marks| marks.seen_at))
    .bind(column(|marks| marks.read_at))
    .bind(column(|marks| marks.archived_at))
    .execute(connection)
    .await?;
    Ok(())
}

/// Appends an event to a locked inbox's log and stores the counters after it.
async fn advance(
    connection: &mut PgConnection,
    user: &UserId,
    counts: Counts,
    event: NewEvent,
) -> Result<Appended> {
    sqlx::query("update inboxes set unread = $2, unseen = $3, version = $4 where user_id = $1")
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
