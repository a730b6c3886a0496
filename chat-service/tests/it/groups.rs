//! Sends that share a transaction: each is as if it were alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chat_service::Config;
use chat_service::error::Error;
use chat_service::message::Text;
use chat_service::room::{RoomId, RoomKind};
use chat_service::store::{NewMessage, NewRoom, SendSituation, Sent, Store, migrations};
use chat_service::user::UserId;
use proto::chat::v1 as pb;
use service::{Database, Timestamp};
use sqlx::{Connection, PgConnection};
use testkit::{TestDatabase, eventually};
use tokio::task::JoinSet;
use tonic::{Code, Request, Response, Status};

use crate::on_both_databases;
use crate::service::{DEADLINE, TestService};

on_both_databases!(rooms_stay_gapless_whatever_is_sent_at_once);

async fn rooms_stay_gapless_whatever_is_sent_at_once(service: TestService) {
    const ROOMS: usize = 12;
    const SENDERS: [&str; 3] = ["alice", "bob", "carol"];
    const EACH: usize = 8;
    let service = Arc::new(service);
    let mut rooms = Vec::new();
    for _ in 0..ROOMS {
        rooms.push(service.room(pb::RoomKind::Group, &SENDERS[1..]).await);
    }
    let mut senders = JoinSet::new();
    for room in &rooms {
        for sender in SENDERS {
            let (service, room) = (service.clone(), room.clone());
            senders.spawn(async move {
                let mut last = 0;
                for n in 0..EACH {
                    let sent = service.sent(sender, &room, &format!("{sender} {n}")).await;
                    assert!(sent.seq > last, "{} after {last}", sent.seq);
                    last = sent.seq;
                }
            });
        }
    }
    senders.join_all().await;

    for room in &rooms {
        let n_messages = SENDERS.len() * EACH;
        let events = service
            .events(&room.channel, SENDERS.len() + n_messages)
            .await;
        let messages = &events[SENDERS.len()..];
        let mut of_sender: BTreeMap<&str, usize> = BTreeMap::new();
        for (number, (offset, event)) in (1_u64..).zip(messages) {
            let message = &event["message_created"];
            assert_eq!(
                (message["seq"].as_u64(), *offset),
                (Some(number), number + 3)
            );
            let sender = message["author"].as_str().unwrap();
            let n = of_sender.entry(sender).or_default();
            assert_eq!(message["text"], format!("{sender} {n}"));
            *n += 1;
        }
        assert!(of_sender.values().all(|n| *n == EACH), "{of_sender:?}");
    }
    let (groups, sends) = (
        service.metric("fanfare_chat_send_groups_total"),
        service.metric("fanfare_chat_grouped_sends_total"),
    );
    assert_eq!(sends, (ROOMS * SENDERS.len() * EACH) as u64);
    assert!(groups < sends, "{sends} sends in {groups} groups");
}

#[tokio::test]
async fn each_of_a_group_gets_its_own_answer_in_postgres() {
    let database = TestDatabase::new().await;
    each_of_a_group_gets_its_own_answer(database.url()).await;
}

#[tokio::test]
async fn each_of_a_group_gets_its_own_answer_in_sqlite() {
    let dir = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}/chat.db", dir.path().display());
    each_of_a_group_gets_its_own_answer(&url).await;
}

async fn each_of_a_group_gets_its_own_answer(url: &str) {
    let store = store(url).await;
    let (a, b) = (
        room(&store, "a", &["ann", "bob"]).await,
        room(&store, "b", &["ann", "bob"]).await,
    );
    let earlier = [new(&a, "ann", "0", "earlier")];
    let earlier = store.send(&earlier, &members_send).await.unwrap();
    let earlier = earlier[0].as_ref().unwrap();

    let group = [
        new(&b, "ann", "1", "hello @bob and @eve"),
        new(&a, "eve", "1", "let me in"),
        new(&a, "bob", "1", "first"),
        new(&RoomId::parse("nowhere").unwrap(), "ann", "1", "hello?"),
        new(&a, "ann", "0", "earlier"),
        new(&a, "ann", "0", "not what it was"),
        new(&a, "bob", "1", "first"),
        new(&a, "bob", "1", "not the first"),
        new(&b, "bob", "1", "the same id in another room"),
        new(&a, "ann", "1", "@bob last"),
    ];
    let results = store.send(&group, &members_send).await.unwrap();
    let outcome = |result: &Result<Sent, Error>| match result {
        Ok(sent) => Ok((sent.message.seq, sent.offset, sent.appended.is_some())),
        Err(error) => Err(error.to_string()),
    };
    let other_text = Err("client_msg_id was used with another text".to_owned());
    assert_eq!(
        results.iter().map(outcome).collect::<Vec<_>>(),
        [
            Ok((1, 3, true)),
            Err("only members send".to_owned()),
            Ok((2, 4, true)),
            Err("no such room".to_owned()),
            Ok((1, 3, false)),
            other_text.clone(),
            Ok((2, 4, false)),
            other_text,
            Ok((2, 4, true)),
            Ok((3, 5, true)),
        ]
    );
    let message = |n: usize| &results[n].as_ref().unwrap().message;
    assert_eq!(message(4), &earlier.message);
    assert_eq!(message(6), message(2));
    let bob = UserId::parse("bob").unwrap();
    assert_eq!(message(0).mentions, std::slice::from_ref(&bob));

    // What was answered is what is there.
    for (room, last) in [(&a, 3), (&b, 2)] {
        let page = store
            .page(room, chat_service::message::Anchor::Newest, 50)
            .await;
        let page = page.unwrap().unwrap();
        let seqs: Vec<u64> = page.messages.iter().map(|message| message.seq).collect();
        assert_eq!(seqs, (1..=last).collect::<Vec<u64>>());
        assert_eq!(page.position.offset, 2 + last);
        let events = store.journal().read(&room.channel(), 2, 50).await.unwrap();
        for (event, message) in events.iter().zip(&page.messages) {
            let event: serde_json::Value = serde_json::from_slice(&event.data).unwrap();
            let stored = serde_json::to_value(message).unwrap();
            assert_eq!(event["message_created"], stored);
        }
        assert_eq!(events.len() as u64, last);
    }
    let unread = store.unread(&bob).await.unwrap();
    assert_eq!((unread.len(), unread[0].mentions), (1, 1), "{unread:?}");
    let now = Timestamp::now().after(Duration::from_secs(1));
    let due = store.claim(now, now, 50).await.unwrap();
    let mut due: Vec<_> = due
        .iter()
        .map(|delivery| {
            (
                delivery.room.as_str(),
                delivery.seq,
                delivery.users.join(" "),
            )
        })
        .collect();
    due.sort();
    assert_eq!(due, [("a", 3, "bob".into()), ("b", 1, "bob".into())]);
}

#[tokio::test]
async fn what_the_database_does_not_take_fails_alone() {
    let database = TestDatabase::new().await;
    let service = patient(&database, |_| {}).await;
    database
        .sql("alter table messages add constraint no_poison check (body <> 'poison')")
        .await;
    let first = service.room(pb::RoomKind::Group, &[]).await;
    let rooms = [
        service.room(pb::RoomKind::Group, &[]).await,
        service.room(pb::RoomKind::Group, &[]).await,
    ];
    let lock = Lock::of_all_rooms(&database).await;
    let mut sends = JoinSet::new();
    // As many as may be under way; what comes now gathers behind them.
    send_in(&mut sends, &service, &first, "before", None);
    lock.is_waited_for(&database, 1).await;
    send_in(&mut sends, &service, &rooms[0], "before", None);
    lock.is_waited_for(&database, 2).await;
    for n in 0..5 {
        for room in &rooms {
            send_in(&mut sends, &service, room, &format!("good {n}"), None);
        }
        send_in(&mut sends, &service, &rooms[0], "poison", None);
    }
    are_waiting(&service, 15).await;
    lock.release().await;
    for (text, result) in sends.join_all().await {
        match result {
            Ok(_) => assert_ne!(text, "poison"),
            Err(status) => assert_eq!((text.as_str(), status.code()), ("poison", Code::Internal)),
        }
    }
    let messages = "select count(*) || ' ' || max(seq) from messages where room_id = ";
    let count = async |room: &pb::Room| database.sql(&format!("{messages}'{}'", room.id)).await;
    assert_eq!(count(&rooms[0]).await, "6 6");
    assert_eq!(count(&rooms[1]).await, "5 5");
}

#[tokio::test]
async fn too_many_sends_are_refused_and_the_others_go_on() {
    let database = TestDatabase::new().await;
    let service = patient(&database, |config| config.database.max_waiting_sends = 3).await;
    let room = service.room(pb::RoomKind::Group, &[]).await;
    let lock = Lock::of_all_rooms(&database).await;
    let mut sends = JoinSet::new();
    send_in(&mut sends, &service, &room, "under way", None);
    lock.is_waited_for(&database, 1).await;
    let mut waiting = JoinSet::new();
    for n in 0..4 {
        send_in(&mut waiting, &service, &room, &format!("waits {n}"), None);
    }
    // One of them is one too many.
    let (_, refused) = waiting.join_next().await.unwrap().unwrap();
    assert_eq!(refused.unwrap_err().code(), Code::ResourceExhausted);
    assert_eq!(service.metric("fanfare_chat_refused_sends_total"), 1);
    lock.release().await;
    for (text, result) in [sends.join_all().await, waiting.join_all().await].concat() {
        assert!(result.is_ok(), "{text}: {result:?}");
    }
    assert_eq!(service.sent("alice", &room, "afterwards").await.seq, 5);
}

#[tokio::test]
async fn a_send_that_waited_beyond_its_deadline_is_not_stored() {
    let database = TestDatabase::new().await;
    let service = patient(&database, |_| {}).await;
    let room = service.room(pb::RoomKind::Group, &[]).await;
    let lock = Lock::of_all_rooms(&database).await;
    let mut sends = JoinSet::new();
    send_in(&mut sends, &service, &room, "in time", None);
    lock.is_waited_for(&database, 1).await;
    let mut late = JoinSet::new();
    let deadline = Some(Duration::from_secs(1));
    send_in(&mut late, &service, &room, "too late", deadline);
    are_waiting(&service, 1).await;
    let (_, result) = late.join_next().await.unwrap().unwrap();
    assert!(result.is_err(), "{result:?}");
    lock.release().await;
    assert!(sends.join_next().await.unwrap().unwrap().1.is_ok());
    assert_eq!(service.sent("alice", &room, "next").await.seq, 2);
    let texts = database.sql("select string_agg(body, ', ' order by seq) from messages");
    assert_eq!(texts.await, "in time, next");
    assert_eq!(service.metric("fanfare_chat_expired_sends_total"), 1);
}

#[tokio::test]
async fn connections_that_die_lose_and_double_nothing() {
    const ROOMS: usize = 6;
    const SENDERS: usize = 24;
    let database = TestDatabase::new().await;
    let service = Arc::new(TestService::on(database.url()).await);
    let mut rooms = Vec::new();
    for _ in 0..ROOMS {
        rooms.push(service.room(pb::RoomKind::Group, &[]).await);
    }
    let over = Arc::new(AtomicBool::new(false));
    let mut senders = JoinSet::new();
    for sender in 0..SENDERS {
        let (service, room, over) = (service.clone(), rooms[sender % ROOMS].clone(), over.clone());
        senders.spawn(async move {
            let (mut stored, mut failed) = (Vec::new(), 0);
            for n in 0.. {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let id = format!("{sender}-{n}");
                match service.send("alice", &room, &id).await {
                    Ok(sent) => stored.push((id, sent.message.unwrap().seq)),
                    Err(status) => {
                        assert_eq!(status.code(), Code::Unavailable, "{status}");
                        failed += 1;
                    }
                }
            }
            (room.id, stored, failed)
        });
    }
    let mut n_killed = 0;
    eventually(DEADLINE, async || {
        let killed = database.sql(
            "select count(*) filter (where pg_terminate_backend(pid)) from pg_stat_activity
            where datname = current_database() and application_name = 'chat-service'
                and xact_start is not null and pid <> pg_backend_pid()",
        );
        n_killed += killed.await.parse::<u32>().unwrap();
        n_killed >= 20
    })
    .await;
    over.store(true, Ordering::Relaxed);
    let (mut n_failed, mut acknowledged) = (0, 0);
    for (room, stored, failed) in senders.join_all().await {
        n_failed += failed;
        for (id, seq) in stored {
            let rows = format!(
                "select string_agg(seq::text, ',') from messages
                where room_id = '{room}' and client_msg_id = '{id}'"
            );
            acknowledged += 1;
            if acknowledged % 7 == 0 {
                assert_eq!(database.sql(&rows).await, seq.to_string(), "{id}");
            }
        }
    }
    assert!(n_failed > 0);
    // Everything that is stored is published once, also what nobody got an answer to.
    for room in &rooms {
        let state = format!(
            "select count(*) || ' ' || max(seq) || ' ' || max(event_offset) || ' '
                || count(distinct client_msg_id)
            from messages where room_id = '{}'",
            room.id
        );
        let state = database.sql(&state).await;
        let numbers: Vec<u64> = state.split(' ').map(|n| n.parse().unwrap()).collect();
        let n = numbers[0];
        assert_eq!(numbers, [n, n, n + 1, n]);
        let logged = format!("select top from logs where channel = '{}'", room.channel);
        assert_eq!(database.sql(&logged).await, (n + 1).to_string());
        let published = format!(
            "select published from logs where channel = '{}'",
            room.channel
        );
        eventually(DEADLINE, async || {
            database.sql(&published).await == (n + 1).to_string()
        })
        .await;
    }
}

/// A service that waits longer for its database than the test holds locks.
async fn patient(database: &TestDatabase, set: impl FnOnce(&mut Config)) -> Arc<TestService> {
    let service = TestService::on_with(database.url(), |config| {
        config.database.timeout = DEADLINE;
        set(config);
    });
    Arc::new(service.await)
}

async fn are_waiting(service: &TestService, n_sends: u64) {
    eventually(DEADLINE, async || {
        service.metric("fanfare_chat_waiting_sends") == n_sends
    })
    .await;
}

/// Locks of rooms, held by a transaction of the test's own.
struct Lock(PgConnection);

impl Lock {
    async fn of_all_rooms(database: &TestDatabase) -> Self {
        let mut connection = PgConnection::connect(database.url()).await.unwrap();
        for sql in ["begin", "select 1 from rooms for update"] {
            sqlx::query(sql).execute(&mut connection).await.unwrap();
        }
        Self(connection)
    }

    /// Returns once so many transactions wait.
    async fn is_waited_for(&self, database: &TestDatabase, n_transactions: u32) {
        let waiting = "select count(*) from pg_stat_activity
            where datname = current_database() and wait_event_type = 'Lock'";
        eventually(DEADLINE, async || {
            database.sql(waiting).await == n_transactions.to_string()
        })
        .await;
    }

    async fn release(self) {
        self.0.close().await.unwrap();
    }
}

type Answer = Result<pb::SendMessageResponse, Status>;

/// Sends as alice in a task that returns the text and the answer.
fn send_in(
    sends: &mut JoinSet<(String, Answer)>,
    service: &Arc<TestService>,
    room: &pb::Room,
    text: &str,
    deadline: Option<Duration>,
) {
    let (service, room, text) = (service.clone(), room.id.clone(), text.to_owned());
    sends.spawn(async move {
        let mut request = Request::new(pb::SendMessageRequest {
            room_id: room,
            client_msg_id: text.clone(),
            text: text.clone(),
            custom: None,
        });
        if let Some(deadline) = deadline {
            request.set_timeout(deadline);
        }
        let answer = service.chat("alice").send_message(request).await;
        (text, answer.map(Response::into_inner))
    });
}

async fn store(url: &str) -> Arc<dyn Store> {
    let database = Database::new(url, 4).unwrap();
    database.migrate(&migrations()).await.unwrap();
    chat_service::store::open(&database).unwrap()
}

async fn room(store: &Arc<dyn Store>, id: &str, members: &[&str]) -> RoomId {
    let id = RoomId::parse(id).unwrap();
    let mut members = members.iter().map(|user| UserId::parse(user).unwrap());
    let room = NewRoom {
        id: id.clone(),
        kind: RoomKind::Group,
        name: "Room".into(),
        creator: members.next().unwrap(),
        members: members.collect(),
        now: Timestamp::now(),
    };
    store.create_room(&room).await.unwrap();
    id
}

fn new(room: &RoomId, author: &str, id: &str, text: &str) -> NewMessage {
    NewMessage {
        room: room.clone(),
        author: UserId::parse(author).unwrap(),
        client_msg_id: id.to_owned(),
        text: Text::parse(text.to_owned()).unwrap(),
        custom: None,
        now: Timestamp::now(),
        traceparent: None,
    }
}

fn members_send(situation: &SendSituation) -> Result<(), Error> {
    match situation.author {
        Some(_) => Ok(()),
        None => Err(Error::Denied("only members send".into())),
    }
}
