//! The channels that have something to deliver, and the task that does it.
//!
//! A publication is not written to its listeners where it arrives, but by a task
//! of the same thread right after. So whatever arrives together (in one read of a
//! publisher's socket or of the broker's, or while another delivery is being
//! written) is delivered together: one write per listener instead of one per
//! publication. Nothing waits for a timer; a single publication is delivered as
//! soon as the thread has nothing else in hand.

use std::future::poll_fn;
use std::mem;
use std::sync::Arc;
use std::task::Poll;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::hub::Channel;
use crate::node::Node;

/// Channels delivered before other tasks of the thread get their turn.
const IN_A_ROW: usize = 64;

/// See the module. Bounded by the number of channels: each is in it at most once.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    due: Mutex<Vec<Arc<Channel>>>,
    task: AtomicWaker,
}

impl Deliveries {
    /// Has what waits in the channel delivered.
    pub(crate) fn schedule(&self, channel: Arc<Channel>) {
        let mut due = self.due.lock();
        let was_empty = due.is_empty();
        due.push(channel);
        drop(due);
        if was_empty {
            self.task.wake();
        }
    }

    /// Delivers until cancelled.
    pub(crate) async fn run(&self, node: &Node, cancelled: CancellationToken) {
        let deliver = async {
            loop {
                let due = self.next().await;
                for some in due.chunks(IN_A_ROW) {
                    for channel in some {
                        node.after(channel, channel.deliver());
                    }
                    tokio::task::yield_now().await;
                }
            }
        };
        tokio::select! {
            () = deliver => {}
            () = cancelled.cancelled() => {}
        }
    }

    async fn next(&self) -> Vec<Arc<Channel>> {
        poll_fn(|cx| {
            self.task.register(cx.waker());
            let due = mem::take(&mut *self.due.lock());
            if due.is_empty() {
                Poll::Pending
            } else {
                Poll::Ready(due)
            }
        })
        .await
    }
}
