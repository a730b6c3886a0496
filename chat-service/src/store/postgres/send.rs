//! Sending in PostgreSQL: all messages of a group pass through each statement
//! together. Three round trips besides begin and commit, whatever the number of
//! messages and rooms; one more each for mentions, for their rows, and for
//! notifications, and one for each retry.

use std::collections::{BTreeMap, HashMap};

use journal::sql::postgres as log;
use journal::{Appended, NewEvent};
use sqlx::PgConnection;

use super::super::draft::{Draft, Stale, duplicate, users_json};
use super::super::row::{SendRow, role, room_kind};
use super::super::{NewMessage, Rule, SendSituation, Sent, corrupt, signed, unsigned};
use super::message;
use crate::error::{Error, Result};
use crate::room::{RoomId, RoomKind};
use crate::user::UserId;

/// What happens to one message of a group.
#[derive(Debug)]
enum Fate {
    /// It is stored.
    New(Box<Draft>),
    /// It is the same as an earlier one of the group.
    SameAs(usize),
    /// It is not stored; this is the answer.
    Settled(Box<Result<Sent>>),
}

/// Stores what may be sent. Errors of the rules and of retries are each sender's own.
pub(super) async fn send(
    connection: &mut PgConnection,
    group: &[NewMessage],
    rule: Rule<'_, SendSituation, ()>,
) -> Result<Vec<Result<Sent>>> {
    let mut rows = look(connection, group).await?;
    let mut kinds = Vec::with_capacity(group.len());
    for (new, row) in group.iter().zip(&rows) {
        kinds.push(admit(connection, new, row.as_ref(), rule).await?);
    }
    let mut mentions = mentioned_members(connection, group, &kinds).await?;

    let mut fates = Vec::with_capacity(group.len());
    // What the messages before it in the group did to its room.
    let mut rooms: HashMap<&RoomId, (i64, i64)> = HashMap::new();
    let mut sent: HashMap<(&RoomId, &UserId, &str), usize> = HashMap::new();
    for (number, (new, kind)) in group.iter().zip(kinds).enumerate() {
        let kind = match kind {
            Ok(kind) => kind,
            Err(settled) => {
                fates.push(Fate::Settled(Box::new(settled)));
                continue;
            }
        };
        let key = (&new.room, &new.author, new.client_msg_id.as_str());
        if let Some(&first) = sent.get(&key) {
            fates.push(Fate::SameAs(first));
            continue;
        }
        sent.insert(key, number);
        let row = rows[number].as_mut();
        let row = row.ok_or_else(|| corrupt("an admitted message has no room".into()))?;
        if let Some(&(seq, activity_ms)) = rooms.get(&new.room) {
            row.last_message_seq = seq;
            row.activity_ms = activity_ms;
        }
        let mentions = mentions.remove(&number).unwrap_or_default();
        let draft = Draft::new(new, row, kind, mentions)?;
        let message = &draft.message;
        rooms.insert(
            &new.room,
            (signed(message.seq), message.created_at.millis()),
        );
        fates.push(Fate::New(Box::new(draft)));
    }
    store(connection, group, fates).await
}

/// Locks the rooms, in order, and looks at each message's room, its author's role, and
/// whether it is a retry. `None`: there is no such room.
///
/// A lock that was waited for shows the room as it is then, but roles and retries as they
/// were before: [`insert_messages`] notices.
async fn look(connection: &mut PgConnection, group: &[NewMessage]) -> Result<Vec<Option<SendRow>>> {
    let rooms: Vec<&str> = group.iter().map(|new| new.room.as_str()).collect();
    let authors: Vec<&str> = group.iter().map(|new| new.author.as_str()).collect();
    let ids: Vec<&str> = group.iter().map(|new| new.client_msg_id.as_str()).collect();
    let found: Vec<SendRow> = sqlx::query_as(
        "with room as materialized (
            select room_id, kind, name, last_message_seq, activity_ms, user_low, user_high
            from rooms where room_id = any($1) order by room_id for no key update
        )
        select new.number, room.kind, room.name, room.last_message_seq, room.activity_ms,
            room.user_low, room.user_high,
            (select role from members
                where members.room_id = new.room_id and members.user_id = new.author) as role,
            (select seq from messages
                where messages.room_id = new.room_id and messages.author = new.author
                    and messages.client_msg_id = new.client_msg_id) as duplicate
        from unnest($1::text[], $2::text[], $3::text[])
            with ordinality as new (room_id, author, client_msg_id, number)
        join room on room.room_id = new.room_id",
    )
    .bind(rooms)
    .bind(authors)
    .bind(ids)
    .fetch_all(connection)
    .await?;
    let mut rows: Vec<Option<SendRow>> = group.iter().map(|_| None).collect();
    for row in found {
        let number = usize::try_from(row.number - 1).unwrap_or(usize::MAX);
        if let Some(place) = rows.get_mut(number) {
            *place = Some(row);
        }
    }
    Ok(rows)
}

/// The room's kind if the message is to be stored, else its answer.
async fn admit(
    connection: &mut PgConnection,
    new: &NewMessage,
    row: Option<&SendRow>,
    rule: Rule<'_, SendSituation, ()>,
) -> Result<std::result::Result<RoomKind, Result<Sent>>> {
    let Some(row) = row else {
        return Ok(Err(Err(Error::no_room())));
    };
    let author = row.role.as_deref().map(role).transpose()?;
    let kind = room_kind(&row.kind)?;
    if let Err(error) = rule(&SendSituation { kind, author }) {
        return Ok(Err(Err(error)));
    }
    if let Some(seq) = row.duplicate {
        let row = message(connection, &new.room, unsigned(seq)?).await?;
        return Ok(Err(duplicate(new, row)));
    }
    Ok(Ok(kind))
}

/// Those mentioned in each message who are members, in order.
async fn mentioned_members(
    connection: &mut PgConnection,
    group: &[NewMessage],
    kinds: &[std::result::Result<RoomKind, Result<Sent>>],
) -> Result<HashMap<usize, Vec<UserId>>> {
    let mut candidates = Vec::new();
    for (number, (new, kind)) in group.iter().zip(kinds).enumerate() {
        if kind.is_ok() {
            let users = new.text.mentioned().into_iter();
            candidates.extend(users.map(|user| (number, &new.room, user)));
        }
    }
    let mut members: HashMap<usize, Vec<UserId>> = HashMap::new();
    if candidates.is_empty() {
        return Ok(members);
    }
    let rooms: Vec<&str> = candidates
        .iter()
        .map(|(_, room, _)| room.as_str())
        .collect();
    let users: Vec<&str> = candidates
        .iter()
        .map(|(_, _, user)| user.as_str())
        .collect();
    let found: Vec<bool> = sqlx::query_scalar(
        "select exists (
            select from members
            where members.room_id = mentioned.room_id and members.user_id = mentioned.user_id
        )
        from unnest($1::text[], $2::text[]) with ordinality as mentioned (room_id, user_id, number)
        order by number",
    )
    .bind(rooms)
    .bind(users)
    .fetch_all(connection)
    .await?;
    for ((number, _, user), is_member) in candidates.into_iter().zip(found) {
        if is_member {
            members.entry(number).or_default().push(user);
        }
    }
    Ok(members)
}

/// Appends the events, stores the messages, and makes the answers.
async fn store(
    connection: &mut PgConnection,
    group: &[NewMessage],
    fates: Vec<Fate>,
) -> Result<Vec<Result<Sent>>> {
    let drafts: Vec<&Draft> = fates
        .iter()
        .filter_map(|fate| match fate {
            Fate::New(draft) => Some(&**draft),
            Fate::SameAs(_) | Fate::Settled(_) => None,
        })
        .collect();
    let mut appended = append(connection, &drafts).await?.into_iter();
    let offsets: Vec<i64> = appended
        .as_slice()
        .iter()
        .map(|appended| signed(appended.position().offset))
        .collect();
    if !drafts.is_empty() {
        insert_messages(connection, &drafts, offsets).await?;
        insert_mentions(connection, &drafts).await?;
        insert_deliveries(connection, group, &drafts).await?;
    }

    let mut results: Vec<Result<Sent>> = Vec::with_capacity(group.len());
    for (new, fate) in group.iter().zip(fates) {
        results.push(match fate {
            Fate::Settled(result) => *result,
            Fate::New(draft) => {
                let appended = appended.next();
                let appended = appended.ok_or_else(|| corrupt("a message has no event".into()))?;
                Ok(draft.into_sent(appended))
            }
            Fate::SameAs(first) => match &results[first] {
                Ok(sent) if group[first].text == new.text => Ok(Sent {
                    appended: None,
                    notifies: false,
                    ..sent.clone()
                }),
                _ => Err(Error::other_text()),
            },
        });
    }
    Ok(results)
}

/// Appends each message's event to its room's log. Returns them in the order of drafts.
async fn append(connection: &mut PgConnection, drafts: &[&Draft]) -> Result<Vec<Appended>> {
    let mut logs: BTreeMap<String, (Vec<NewEvent>, Vec<usize>)> = BTreeMap::new();
    for (number, draft) in drafts.iter().enumerate() {
        let log = logs.entry(draft.message.room_id.channel()).or_default();
        log.0.push(draft.event.clone());
        log.1.push(number);
    }
    if logs.is_empty() {
        return Ok(Vec::new());
    }
    let events: Vec<(&str, &[NewEvent])> = logs
        .iter()
        .map(|(channel, (events, _))| (channel.as_str(), events.as_slice()))
        .collect();
    let appended = log::append_all(connection, &events).await?;
    // Each sender publishes its own event.
    let mut one_by_one: Vec<(usize, Appended)> = Vec::with_capacity(drafts.len());
    for (appended, (_, numbers)) in appended.into_iter().zip(logs.values()) {
        for (event, number) in appended.events.into_iter().zip(numbers) {
            one_by_one.push((
                *number,
                Appended {
                    channel: appended.channel.clone(),
                    epoch: appended.epoch.clone(),
                    events: vec![event],
                },
            ));
        }
    }
    one_by_one.sort_unstable_by_key(|(number, _)| *number);
    Ok(one_by_one
        .into_iter()
        .map(|(_, appended)| appended)
        .collect())
}

/// Stores messages and moves the rooms' counters and the authors' read pointers.
///
/// # Errors
/// [`Stale`]: an author's role is another one than it was.
async fn insert_messages(
    connection: &mut PgConnection,
    drafts: &[&Draft],
    offsets: Vec<i64>,
) -> Result<()> {
    // The last one of each room and author counts: numbers grow within a group.
    let mut rooms: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    let mut authors: BTreeMap<(&str, &str), (i64, Option<&str>)> = BTreeMap::new();
    for draft in drafts {
        let message = &draft.message;
        let (room, seq) = (message.room_id.as_str(), signed(message.seq));
        rooms.insert(room, (seq, message.created_at.millis()));
        let author = (room, message.author.as_str());
        authors.insert(author, (seq, draft.role.as_deref()));
    }
    let n_authors = authors.len();
    let messages = || drafts.iter().map(|draft| &draft.message);
    let n_moved: i64 = sqlx::query_scalar(
        "with room as (
            update rooms set last_message_seq = new.seq, activity_ms = new.activity_ms
            from unnest($1::text[], $2::bigint[], $3::bigint[]) as new (room_id, seq, activity_ms)
            where rooms.room_id = new.room_id
        ), author as (
            update members set read_seq = greatest(read_seq, new.seq)
            from unnest($4::text[], $5::text[], $6::bigint[], $7::text[])
                as new (room_id, user_id, seq, role)
            where members.room_id = new.room_id and members.user_id = new.user_id
                and members.role = new.role
            returning 1
        ), message as (
            insert into messages (room_id, seq, message_id, author, client_msg_id, event_offset,
                fingerprint, body, custom, mentions, created_ms)
            select * from unnest($8::text[], $9::bigint[], $10::text[], $11::text[], $12::text[],
                $13::bigint[], $14::text[], $15::text[], $16::text[], $17::text[], $18::bigint[])
        )
        select count(*) from author",
    )
    .bind(rooms.keys().copied().collect::<Vec<&str>>())
    .bind(rooms.values().map(|(seq, _)| *seq).collect::<Vec<i64>>())
    .bind(rooms.values().map(|(_, time)| *time).collect::<Vec<i64>>())
    .bind(authors.keys().map(|(room, _)| *room).collect::<Vec<&str>>())
    .bind(authors.keys().map(|(_, user)| *user).collect::<Vec<&str>>())
    .bind(authors.values().map(|(seq, _)| *seq).collect::<Vec<i64>>())
    .bind(
        authors
            .values()
            .map(|(_, role)| *role)
            .collect::<Vec<Option<&str>>>(),
    )
    .bind(messages().map(|m| m.room_id.as_str()).collect::<Vec<_>>())
    .bind(messages().map(|m| signed(m.seq)).collect::<Vec<_>>())
    .bind(messages().map(|m| m.id.as_str()).collect::<Vec<_>>())
    .bind(messages().map(|m| m.author.as_str()).collect::<Vec<_>>())
    .bind(
        messages()
            .map(|m| m.client_msg_id.as_str())
            .collect::<Vec<_>>(),
    )
    .bind(offsets)
    .bind(
        drafts
            .iter()
            .map(|draft| draft.fingerprint.as_str())
            .collect::<Vec<_>>(),
    )
    .bind(messages().map(|m| m.text.as_str()).collect::<Vec<_>>())
    .bind(
        messages()
            .map(|m| m.custom.as_ref().map(|custom| custom.get()))
            .collect::<Vec<_>>(),
    )
    .bind(
        messages()
            .map(|m| users_json(&m.mentions))
            .collect::<Vec<_>>(),
    )
    .bind(
        messages()
            .map(|m| m.created_at.millis())
            .collect::<Vec<_>>(),
    )
    .fetch_one(connection)
    .await?;
    if n_moved != signed(n_authors as u64) {
        return Err(Stale.into());
    }
    Ok(())
}

async fn insert_mentions(connection: &mut PgConnection, drafts: &[&Draft]) -> Result<()> {
    let (mut rooms, mut users, mut seqs) = (Vec::new(), Vec::new(), Vec::new());
    for message in drafts.iter().map(|draft| &draft.message) {
        for user in &message.mentions {
            rooms.push(message.room_id.as_str());
            users.push(user.as_str());
            seqs.push(signed(message.seq));
        }
    }
    if rooms.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into mentions (room_id, user_id, seq)
        select * from unnest($1::text[], $2::text[], $3::bigint[])",
    )
    .bind(rooms)
    .bind(users)
    .bind(seqs)
    .execute(connection)
    .await?;
    Ok(())
}

async fn insert_deliveries(
    connection: &mut PgConnection,
    group: &[NewMessage],
    drafts: &[&Draft],
) -> Result<()> {
    let deliveries: Vec<_> = drafts
        .iter()
        .filter_map(|draft| draft.delivery.as_ref())
        .collect();
    let Some(due) = group.iter().map(|new| new.now.millis()).min() else {
        return Ok(());
    };
    if deliveries.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into outbox (room_id, seq, kind, users, title, body, actor, due_ms)
        select *, $8 from unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[],
            $6::text[], $7::text[])",
    )
    .bind(
        deliveries
            .iter()
            .map(|delivery| delivery.room.as_str())
            .collect::<Vec<_>>(),
    )
    .bind(
        deliveries
            .iter()
            .map(|delivery| signed(delivery.seq))
            .collect::<Vec<_>>(),
    )
    .bind(
        deliveries
            .iter()
            .map(|delivery| delivery.kind.as_str())
            .collect::<Vec<_>>(),
    )
    .bind(
        deliveries
            .iter()
            .map(|delivery| serde_json::json!(delivery.users).to_string())
            .collect::<Vec<_>>(),
    )
    .bind(
        deliveries
            .iter()
            .map(|delivery| delivery.title.as_str())
            .collect::<Vec<_>>(),
    )
    .bind(
        deliveries
            .iter()
            .map(|delivery| delivery.body.as_str())
            .collect::<Vec<_>>(),
    )
    .bind(
        deliveries
            .iter()
            .map(|delivery| delivery.actor.as_str())
            .collect::<Vec<_>>(),
    )
    .bind(due)
    .execute(connection)
    .await?;
    Ok(())
}
