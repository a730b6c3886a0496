-- The same tables as in PostgreSQL, where the columns are explained.
create table logs (
    channel text not null,
    epoch text not null,
    top integer not null,
    published integer not null default 0,
    unpublished_since_ms integer,
    constraint logs_pkey primary key (channel),
    constraint logs_order check (published >= 0 and published <= top)
) strict, without rowid;

-- The sweeper's question: whose events wait longest?
create index logs_unpublished_idx on logs (unpublished_since_ms) where unpublished_since_ms is not null;

create table log_events (
    channel text not null,
    log_offset integer not null,
    data blob not null,
    tags text,
    ends_user text,
    time_ms integer not null,
    constraint log_events_pkey primary key (channel, log_offset)
) strict, without rowid;
