//! The channels that have something to deliver, and the task that does it.
//!
//! A publication is not written to its listeners where it arrives, but by a task
//! of the same thread right after. So whatever arrives together (in one read of a
//! publisher's socket or of the broker's, or while another delivery is being
//! written) is delivered together: one write per listener instead of one per
//! publication. Nothing waits for a timer; a single publication is delivered as
//! soon as the thread has nothing else in hand.
//!
//! Whoever published is answered after that: the listeners, who wait for what is new,
//! do not also wait for it, and the answer of one who listens, as in a chat's room most
//! do, goes out in one write with the publication itself.

use std::mem;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::connection::Connection;
use crate::due::Due;
use crate::hub::{Channel, Delivered};

/// Listeners whom an answer waits for: some 0.4 ms.
const WAITED_FOR: usize = 64;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    /// Bounded by the number of channels: each is in it at most once.
    channels: Due<Arc<Channel>>,
    /// Those who are answered then. Bounded by what tasks of the thread do in one turn.
    corked: Mutex<Vec<Arc<Connection>>>,
}

impl Deliveries {
    /// Has what waits in the channel delivered.
    pub(crate) fn schedule(&self, channel: Arc<Channel>) {
        self.channels.add(channel);
    }

    /// Uncorks a connection of this thread once what waits is delivered: at once, if
    /// nothing does.
    pub(crate) fn uncork_after(&self, connection: &Arc<Connection>) {
        if !self.channels.is_idle() && connection.is_ready_to_write() {
            self.corked.lock().push(Arc::clone(connection));
        } else {
            connection.uncork();
        }
    }

    /// Delivers, for ever. `after` sees to what a delivery asks for.
    pub(crate) async fn run(&self, after: impl Fn(&Arc<Channel>, Delivered)) {
        let deliver = |channel: Arc<Channel>| {
            if channel.listeners() > WAITED_FOR {
                self.uncork();
            }
            after(&channel, channel.deliver());
        };
        self.channels.run(deliver, || self.uncork()).await;
    }

    fn uncork(&self) {
        for connection in mem::take(&mut *self.corked.lock()) {
            connection.uncork();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use broker::Publication;
    use bytes::Bytes;
    use prometheus_client::registry::Registry;
    use tokio::io::AsyncReadExt;
    use tokio::net::TcpStream;

    use super::*;
    use crate::connection::Overflow;
    use crate::hub::{Arrival, Hub, Listener};
    use crate::metrics::Metrics;
    use crate::poller::Poller;
    use crate::poller::tests::connect;

    const ANSWER: &[u8] = b"answer";

    struct Room {
        poller: Arc<Poller>,
        deliveries: Deliveries,
        channel: Arc<Channel>,
    }

    impl Room {
        fn new() -> Self {
            let metrics = Metrics::register(&mut Registry::default());
            let hub = Hub::new(Arc::new(metrics), 0);
            let (channel, _) = hub.enter("room", Overflow::Disconnect);
            Self {
                poller: Poller::new().unwrap(),
                deliveries: Deliveries::default(),
                channel,
            }
        }

        async fn listener(&self) -> (Arc<Connection>, TcpStream) {
            let (connection, client) = connect(&self.poller).await;
            let listener = Listener {
                connection: Arc::clone(&connection),
                after: 0,
                positioned: false,
                join_leave: false,
            };
            let (_, joined) = self.channel.go_live(&Arc::default(), listener);
            assert!(joined.is_ok());
            (connection, client)
        }

        fn publish(&self) {
            let publication = Publication {
                data: Bytes::from_static(b"{}"),
                ..Publication::default()
            };
            let arrival = self.channel.publication(&Arc::default(), publication);
            assert_eq!(arrival, Arrival::First);
            self.deliveries.schedule(Arc::clone(&self.channel));
        }

        fn answer(&self, connection: &Arc<Connection>) {
            connection.cork();
            connection.send(&Bytes::from_static(ANSWER), Overflow::Disconnect);
            self.deliveries.uncork_after(connection);
        }

        /// Delivers what waits; `after`: right after the channel's delivery.
        async fn deliver(&self, after: impl Fn()) {
            let delivered = Cell::new(false);
            let after = |_: &Arc<Channel>, _| {
                after();
                delivered.set(true);
            };
            tokio::select! {
                biased;
                () = self.deliveries.run(after) => {}
                () = std::future::ready(()) => {}
            }
            assert!(delivered.get());
        }
    }

    async fn read(client: &mut TcpStream) -> Vec<u8> {
        let mut received = vec![0; 1024];
        let bytes = client.read(&mut received).await.unwrap();
        received.truncate(bytes);
        received
    }

    #[tokio::test]
    async fn who_published_is_answered_after_the_others_and_with_the_publication() {
        let room = Room::new();
        let (publisher, mut publishes) = room.listener().await;
        let (other, mut listens) = room.listener().await;
        room.publish();
        room.answer(&publisher);
        room.deliver(|| {
            assert!(publisher.queued_bytes() > ANSWER.len());
            assert_eq!(other.queued_bytes(), 0);
        })
        .await;
        assert_eq!(publisher.queued_bytes(), 0);
        let publication = read(&mut listens).await;
        let both = [ANSWER, &publication].concat();
        assert_eq!(read(&mut publishes).await, both);
    }

    #[tokio::test]
    async fn nobody_waits_for_many_listeners_or_for_none() {
        let room = Room::new();
        let (publisher, mut publishes) = room.listener().await;
        room.answer(&publisher);
        assert_eq!(publisher.queued_bytes(), 0);
        assert_eq!(read(&mut publishes).await, ANSWER);

        let mut others = Vec::new();
        for _ in 0..WAITED_FOR {
            others.push(room.listener().await);
        }
        room.publish();
        room.answer(&publisher);
        assert_eq!(publisher.queued_bytes(), ANSWER.len());
        room.deliver(|| assert_eq!(publisher.queued_bytes(), 0))
            .await;
        assert!(read(&mut publishes).await.starts_with(ANSWER));
    }
}
