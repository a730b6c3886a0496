//! The channels that have something to deliver, and the task that does it.
//!
//! A publication is not written to its listeners where it arrives, but by a task
//! of the same thread right after. So whatever arrives together (in one read of a
//! publisher's socket or of the broker's, or while another delivery is being
//! written) is delivered together: one write per listener instead of one per
//! publication. Nothing waits for a timer; a single publication is delivered as
//! soon as the thread has nothing else in hand.

use std::sync::Arc;

use crate::due::Due;
use crate::hub::Channel;
use crate::node::Node;

/// See the module. Bounded by the number of channels: each is in it at most once.
#[derive(Debug, Default)]
pub(crate) struct Deliveries(Due<Arc<Channel>>);

impl Deliveries {
    /// Has what waits in the channel delivered.
    pub(crate) fn schedule(&self, channel: Arc<Channel>) {
        self.0.add(channel);
    }

    /// Delivers, for ever.
    pub(crate) async fn run(&self, node: &Node) {
        let deliver = |channel: Arc<Channel>| node.after(&channel, channel.deliver());
        self.0.run(deliver).await;
    }
}
