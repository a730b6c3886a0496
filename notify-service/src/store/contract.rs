//! What every [`Store`] promises: one suite, run on each.

use std::collections::HashMap;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use serde_json::Value;
use service::{Database, Timestamp};
use testkit::TestDatabase;

use super::{Filter, Notified, Page, PageQuery, Store, migrations, open};
use crate::inbox::{Counts, Mark};
use crate::notification::{Content, IdempotencyKey, Notification};
use crate::user::UserId;

/// A store with a database of its own.
struct TestStore {
    store: Arc<dyn Store>,
    _place: Place,
}

#[expect(dead_code, reason = "held for their drop")]
enum Place {
    Postgres(TestDatabase),
    Sqlite(tempfile::TempDir),
}

impl TestStore {
    async fn postgres() -> Self {
        let database = TestDatabase::new().await;
        let url = database.url().to_owned();
        Self::open(&url, Place::Postgres(database)).await
    }

    async fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/new/notify.db", folder.path().display());
        Self::open(&url, Place::Sqlite(folder)).await
    }

    async fn open(url: &str, place: Place) -> Self {
        let database = Database::new(url, 8).unwrap();
        let migrations = migrations();
        let store = open(&database).unwrap();
        let missing = store.missing_tables().await.unwrap();
        assert_eq!(missing, ["inboxes", "notifications", "logs", "log_events"]);
        database.migrate(&migrations).await.unwrap();
        database
            .migrate(&migrations)
            .await
            .expect("migrating twice is harmless");
        assert!(store.missing_tables().await.unwrap().is_empty());
        Self {
            store,
            _place: place,
        }
    }

    async fn notify_with(
        &self,
        users: &[UserId],
        key: Option<&str>,
        now: i64,
    ) -> Vec<(String, bool)> {
        let content = Arc::new(content());
        let key = key.and_then(|key| IdempotencyKey::parse(key.to_owned()).unwrap());
        let now = Timestamp::from_millis(now);
        let notified = self
            .store
            .notify(users, &content, key.as_ref(), now)
            .await
            .unwrap();
        notified
            .into_iter()
            .map(|notified| match notified {
                Notified::Created { id, .. } => (id, false),
                Notified::Duplicate { id } => (id, true),
            })
            .collect()
    }

    async fn notify(&self, user: &UserId, now: i64) -> String {
        let mut notified = self
            .notify_with(std::slice::from_ref(user), None, now)
            .await;
        notified.remove(0).0
    }

    /// Marks and says whether there was an event.
    async fn mark(&self, user: &UserId, ids: &[&str], mark: Mark) -> (Counts, bool) {
        let ids: Vec<String> = ids.iter().map(|&id| id.to_owned()).collect();
        let marked = self.store.mark(user, &ids, mark, LATER).await.unwrap();
        (marked.counts, marked.appended.is_some())
    }

    async fn page(&self, user: &UserId, query: PageQuery) -> Page {
        self.store
            .page(user, &query)
            .await
            .unwrap()
            .expect("an inbox")
    }

    async fn all(&self, user: &UserId, filter: Filter) -> Vec<Notification> {
        let query = PageQuery {
            before: None,
            limit: 10_000,
            filter,
        };
        self.page(user, query).await.notifications
    }

    /// The events of the user's log, decoded.
    async fn events(&self, user: &UserId) -> Vec<Value> {
        let journal = self.store.journal();
        let events = journal.read(&user.channel(), 0, 10_000).await.unwrap();
        for (event, offset) in events.iter().zip(1..) {
            assert_eq!(event.offset, offset, "the log has no gaps");
        }
        let decode = |event: &journal::Event| serde_json::from_slice(&event.data).unwrap();
        events.iter().map(decode).collect()
    }

    /// Counters, rows and log must tell the same.
    async fn assert_consistent(&self, user: &UserId) {
        let counts = self.store.counts(user).await.unwrap();
        let rows = self.all(user, Filter::Inbox).await;
        let n = |is: fn(&Notification) -> bool| rows.iter().filter(|n| is(n)).count() as u64;
        assert_eq!(
            counts.unread,
            n(|n| n.marks.is_unread()),
            "unread is a recount"
        );
        assert_eq!(
            counts.unseen,
            n(|n| n.marks.is_unseen()),
            "unseen is a recount"
        );

        let events = self.events(user).await;
        assert_eq!(counts.version, events.len() as u64);
        let folded = fold(&events);
        let archived = self.all(user, Filter::Archived).await;
        let stored: HashMap<String, State> = rows
            .iter()
            .chain(&archived)
            .map(|n| (n.id.clone(), State::of(n)))
            .collect();
        assert_eq!(folded, stored, "the log tells the state");
    }
}

/// What a client knows of a notification.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct State {
    seen: bool,
    read: bool,
    archived: bool,
}

impl State {
    fn of(notification: &Notification) -> Self {
        Self {
            seen: notification.marks.seen_at.is_some(),
            read: notification.marks.read_at.is_some(),
            archived: notification.marks.archived_at.is_some(),
        }
    }
}

/// What a client does with the events, checking their counters as it goes.
fn fold(events: &[Value]) -> HashMap<String, State> {
    let mut states: HashMap<String, State> = HashMap::new();
    for (event, version) in events.iter().zip(1_u64..) {
        if let Some(created) = event.get("created") {
            let id = created["id"].as_str().unwrap().to_owned();
            assert_eq!(states.insert(id, State::default()), None, "created once");
        } else if let Some(changed) = event.get("changed") {
            for id in changed["ids"].as_array().unwrap() {
                let state = states.get_mut(id.as_str().unwrap()).expect("a known id");
                match changed["state"].as_str().unwrap() {
                    "STATE_SEEN" => state.seen = true,
                    "STATE_READ" => (state.seen, state.read) = (true, true),
                    "STATE_UNREAD" => state.read = false,
                    "STATE_ARCHIVED" => state.archived = true,
                    other => panic!("unknown state {other}"),
                }
            }
        } else if event.get("all_read").is_some() {
            for state in states.values_mut().filter(|state| !state.archived) {
                (state.seen, state.read) = (true, true);
            }
        }
        let n = |is: fn(&State) -> bool| states.values().filter(|s| !s.archived && is(s)).count();
        assert_eq!(event["counts"]["unread"], n(|state| !state.read), "{event}");
        assert_eq!(event["counts"]["unseen"], n(|state| !state.seen), "{event}");
        assert_eq!(event["counts"]["version"], version, "{event}");
    }
    states
}

const NOW: i64 = 1_795_554_245_007;
const LATER: Timestamp = Timestamp::from_millis(NOW + 60_000);

fn user(name: &str) -> UserId {
    UserId::parse(name).unwrap()
}

fn content() -> Content {
    let data = r#"{"room":"r1","seq":9007199254740991,"text":"a\u0000b"}"#;
    Content {
        category: "mention".to_owned(),
        title: "Ann mentioned you 🎉".to_owned(),
        body: "two\nlines".to_owned(),
        link: "/rooms/r1".to_owned(),
        actor: "ann".to_owned(),
        data: serde_json::from_str(data).unwrap(),
    }
}

async fn what_is_notified_is_in_the_inbox(test: &TestStore) {
    let ann = user("ann");
    let id = test.notify(&ann, NOW).await;
    let page = test
        .page(
            &ann,
            PageQuery {
                limit: 10,
                ..PageQuery::default()
            },
        )
        .await;
    let [notification] = &*page.notifications else {
        panic!("one notification, not {:?}", page.notifications);
    };
    assert_eq!(notification.id, id);
    assert_eq!(notification.user, ann);
    assert_eq!(notification.created_at.millis(), NOW);
    assert_eq!(
        format!("{:?}", notification.content),
        format!("{:?}", content())
    );
    assert!(!page.has_more);
    let counts = Counts {
        unread: 1,
        unseen: 1,
        version: 1,
    };
    assert_eq!(page.counts, counts);
    assert_eq!(test.store.counts(&ann).await.unwrap(), counts);
    let state = test
        .store
        .journal()
        .state(&ann.channel())
        .await
        .unwrap()
        .unwrap();
    assert_eq!((state.epoch, state.top), (page.epoch, 1));
    test.assert_consistent(&ann).await;
}

async fn a_key_counts_once_per_user(test: &TestStore) {
    let (ann, bob, cat) = (user("ann"), user("bob"), user("cat"));
    let first = test
        .notify_with(&[ann.clone(), bob.clone()], Some("k"), NOW)
        .await;
    assert!(first.iter().all(|(_, duplicate)| !duplicate));
    // One more user: as if the first call had stored only a part.
    let again = test
        .notify_with(&[ann.clone(), bob.clone(), cat.clone()], Some("k"), NOW)
        .await;
    let duplicates: Vec<bool> = again.iter().map(|(_, duplicate)| *duplicate).collect();
    assert_eq!(duplicates, [true, true, false]);
    assert_eq!(
        again[..2].iter().map(|n| &n.0).collect::<Vec<_>>(),
        first.iter().map(|n| &n.0).collect::<Vec<_>>()
    );
    let other = test
        .notify_with(std::slice::from_ref(&ann), Some("other"), NOW)
        .await;
    assert!(!other[0].1);
    for user in [ann, bob, cat] {
        test.assert_consistent(&user).await;
    }
}

async fn a_key_counts_once_among_concurrent_calls(test: &TestStore) {
    let users: Vec<UserId> = (10..30).map(|n| user(&format!("u{n}"))).collect();
    let call = || test.notify_with(&users, Some("k"), NOW);
    let calls = tokio::join!(call(), call(), call(), call());
    let mut n_created = 0;
    for (index, user) in users.iter().enumerate() {
        let ids = [&calls.0, &calls.1, &calls.2, &calls.3].map(|call| call[index].clone());
        assert!(ids.iter().all(|(id, _)| *id == ids[0].0), "one id for all");
        n_created += ids.iter().filter(|(_, duplicate)| !duplicate).count();
        test.assert_consistent(user).await;
    }
    assert_eq!(n_created, users.len());
}

async fn marks_change_state_and_counters(test: &TestStore) {
    let ann = user("ann");
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(test.notify(&ann, NOW).await);
    }
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let counts = |unread, unseen, version| Counts {
        unread,
        unseen,
        version,
    };
    assert_eq!(
        test.mark(&ann, &ids[..3], Mark::Seen).await,
        (counts(4, 1, 5), true)
    );
    assert_eq!(
        test.mark(&ann, &ids[2..], Mark::Read).await,
        (counts(2, 0, 6), true)
    );
    assert_eq!(
        test.mark(&ann, &ids[3..], Mark::Unread).await,
        (counts(3, 0, 7), true)
    );
    assert_eq!(
        test.mark(&ann, &ids[..1], Mark::Archived).await,
        (counts(2, 0, 8), true)
    );
    test.assert_consistent(&ann).await;

    let all_read = test.store.mark_all_read(&ann, LATER).await.unwrap();
    assert_eq!(all_read.counts, counts(0, 0, 9));
    assert!(all_read.appended.is_some());
    test.assert_consistent(&ann).await;
    let last = test.events(&ann).await.pop().unwrap();
    assert_eq!(
        last["all_read"]["until"],
        Timestamp::from_millis(NOW).to_string()
    );
}

async fn what_changes_nothing_is_no_event(test: &TestStore) {
    let (ann, bob) = (user("ann"), user("bob"));
    let id = test.notify(&ann, NOW).await;
    let id = id.as_str();
    let mut version = 1;
    for mark in [Mark::Seen, Mark::Read, Mark::Unread, Mark::Archived] {
        let (_, changed) = test.mark(&ann, &[id, id, "unknown"], mark).await;
        assert!(changed, "{mark:?}");
        version += 1;
        let (counts, changed) = test.mark(&ann, &[id], mark).await;
        assert!(!changed, "{mark:?} again");
        assert_eq!(counts.version, version);
    }
    for mark in [Mark::Seen, Mark::Read, Mark::Unread, Mark::Archived] {
        assert!(!test.mark(&ann, &[id], mark).await.1, "archived is final");
        assert!(
            !test.mark(&bob, &[id], mark).await.1,
            "another user's is unknown"
        );
    }
    assert!(
        test.store
            .mark_all_read(&ann, LATER)
            .await
            .unwrap()
            .appended
            .is_none()
    );
    let nobody = test.store.mark_all_read(&bob, LATER).await.unwrap();
    assert!(nobody.appended.is_none());
    assert_eq!(nobody.counts, Counts::default());
    test.assert_consistent(&ann).await;
}

async fn pages_are_stable_while_notifications_come_and_go(test: &TestStore) {
    let ann = user("ann");
    let mut ids = Vec::new();
    for _ in 0..7 {
        ids.push(test.notify(&ann, NOW).await);
    }
    ids.reverse();
    let first = test
        .page(
            &ann,
            PageQuery {
                limit: 3,
                ..PageQuery::default()
            },
        )
        .await;
    assert!(first.has_more);
    test.notify(&ann, NOW).await;
    test.mark(&ann, &[&ids[2], &ids[4]], Mark::Archived).await;
    let before = first.notifications.last().map(|n| n.seq);
    let second = test
        .page(
            &ann,
            PageQuery {
                before,
                limit: 3,
                ..PageQuery::default()
            },
        )
        .await;
    let seen = |page: &Page| {
        page.notifications
            .iter()
            .map(|n| n.id.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(seen(&first), ids[..3]);
    assert_eq!(seen(&second), [&*ids[3], &*ids[5], &*ids[6]]);
    assert!(!second.has_more);
}

async fn filters_choose(test: &TestStore) {
    let ann = user("ann");
    let (unread, read, archived) = (
        test.notify(&ann, NOW).await,
        test.notify(&ann, NOW).await,
        test.notify(&ann, NOW).await,
    );
    test.mark(&ann, &[&read], Mark::Read).await;
    test.mark(&ann, &[&archived], Mark::Archived).await;
    let ids = async |filter| {
        let all = test.all(&ann, filter).await;
        all.into_iter().map(|n| n.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(Filter::Inbox).await, [&*read, &*unread]);
    assert_eq!(ids(Filter::Unread).await, [&*unread]);
    assert_eq!(ids(Filter::Archived).await, [&*archived]);
}

async fn an_opened_inbox_has_a_position(test: &TestStore) {
    let ann = user("ann");
    let query = PageQuery {
        limit: 1,
        ..PageQuery::default()
    };
    assert!(test.store.page(&ann, &query).await.unwrap().is_none());
    let (first, second) = tokio::join!(test.store.open(&ann), test.store.open(&ann));
    let opened = [first.unwrap(), second.unwrap()];
    assert_eq!(opened.iter().flatten().count(), 1, "one of them opened it");
    let page = test.page(&ann, query).await;
    assert_eq!(page.counts, Counts::OPENED);
    assert!(!page.epoch.is_empty());
    test.notify(&ann, NOW).await;
    assert_eq!(test.page(&ann, query).await.epoch, page.epoch);
    test.assert_consistent(&ann).await;
}

async fn time_never_runs_backwards(test: &TestStore) {
    let ann = user("ann");
    test.notify(&ann, NOW).await;
    test.notify(&ann, NOW - 5_000).await;
    let all = test.all(&ann, Filter::Inbox).await;
    assert!(all.iter().all(|n| n.created_at.millis() == NOW));
}

async fn retention_removes_what_is_done(test: &TestStore) {
    let (ann, bob) = (user("ann"), user("bob"));
    let (old_read, old_archived, old_unread) = (
        test.notify(&ann, NOW).await,
        test.notify(&bob, NOW).await,
        test.notify(&ann, NOW).await,
    );
    let young = test.notify(&ann, NOW + 10).await;
    test.mark(&ann, &[&old_read, &young], Mark::Read).await;
    test.mark(&bob, &[&old_archived], Mark::Archived).await;
    let before = Timestamp::from_millis(NOW + 1);
    assert_eq!(test.store.remove_done(before, 1).await.unwrap(), 1);
    assert_eq!(test.store.remove_done(before, 10).await.unwrap(), 1);
    assert_eq!(test.store.remove_done(before, 10).await.unwrap(), 0);
    let left: Vec<String> = test
        .all(&ann, Filter::Inbox)
        .await
        .into_iter()
        .map(|n| n.id)
        .collect();
    assert_eq!(left, [young, old_unread]);
    assert!(test.all(&bob, Filter::Archived).await.is_empty());
    assert_eq!(test.store.counts(&ann).await.unwrap().unread, 1);
}

/// Three devices and a sender at once, doing whatever comes to their minds.
async fn counters_never_drift(test: &TestStore) {
    let users = [user("ann"), user("bob")];
    let seed = rand::random::<u64>();
    let actors = (0..4).map(|actor| {
        let mut random = StdRng::seed_from_u64(seed ^ actor);
        let (store, users) = (Arc::clone(&test.store), users.clone());
        tokio::spawn(async move {
            for step in 0..40 {
                act(&*store, &users, actor == 0, step, &mut random).await;
            }
        })
    });
    for actor in actors.collect::<Vec<_>>() {
        actor
            .await
            .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    }
    for user in &users {
        println!("seed {seed}");
        test.assert_consistent(user).await;
    }
}

async fn act(store: &dyn Store, users: &[UserId], sends: bool, step: u32, random: &mut StdRng) {
    let user = users.choose(random).unwrap();
    if sends || step.is_multiple_of(8) {
        // Keys repeat, so that some of these are duplicates.
        let key = format!("{}", random.random_range(0..60));
        let key = IdempotencyKey::parse(key).unwrap();
        store
            .notify(users, &Arc::new(content()), key.as_ref(), Timestamp::now())
            .await
            .unwrap();
        return;
    }
    let query = PageQuery {
        before: None,
        limit: 50,
        filter: Filter::Inbox,
    };
    let Some(page) = store.page(user, &query).await.unwrap() else {
        return;
    };
    let unread = page
        .notifications
        .iter()
        .filter(|n| n.marks.is_unread())
        .count() as u64;
    if page.counts.unread <= 50 && !page.has_more {
        assert_eq!(page.counts.unread, unread, "a page is one snapshot");
    }
    if random.random_range(0..10) == 0 {
        store.mark_all_read(user, Timestamp::now()).await.unwrap();
        return;
    }
    let n_ids = random.random_range(0..6);
    let ids: Vec<String> = page
        .notifications
        .choose_multiple(random, n_ids)
        .map(|n| n.id.clone())
        .collect();
    let marks = [
        Mark::Seen,
        Mark::Read,
        Mark::Read,
        Mark::Unread,
        Mark::Unread,
        Mark::Archived,
    ];
    let mark = *marks.choose(random).unwrap();
    store
        .mark(user, &ids, mark, Timestamp::now())
        .await
        .unwrap();
}

macro_rules! run_on_both {
    ($($name:ident,)*) => {
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(&super::TestStore::postgres().await).await;
            })*
        }
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(&super::TestStore::sqlite().await).await;
            })*
        }
    };
}

run_on_both! {
    what_is_notified_is_in_the_inbox,
    a_key_counts_once_per_user,
    a_key_counts_once_among_concurrent_calls,
    marks_change_state_and_counters,
    what_changes_nothing_is_no_event,
    pages_are_stable_while_notifications_come_and_go,
    filters_choose,
    an_opened_inbox_has_a_position,
    time_never_runs_backwards,
    retention_removes_what_is_done,
    counters_never_drift,
}
