//! Logs in PostgreSQL.

use std::collections::HashMap;

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
    let appended = append_all(connection, &[(channel, events)]).await?;
    let appended = appended.into_iter().next();
    appended.ok_or_else(|| Error::Corrupt("a log that was just appended to is not there".into()))
}

/// Appends events to several logs, still in one round trip.
///
/// Logs must be distinct, and sorted by their channels (by bytes): they are locked in
/// this order, so that two transactions do not wait for one another. None of them may
/// be without events. Returns one [`Appended`] for each, in the same order.
pub async fn append_all(
    connection: &mut PgConnection,
    logs: &[(&str, &[NewEvent])],
) -> Result<Vec<Appended>> {
    debug_assert!(logs.is_sorted_by(|(one, _), (other, _)| one < other));
    let time_ms = now_ms();
    let channels: Vec<&str> = logs.iter().map(|(channel, _)| *channel).collect();
    // Those that are new.
    let epochs: Vec<String> = logs
        .iter()
        .map(|_| uuid::Uuid::now_v7().to_string())
        .collect();
    let counts: Vec<i64> = logs
        .iter()
        .map(|(_, events)| signed(events.len() as u64))
        .collect();
    let mut rows = Rows::default();
    for (log, (_, events)) in (1..).zip(logs) {
        for (below_top, event) in (0..events.len() as u64).rev().zip(*events) {
            rows.logs.push(log);
            rows.below_top.push(signed(below_top));
            rows.data.push(&event.data);
            rows.tags.push(tags_json(&event.tags));
            rows.ends_user.push(event.ends_user.as_deref());
        }
    }
    let tops: Vec<(String, String, i64)> = sqlx::query_as(
        "with added as (
            select * from unnest($1::text[], $2::text[], $3::bigint[])
                with ordinality as added (channel, epoch, n_events, number)
        ), log as (
            insert into logs (channel, epoch, top, unpublished_since_ms)
            select channel, epoch, n_events, $4 from added order by number
            on conflict (channel) do update set
                top = logs.top + excluded.top,
                unpublished_since_ms =
                    coalesce(logs.unpublished_since_ms, excluded.unpublished_since_ms)
            returning channel, epoch, top
        ), appended as (
            insert into log_events (channel, log_offset, data, tags, ends_user, time_ms)
            select log.channel, log.top - event.below_top, event.data, event.tags,
                event.ends_user, $4
            from unnest($5::bigint[], $6::bigint[], $7::bytea[], $8::text[], $9::text[])
                as event (number, below_top, data, tags, ends_user)
            join added on added.number = event.number
            join log on log.channel = added.channel
        )
        select log.channel, log.epoch, log.top from log",
    )
    .bind(channels)
    .bind(epochs)
    .bind(counts)
    .bind(time_ms)
    .bind(rows.logs)
    .bind(rows.below_top)
    .bind(rows.data)
    .bind(rows.tags)
    .bind(rows.ends_user)
    .fetch_all(connection)
    .await?;
    let mut tops: HashMap<String, (String, i64)> = tops
        .into_iter()
        .map(|(channel, epoch, top)| (channel, (epoch, top)))
        .collect();
    logs.iter()
        .map(|(channel, events)| {
            let (epoch, top) = tops.remove(*channel).ok_or_else(|| {
                Error::Corrupt("a log that was just appended to is not there".into())
            })?;
            let top = unsigned(top)?;
            Ok(Appended::numbered(channel, epoch, top, time_ms, events))
        })
        .collect()
}

/// Rows of `log_events` before they are numbered, by column.
#[derive(Default)]
struct Rows<'a> {
    /// The number of the log, from 1.
    logs: Vec<i64>,
    /// How many events of this append come after it in its log.
    below_top: Vec<i64>,
    data: Vec<&'a [u8]>,
    tags: Vec<Option<String>>,
    ends_user: Vec<Option<&'a str>>,
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
