//! What a transaction is about to store, made of what it has read. No SQL.

use journal::{Appended, NewEvent};
use service::Timestamp;

use super::row::{MessageRow, SendRow};
use super::{Delivery, MemberChange, NewMessage, NewRoom, Sent, corrupt, unsigned};
use crate::error::{Error, Result};
use crate::event::{MemberEvent, RoomEvent};
use crate::message::Message;
use crate::room::{Member, Role, RoomId, RoomKind};
use crate::user::UserId;

/// A room under lock.
#[derive(Debug)]
pub(super) struct Locked {
    pub(super) kind: RoomKind,
    pub(super) last_message_seq: u64,
}

impl NewRoom {
    /// The two users of a direct room, in order.
    pub(super) fn pair(&self) -> (Option<&str>, Option<&str>) {
        match (self.kind, self.members.as_slice()) {
            (RoomKind::Direct, [other]) => {
                let pair = [self.creator.as_str(), other.as_str()];
                (pair.into_iter().min(), pair.into_iter().max())
            }
            _ => (None, None),
        }
    }

    /// The creator first.
    pub(super) fn all_members(&self) -> Vec<Member> {
        let creator = match self.kind {
            RoomKind::Direct => Role::Member,
            RoomKind::Group | RoomKind::Public | RoomKind::Broadcast => Role::Owner,
        };
        let others = self.members.iter().map(|user| (user, Role::Member));
        std::iter::once((&self.creator, creator))
            .chain(others)
            .map(|(user, role)| Member {
                user: user.clone(),
                role,
                joined_at: self.now,
                read_seq: 0,
            })
            .collect()
    }
}

/// What happened to a member.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    Joined,
    Changed,
    Left,
}

/// The membership after a change (before, when it ends), and what happened; `None`:
/// nothing does.
pub(super) fn apply(
    target: Option<Member>,
    user: &UserId,
    room: &Locked,
    now: Timestamp,
    change: MemberChange,
) -> Result<Option<(Member, What)>> {
    let absent = || corrupt("a rule changes a membership that is not there".into());
    Ok(match change {
        MemberChange::Nothing => None,
        MemberChange::Add(role) => {
            let member = Member {
                user: user.clone(),
                role,
                joined_at: now,
                // What was said before is not unread.
                read_seq: room.last_message_seq,
            };
            Some((member, What::Joined))
        }
        MemberChange::SetRole(role) => {
            let member = target.ok_or_else(absent)?;
            Some((Member { role, ..member }, What::Changed))
        }
        MemberChange::Remove => Some((target.ok_or_else(absent)?, What::Left)),
    })
}

/// The event of a membership's change.
pub(super) fn new_event(
    room: &RoomId,
    member: &Member,
    actor: &UserId,
    what: What,
) -> Result<NewEvent> {
    let event = MemberEvent {
        room_id: room,
        member,
        by: actor,
    };
    Ok(match what {
        What::Joined => NewEvent::new(RoomEvent::MemberJoined(event).encode()?),
        What::Changed => NewEvent::new(RoomEvent::MemberChanged(event).encode()?),
        // It is the last that they get of this room.
        What::Left => {
            NewEvent::new(RoomEvent::MemberLeft(event).encode()?).ending(member.user.as_str())
        }
    })
}

/// A message, its event, and whom to notify of it.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) message: Message,
    pub(super) fingerprint: String,
    pub(super) event: NewEvent,
    pub(super) delivery: Option<Delivery>,
    /// The author's role, which let it be sent.
    pub(super) role: Option<String>,
}

impl Draft {
    pub(super) fn new(
        new: &NewMessage,
        room: &SendRow,
        kind: RoomKind,
        mentions: Vec<UserId>,
    ) -> Result<Self> {
        let message = Message {
            room_id: new.room.clone(),
            seq: unsigned(room.last_message_seq)? + 1,
            id: uuid::Uuid::now_v7().to_string(),
            author: new.author.clone(),
            client_msg_id: new.client_msg_id.clone(),
            text: new.text.as_str().to_owned(),
            custom: new.custom.clone(),
            mentions,
            // Time does not run backwards in a room, whatever the clocks of replicas say.
            created_at: new.now.max(Timestamp::from_millis(room.activity_ms)),
            edited_at: None,
            deleted_at: None,
        };
        let mut event = NewEvent::new(RoomEvent::MessageCreated(&message).encode()?);
        event.traceparent.clone_from(&new.traceparent);
        Ok(Self {
            delivery: delivery(&message, new, room, kind),
            fingerprint: new.text.fingerprint(),
            event,
            role: room.role.clone(),
            message,
        })
    }

    /// What its author gets once it is committed.
    pub(super) fn into_sent(self, appended: Appended) -> Sent {
        Sent {
            message: self.message,
            offset: appended.position().offset,
            appended: Some(appended),
            notifies: self.delivery.is_some(),
        }
    }
}

fn delivery(
    message: &Message,
    new: &NewMessage,
    room: &SendRow,
    kind: RoomKind,
) -> Option<Delivery> {
    let author = message.author.as_str();
    let (kind, users, title): (_, Vec<String>, _) = if kind == RoomKind::Direct {
        let pair = [&room.user_low, &room.user_high].into_iter().flatten();
        let other = pair.filter(|user| *user != author).cloned().collect();
        ("direct_message", other, author.to_owned())
    } else {
        let mentioned = message.mentions.iter().map(UserId::as_str);
        let mentioned = mentioned
            .filter(|user| *user != author)
            .map(str::to_owned)
            .collect();
        ("mention", mentioned, format!("{author} in {}", room.name))
    };
    (!users.is_empty()).then(|| Delivery {
        room: message.room_id.clone(),
        seq: message.seq,
        kind: kind.to_owned(),
        users,
        title,
        body: new.text.excerpt(),
        actor: author.to_owned(),
        attempts: 0,
    })
}

/// Answers a retry with what was stored first.
pub(super) fn duplicate(new: &NewMessage, row: Option<MessageRow>) -> Result<Sent> {
    let row = row.ok_or_else(|| corrupt("a message that was seen is not there".into()))?;
    if row.fingerprint != new.text.fingerprint() {
        return Err(Error::other_text());
    }
    Ok(Sent {
        offset: unsigned(row.event_offset)?,
        message: row.into_message(&new.room)?,
        appended: None,
        notifies: false,
    })
}

/// A JSON array; `None` when there is nobody.
pub(super) fn users_json(users: &[UserId]) -> Option<String> {
    (!users.is_empty()).then(|| serde_json::json!(users).to_string())
}

/// A pattern for `like … escape '\'`.
pub(super) fn containing(text: &str) -> String {
    let mut pattern = String::from("%");
    for c in text.chars() {
        if "%_\\".contains(c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

/// A transaction to be repeated: what it had looked at changed before it got the lock.
#[derive(Debug, thiserror::Error)]
#[error("a room or member changed while its lock was waited for")]
pub(super) struct Stale;

impl From<Stale> for Error {
    fn from(stale: Stale) -> Self {
        Self::Internal(stale.into())
    }
}

/// How often a stale transaction is begun.
pub(super) const LOOKS: usize = 3;

/// Whether a transaction failed because of what another did at the same time: the same
/// message was sent, or the author's role changed. Now it is visible.
pub(super) fn is_stale(cause: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    cause.is::<Stale>()
        || cause
            .downcast_ref::<sqlx::Error>()
            .and_then(sqlx::Error::as_database_error)
            .is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}
