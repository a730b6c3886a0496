//! Leaving without losing anybody: no new connections, then the clients are told
//! to come back elsewhere, a part of them at a time, then what is left is ended.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use wire::Disconnect;

use crate::connection::Closing;
use crate::node::Node;

/// Time between two groups of closes.
const STEP: Duration = Duration::from_millis(100);
/// Fewer than this are closed at once: they are no storm for anybody.
const AT_ONCE: usize = 100;

/// Drains a node. It is unready from now on; after `delay`, in which load
/// balancers notice, its connections are closed with 3001, evenly over half of
/// `timeout`, and what has not ended by the end of `timeout` is left behind.
///
/// Returns whether everything ended in time.
pub(crate) async fn drain(node: &Arc<Node>, delay: Duration, timeout: Duration) -> bool {
    node.draining.store(true, Ordering::Relaxed);
    sleep(delay).await;
    let began = Instant::now();
    let deadline = began + timeout;
    let connections = node.hub.connections();
    let count = connections.len();
    tracing::info!(connections = count, "draining");
    let group = group_size(count, timeout / 2);
    for group in connections.chunks(group) {
        for connection in group {
            connection.close(Closing::Disconnect(Disconnect::SHUTDOWN));
        }
        if count > AT_ONCE {
            sleep(STEP).await;
        }
    }
    // Those who came between: connected but not yet known when the list was made.
    for connection in node.hub.connections() {
        connection.close(Closing::Disconnect(Disconnect::SHUTDOWN));
    }
    node.connections.close();
    let ended = timeout_at(deadline, node.connections.wait()).await.is_ok();
    node.stopped.cancel();
    node.tasks.close();
    let stopped = timeout_at(deadline.max(Instant::now() + STEP * 10), node.tasks.wait())
        .await
        .is_ok();
    tracing::info!(took = ?began.elapsed(), complete = ended && stopped, "drained");
    ended && stopped
}

/// How many to close per step so that all are closed within `over`.
fn group_size(count: usize, over: Duration) -> usize {
    let steps = usize::try_from(over.as_millis() / STEP.as_millis())
        .unwrap_or(1)
        .max(1);
    if count <= AT_ONCE {
        count.max(1)
    } else {
        count.div_ceil(steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_connections_are_closed_evenly() {
        assert_eq!(group_size(0, Duration::from_secs(15)), 1);
        assert_eq!(group_size(100, Duration::from_secs(15)), 100);
        assert_eq!(group_size(10_000, Duration::from_secs(15)), 67);
        assert_eq!(group_size(10_000, Duration::ZERO), 10_000);
    }
}
