//! Who is present.

use std::time::Duration;

use bytes::Bytes;

use super::history::until;
use super::{CHANNEL, LONG, Nodes};
use crate::{ClientInfo, PresenceStats};

fn info(client: &str, user: &str) -> ClientInfo {
    ClientInfo {
        user: user.into(),
        client: client.into(),
        conn_info: Bytes::from_static(b"\0{}"),
        chan_info: Bytes::new(),
    }
}

async fn add(nodes: &Nodes, info: &ClientInfo, ttl: Duration) {
    let added = nodes.there.add_presence(CHANNEL, info, ttl).await;
    added.expect("added");
}

async fn remove(nodes: &Nodes, client: &str, user: &str) {
    let removed = nodes.there.remove_presence(CHANNEL, client, user).await;
    removed.expect("removed");
}

async fn present(nodes: &Nodes) -> Vec<ClientInfo> {
    let mut present = nodes.here.presence(CHANNEL).await.expect("presence");
    present.sort_by(|a, b| a.client.cmp(&b.client));
    present
}

async fn stats(nodes: &Nodes) -> (u32, u32) {
    let stats = nodes.here.presence_stats(CHANNEL).await;
    let PresenceStats {
        num_clients,
        num_users,
    } = stats.expect("stats");
    (num_clients, num_users)
}

/// Written, overwritten, removed, each by itself.
pub async fn presence_comes_and_goes(nodes: &Nodes) {
    assert_eq!(present(nodes).await, []);
    assert_eq!(stats(nodes).await, (0, 0));
    remove(nodes, "c1", "42").await;
    let first = info("c1", "42");
    let second = info("c2", "43");
    add(nodes, &first, LONG).await;
    add(nodes, &second, LONG).await;
    assert_eq!(present(nodes).await, [first, second.clone()]);
    let changed = ClientInfo {
        chan_info: Bytes::from_static(b"away"),
        ..info("c1", "42")
    };
    add(nodes, &changed, LONG).await;
    assert_eq!(present(nodes).await, [changed, second.clone()]);
    assert_eq!(nodes.here.presence("room:2").await.expect("presence"), []);
    remove(nodes, "c1", "42").await;
    remove(nodes, "c1", "42").await;
    assert_eq!(present(nodes).await, [second]);
    assert_eq!(stats(nodes).await, (1, 1));
    remove(nodes, "c2", "43").await;
    assert_eq!(stats(nodes).await, (0, 0));
}

/// However many connections they have; the anonymous are one user.
pub async fn users_are_counted_once(nodes: &Nodes) {
    for (client, user, expected) in [
        ("c1", "42", (1, 1)),
        ("c1", "42", (1, 1)),
        ("c2", "42", (2, 1)),
        ("c3", "43", (3, 2)),
        ("c4", "", (4, 3)),
        ("c5", "", (5, 3)),
        // It signed in on the same connection.
        ("c5", "43", (5, 3)),
    ] {
        add(nodes, &info(client, user), LONG).await;
        assert_eq!(stats(nodes).await, expected, "{client} {user}");
    }
    remove(nodes, "c1", "42").await;
    assert_eq!(stats(nodes).await, (4, 3));
    remove(nodes, "c2", "42").await;
    assert_eq!(stats(nodes).await, (3, 2));
}

/// Not counted, not listed; whoever renews stays.
pub async fn whoever_does_not_renew_is_not_present(nodes: &Nodes) {
    const SHORT: Duration = Duration::from_millis(200);
    let stays = info("c0", "42");
    add(nodes, &stays, LONG).await;
    let renewed = info("c1", "43");
    add(nodes, &renewed, SHORT).await;
    add(nodes, &renewed, LONG).await;
    for n in 2..40 {
        add(nodes, &info(&format!("c{n}"), "44"), SHORT).await;
    }
    until(async || stats(nodes).await == (2, 2)).await;
    assert_eq!(present(nodes).await, [stays, renewed]);
    remove(nodes, "c0", "42").await;
    add(nodes, &info("c1", "43"), SHORT).await;
    until(async || present(nodes).await.is_empty()).await;
    assert_eq!(stats(nodes).await, (0, 0));
}
