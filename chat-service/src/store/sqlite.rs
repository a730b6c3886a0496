//! Rooms in SQLite.
//!
//! All writes of the process go through one connection: SQLite has one writer at a
//! time, and waiting for a connection is fair while waiting for its lock is not.

mod send;

use std::sync::Arc;

use async_trait::async_trait;
use journal::sql::sqlite::{self as log, SqliteJournal};
use journal::{Appended, Journal, NewEvent};
use service::Timestamp;
use service::tables::missing_in_sqlite;
use sqlx::migrate::Migrator;
use sqlx::pool::PoolConnection;
use sqlx::{Sqlite, SqliteConnection, SqlitePool, Transaction};

use self::send::send;
use super::draft::{LOOKS, Locked, apply, containing, is_stale, new_event, users_json};
use super::row::{DeliveryRow, MemberRow, MessageRow, RoomRow, SummaryRow, room_kind};
use super::statements::{implement_store, message_columns, room_columns, summaries};
use super::{
    Created, Delivery, Marked, MemberChange, MemberChanged, MemberSituation, MessageChange,
    MessageChanged, MessageSituation, NewMessage, NewRoom, Rule, SendSituation, Sent, Store,
    TABLES, Unread, corrupt, signed, unsigned,
};
use crate::error::{Error, Result};
use crate::event::{MemberEvent, RoomEvent};
use crate::message::{Anchor, Message, Page};
use crate::room::{Member, Role, Room, RoomId, Summary};
use crate::user::UserId;

/// There is one writer.
const MAX_GROUPS: usize = 1;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// Rooms in a SQLite file.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    reader: SqlitePool,
    writer: SqlitePool,
}

impl SqliteStore {
    /// The rooms in one file: a pool to read with, and the pool of at most one
    /// connection to write with.
    #[must_use]
    pub fn new(reader: SqlitePool, writer: SqlitePool) -> Self {
        Self { reader, writer }
    }

    /// The tables of rooms and logs.
    #[must_use]
    pub fn migrator() -> Migrator {
        log::migrator(&MIGRATIONS)
    }

    async fn missing(&self, tables: &[&str]) -> sqlx::Result<Vec<String>> {
        missing_in_sqlite(&self.reader, tables).await
    }

    /// It takes the write lock at once: a transaction that reads before it writes
    /// would fail when another process wrote in between.
    async fn begin(&self) -> Result<Transaction<'static, Sqlite>> {
        Ok(self.writer.begin_with("begin immediate").await?)
    }

    async fn begin_group(&self) -> Result<Transaction<'static, Sqlite>> {
        self.begin().await
    }

    async fn read(&self) -> Result<PoolConnection<Sqlite>> {
        Ok(self.reader.acquire().await?)
    }

    async fn write(&self) -> Result<PoolConnection<Sqlite>> {
        Ok(self.writer.acquire().await?)
    }
}

implement_store!(
    SqliteStore,
    SqliteConnection,
    |store| Arc::new(SqliteJournal::new(store.reader.clone(), store.writer.clone())),
    lock: "",
    skip_locked: "",
    users: "(select value as user_id from json_each($2))"
);
