//! Rooms in PostgreSQL.
//!
//! A transaction locks the room first, then members, then the log, and several rooms
//! or logs in the order of their ids: so two never wait for one another.

mod send;

use std::sync::Arc;

use async_trait::async_trait;
use journal::sql::postgres::{self as log, PostgresJournal};
use journal::{Appended, Journal, NewEvent};
use service::Timestamp;
use service::tables::missing_in_postgres;
use sqlx::migrate::Migrator;
use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres, Transaction};

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

/// Measured with commits that are flushed to disk: two were ahead of one in every run, as one
/// group's statements run while the other is flushed. More make them smaller.
const MAX_GROUPS: usize = 2;

/// Every row that a group touches has its key. Without this a plan depends on how many
/// elements an array has: it is made anew for each small group, which costs more than
/// executing it, or made for tables that are small yet, and scans them when they are not.
const BEGIN_GROUP: &str = "begin;
    set local plan_cache_mode = force_generic_plan;
    set local enable_seqscan = off;
    set local enable_hashjoin = off;
    set local enable_mergejoin = off";

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

    async fn missing(&self, tables: &[&str]) -> sqlx::Result<Vec<String>> {
        missing_in_postgres(&self.pool, tables).await
    }

    async fn begin(&self) -> Result<Transaction<'static, Postgres>> {
        Ok(self.pool.begin().await?)
    }

    /// For a group of sends, in the same round trip.
    async fn begin_group(&self) -> Result<Transaction<'static, Postgres>> {
        Ok(self.pool.begin_with(BEGIN_GROUP).await?)
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
