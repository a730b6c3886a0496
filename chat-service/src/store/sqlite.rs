//! Rooms in SQLite.
//!
//! All writes of the process go through one connection: SQLite has one writer at a
//! time, and waiting for a connection is fair while waiting for its lock is not.

use std::sync::Arc;

use async_trait::async_trait;
use journal::sql::sqlite::{self as log, SqliteJournal};
use journal::{Appended, Journal, NewEvent};
use sqlx::migrate::Migrator;
use sqlx::pool::PoolConnection;
use sqlx::{Sqlite, SqliteConnection, SqlitePool, Transaction};

use super::draft::{
    Draft, Locked, apply, containing, duplicate, is_unique_violation, new_event, users_json,
};
use super::row::{
    DeliveryRow, MemberRow, MessageRow, RoomRow, SendRow, SummaryRow, role, room_kind,
};
use super::statements::{implement_store, message_columns, room_columns, summaries};
use super::{
    Created, Delivery, Marked, MemberChange, MemberChanged, MemberSituation, MessageChange,
    MessageChanged, MessageSituation, NewMessage, NewRoom, Rule, SendSituation, Sent, Store,
    Unread, corrupt, signed, unsigned,
};
use crate::error::{Error, Result};
use crate::event::{MemberEvent, RoomEvent};
use crate::message::{Anchor, Message, Page};
use crate::room::{Member, Role, Room, RoomId, Summary};
use crate::time::Timestamp;
use crate::user::UserId;

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

    /// It takes the write lock at once: a transaction that reads before it writes
    /// would fail when another process wrote in between.
    async fn begin(&self) -> Result<Transaction<'static, Sqlite>> {
        Ok(self.writer.begin_with("begin immediate").await?)
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

/// Stores a message and moves the room's counter and the author's read pointer.
/// False: the author's role is another one than it was.
async fn insert_message(
    connection: &mut SqliteConnection,
    draft: &Draft,
    offset: u64,
    role: Option<&str>,
) -> Result<bool> {
    let message = &draft.message;
    let moved = sqlx::query(
        "update members set read_seq = max(read_seq, $3)
        where room_id = $1 and user_id = $2 and role = $4",
    )
    .bind(message.room_id.as_str())
    .bind(message.author.as_str())
    .bind(signed(message.seq))
    .bind(role)
    .execute(&mut *connection)
    .await?;
    if moved.rows_affected() != 1 {
        return Ok(false);
    }
    sqlx::query("update rooms set last_message_seq = $2, activity_ms = $3 where room_id = $1")
        .bind(message.room_id.as_str())
        .bind(signed(message.seq))
        .bind(message.created_at.millis())
        .execute(&mut *connection)
        .await?;
    sqlx::query(
        "insert into messages (room_id, seq, message_id, author, client_msg_id, event_offset,
            fingerprint, body, custom, mentions, created_ms)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(message.room_id.as_str())
    .bind(signed(message.seq))
    .bind(&message.id)
    .bind(message.author.as_str())
    .bind(&message.client_msg_id)
    .bind(signed(offset))
    .bind(&draft.fingerprint)
    .bind(&message.text)
    .bind(message.custom.as_ref().map(|custom| custom.get()))
    .bind(users_json(&message.mentions))
    .bind(message.created_at.millis())
    .execute(connection)
    .await?;
    Ok(true)
}
