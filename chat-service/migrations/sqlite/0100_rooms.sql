-- The same tables as in PostgreSQL, where they are explained.
create table rooms (
    room_id text not null,
    kind text not null,
    name text not null,
    name_folded text not null,
    created_by text not null,
    created_ms integer not null,
    last_message_seq integer not null default 0,
    activity_ms integer not null,
    member_count integer not null,
    user_low text,
    user_high text,
    constraint rooms_pkey primary key (room_id),
    constraint rooms_kind_check check (kind in ('direct', 'group', 'public', 'broadcast')),
    constraint rooms_direct_check check ((kind = 'direct') = (user_low is not null and user_high is not null))
) strict, without rowid;

-- Public rooms by name.
create index rooms_public_idx on rooms (name_folded, room_id) where kind in ('public', 'broadcast');

create table members (
    room_id text not null,
    user_id text not null,
    role text not null,
    joined_ms integer not null,
    read_seq integer not null,
    constraint members_pkey primary key (room_id, user_id),
    constraint members_role_check check (role in ('member', 'admin', 'owner'))
) strict, without rowid;

-- The rooms of a user.
create index members_user_idx on members (user_id, room_id);

create table messages (
    room_id text not null,
    seq integer not null,
    message_id text not null,
    author text not null,
    client_msg_id text not null,
    event_offset integer not null,
    fingerprint text not null,
    body text not null,
    custom text,
    mentions text,
    created_ms integer not null,
    edited_ms integer,
    deleted_ms integer,
    constraint messages_pkey primary key (room_id, seq),
    constraint messages_client_msg_id_key unique (room_id, author, client_msg_id)
) strict, without rowid;

-- Who is mentioned where, to count mentions above a read pointer.
create table mentions (
    room_id text not null,
    user_id text not null,
    seq integer not null,
    constraint mentions_pkey primary key (room_id, user_id, seq)
) strict, without rowid;

-- Notifications on their way to notify-service, written with their message.
create table outbox (
    room_id text not null,
    seq integer not null,
    kind text not null,
    users text not null,
    title text not null,
    body text not null,
    actor text not null,
    due_ms integer not null,
    attempts integer not null default 0,
    constraint outbox_pkey primary key (room_id, seq, kind),
    constraint outbox_kind_check check (kind in ('mention', 'direct_message'))
) strict, without rowid;

-- What to deliver next.
create index outbox_due_idx on outbox (due_ms);
