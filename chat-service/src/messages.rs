//! The rules of sending, editing and reading: check, store, then publish.

use std::sync::Arc;
use std::time::Duration;

use journal::Publisher;
use serde_json::value::RawValue;
use service::{Timestamp, within};
use tokio::time::Instant;

use crate::announcer::Announcer;
use crate::error::{Error, Result};
use crate::event::RoomEvent;
use crate::message::{Anchor, MAX_CUSTOM, Page, Text, client_msg_id};
use crate::room::{Role, RoomId, RoomKind};
use crate::rooms::{LARGE_ROOM, publish, refusal};
use crate::sends::Sends;
use crate::store::{
    Marked, MessageChange, MessageChanged, MessageSituation, NewMessage, Rule, SendSituation, Sent,
    Store, Unread,
};
use crate::user::UserId;

const PAGE: u32 = 50;
const MAX_PAGE: u32 = 200;

/// Messages of rooms, and who has read them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Messages {
    store: Arc<dyn Store>,
    publisher: Publisher,
    announcer: Announcer,
    sends: Sends,
    timeout: Duration,
}

impl Messages {
    /// Messages in a store; a call that needs it fails after `timeout`.
    #[must_use]
    pub(crate) fn new(
        store: Arc<dyn Store>,
        publisher: Publisher,
        announcer: Announcer,
        sends: Sends,
        timeout: Duration,
    ) -> Self {
        Self {
            store,
            publisher,
            announcer,
            sends,
            timeout,
        }
    }

    /// Sends a message; a retry gets the first one. When it returns the message is
    /// stored, whether or not it could be published yet. Not begun after `deadline`.
    ///
    /// # Errors
    /// [`Error::Conflict`]: the id was used with another text. [`Error::Denied`]: the
    /// caller may not send here. [`Error::Exhausted`]: too many messages wait.
    pub async fn send(
        &self,
        author: &UserId,
        room: &RoomId,
        id: String,
        text: String,
        custom: Option<Box<RawValue>>,
        deadline: Option<Instant>,
    ) -> Result<Sent> {
        if custom
            .as_ref()
            .is_some_and(|custom| custom.get().len() > MAX_CUSTOM)
        {
            return Err(Error::invalid(format!(
                "custom must have at most {MAX_CUSTOM} bytes"
            )));
        }
        if custom
            .as_ref()
            .is_some_and(|custom| custom.get().contains("\\u0000"))
        {
            return Err(Error::invalid("custom must not contain U+0000"));
        }
        let new = NewMessage {
            room: room.clone(),
            author: author.clone(),
            client_msg_id: client_msg_id(id)?,
            text: Text::parse(text)?,
            custom,
            now: Timestamp::now(),
            traceparent: runtime::trace::current_traceparent().map(Into::into),
        };
        self.sends.send(new, deadline).await
    }

    /// Replaces the text of an own message.
    ///
    /// # Errors
    /// [`Error::Precondition`]: it is deleted. [`Error::Denied`]: it is another's.
    pub async fn edit(
        &self,
        caller: &UserId,
        room: &RoomId,
        seq: u64,
        text: String,
    ) -> Result<MessageChanged> {
        let text = Text::parse(text)?;
        let rule = |situation: &MessageSituation| may_edit(situation, caller, &text);
        self.change(caller, room, seq, &rule).await
    }

    /// Deletes a message, leaving a tombstone.
    ///
    /// # Errors
    /// [`Error::Denied`]: the caller is neither author, admin nor owner.
    pub async fn delete(&self, caller: &UserId, room: &RoomId, seq: u64) -> Result<MessageChanged> {
        let rule = |situation: &MessageSituation| may_delete(situation, caller);
        self.change(caller, room, seq, &rule).await
    }

    /// A part of a room's messages.
    ///
    /// # Errors
    /// [`Error::Denied`], [`Error::NotFound`]: the caller is no member.
    pub async fn list(
        &self,
        caller: &UserId,
        room: &RoomId,
        anchor: Anchor,
        limit: u32,
    ) -> Result<Page> {
        let limit = if limit == 0 {
            PAGE
        } else {
            limit.min(MAX_PAGE)
        };
        self.require_member(caller, room).await?;
        let page = within(self.timeout, self.store.page(room, anchor, limit)).await?;
        page.ok_or_else(Error::no_room)
    }

    /// Moves the caller's read pointer forward.
    ///
    /// # Errors
    /// [`Error::Denied`], [`Error::NotFound`]: the caller is no member.
    pub async fn mark_read(&self, caller: &UserId, room: &RoomId, seq: u64) -> Result<Marked> {
        let marked = within(self.timeout, self.store.mark_read(room, caller, seq)).await?;
        let Some(marked) = marked else {
            return Err(self.no_member(caller, room).await);
        };
        if marked.moved && marked.member_count <= LARGE_ROOM {
            let event = RoomEvent::Read {
                room_id: room,
                user: caller,
                read_seq: marked.read_seq,
            };
            self.announcer.announce(room.channel(), &event);
        }
        Ok(marked)
    }

    /// The caller's rooms that have unread messages.
    ///
    /// # Errors
    /// The database's.
    pub async fn unread(&self, caller: &UserId) -> Result<Vec<Unread>> {
        within(self.timeout, self.store.unread(caller)).await
    }

    async fn change(
        &self,
        caller: &UserId,
        room: &RoomId,
        seq: u64,
        rule: Rule<'_, MessageSituation, MessageChange>,
    ) -> Result<MessageChanged> {
        let change = self
            .store
            .change_message(room, seq, caller, Timestamp::now(), rule);
        let changed = within(self.timeout, change).await?;
        if let Some(appended) = &changed.appended {
            publish(&self.publisher, appended.clone());
        }
        Ok(changed)
    }

    async fn require_member(&self, caller: &UserId, room: &RoomId) -> Result<()> {
        let member = within(self.timeout, self.store.member(room, caller)).await?;
        match member {
            Some(_) => Ok(()),
            None => Err(self.no_member(caller, room).await),
        }
    }

    /// Why somebody who is no member is refused.
    async fn no_member(&self, caller: &UserId, room: &RoomId) -> Error {
        match within(self.timeout, self.store.summary(room, caller)).await {
            Ok(Some(summary)) => refusal(summary.room.kind, None, ""),
            Ok(None) => Error::no_room(),
            Err(error) => error,
        }
    }
}

pub(crate) fn may_send(situation: &SendSituation) -> Result<()> {
    let least = match situation.kind {
        RoomKind::Broadcast => Role::Admin,
        RoomKind::Direct | RoomKind::Group | RoomKind::Public => Role::Member,
    };
    if situation.author >= Some(least) {
        return Ok(());
    }
    Err(refusal(
        situation.kind,
        situation.author,
        "only owner and admins send here",
    ))
}

fn may_edit(situation: &MessageSituation, caller: &UserId, text: &Text) -> Result<MessageChange> {
    if situation.actor.is_none() || situation.message.author != *caller {
        return Err(refusal(
            situation.kind,
            situation.actor,
            "only its author edits a message",
        ));
    }
    if situation.message.deleted_at.is_some() {
        return Err(Error::Precondition("the message is deleted".into()));
    }
    if situation.message.text == text.as_str() {
        return Ok(MessageChange::Nothing);
    }
    Ok(MessageChange::Edit(text.clone()))
}

fn may_delete(situation: &MessageSituation, caller: &UserId) -> Result<MessageChange> {
    let is_author = situation.actor.is_some() && situation.message.author == *caller;
    if !is_author && situation.actor < Some(Role::Admin) {
        let reason = "only its author, owner and admins delete a message";
        return Err(refusal(situation.kind, situation.actor, reason));
    }
    if situation.message.deleted_at.is_some() {
        return Ok(MessageChange::Nothing);
    }
    Ok(MessageChange::Delete)
}
