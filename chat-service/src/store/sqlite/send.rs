//! Sending in SQLite: one message after the other, in one transaction, because
//! statements cost little there and commits much.

use journal::sql::sqlite as log;
use service::Timestamp;
use sqlx::SqliteConnection;

use super::super::draft::{Draft, Stale, duplicate, users_json};
use super::super::row::{SendRow, role, room_kind};
use super::super::{Delivery, NewMessage, Rule, SendSituation, Sent, signed, unsigned};
use super::{insert_mentions, message, resolve};
use crate::error::{Error, Result};

/// Stores what may be sent. Errors of the rules and of retries are each sender's own.
pub(super) async fn send(
    connection: &mut SqliteConnection,
    group: &[NewMessage],
    rule: Rule<'_, SendSituation, ()>,
) -> Result<Vec<Result<Sent>>> {
    let mut results = Vec::with_capacity(group.len());
    for new in group {
        results.push(match send_one(connection, new, rule).await {
            // Something was written, or was not: the transaction as a whole has failed.
            Err(error @ (Error::Unavailable(_) | Error::Internal(_))) => return Err(error),
            result => result,
        });
    }
    Ok(results)
}

/// Only errors of the database come after something was written.
async fn send_one(
    connection: &mut SqliteConnection,
    new: &NewMessage,
    rule: Rule<'_, SendSituation, ()>,
) -> Result<Sent> {
    let row: Option<SendRow> = sqlx::query_as(
        "select kind, name, last_message_seq, activity_ms, user_low, user_high,
            (select role from members where room_id = $1 and user_id = $2) as role,
            (select seq from messages
                where room_id = $1 and author = $2 and client_msg_id = $3) as duplicate
        from rooms where room_id = $1",
    )
    .bind(new.room.as_str())
    .bind(new.author.as_str())
    .bind(&new.client_msg_id)
    .fetch_optional(&mut *connection)
    .await?;
    let row = row.ok_or_else(Error::no_room)?;
    let author = row.role.as_deref().map(role).transpose()?;
    let kind = room_kind(&row.kind)?;
    rule(&SendSituation { kind, author })?;
    if let Some(seq) = row.duplicate {
        let row = message(connection, &new.room, unsigned(seq)?).await?;
        return duplicate(new, row);
    }
    let mentions = resolve(connection, &new.room, new.text.mentioned()).await?;
    let draft = Draft::new(new, &row, kind, mentions)?;
    let events = std::slice::from_ref(&draft.event);
    let appended = log::append(connection, &new.room.channel(), events).await?;
    insert_message(connection, &draft, appended.position().offset).await?;
    if !draft.message.mentions.is_empty() {
        insert_mentions(connection, &draft.message).await?;
    }
    if let Some(delivery) = &draft.delivery {
        insert_delivery(connection, delivery, new.now).await?;
    }
    Ok(draft.into_sent(appended))
}

/// Stores a message and moves the room's counter and the author's read pointer.
async fn insert_message(
    connection: &mut SqliteConnection,
    draft: &Draft,
    offset: u64,
) -> Result<()> {
    let message = &draft.message;
    let moved = sqlx::query(
        "update members set read_seq = max(read_seq, $3)
        where room_id = $1 and user_id = $2 and role = $4",
    )
    .bind(message.room_id.as_str())
    .bind(message.author.as_str())
    .bind(signed(message.seq))
    .bind(&draft.role)
    .execute(&mut *connection)
    .await?;
    if moved.rows_affected() != 1 {
        return Err(Stale.into());
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
    Ok(())
}

async fn insert_delivery(
    connection: &mut SqliteConnection,
    delivery: &Delivery,
    now: Timestamp,
) -> Result<()> {
    sqlx::query(
        "insert into outbox (room_id, seq, kind, users, title, body, actor, due_ms)
        values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(delivery.room.as_str())
    .bind(signed(delivery.seq))
    .bind(&delivery.kind)
    .bind(serde_json::json!(delivery.users).to_string())
    .bind(&delivery.title)
    .bind(&delivery.body)
    .bind(&delivery.actor)
    .bind(now.millis())
    .execute(connection)
    .await?;
    Ok(())
}
