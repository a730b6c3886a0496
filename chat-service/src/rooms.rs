//! The rules of rooms and membership: check, store, then publish.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use journal::{Appended, Publisher, fault};
use parking_lot::Mutex;
use service::{Timestamp, within};

use crate::announcer::Announcer;
use crate::error::{Error, Result};
use crate::event::RoomEvent;
use crate::room::{Member, Role, Room, RoomId, RoomKind, Summary};
use crate::store::{Created, MemberChange, MemberChanged, MemberSituation, NewRoom, Rule, Store};
use crate::throttle::Throttle;
use crate::user::UserId;

/// Users that a room can be created with, besides its creator.
pub const MAX_FIRST_MEMBERS: usize = 500;
/// Rooms with more members do not tell who types or reads: it would be most of what
/// they carry.
pub const LARGE_ROOM: u32 = 200;
const MAX_NAME: usize = 128;
const MAX_CLIENT_ROOM_ID: usize = 64;
const PAGE: u32 = 100;
const MAX_PAGE: u32 = 200;

/// Rooms and their members. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Rooms {
    store: Arc<dyn Store>,
    publisher: Publisher,
    announcer: Announcer,
    typing: Arc<Mutex<Throttle>>,
    timeout: Duration,
}

/// A part of a list, and where the next one begins (empty: there is none).
pub type Listed<T> = (Vec<T>, String);

impl Rooms {
    /// Rooms in a store; a call that needs it fails after `timeout`.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        publisher: Publisher,
        announcer: Announcer,
        timeout: Duration,
    ) -> Self {
        Self {
            store,
            publisher,
            announcer,
            typing: Arc::default(),
            timeout,
        }
    }

    /// Creates a room, or with `client_room_id` finds the one created before.
    ///
    /// # Errors
    /// [`Error::Invalid`]: the kind is direct, or name or members out of bounds.
    pub async fn create(
        &self,
        creator: &UserId,
        kind: RoomKind,
        name: &str,
        members: &[String],
        client_room_id: &str,
    ) -> Result<Room> {
        if kind == RoomKind::Direct {
            return Err(Error::invalid("a direct room is opened, not created"));
        }
        let name = room_name(name)?;
        if members.len() > MAX_FIRST_MEMBERS {
            return Err(Error::invalid(format!(
                "at most {MAX_FIRST_MEMBERS} members at first"
            )));
        }
        let mut distinct = BTreeSet::new();
        for member in members {
            distinct.insert(UserId::parse(member)?);
        }
        distinct.remove(creator);
        let id = match client_room_id {
            "" => RoomId::random(),
            key if key.chars().count() <= MAX_CLIENT_ROOM_ID => RoomId::of_key(creator, key),
            _ => {
                return Err(Error::invalid(format!(
                    "client_room_id must have at most {MAX_CLIENT_ROOM_ID} characters"
                )));
            }
        };
        self.store_room(NewRoom {
            id,
            kind,
            name,
            creator: creator.clone(),
            members: distinct.into_iter().collect(),
            now: Timestamp::now(),
        })
        .await
    }

    /// The direct room of two users, created if there is none.
    ///
    /// # Errors
    /// [`Error::Invalid`]: they are one.
    pub async fn open_direct(&self, caller: &UserId, other: &UserId) -> Result<Room> {
        if caller == other {
            return Err(Error::invalid("a direct room needs another user"));
        }
        self.store_room(NewRoom {
            id: RoomId::of_pair(caller.min(other), caller.max(other)),
            kind: RoomKind::Direct,
            name: String::new(),
            creator: caller.clone(),
            members: vec![other.clone()],
            now: Timestamp::now(),
        })
        .await
    }

    /// A room as the caller sees it.
    ///
    /// # Errors
    /// [`Error::NotFound`] also when the caller may not know of it.
    pub async fn get(&self, caller: &UserId, room: &RoomId) -> Result<Summary> {
        let summary = within(self.timeout, self.store.summary(room, caller)).await?;
        let visible =
            |summary: &Summary| summary.membership.is_some() || summary.room.kind.is_open();
        summary.filter(visible).ok_or_else(Error::no_room)
    }

    /// The caller's rooms, newest activity first.
    ///
    /// # Errors
    /// [`Error::Invalid`]: the cursor is not from a page.
    pub async fn list(&self, caller: &UserId, limit: u32, cursor: &str) -> Result<Listed<Summary>> {
        let after = match cursor.split_once('.') {
            None if cursor.is_empty() => None,
            Some((millis, room)) if !room.is_empty() => Some((
                Timestamp::from_millis(millis.parse().map_err(|_| bad_cursor())?),
                room,
            )),
            _ => return Err(bad_cursor()),
        };
        let limit = page_size(limit);
        let rooms = within(self.timeout, self.store.rooms_of(caller, after, limit + 1)).await?;
        Ok(page(rooms, limit, |summary| {
            format!(
                "{}.{}",
                summary.active_at.millis(),
                summary.room.id.as_str()
            )
        }))
    }

    /// Open rooms whose name contains a text, by name.
    ///
    /// # Errors
    /// [`Error::Invalid`]: the cursor is not from a page, or the text too long.
    pub async fn list_open(&self, limit: u32, cursor: &str, query: &str) -> Result<Listed<Room>> {
        if query.len() > 4 * MAX_NAME || query.contains('\0') {
            return Err(Error::invalid("query is too long or has U+0000"));
        }
        let (room, name) = match cursor.split_once('.') {
            None if cursor.is_empty() => ("", ""),
            Some(after) => after,
            None => return Err(bad_cursor()),
        };
        let query = query.trim().to_lowercase();
        let limit = page_size(limit);
        let listing = self.store.open_rooms(&query, (name, room), limit + 1);
        let rooms = within(self.timeout, listing).await?;
        Ok(page(rooms, limit, |room| {
            format!("{}.{}", room.id.as_str(), room.name.to_lowercase())
        }))
    }

    /// Makes the caller a member of an open room.
    ///
    /// # Errors
    /// [`Error::Denied`]: it is not open. [`Error::NotFound`]: there is no such room.
    pub async fn join(&self, caller: &UserId, room: &RoomId) -> Result<Summary> {
        self.change(room, caller, caller, &may_join).await?;
        self.get(caller, room).await
    }

    /// Ends the caller's membership.
    ///
    /// # Errors
    /// [`Error::Precondition`]: the last owner, or a direct room.
    pub async fn leave(&self, caller: &UserId, room: &RoomId) -> Result<()> {
        self.change(room, caller, caller, &may_leave).await?;
        Ok(())
    }

    /// Makes another user a member.
    ///
    /// # Errors
    /// [`Error::Denied`]: the caller is neither owner nor admin.
    pub async fn add(&self, caller: &UserId, room: &RoomId, user: &UserId) -> Result<Member> {
        let changed = self.change(room, caller, user, &may_add).await?;
        if changed.appended.is_some() && caller != user {
            let summary = within(self.timeout, self.store.summary(room, user)).await?;
            if let Some(summary) = summary {
                self.announcer
                    .announce(user.channel(), &RoomEvent::RoomAdded(&summary.room));
            }
        }
        changed.member.ok_or_else(Error::no_room)
    }

    /// Ends another user's membership.
    ///
    /// # Errors
    /// [`Error::Denied`]: the caller's role is not above the user's.
    pub async fn remove(&self, caller: &UserId, room: &RoomId, user: &UserId) -> Result<()> {
        let rule: Rule<'_, _, _> = if caller == user {
            &may_leave
        } else {
            &may_remove
        };
        self.change(room, caller, user, rule).await?;
        Ok(())
    }

    /// Gives a member another role.
    ///
    /// # Errors
    /// [`Error::Denied`]: the caller is no owner. [`Error::Precondition`]: it would
    /// leave the room without an owner.
    pub async fn set_role(
        &self,
        caller: &UserId,
        room: &RoomId,
        user: &UserId,
        role: Role,
    ) -> Result<Member> {
        let rule = move |situation: &MemberSituation| may_set_role(situation, role);
        let changed = self.change(room, caller, user, &rule).await?;
        changed
            .member
            .ok_or_else(|| Error::NotFound("no such member".into()))
    }

    /// Members of a room that the caller may know of, by user id.
    ///
    /// # Errors
    /// [`Error::NotFound`]: the caller may not know of the room.
    pub async fn members(
        &self,
        caller: &UserId,
        room: &RoomId,
        limit: u32,
        cursor: &str,
    ) -> Result<Listed<Member>> {
        if cursor.contains('\0') {
            return Err(bad_cursor());
        }
        self.get(caller, room).await?;
        let limit = page_size(limit);
        let members = within(self.timeout, self.store.members(room, cursor, limit + 1)).await?;
        Ok(page(members, limit, |member| member.user.to_string()))
    }

    /// Lets members subscribe to their rooms.
    ///
    /// # Errors
    /// [`Error::NotFound`]: it is no room's channel. [`Error::Denied`]: no member.
    pub async fn authorize_subscribe(&self, channel: &str, user: &str) -> Result<()> {
        let room = RoomId::of_channel(channel).ok_or_else(Error::no_room)?;
        let user = UserId::parse(user).map_err(|_| Error::not_a_member())?;
        let member = within(self.timeout, self.store.member(&room, &user)).await?;
        member.map(|_| ()).ok_or_else(Error::not_a_member)
    }

    /// Tells a room that the caller is typing, unless it was told just now or the
    /// room is large.
    ///
    /// # Errors
    /// [`Error::Denied`], [`Error::NotFound`]: the caller is no member.
    pub async fn typing(&self, caller: &UserId, room: &RoomId) -> Result<()> {
        if self.typing.lock().is_closed(room, caller, Instant::now()) {
            return Ok(());
        }
        let summary = self.get(caller, room).await?;
        if summary.membership.is_none() {
            return Err(Error::not_a_member());
        }
        let small = summary.room.member_count <= LARGE_ROOM;
        if small && self.typing.lock().pass(room, caller, Instant::now()) {
            let event = RoomEvent::Typing {
                room_id: room,
                user: caller,
            };
            self.announcer.announce(room.channel(), &event);
        }
        Ok(())
    }

    async fn store_room(&self, new: NewRoom) -> Result<Room> {
        let Created { summary, appended } =
            within(self.timeout, self.store.create_room(&new)).await?;
        if let Some(appended) = appended {
            publish(&self.publisher, appended);
            for user in &new.members {
                self.announcer
                    .announce(user.channel(), &RoomEvent::RoomAdded(&summary.room));
            }
        }
        Ok(summary.room)
    }

    async fn change(
        &self,
        room: &RoomId,
        actor: &UserId,
        user: &UserId,
        rule: Rule<'_, MemberSituation, MemberChange>,
    ) -> Result<MemberChanged> {
        let change = self
            .store
            .change_member(room, actor, user, Timestamp::now(), rule);
        let changed = within(self.timeout, change).await?;
        if let Some(appended) = &changed.appended {
            publish(&self.publisher, appended.clone());
        }
        Ok(changed)
    }
}

/// What was committed goes to the channel.
pub(crate) fn publish(publisher: &Publisher, appended: Appended) {
    fault::point("chat.before_publish");
    publisher.committed(appended);
}

/// Refuses who may not do something: a room that they may not know of does not exist.
pub(crate) fn refusal(kind: RoomKind, actor: Option<Role>, reason: &'static str) -> Error {
    match actor {
        None if !kind.is_open() => Error::no_room(),
        None => Error::not_a_member(),
        Some(_) => Error::Denied(reason.into()),
    }
}

fn may_join(situation: &MemberSituation) -> Result<MemberChange> {
    match (situation.target, situation.kind.is_open()) {
        (Some(_), _) => Ok(MemberChange::Nothing),
        (None, true) => Ok(MemberChange::Add(Role::Member)),
        (None, false) => Err(Error::Denied("the room is not public".into())),
    }
}

fn may_leave(situation: &MemberSituation) -> Result<MemberChange> {
    if situation.target.is_none() {
        return Ok(MemberChange::Nothing);
    }
    if situation.kind == RoomKind::Direct {
        return Err(Error::Precondition("a direct room cannot be left".into()));
    }
    if situation.last_owner {
        return Err(Error::Precondition("the last owner cannot leave".into()));
    }
    Ok(MemberChange::Remove)
}

fn may_add(situation: &MemberSituation) -> Result<MemberChange> {
    require(situation, Role::Admin, "only owner and admins add members")?;
    not_direct(situation)?;
    Ok(match situation.target {
        Some(_) => MemberChange::Nothing,
        None => MemberChange::Add(Role::Member),
    })
}

fn may_remove(situation: &MemberSituation) -> Result<MemberChange> {
    require(
        situation,
        Role::Admin,
        "only owner and admins remove members",
    )?;
    not_direct(situation)?;
    match situation.target {
        None => Ok(MemberChange::Nothing),
        Some(target) if situation.actor < Some(Role::Owner) && target >= Role::Admin => Err(
            Error::Denied("only an owner removes admins and owners".into()),
        ),
        Some(_) => Ok(MemberChange::Remove),
    }
}

fn may_set_role(situation: &MemberSituation, role: Role) -> Result<MemberChange> {
    require(situation, Role::Owner, "only an owner gives roles")?;
    not_direct(situation)?;
    match situation.target {
        None => Err(Error::NotFound("no such member".into())),
        Some(target) if target == role => Ok(MemberChange::Nothing),
        Some(_) if situation.last_owner => Err(Error::Precondition(
            "the room needs another owner first".into(),
        )),
        Some(_) => Ok(MemberChange::SetRole(role)),
    }
}

fn require(situation: &MemberSituation, role: Role, reason: &'static str) -> Result<()> {
    // In a direct room nobody has a role; the better answer is the next one.
    if situation.actor >= Some(role)
        || (situation.kind == RoomKind::Direct && situation.actor.is_some())
    {
        return Ok(());
    }
    Err(refusal(situation.kind, situation.actor, reason))
}

fn not_direct(situation: &MemberSituation) -> Result<()> {
    if situation.kind == RoomKind::Direct {
        return Err(Error::Precondition(
            "a direct room has its two members".into(),
        ));
    }
    Ok(())
}

fn room_name(name: &str) -> Result<String> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > MAX_NAME || name.contains(char::is_control) {
        return Err(Error::invalid(format!(
            "name must have 1 to {MAX_NAME} characters and no control characters"
        )));
    }
    Ok(name.to_owned())
}

pub(crate) fn page_size(limit: u32) -> u32 {
    if limit == 0 {
        PAGE
    } else {
        limit.min(MAX_PAGE)
    }
}

/// A page out of one item more than it may have.
fn page<T>(mut items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> String) -> Listed<T> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let has_more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| has_more).map(cursor);
    (items, next.unwrap_or_default())
}

fn bad_cursor() -> Error {
    Error::invalid("cursor is not from a page of this list")
}
