-- One row per log; its lock is what makes the numbers gapless and ordered. Channels
-- compare by bytes, so that services can join on them.
create table logs (
    channel text collate "C" not null,
    epoch text not null,
    -- Number of the newest event.
    top bigint not null,
    -- Everything up to this number was given to the broker.
    published bigint not null default 0,
    -- When the oldest event above `published` was appended; null: there is none.
    unpublished_since_ms bigint,
    constraint logs_pkey primary key (channel),
    constraint logs_order check (published >= 0 and published <= top)
) with (fillfactor = 70);

-- The sweeper's question: whose events wait longest?
create index logs_unpublished_idx on logs (unpublished_since_ms) where unpublished_since_ms is not null;

create table log_events (
    channel text collate "C" not null,
    log_offset bigint not null,
    data bytea not null,
    -- JSON object of strings; null: none.
    tags text,
    -- The user whose subscriptions to the channel end with this event.
    ends_user text,
    time_ms bigint not null,
    -- Also what reading after an offset uses.
    constraint log_events_pkey primary key (channel, log_offset)
);
