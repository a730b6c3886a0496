//! Logs in PostgreSQL.

use async_trait::async_trait;
use sqlx::migrate::Migrator;
use sqlx::{PgConnection, PgPool};

use super::{EventRow, event, merged, signed, tags_json, unsigned};
use crate::event::now_ms;
use crate::{Appended, Error, Event, Journal, LogState, NewEvent, Result};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

/// A service's migrations together with the log tables'.
#[must_use]
pub fn migrator(service: &Migrator) -> Migrator {
    merged(&MIGRATIONS, service)
}

/// Appends events to a channel's log, which is created by its first event.
///
/// Call it within a transaction. It locks the log until that ends, so that other
/// appends to the same log wait and numbers follow the order of commits. One round
/// trip. `events` must not be empty.
pub async fn append(
    connection: &mut PgConnection,
    channel: &str,
    events: &[NewEvent],
) -> Result<Appended> {
    let time_ms = now_ms();
    let data: Vec<&[u8]> = events.iter().map(|event| event.data.as_ref()).collect();
    let tags: Vec<Option<String>> = events.iter().map(|event| tags_json(&event.tags)).collect();
    let ends_user: Vec<Option<&str>> = events
        .iter()
        .map(|event| event.ends_user.as_deref())
        .collect();
    let (epoch, top): (String, i64) = sqlx::query_as(
        "with log as (
            insert into logs (channel, epoch, top, unpublished_since_ms)
            values ($1, $2, $3, $4)
            on conflict (channel) do update set
                top = logs.top + $3,
                unpublished_since_ms = coalesce(logs.unpublished_since_ms, $4)
            returning epoch, top
        ), appended as (
            insert into log_events (channel, log_offset, data, tags, ends_user, time_ms)
            select $1, log.top - $3 + event.number, event.data, event.tags, event.ends_user, $4
            from log, unnest($5::bytea[], $6::text[], $7::text[])
                with ordinality as event (data, tags, ends_user, number)
        )
        select epoch, top from log",
    )
    .bind(channel)
    .bind(uuid::Uuid::now_v7().to_string())
    .bind(signed(events.len() as u64))
    .bind(time_ms)
    .bind(data)
    .bind(tags)
    .bind(ends_user)
    .fetch_one(connection)
    .await?;
    Ok(Appended::numbered(
        channel,
        epoch,
        unsigned(top)?,
        time_ms,
        events,
    ))
}

/// Makes sure that a channel has a log, so that it has an epoch before its first
/// event. Returns where the log stands.
pub async fn open(connection: &mut PgConnection, channel: &str) -> Result<LogState> {
    if let Some(state) = state(&mut *connection, channel).await? {
        return Ok(state);
    }
    sqlx::query(
        "insert into logs (channel, epoch, top) values ($1, $2, 0)
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
pub async fn state(connection: &mut PgConnection, channel: &str) -> Result<Option<LogState>> {
    let row: Option<(String, i64, i64)> =
        sqlx::query_as("select epoch, top, published from logs where channel = $1")
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

/// The logs in a PostgreSQL database.
#[derive(Clone, Debug)]
pub struct PostgresJournal {
    pool: PgPool,
}

impl PostgresJournal {
    /// The logs in the database of this pool.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }
}

#[async_trait]
impl Journal for PostgresJournal {
    async fn read(&self, channel: &str, after: u64, limit: u32) -> Result<Vec<Event>> {
        let rows: Vec<EventRow> = sqlx::query_as(
            "select log_offset, data, tags, ends_user, time_ms from log_events
            where channel = $1 and log_offset > $2 order by log_offset limit $3",
        )
        .bind(channel)
        .bind(signed(after))
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(event).collect()
    }

    async fn state(&self, channel: &str) -> Result<Option<LogState>> {
        state(&mut *self.pool.acquire().await?, channel).await
    }

    async fn open(&self, channel: &str) -> Result<LogState> {
        open(&mut *self.pool.acquire().await?, channel).await
    }

    async fn unpublished(&self, before_ms: i64, limit: u32) -> Result<Vec<String>> {
        let channels = sqlx::query_scalar(
            "select channel from logs where unpublished_since_ms <= $1
            order by unpublished_since_ms limit $2",
        )
        .bind(before_ms)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await?;
        Ok(channels)
    }

    async fn mark_published(&self, marks: &[(String, u64)]) -> Result<()> {
        // Locked in the order of channels, so that two replicas do not deadlock.
        let mut marks: Vec<(&str, i64)> = marks
            .iter()
            .map(|(channel, offset)| (channel.as_str(), signed(*offset)))
            .collect();
        marks.sort_unstable();
        let (channels, offsets): (Vec<&str>, Vec<i64>) = marks.into_iter().unzip();
        sqlx::query(
            "with mark as (
                select logs.channel, m.log_offset
                from unnest($1::text[], $2::bigint[]) as m (channel, log_offset)
                join logs on logs.channel = m.channel
                order by logs.channel
                for no key update of logs
            )
            update logs set
                published = greatest(published, least(top, mark.log_offset)),
                unpublished_since_ms =
                    case when mark.log_offset >= top then null else $3 end
            from mark where logs.channel = mark.channel and published < mark.log_offset",
        )
        .bind(channels)
        .bind(offsets)
        .bind(now_ms())
        .execute(&self.pool)
        .await?;
        Ok(())
    }
}
