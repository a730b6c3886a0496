//! Rooms in PostgreSQL.
//!
//! A transaction locks the room first, then members, then the log: so two never wait
//! for one another.

use std::sync::Arc;

use async_trait::async_trait;
use journal::sql::postgres::{self as log, PostgresJournal};
use journal::{Appended, Journal, NewEvent};
use sqlx::migrate::Migrator;
use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};

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

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

/// Rooms in a PostgreSQL database.
#[derive(Clone, Debug)]
pub struct PostgresStore {
    pool: PgPool,
}

impl PostgresStore {
    /// The rooms in the database of this pool.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// The tables of rooms and logs.
    #[must_use]
    pub fn migrator() -> Migrator {
        log::migrator(&MIGRATIONS)
    }

    async fn begin(&self) -> Result<Transaction<'static, Postgres>> {
        Ok(self.pool.begin().await?)
    }

    async fn read(&self) -> Result<PoolConnection<Postgres>> {
        Ok(self.pool.acquire().await?)
    }

    async fn write(&self) -> Result<PoolConnection<Postgres>> {
        self.read().await
    }
}

implement_store!(
    PostgresStore,
    PgConnection,
    |store| Arc::new(PostgresJournal::new(store.pool.clone())),
    lock: " for no key update",
    skip_locked: " for update skip locked",
    users: "(select jsonb_array_elements_text($2::text::jsonb) as user_id)"
);

/// Stores a message and moves the room's counter and the author's read pointer, in
/// one trip. False: the author's role is another one than it was.
async fn insert_message(
    connection: &mut PgConnection,
    draft: &Draft,
    offset: u64,
    role: Option<&str>,
) -> Result<bool> {
    let message = &draft.message;
    let inserted = sqlx::query(
        "with room as (
            update rooms set last_message_seq = $2, activity_ms = $11 where room_id = $1
        ), member as (
            update members set read_seq = greatest(read_seq, $2)
            where room_id = $1 and user_id = $4 and role = $12
            returning user_id
        )
        insert into messages (room_id, seq, message_id, author, client_msg_id, event_offset,
            fingerprint, body, custom, mentions, created_ms)
        select $1, $2, $3, member.user_id, $5, $6, $7, $8, $9, $10, $11 from member",
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
    .bind(role)
    .execute(connection)
    .await?;
    Ok(inserted.rows_affected() == 1)
}
