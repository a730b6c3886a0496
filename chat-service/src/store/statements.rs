//! The statements that both databases understand, once: a macro that implements
//! [`Store`](super::Store) over `begin()`, `begin_group()`, `read()`, `log`, `send` and `MAX_GROUPS` of
//! the module that uses it.
//!
//! SQL that differs comes in as literals. `users` is a table of the users in the
//! JSON array `$2`.

/// What [`RoomRow`](super::row::RoomRow) is made of.
macro_rules! room_columns {
    () => {
        "r.room_id, r.kind, r.name, r.created_by, r.created_ms, r.last_message_seq,
        r.activity_ms, r.member_count, r.user_low, r.user_high, l.epoch, l.top"
    };
}

/// Rooms as user `$1` sees them.
macro_rules! summaries {
    () => {
        concat!(
            "select ",
            room_columns!(),
            ", m.role, m.joined_ms, m.read_seq,
            t.message_id, t.author, t.client_msg_id, t.body, t.custom, t.mentions,
            t.created_ms as sent_ms, t.edited_ms, t.deleted_ms,
            (select count(*) from mentions n
                where n.room_id = r.room_id and n.user_id = $1 and n.seq > m.read_seq)
                as unread_mentions
            from rooms r
            join logs l on l.channel = 'room:' || r.room_id
            left join members m on m.room_id = r.room_id and m.user_id = $1
            left join messages t on t.room_id = m.room_id and t.seq = r.last_message_seq"
        )
    };
}

macro_rules! message_columns {
    () => {
        "seq, message_id, author, client_msg_id, event_offset, fingerprint, body, custom,
        mentions, created_ms, edited_ms, deleted_ms"
    };
}

macro_rules! implement_store {
    (
        $store:ty, $connection:ty, $journal:expr,
        lock: $lock:literal, skip_locked: $skip_locked:literal, users: $users:literal
    ) => {
        #[async_trait]
        impl Store for $store {
            async fn create_room(&self, new: &NewRoom) -> Result<Created> {
                let mut transaction = self.begin().await?;
                let appended = create_room(&mut transaction, new).await?;
                let summary = summary(&mut transaction, &new.id, &new.creator).await?;
                transaction.commit().await?;
                let summary = summary.ok_or_else(|| corrupt("a new room is not there".into()))?;
                Ok(Created { summary, appended })
            }

            async fn summary(&self, room: &RoomId, user: &UserId) -> Result<Option<Summary>> {
                summary(&mut *self.read().await?, room, user).await
            }

            async fn rooms_of(
                &self,
                user: &UserId,
                after: Option<(Timestamp, &str)>,
                limit: u32,
            ) -> Result<Vec<Summary>> {
                let (active_at, room) = after.unwrap_or((Timestamp::from_millis(i64::MAX), ""));
                let rows: Vec<SummaryRow> = sqlx::query_as(concat!(
                    summaries!(),
                    " where m.user_id = $1 and (r.activity_ms, r.room_id) < ($2, $3)
                    order by r.activity_ms desc, r.room_id desc limit $4"
                ))
                .bind(user.as_str())
                .bind(active_at.millis())
                .bind(room)
                .bind(i64::from(limit))
                .fetch_all(&mut *self.read().await?)
                .await?;
                rows.into_iter().map(|row| row.into_summary(user)).collect()
            }

            async fn open_rooms(
                &self,
                query: &str,
                after: (&str, &str),
                limit: u32,
            ) -> Result<Vec<Room>> {
                let rows: Vec<RoomRow> = sqlx::query_as(concat!(
                    "select ",
                    room_columns!(),
                    " from rooms r join logs l on l.channel = 'room:' || r.room_id
                    where r.kind in ('public', 'broadcast')
                        and r.name_folded like $1 escape '\\'
                        and (r.name_folded, r.room_id) > ($2, $3)
                    order by r.name_folded, r.room_id limit $4"
                ))
                .bind(containing(query))
                .bind(after.0)
                .bind(after.1)
                .bind(i64::from(limit))
                .fetch_all(&mut *self.read().await?)
                .await?;
                rows.into_iter().map(RoomRow::into_room).collect()
            }

            async fn members(
                &self,
                room: &RoomId,
                after: &str,
                limit: u32,
            ) -> Result<Vec<Member>> {
                let rows: Vec<MemberRow> = sqlx::query_as(
                    "select user_id, role, joined_ms, read_seq from members
                    where room_id = $1 and user_id > $2 order by user_id limit $3",
                )
                .bind(room.as_str())
                .bind(after)
                .bind(i64::from(limit))
                .fetch_all(&mut *self.read().await?)
                .await?;
                rows.into_iter().map(MemberRow::into_member).collect()
            }

            async fn member(&self, room: &RoomId, user: &UserId) -> Result<Option<Member>> {
                member(&mut *self.read().await?, room, user).await
            }

            async fn change_member(
                &self,
                room: &RoomId,
                actor: &UserId,
                user: &UserId,
                now: Timestamp,
                rule: Rule<'_, MemberSituation, MemberChange>,
            ) -> Result<MemberChanged> {
                let mut transaction = self.begin().await?;
                let locked = lock_room(&mut transaction, room).await?;
                let target = member(&mut transaction, room, user).await?;
                let actor_role = if actor == user {
                    target.as_ref().map(|member| member.role)
                } else {
                    member(&mut transaction, room, actor).await?.map(|member| member.role)
                };
                let is_owner = target.as_ref().is_some_and(|member| member.role == Role::Owner);
                let situation = MemberSituation {
                    kind: locked.kind,
                    actor: actor_role,
                    target: target.as_ref().map(|member| member.role),
                    last_owner: is_owner && n_owners(&mut transaction, room).await? == 1,
                };
                let change = rule(&situation)?;
                let Some((member, event)) = apply(target.clone(), user, &locked, now, change)? else {
                    return Ok(MemberChanged {
                        member: target,
                        appended: None,
                    });
                };
                store_member(&mut transaction, room, &member, change).await?;
                let event = new_event(room, &member, actor, event)?;
                let appended = log::append(&mut transaction, &room.channel(), &[event]).await?;
                transaction.commit().await?;
                Ok(MemberChanged {
                    member: Some(member),
                    appended: Some(appended),
                })
            }

            async fn send(
                &self,
                group: &[NewMessage],
                rule: Rule<'_, SendSituation, ()>,
            ) -> Result<Vec<Result<Sent>>> {
                for _ in 0..LOOKS {
                    let mut transaction = self.begin_group().await?;
                    match send(&mut transaction, group, rule).await {
                        Ok(results) => {
                            transaction.commit().await?;
                            return Ok(results);
                        }
                        Err(Error::Internal(cause)) if is_stale(&*cause) => {}
                        Err(error) => return Err(error),
                    }
                }
                let cause = "rooms or members changed at the same time, again and again";
                Err(Error::Unavailable(cause.into()))
            }

            fn max_groups(&self) -> usize {
                MAX_GROUPS
            }

            async fn change_message(
                &self,
                room: &RoomId,
                seq: u64,
                actor: &UserId,
                now: Timestamp,
                rule: Rule<'_, MessageSituation, MessageChange>,
            ) -> Result<MessageChanged> {
                let mut transaction = self.begin().await?;
                let locked = lock_room(&mut transaction, room).await?;
                let actor = member(&mut transaction, room, actor).await?;
                let row = message(&mut transaction, room, seq).await?;
                let row = row.ok_or_else(|| Error::NotFound("no such message".into()))?;
                let situation = MessageSituation {
                    kind: locked.kind,
                    actor: actor.map(|member| member.role),
                    message: row.into_message(room)?,
                };
                let mut message = situation.message.clone();
                let change = rule(&situation)?;
                match &change {
                    MessageChange::Nothing => {
                        let state = log::state(&mut transaction, &room.channel()).await?;
                        return Ok(MessageChanged {
                            message,
                            offset: state.map_or(0, |state| state.top),
                            appended: None,
                        });
                    }
                    MessageChange::Edit(text) => {
                        message.mentions =
                            resolve(&mut transaction, room, text.mentioned()).await?;
                        text.as_str().clone_into(&mut message.text);
                        message.edited_at = Some(now.max(message.created_at));
                    }
                    MessageChange::Delete => {
                        message.mentions.clear();
                        message.text.clear();
                        message.custom = None;
                        message.deleted_at = Some(now.max(message.created_at));
                    }
                }
                update_message(&mut transaction, &message).await?;
                let event = if change == MessageChange::Delete {
                    RoomEvent::MessageDeleted(&message)
                } else {
                    RoomEvent::MessageUpdated(&message)
                };
                let event = NewEvent::new(event.encode()?);
                let appended = log::append(&mut transaction, &room.channel(), &[event]).await?;
                transaction.commit().await?;
                Ok(MessageChanged {
                    message,
                    offset: appended.position().offset,
                    appended: Some(appended),
                })
            }

            async fn page(
                &self,
                room: &RoomId,
                anchor: Anchor,
                limit: u32,
            ) -> Result<Option<Page>> {
                let mut connection = self.read().await?;
                // The position first: what is sent in between is both on the page and
                // after the position, which does no harm.
                let state: Option<(i64, String, i64)> = sqlx::query_as(
                    "select r.last_message_seq, l.epoch, l.top
                    from rooms r join logs l on l.channel = 'room:' || r.room_id
                    where r.room_id = $1",
                )
                .bind(room.as_str())
                .fetch_optional(&mut *connection)
                .await?;
                let Some((last, epoch, top)) = state else {
                    return Ok(None);
                };
                let last = unsigned(last)?;
                let (from, to) = anchor.range(u64::from(limit), last);
                let rows: Vec<MessageRow> = sqlx::query_as(concat!(
                    "select ",
                    message_columns!(),
                    " from messages where room_id = $1 and seq >= $2 and seq <= $3 order by seq"
                ))
                .bind(room.as_str())
                .bind(signed(from))
                .bind(signed(to))
                .fetch_all(&mut *connection)
                .await?;
                let messages = rows.into_iter().map(|row| row.into_message(room));
                Ok(Some(Page {
                    messages: messages.collect::<Result<_>>()?,
                    has_more_before: from.min(last.saturating_add(1)) > 1,
                    has_more_after: to < last,
                    position: broker::Position {
                        epoch: epoch.into(),
                        offset: unsigned(top)?,
                    },
                }))
            }

            async fn mark_read(
                &self,
                room: &RoomId,
                user: &UserId,
                seq: u64,
            ) -> Result<Option<Marked>> {
                let mut connection = self.write().await?;
                let row: Option<(i64, i64, i64)> = sqlx::query_as(
                    "select r.last_message_seq, r.member_count, m.read_seq
                    from rooms r join members m on m.room_id = r.room_id
                    where r.room_id = $1 and m.user_id = $2",
                )
                .bind(room.as_str())
                .bind(user.as_str())
                .fetch_optional(&mut *connection)
                .await?;
                let Some((last, member_count, read)) = row else {
                    return Ok(None);
                };
                let wanted = signed(seq).min(last);
                let moved = if wanted > read {
                    sqlx::query(
                        "update members set read_seq = $3
                        where room_id = $1 and user_id = $2 and read_seq < $3",
                    )
                    .bind(room.as_str())
                    .bind(user.as_str())
                    .bind(wanted)
                    .execute(&mut *connection)
                    .await?
                    .rows_affected()
                        > 0
                } else {
                    false
                };
                let read = wanted.max(read);
                Ok(Some(Marked {
                    read_seq: unsigned(read)?,
                    unread_count: unsigned(last.saturating_sub(read).max(0))?,
                    moved,
                    member_count: u32::try_from(member_count).unwrap_or(u32::MAX),
                }))
            }

            async fn unread(&self, user: &UserId) -> Result<Vec<Unread>> {
                let rows: Vec<(String, i64, i64)> = sqlx::query_as(
                    "select m.room_id, r.last_message_seq - m.read_seq,
                        (select count(*) from mentions n
                            where n.room_id = m.room_id and n.user_id = $1 and n.seq > m.read_seq)
                    from members m join rooms r on r.room_id = m.room_id
                    where m.user_id = $1 and r.last_message_seq > m.read_seq
                    order by m.room_id",
                )
                .bind(user.as_str())
                .fetch_all(&mut *self.read().await?)
                .await?;
                rows.into_iter()
                    .map(|(room, messages, mentions)| {
                        Ok(Unread {
                            room: RoomId::parse(&room)?,
                            messages: unsigned(messages)?,
                            mentions: unsigned(mentions)?,
                        })
                    })
                    .collect()
            }

            async fn claim(
                &self,
                now: Timestamp,
                until: Timestamp,
                limit: u32,
            ) -> Result<Vec<Delivery>> {
                let rows: Vec<DeliveryRow> = sqlx::query_as(concat!(
                    "update outbox set due_ms = $2, attempts = attempts + 1
                    where (room_id, seq, kind) in (
                        select room_id, seq, kind from outbox where due_ms <= $1
                        order by due_ms limit $3",
                    $skip_locked,
                    ") returning room_id, seq, kind, users, title, body, actor, attempts"
                ))
                .bind(now.millis())
                .bind(until.millis())
                .bind(i64::from(limit))
                .fetch_all(&mut *self.write().await?)
                .await?;
                rows.into_iter().map(DeliveryRow::into_delivery).collect()
            }

            async fn delivered(&self, delivery: &Delivery) -> Result<()> {
                sqlx::query("delete from outbox where room_id = $1 and seq = $2 and kind = $3")
                    .bind(delivery.room.as_str())
                    .bind(signed(delivery.seq))
                    .bind(&delivery.kind)
                    .execute(&mut *self.write().await?)
                    .await?;
                Ok(())
            }

            async fn postpone(&self, delivery: &Delivery, until: Timestamp) -> Result<()> {
                sqlx::query(
                    "update outbox set due_ms = $4 where room_id = $1 and seq = $2 and kind = $3",
                )
                .bind(delivery.room.as_str())
                .bind(signed(delivery.seq))
                .bind(&delivery.kind)
                .bind(until.millis())
                .execute(&mut *self.write().await?)
                .await?;
                Ok(())
            }

            async fn missing_tables(&self) -> Result<Vec<String>> {
                Ok(self.missing(TABLES).await?)
            }

            fn journal(&self) -> Arc<dyn Journal> {
                let journal: fn(&$store) -> Arc<dyn Journal> = $journal;
                journal(self)
            }
        }

        async fn create_room(
            connection: &mut $connection,
            new: &NewRoom,
        ) -> Result<Option<Appended>> {
            let (low, high) = new.pair();
            let inserted = sqlx::query(
                "insert into rooms (room_id, kind, name, name_folded, created_by, created_ms,
                    activity_ms, member_count, user_low, user_high)
                values ($1, $2, $3, $4, $5, $6, $6, $7, $8, $9)
                on conflict (room_id) do nothing",
            )
            .bind(new.id.as_str())
            .bind(new.kind.name())
            .bind(&new.name)
            .bind(new.name.to_lowercase())
            .bind(new.creator.as_str())
            .bind(new.now.millis())
            .bind(signed(new.members.len() as u64 + 1))
            .bind(low)
            .bind(high)
            .execute(&mut *connection)
            .await?;
            if inserted.rows_affected() == 0 {
                return Ok(None);
            }
            let members = new.all_members();
            insert_members(connection, new, &members).await?;
            let events = members.iter().map(|member| {
                let event = MemberEvent {
                    room_id: &new.id,
                    member,
                    by: &new.creator,
                };
                Ok(NewEvent::new(RoomEvent::MemberJoined(event).encode()?))
            });
            let events = events.collect::<Result<Vec<_>>>()?;
            Ok(Some(log::append(connection, &new.id.channel(), &events).await?))
        }

        async fn insert_members(
            connection: &mut $connection,
            new: &NewRoom,
            members: &[Member],
        ) -> Result<()> {
            let creator = members.first().map(|member| member.role.name());
            let users: Vec<&str> = members.iter().map(|member| member.user.as_str()).collect();
            sqlx::query(concat!(
                "insert into members (room_id, user_id, role, joined_ms, read_seq)
                select $1, u.user_id, case when u.user_id = $3 then $4 else 'member' end, $5, 0
                from ",
                $users,
                " as u"
            ))
            .bind(new.id.as_str())
            .bind(serde_json::json!(users).to_string())
            .bind(new.creator.as_str())
            .bind(creator)
            .bind(new.now.millis())
            .execute(connection)
            .await?;
            Ok(())
        }

        async fn summary(
            connection: &mut $connection,
            room: &RoomId,
            user: &UserId,
        ) -> Result<Option<Summary>> {
            let row: Option<SummaryRow> =
                sqlx::query_as(concat!(summaries!(), " where r.room_id = $2"))
                    .bind(user.as_str())
                    .bind(room.as_str())
                    .fetch_optional(connection)
                    .await?;
            row.map(|row| row.into_summary(user)).transpose()
        }

        async fn member(
            connection: &mut $connection,
            room: &RoomId,
            user: &UserId,
        ) -> Result<Option<Member>> {
            let row: Option<MemberRow> = sqlx::query_as(
                "select user_id, role, joined_ms, read_seq from members
                where room_id = $1 and user_id = $2",
            )
            .bind(room.as_str())
            .bind(user.as_str())
            .fetch_optional(connection)
            .await?;
            row.map(MemberRow::into_member).transpose()
        }

        /// Locks a room: what follows in the transaction sees what came before it.
        async fn lock_room(connection: &mut $connection, room: &RoomId) -> Result<Locked> {
            let row: Option<(String, i64)> = sqlx::query_as(concat!(
                "select kind, last_message_seq from rooms where room_id = $1",
                $lock
            ))
            .bind(room.as_str())
            .fetch_optional(connection)
            .await?;
            let (kind, last_message_seq) = row.ok_or_else(Error::no_room)?;
            Ok(Locked {
                kind: room_kind(&kind)?,
                last_message_seq: unsigned(last_message_seq)?,
            })
        }

        /// How many owners a room has, counted to two.
        async fn n_owners(connection: &mut $connection, room: &RoomId) -> Result<i64> {
            Ok(sqlx::query_scalar(
                "select count(*) from (
                    select 1 as one from members where room_id = $1 and role = 'owner' limit 2
                ) as owners",
            )
            .bind(room.as_str())
            .fetch_one(connection)
            .await?)
        }

        async fn store_member(
            connection: &mut $connection,
            room: &RoomId,
            member: &Member,
            change: MemberChange,
        ) -> Result<()> {
            match change {
                MemberChange::Nothing => return Ok(()),
                MemberChange::Add(role) => {
                    sqlx::query(
                        "insert into members (room_id, user_id, role, joined_ms, read_seq)
                        values ($1, $2, $3, $4, $5)",
                    )
                    .bind(room.as_str())
                    .bind(member.user.as_str())
                    .bind(role.name())
                    .bind(member.joined_at.millis())
                    .bind(signed(member.read_seq))
                    .execute(&mut *connection)
                    .await?;
                }
                MemberChange::SetRole(role) => {
                    sqlx::query("update members set role = $3 where room_id = $1 and user_id = $2")
                        .bind(room.as_str())
                        .bind(member.user.as_str())
                        .bind(role.name())
                        .execute(&mut *connection)
                        .await?;
                    return Ok(());
                }
                MemberChange::Remove => {
                    sqlx::query("delete from members where room_id = $1 and user_id = $2")
                        .bind(room.as_str())
                        .bind(member.user.as_str())
                        .execute(&mut *connection)
                        .await?;
                }
            }
            let difference = if change == MemberChange::Remove { -1_i64 } else { 1 };
            sqlx::query("update rooms set member_count = member_count + $2 where room_id = $1")
                .bind(room.as_str())
                .bind(difference)
                .execute(connection)
                .await?;
            Ok(())
        }

        async fn message(
            connection: &mut $connection,
            room: &RoomId,
            seq: u64,
        ) -> Result<Option<MessageRow>> {
            Ok(sqlx::query_as(concat!(
                "select ",
                message_columns!(),
                " from messages where room_id = $1 and seq = $2"
            ))
            .bind(room.as_str())
            .bind(signed(seq))
            .fetch_optional(connection)
            .await?)
        }

        async fn update_message(connection: &mut $connection, message: &Message) -> Result<()> {
            sqlx::query(
                "update messages set body = $3, custom = $4, mentions = $5, edited_ms = $6,
                    deleted_ms = $7
                where room_id = $1 and seq = $2",
            )
            .bind(message.room_id.as_str())
            .bind(signed(message.seq))
            .bind(&message.text)
            .bind(message.custom.as_ref().map(|custom| custom.get()))
            .bind(users_json(&message.mentions))
            .bind(message.edited_at.map(Timestamp::millis))
            .bind(message.deleted_at.map(Timestamp::millis))
            .execute(&mut *connection)
            .await?;
            sqlx::query("delete from mentions where room_id = $1 and seq = $2")
                .bind(message.room_id.as_str())
                .bind(signed(message.seq))
                .execute(&mut *connection)
                .await?;
            if message.mentions.is_empty() {
                return Ok(());
            }
            insert_mentions(connection, message).await
        }

        async fn insert_mentions(connection: &mut $connection, message: &Message) -> Result<()> {
            sqlx::query(concat!(
                "insert into mentions (room_id, user_id, seq) select $1, u.user_id, $3 from ",
                $users,
                " as u"
            ))
            .bind(message.room_id.as_str())
            .bind(users_json(&message.mentions))
            .bind(signed(message.seq))
            .execute(connection)
            .await?;
            Ok(())
        }

        /// Those of some users who are members.
        async fn resolve(
            connection: &mut $connection,
            room: &RoomId,
            users: Vec<UserId>,
        ) -> Result<Vec<UserId>> {
            let Some(json) = users_json(&users) else {
                return Ok(users);
            };
            let members: Vec<String> = sqlx::query_scalar(concat!(
                "select m.user_id from members m join ",
                $users,
                " as u on u.user_id = m.user_id where m.room_id = $1 order by m.user_id"
            ))
            .bind(room.as_str())
            .bind(json)
            .fetch_all(connection)
            .await?;
            Ok(members.into_iter().map(UserId::stored).collect())
        }
    };
}

pub(super) use {implement_store, message_columns, room_columns, summaries};
