//! Logs in SQL: `append` within the caller's transaction, and a
//! [`Journal`](crate::Journal) over a pool of connections.
//!
//! [`postgres`] and [`sqlite`] have the same functions and tables. Every key starts
//! with the channel, so the tables distribute by it. A service adds the tables to
//! its own database with `migrator(its own migrations)`; the versions 1 to 99 are
//! reserved for this crate.

pub mod postgres;
pub mod sqlite;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use sqlx::migrate::{Migration, Migrator};

use crate::{Error, Event, Result};

/// A row of `log_events`: offset, data, tags, `ends_user`, time.
type EventRow = (i64, Vec<u8>, Option<String>, Option<String>, i64);

fn event((offset, data, tags, ends_user, time_ms): EventRow) -> Result<Event> {
    let tags = match tags {
        Some(json) => serde_json::from_str(&json)
            .map_err(|error| Error::Corrupt(format!("tags of offset {offset}: {error}")))?,
        None => BTreeMap::new(),
    };
    Ok(Event {
        offset: unsigned(offset)?,
        data: Bytes::from(data),
        tags,
        ends_user: ends_user.map(Arc::from),
        time_ms,
        traceparent: None,
    })
}

/// Tags as stored: null when there are none.
fn tags_json(tags: &BTreeMap<String, String>) -> Option<String> {
    (!tags.is_empty()).then(|| serde_json::json!(tags).to_string())
}

/// Offsets are `bigint` in SQL.
fn unsigned(offset: i64) -> Result<u64> {
    u64::try_from(offset).map_err(|_| Error::Corrupt(format!("negative offset {offset}")))
}

fn signed(offset: u64) -> i64 {
    i64::try_from(offset).unwrap_or(i64::MAX)
}

fn merged(ours: &Migrator, theirs: &Migrator) -> Migrator {
    let all = ours.iter().chain(theirs.iter()).cloned();
    Migrator {
        migrations: Cow::Owned(all.collect::<Vec<Migration>>()),
        ..Migrator::DEFAULT
    }
}
