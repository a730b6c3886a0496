-- Users' inboxes. Every key starts with the user, so that the tables can be
-- distributed by user. Times are Unix milliseconds.
--
-- Each inbox's events are in `logs` and `log_events` (crates/journal, versions 1 to
-- 99), the one outbox of whatever delivers them: what reaches users outside of the
-- application later (Web Push, e-mail, webhooks) reads the same typed events and
-- keeps its own state in tables of its own, by (user_id, id).

create table inboxes (
    user_id text collate "C" not null,
    -- Notifications that are not archived and not read.
    unread bigint not null default 0,
    -- … and not seen. What is read is seen, so it is never more than `unread`.
    unseen bigint not null default 0,
    -- Offset of the newest event in the inbox's log: the counters' version.
    version bigint not null default 0,
    -- `created_at` of the newest notification ever: the next one is not older.
    newest_at bigint not null default 0,
    constraint inboxes_pkey primary key (user_id),
    constraint inboxes_counts_check check (0 <= unseen and unseen <= unread)
);

create table notifications (
    user_id text collate "C" not null,
    -- Offset of the event that created it: the order of the inbox.
    seq bigint not null,
    id text collate "C" not null,
    category text not null,
    title text not null,
    body text not null,
    link text not null,
    actor text not null,
    -- A JSON object; null: none was given.
    data text,
    idempotency_key text collate "C",
    created_at bigint not null,
    seen_at bigint,
    read_at bigint,
    archived_at bigint,
    constraint notifications_pkey primary key (user_id, seq),
    constraint notifications_id_key unique (user_id, id),
    constraint notifications_idempotency_key unique (user_id, idempotency_key)
);

-- ListInbox, newest first, however much is archived.
create index notifications_inbox_idx on notifications (user_id, seq)
where archived_at is null;

-- ListInbox with unread_only, and MarkAllRead.
create index notifications_unread_idx on notifications (user_id, seq)
where read_at is null and archived_at is null;

-- Retention: what may be removed, oldest first.
create index notifications_done_idx on notifications (created_at)
where read_at is not null or archived_at is not null;
