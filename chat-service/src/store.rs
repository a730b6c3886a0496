//! What must last: rooms, members, messages, the logs of their events, and the
//! outbox of notifications.
//!
//! The only place with SQL. Every change is one transaction under the room's lock;
//! the rules are the caller's, given as functions of what the transaction sees.
//! Publishing is left to the caller too, who gets what was appended.

mod draft;
mod row;
mod statements;

pub mod postgres;
pub mod sqlite;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use journal::{Appended, Journal};
use serde_json::value::RawValue;
use service::{Database, Migrations, Pools, Timestamp};

use crate::error::{Error, Result};
use crate::message::{Anchor, Message, Page, Text};
use crate::room::{Member, Role, Room, RoomId, RoomKind, Summary};
use crate::user::UserId;

pub use self::postgres::PostgresStore;
pub use self::sqlite::SqliteStore;

/// All tables, of rooms and logs.
const TABLES: &[&str] = &[
    "rooms",
    "members",
    "messages",
    "mentions",
    "outbox",
    "logs",
    "log_events",
];

/// The rooms in a database. Works while the database is away.
///
/// # Errors
/// The folder of a SQLite file cannot be made.
pub fn open(database: &Database) -> std::io::Result<Arc<dyn Store>> {
    Ok(match database.pools("chat-service")? {
        Pools::Postgres(pool) => Arc::new(PostgresStore::new(pool)),
        Pools::Sqlite { reader, writer } => Arc::new(SqliteStore::new(reader, writer)),
    })
}

/// The tables of rooms and logs.
#[must_use]
pub fn migrations() -> Migrations {
    Migrations {
        postgres: PostgresStore::migrator(),
        sqlite: SqliteStore::migrator(),
    }
}

/// Decides a change from what the transaction sees.
pub type Rule<'a, Situation, Change> = &'a (dyn Fn(&Situation) -> Result<Change> + Send + Sync);

/// Rooms in a database.
///
/// Nothing here has a deadline of its own: dropping a call rolls it back.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Creates a room, or finds the one that has its id already.
    async fn create_room(&self, new: &NewRoom) -> Result<Created>;
    /// A room as a user sees it; `None`: there is no such room.
    async fn summary(&self, room: &RoomId, user: &UserId) -> Result<Option<Summary>>;
    /// The rooms that a user is a member of, newest activity first, after a place in
    /// that order.
    async fn rooms_of(
        &self,
        user: &UserId,
        after: Option<(Timestamp, &str)>,
        limit: u32,
    ) -> Result<Vec<Summary>>;
    /// Open rooms whose name contains a text in lower case, by name in lower case and
    /// id, after such a pair.
    async fn open_rooms(&self, query: &str, after: (&str, &str), limit: u32) -> Result<Vec<Room>>;
    /// Members of a room by user id, after a user id.
    async fn members(&self, room: &RoomId, after: &str, limit: u32) -> Result<Vec<Member>>;
    /// A user's membership.
    async fn member(&self, room: &RoomId, user: &UserId) -> Result<Option<Member>>;

    /// Changes a user's membership as the rule says, on behalf of `actor`.
    async fn change_member(
        &self,
        room: &RoomId,
        actor: &UserId,
        user: &UserId,
        now: Timestamp,
        rule: Rule<'_, MemberSituation, MemberChange>,
    ) -> Result<MemberChanged>;

    /// Stores messages, of any rooms, in one transaction: those that the rule lets
    /// their authors send. Finds those whose `client_msg_id` was used before. Each gets
    /// its own result, in the same order.
    ///
    /// # Errors
    /// As a whole it fails when the transaction does: then none of them was stored, unless
    /// it is [`Error::Unavailable`], after which nobody knows.
    async fn send(
        &self,
        group: &[NewMessage],
        rule: Rule<'_, SendSituation, ()>,
    ) -> Result<Vec<Result<Sent>>>;
    /// How many calls of [`send`](Self::send) may be under way at once before more only
    /// wait for one another.
    fn max_groups(&self) -> usize;
    /// Changes a message as the rule says, on behalf of `actor`.
    async fn change_message(
        &self,
        room: &RoomId,
        seq: u64,
        actor: &UserId,
        now: Timestamp,
        rule: Rule<'_, MessageSituation, MessageChange>,
    ) -> Result<MessageChanged>;
    /// A part of a room's messages; `None`: there is no such room.
    async fn page(&self, room: &RoomId, anchor: Anchor, limit: u32) -> Result<Option<Page>>;

    /// Moves a member's read pointer forward, at most to the newest message. `None`:
    /// the user is no member of such a room.
    async fn mark_read(&self, room: &RoomId, user: &UserId, seq: u64) -> Result<Option<Marked>>;
    /// The rooms of a user that have unread messages.
    async fn unread(&self, user: &UserId) -> Result<Vec<Unread>>;

    /// Takes notifications that are due: until `until` nobody else gets them.
    async fn claim(&self, now: Timestamp, until: Timestamp, limit: u32) -> Result<Vec<Delivery>>;
    /// Removes a notification that was delivered. Idempotent.
    async fn delivered(&self, delivery: &Delivery) -> Result<()>;
    /// Lets a notification wait until then.
    async fn postpone(&self, delivery: &Delivery, until: Timestamp) -> Result<()>;

    /// The tables that are not there: none, if all is well.
    async fn missing_tables(&self) -> Result<Vec<String>>;
    /// The rooms' logs in the same database.
    fn journal(&self) -> Arc<dyn Journal>;
}

/// A room to be created.
#[derive(Clone, Debug)]
pub struct NewRoom {
    /// Its id: the same for a repeated request.
    pub id: RoomId,
    /// Its kind.
    pub kind: RoomKind,
    /// Its name; empty for a direct room.
    pub name: String,
    /// Who creates it: the owner, or one of the pair.
    pub creator: UserId,
    /// Further members, distinct and without the creator.
    pub members: Vec<UserId>,
    /// When.
    pub now: Timestamp,
}

/// What became of a [`NewRoom`].
#[derive(Clone, Debug)]
pub struct Created {
    /// The room as the creator sees it.
    pub summary: Summary,
    /// The log's first events; `None`: the room was there.
    pub appended: Option<Appended>,
}

/// What the rule of a membership change looks at.
#[derive(Clone, Copy, Debug)]
pub struct MemberSituation {
    /// The room's kind.
    pub kind: RoomKind,
    /// The role of who asks; `None`: not a member.
    pub actor: Option<Role>,
    /// The role of whose membership it is.
    pub target: Option<Role>,
    /// `target` is the only owner.
    pub last_owner: bool,
}

/// A change of a membership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberChange {
    /// It is as it should be.
    Nothing,
    /// Makes the user a member.
    Add(Role),
    /// Gives the member another role.
    SetRole(Role),
    /// Ends the membership.
    Remove,
}

/// What became of a membership.
#[derive(Clone, Debug)]
pub struct MemberChanged {
    /// As it is now; when it ended, as it was.
    pub member: Option<Member>,
    /// The log's new event; `None` when nothing changed.
    pub appended: Option<Appended>,
}

/// A message to be stored.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Where.
    pub room: RoomId,
    /// Who writes.
    pub author: UserId,
    /// The key of idempotency.
    pub client_msg_id: String,
    /// What.
    pub text: Text,
    /// Application data: a JSON object.
    pub custom: Option<Box<RawValue>>,
    /// When.
    pub now: Timestamp,
    /// The trace that it belongs to, as a `traceparent`.
    pub traceparent: Option<Box<str>>,
}

/// What the rule of sending looks at.
#[derive(Clone, Copy, Debug)]
pub struct SendSituation {
    /// The room's kind.
    pub kind: RoomKind,
    /// The author's role; `None`: not a member.
    pub author: Option<Role>,
}

/// What became of a [`NewMessage`].
#[derive(Clone, Debug)]
pub struct Sent {
    /// The message.
    pub message: Message,
    /// Number of the event that announces it.
    pub offset: u64,
    /// The log's new event; `None`: the message was there.
    pub appended: Option<Appended>,
    /// Notifications wait in the outbox.
    pub notifies: bool,
}

/// What the rule of a message's change looks at.
#[derive(Clone, Debug)]
pub struct MessageSituation {
    /// The room's kind.
    pub kind: RoomKind,
    /// The role of who asks; `None`: not a member.
    pub actor: Option<Role>,
    /// The message as it is.
    pub message: Message,
}

/// A change of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageChange {
    /// It is as it should be.
    Nothing,
    /// Replaces the text.
    Edit(Text),
    /// Leaves a tombstone.
    Delete,
}

/// What became of a message.
#[derive(Clone, Debug)]
pub struct MessageChanged {
    /// As it is now.
    pub message: Message,
    /// Number of the log's newest event.
    pub offset: u64,
    /// The log's new event; `None` when nothing changed.
    pub appended: Option<Appended>,
}

/// What became of a read pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marked {
    /// Where it is now.
    pub read_seq: u64,
    /// Messages above it.
    pub unread_count: u64,
    /// It moved.
    pub moved: bool,
    /// Members of the room.
    pub member_count: u32,
}

/// Unread messages of one room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// The room.
    pub room: RoomId,
    /// Messages above the read pointer.
    pub messages: u64,
    /// Those of them that mention the user.
    pub mentions: u64,
}

/// A notification on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The message's room.
    pub room: RoomId,
    /// The message's number.
    pub seq: u64,
    /// Why: `mention` or `direct_message`.
    pub kind: String,
    /// Whom.
    pub users: Vec<String>,
    /// Its title.
    pub title: String,
    /// Its body: the beginning of the message.
    pub body: String,
    /// Who wrote the message.
    pub actor: String,
    /// How often it was taken, this time included.
    pub attempts: u32,
}

fn unsigned(number: i64) -> Result<u64> {
    u64::try_from(number).map_err(|_| corrupt(format!("negative number {number}")))
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn corrupt(message: String) -> Error {
    Error::Internal(message.into())
}
