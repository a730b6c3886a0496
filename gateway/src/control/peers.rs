//! The nodes that are there, by what they say of themselves, and the questions
//! that wait for answers.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::message::{ChannelsAnswer, NodeInfo, What};
use crate::clock::Millis;
use crate::node::Node;

/// How often a node says that it is there.
const ANNOUNCE: Duration = Duration::from_secs(3);
/// When a silent node counts as gone, in milliseconds.
const GONE_AFTER: Millis = 7_000;
/// When a node that does not hear itself counts as deaf, in milliseconds.
const DEAF_AFTER: Millis = 9_500;
/// Nodes remembered at most, so that bad messages cannot fill the memory.
const MOST_NODES: usize = 4_096;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    nodes: Mutex<HashMap<String, (NodeInfo, Millis)>>,
    questions: Mutex<Questions>,
}

#[derive(Debug, Default)]
struct Questions {
    last: u64,
    waiting: HashMap<u64, mpsc::Sender<ChannelsAnswer>>,
}

impl Peers {
    /// A node said that it is there.
    pub(super) fn heard(&self, info: NodeInfo, now: Millis) {
        let mut nodes = self.nodes.lock();
        if nodes.len() < MOST_NODES || nodes.contains_key(&info.uid) {
            nodes.insert(info.uid.clone(), (info, now));
        }
    }

    /// A node said that it stops.
    pub(super) fn left(&self, uid: &str) {
        self.nodes.lock().remove(uid);
    }

    /// The nodes that are there.
    pub(crate) fn all(&self, now: Millis) -> Vec<NodeInfo> {
        let mut nodes = self.nodes.lock();
        let is_there = |heard: Millis| now.saturating_sub(heard) < GONE_AFTER;
        nodes.retain(|_, (_, heard)| now.saturating_sub(*heard) < 10 * GONE_AFTER);
        nodes
            .values()
            .filter(|(_, heard)| is_there(*heard))
            .map(|(info, _)| info.clone())
            .collect()
    }

    /// Whether the node has not heard itself for so long that its subscription at
    /// the broker must be dead, though its link may answer pings.
    pub(crate) fn is_deaf(&self, own: &str, now: Millis) -> bool {
        match self.nodes.lock().get(own) {
            Some((_, heard)) => now.saturating_sub(*heard) > DEAF_AFTER,
            None => now > DEAF_AFTER,
        }
    }

    /// How many nodes are there.
    pub(super) fn count(&self, now: Millis) -> usize {
        self.all(now).len()
    }

    /// Registers a question; the answers go to `answers`.
    pub(super) fn ask(&self, answers: mpsc::Sender<ChannelsAnswer>) -> u64 {
        let mut questions = self.questions.lock();
        questions.last += 1;
        let id = questions.last;
        questions.waiting.insert(id, answers);
        id
    }

    /// An answer came. One that nobody waits for any more, or that finds the queue
    /// full, is dropped: its question is about to end.
    pub(super) fn answered(&self, answer: ChannelsAnswer) {
        if let Some(waiting) = self.questions.lock().waiting.get(&answer.question) {
            let _kept_or_late = waiting.try_send(answer);
        }
    }

    /// Nobody waits for answers to this question any more.
    pub(super) fn forget(&self, question: u64) {
        self.questions.lock().waiting.remove(&question);
    }
}

/// Tells the others, until the node stops, that it is there; then that it leaves.
pub(crate) async fn announce(node: Arc<Node>) {
    let mut interval = tokio::time::interval(ANNOUNCE);
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            () = node.stopped.cancelled() => break,
        }
        tell(&node, What::Node(describe(&node))).await;
    }
    tell(&node, What::Leaving(true)).await;
}

async fn tell(node: &Node, what: What) {
    if let Err(error) = super::send(node, what).await {
        node.metrics.broker_errors.inc();
        tracing::debug!(%error, "announcing the node failed");
    }
}

/// This node as others see it.
pub(crate) fn describe(node: &Node) -> NodeInfo {
    let count = |n: i64| u32::try_from(n).unwrap_or(0);
    NodeInfo {
        uid: node.id.clone(),
        name: node.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        num_clients: count(node.metrics.connections.get()),
        num_users: u32::try_from(node.hub.users()).unwrap_or(u32::MAX),
        num_channels: count(node.metrics.channels.get()),
        num_subs: count(node.metrics.subscriptions.get()),
        uptime: u32::try_from(node.clock.now() / 1000).unwrap_or(u32::MAX),
    }
}
