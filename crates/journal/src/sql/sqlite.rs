//! Logs in SQLite.

use async_trait::async_trait;
use sqlx::migrate::Migrator;
use sqlx::{SqliteConnection, SqlitePool};

use super::{EventRow, event, merged, signed, tags_json, unsigned};
use crate::event::now_ms;
use crate::{Appended, Error, Event, Journal, LogState, NewEvent, Result};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// A service's migrations together with the log tables'.
#[must_use]
pub fn migrator(service: &Migrator) -> Migrator {
    merged(&MIGRATIONS, service)
}

/// Appends events to a channel's log, which is created by its first event.
///
/// Call it within a transaction that began as `begin immediate`: one that has read
/// before it writes would fail when another writer came between. `events` must not
/// be empty.
pub async fn append(
    connection: &mut SqliteConnection,
    channel: &str,
    events: &[NewEvent],
) -> Result<Appended> {
    let time_ms = now_ms();
    let (epoch, top): (String, i64) = sqlx::query_as(
        "insert into logs (channel, epoch, top, unpublished_since_ms) values (?1, ?2, ?3, ?4)
        on conflict (channel) do update set
            top = top + ?3,
            unpublished_since_ms = coalesce(unpublished_since_ms, ?4)
        returning epoch, top",
    )
    .bind(channel)
    .bind(uuid::Uuid::now_v7().to_string())
    .bind(signed(events.len() as u64))
    .bind(time_ms)
    .fetch_one(&mut *connection)
    .await?;
    let appended = Appended::numbered(channel, epoch, unsigned(top)?, time_ms, events);
    for event in &appended.events {
        sqlx::query(
            "insert into log_events (channel, log_offset, data, tags, ends_user, time_ms)
            values (?1, ?2, ?3, ?4, ?5, ?6)",
        )
        .bind(channel)
        .bind(signed(event.offset))
        .bind(event.data.as_ref())
        .bind(tags_json(&event.tags))
        .bind(event.ends_user.as_deref())
        .bind(time_ms)
        .execute(&mut *connection)
        .await?;
    }
    Ok(appended)
}

/// Makes sure that a channel has a log, so that it has an epoch before its first
/// event. Returns where the log stands.
pub async fn open(connection: &mut SqliteConnection, channel: &str) -> Result<LogState> {
    if let Some(state) = state(&mut *connection, channel).await? {
        return Ok(state);
    }
    sqlx::query(
        "insert into logs (channel, epoch, top) values (?1, ?2, 0)
        on conflict (channel) do nothing",
    )
    .bind(channel)
    .bind(uuid::Uuid::now_v7().to_string())
    .execute(&mut *connection)
    .await?;
    state(connection, channel)
        .await?
        .ok_or_else(|| Error::Corrupt("a log that was just opened is not there".into()))
}

/// Where a channel's log stands, as seen by a connection or transaction.
pub async fn state(connection: &mut SqliteConnection, channel: &str) -> Result<Option<LogState>> {
    let row: Option<(String, i64, i64)> =
        sqlx::query_as("select epoch, top, published from logs where channel = ?1")
            .bind(channel)
            .fetch_optional(connection)
            .await?;
    row.map(|(epoch, top, published)| {
        Ok(LogState {
            epoch: epoch.into(),
            top: unsigned(top)?,
            published: unsigned(published)?,
        })
    })
    .transpose()
}

/// The logs in a SQLite file.
#[derive(Clone, Debug)]
pub struct SqliteJournal {
    reader: SqlitePool,
    writer: SqlitePool,
}

impl SqliteJournal {
    /// The logs in one file: a pool to read with, and the pool of at most one
    /// connection through which all writes of this process go (SQLite has one writer
    /// at a time; waiting for a connection is fair, waiting for its lock is not).
    #[must_use]
    pub fn new(reader: SqlitePool, writer: SqlitePool) -> Self {
        Self { reader, writer }
    }
}

#[async_trait]
impl Journal for SqliteJournal {
    async fn read(&self, channel: &str, after: u64, limit: u32) -> Result<Vec<Event>> {
        let rows: Vec<EventRow> = sqlx::query_as(
            "select log_offset, data, tags, ends_user, time_ms from log_events
            where channel = ?1 and log_offset > ?2 order by log_offset limit ?3",
        )
        .bind(channel)
        .bind(signed(after))
        .bind(i64::from(limit))
        .fetch_all(&self.reader)
        .await?;
        rows.into_iter().map(event).collect()
    }

    async fn state(&self, channel: &str) -> Result<Option<LogState>> {
        state(&mut *self.reader.acquire().await?, channel).await
    }

    async fn open(&self, channel: &str) -> Result<LogState> {
        if let Some(state) = self.state(channel).await? {
            return Ok(state);
        }
        open(&mut *self.writer.acquire().await?, channel).await
    }

    async fn unpublished(&self, before_ms: i64, limit: u32) -> Result<Vec<String>> {
        let channels = sqlx::query_scalar(
            "select channel from logs where unpublished_since_ms <= ?1
            order by unpublished_since_ms limit ?2",
        )
        .bind(before_ms)
        .bind(i64::from(limit))
        .fetch_all(&self.reader)
        .await?;
        Ok(channels)
    }

    async fn mark_published(&self, marks: &[(String, u64)]) -> Result<()> {
        let mut transaction = self.writer.begin_with("begin immediate").await?;
        for (channel, offset) in marks {
            sqlx::query(
                "update logs set
                    published = max(published, min(top, ?2)),
                    unpublished_since_ms = case when ?2 >= top then null else ?3 end
                where channel = ?1 and published < ?2",
            )
            .bind(channel)
            .bind(signed(*offset))
            .bind(now_ms())
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}
