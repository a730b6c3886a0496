-- Rooms, their members and messages. Every key starts with the room, so that the
-- tables can be distributed by room; the log's key is the room's channel. Times are
-- Unix milliseconds. Ids compare by bytes, as in the program.
create table rooms (
    room_id text collate "C" not null,
    kind text not null,
    name text not null,
    -- The name in lower case, by which open rooms are listed and found.
    name_folded text collate "C" not null,
    created_by text collate "C" not null,
    created_ms bigint not null,
    last_message_seq bigint not null default 0,
    -- When the newest message was sent, or the room created.
    activity_ms bigint not null,
    member_count bigint not null,
    -- The two users of a direct room, in order; else null.
    user_low text collate "C",
    user_high text collate "C",
    constraint rooms_pkey primary key (room_id),
    constraint rooms_kind_check check (kind in ('direct', 'group', 'public', 'broadcast')),
    constraint rooms_direct_check check ((kind = 'direct') = (user_low is not null and user_high is not null))
) with (fillfactor = 70);

-- Public rooms by name.
create index rooms_public_idx on rooms (name_folded, room_id) where kind in ('public', 'broadcast');

create table members (
    room_id text collate "C" not null,
    user_id text collate "C" not null,
    role text not null,
    joined_ms bigint not null,
    -- Everything up to this message was read.
    read_seq bigint not null,
    constraint members_pkey primary key (room_id, user_id),
    constraint members_role_check check (role in ('member', 'admin', 'owner'))
) with (fillfactor = 70);

-- The rooms of a user.
create index members_user_idx on members (user_id, room_id);

create table messages (
    room_id text collate "C" not null,
    seq bigint not null,
    message_id text collate "C" not null,
    author text collate "C" not null,
    client_msg_id text collate "C" not null,
    -- Number of the event that announced it.
    event_offset bigint not null,
    -- Tells a retry from another use of `client_msg_id`, also after an edit.
    fingerprint text collate "C" not null,
    body text not null,
    -- A JSON object; null: none was given.
    custom text,
    -- A JSON array of users; null: nobody is mentioned.
    mentions text,
    created_ms bigint not null,
    edited_ms bigint,
    deleted_ms bigint,
    constraint messages_pkey primary key (room_id, seq),
    constraint messages_client_msg_id_key unique (room_id, author, client_msg_id)
);

-- Who is mentioned where, to count mentions above a read pointer.
create table mentions (
    room_id text collate "C" not null,
    user_id text collate "C" not null,
    seq bigint not null,
    constraint mentions_pkey primary key (room_id, user_id, seq)
);

-- Notifications on their way to notify-service, written with their message.
create table outbox (
    room_id text collate "C" not null,
    seq bigint not null,
    kind text collate "C" not null,
    -- A JSON array of users.
    users text not null,
    title text not null,
    body text not null,
    actor text not null,
    -- Not tried again before.
    due_ms bigint not null,
    attempts bigint not null default 0,
    constraint outbox_pkey primary key (room_id, seq, kind),
    constraint outbox_kind_check check (kind in ('mention', 'direct_message'))
);

-- What to deliver next.
create index outbox_due_idx on outbox (due_ms);
