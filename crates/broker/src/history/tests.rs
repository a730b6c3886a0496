use super::*;

const MINUTE: Duration = Duration::from_secs(60);

fn policy(size: u32) -> HistoryPolicy {
    HistoryPolicy {
        size,
        ttl: MINUTE,
        meta_ttl: 10 * MINUTE,
    }
}

fn history(now: Instant, size: u32, n: u64) -> ChannelHistory {
    let position = Position {
        epoch: "e".into(),
        offset: 0,
    };
    let mut history = ChannelHistory::new(position, 10 * MINUTE, now);
    for expected in 1..=n {
        let offset = history.append(Publication::default(), policy(size), now);
        assert_eq!(offset, expected);
    }
    history
}

fn offsets(history: &ChannelHistory, request: &HistoryRequest) -> Vec<u64> {
    let publications = history.read(request);
    publications.into_iter().map(|p| p.offset).collect()
}

#[test]
fn keeps_the_newest_and_reads_any_part_of_them() {
    let history = history(Instant::now(), 4, 10);
    let read = |since, limit, reverse| {
        let request = HistoryRequest {
            since,
            limit,
            reverse,
            ..HistoryRequest::default()
        };
        offsets(&history, &request)
    };
    assert_eq!(read(None, None, false), [7, 8, 9, 10]);
    assert_eq!(read(None, Some(2), false), [7, 8]);
    assert_eq!(read(None, Some(0), false), []);
    assert_eq!(read(Some(0), None, false), [7, 8, 9, 10]);
    assert_eq!(read(Some(6), None, false), [7, 8, 9, 10]);
    assert_eq!(read(Some(7), None, false), [8, 9, 10]);
    assert_eq!(read(Some(9), Some(5), false), [10]);
    assert_eq!(read(Some(10), None, false), []);
    assert_eq!(read(Some(u64::MAX), None, false), []);
    assert_eq!(read(None, None, true), [10, 9, 8, 7]);
    assert_eq!(read(None, Some(3), true), [10, 9, 8]);
    assert_eq!(read(Some(9), None, true), [8, 7]);
    assert_eq!(read(Some(7), None, true), []);
    assert_eq!(read(Some(0), None, true), []);
    assert_eq!(read(Some(u64::MAX), Some(1), true), [10]);
}

#[test]
fn publications_expire_before_the_position_does() {
    let start = Instant::now();
    let mut history = history(start, 4, 2);
    assert!(history.expire(start + MINUTE / 2));
    assert_eq!(history.len(), 2);
    assert!(history.expire(start + 2 * MINUTE));
    assert!(history.is_empty());
    assert_eq!(history.position().offset, 2);
    history.append(Publication::default(), policy(4), start + 2 * MINUTE);
    assert_eq!(history.position().offset, 3);
    assert_eq!(offsets(&history, &HistoryRequest::default()), [3]);
    assert!(history.expire(start + 11 * MINUTE));
    assert!(!history.expire(start + 13 * MINUTE));
}

#[test]
fn the_position_outlives_the_publications_whatever_its_own_time() {
    let start = Instant::now();
    let mut history = history(start, 4, 0);
    let policy = HistoryPolicy {
        size: 4,
        ttl: 60 * MINUTE,
        meta_ttl: MINUTE,
    };
    history.append(Publication::default(), policy, start);
    assert!(history.expire(start + 59 * MINUTE));
    assert_eq!(history.len(), 1);
}

#[test]
fn continues_from_an_anchor_without_the_earlier_ones() {
    let now = Instant::now();
    let anchor = Position {
        epoch: "log".into(),
        offset: 41,
    };
    let mut history = ChannelHistory::new(anchor.clone(), MINUTE, now);
    let at = |offset| Position {
        epoch: "log".into(),
        offset,
    };
    assert_eq!(history.place(&at(41)), PublishedAt::AlreadyThere);
    assert_eq!(history.place(&at(42)), PublishedAt::Appended);
    assert_eq!(history.place(&at(43)), PublishedAt::Gap { top: 41 });
    assert_eq!(
        history.place(&Position {
            epoch: "other".into(),
            offset: 42
        }),
        PublishedAt::Gap { top: 0 }
    );
    history.append(Publication::default(), policy(4), now);
    assert_eq!(offsets(&history, &HistoryRequest::default()), [42]);
    let since = HistoryRequest {
        since: Some(10),
        ..HistoryRequest::default()
    };
    assert_eq!(offsets(&history, &since), [42]);
}

#[test]
fn versions_are_compared_only_within_their_epoch() {
    let mut history = history(Instant::now(), 4, 1);
    assert!(!history.is_stale(5, ""));
    history.set_version(5, "");
    assert!(history.is_stale(5, ""));
    assert!(history.is_stale(4, ""));
    assert!(!history.is_stale(6, ""));
    assert!(!history.is_stale(0, ""));
    assert!(!history.is_stale(1, "other"));
}

#[test]
fn a_history_of_size_zero_counts_but_keeps_nothing() {
    let history = history(Instant::now(), 0, 3);
    assert!(history.is_empty());
    assert_eq!(history.position().offset, 3);
}
