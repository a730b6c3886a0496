//! Finds and fills holes: pub/sub may lose a publication, history has it.

use std::sync::Arc;
use std::time::Duration;

use broker::Position;
use rand::Rng;

use super::Node;
use super::reader::Part;
use crate::hub::{Channel, Delivered};
use crate::metrics::ResultLabels;
use crate::recovery;

/// Positions compared in one call.
const BATCH: usize = 512;
/// Pauses between attempts to read while the broker is away, in milliseconds.
const RETRY_MS: std::ops::Range<u64> = 200..1_000;
/// After this many failed attempts the clients are told to come back.
const ATTEMPTS: u32 = 20;

/// Fills the hole in a channel whose repair was begun, or ends it as insufficient.
pub(super) async fn repair(node: Arc<Node>, channel: Arc<Channel>) {
    loop {
        let missed = match channel.baseline() {
            Some(baseline) => missed(&node, &channel, baseline).await,
            None => Some(Vec::new()),
        };
        let result = if missed.is_some() {
            "repaired"
        } else {
            "insufficient"
        };
        tracing::debug!(channel.name = %channel.name(), result, "a hole in a channel");
        if missed.is_some() {
            node.metrics
                .repairs
                .get_or_create(&ResultLabels { result })
                .inc();
        }
        match channel.finish_repair(missed) {
            Delivered::Done => return,
            // Another hole opened meanwhile: pause, so that a broker whose history
            // lags behind its pub/sub is not asked without end.
            Delivered::Repair => pause().await,
        }
    }
}

/// What follows the baseline; `None`: it cannot be had.
async fn missed(
    node: &Node,
    channel: &Channel,
    baseline: Position,
) -> Option<Vec<crate::hub::channel::Arrived>> {
    let namespace = node.namespaces.of(channel.name())?;
    let limit = node.config.recovery_limit();
    let part = Part::After {
        position: baseline.clone(),
        limit,
    };
    for _ in 0..ATTEMPTS {
        if let Ok(history) = node.read(channel.name(), &namespace, part.clone()).await {
            let read = history.publications.clone();
            let outcome = recovery::stream(&baseline, &history.position, read);
            let epoch = &history.position.epoch;
            let arrived = |publication| (Arc::clone(epoch), publication);
            return outcome
                .recovered
                .then(|| outcome.publications.into_iter().map(arrived).collect());
        }
        tokio::select! {
            () = pause() => {}
            () = node.stopped.cancelled() => return None,
        }
    }
    None
}

async fn pause() {
    let pause = rand::rng().random_range(RETRY_MS);
    tokio::time::sleep(Duration::from_millis(pause)).await;
}

/// Compares positions with the broker's and begins a repair where they differ.
pub(super) async fn compare(node: Arc<Node>, channels: Vec<Arc<str>>) {
    for batch in channels.chunks(BATCH) {
        let channels: Vec<_> = batch
            .iter()
            .filter_map(|name| node.hub.channel(name))
            .collect();
        compare_batch(&node, &channels, Doubt::Loss).await;
    }
}

/// Why positions are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    /// It is time to.
    None,
    /// The link to the broker was lost.
    Loss,
}

async fn compare_batch(node: &Arc<Node>, channels: &[Arc<Channel>], doubt: Doubt) {
    let positioned: Vec<_> = channels
        .iter()
        .filter_map(|channel| channel.baseline().map(|baseline| (channel, baseline)))
        .collect();
    if positioned.is_empty() {
        return;
    }
    let names: Vec<_> = positioned
        .iter()
        .map(|(channel, _)| Arc::clone(channel.name()))
        .collect();
    let tops = loop {
        match node.broker.positions(&names).await {
            Ok(tops) => break tops,
            Err(error) => {
                node.metrics.broker_errors.inc();
                tracing::debug!(%error, "comparing positions failed");
            }
        }
        tokio::select! {
            () = pause() => {}
            () = node.stopped.cancelled() => return,
        }
    };
    for ((channel, baseline), top) in positioned.into_iter().zip(tops) {
        // A broker that knows nothing of the channel has lost its history: then
        // the service of an anchored channel is asked, once, as whatever is
        // published from then on makes the broker know it again; channels of
        // others get a new epoch.
        let known = top.is_some();
        let was_asked = channel.note_unknown(!known);
        let is_the_same = top.as_ref() == Some(&baseline);
        if is_the_same || (!known && was_asked && doubt == Doubt::None) {
            continue;
        }
        let delivered = channel.begin_repair();
        node.after(channel, delivered);
    }
}

/// Compares the positions of all channels, a part of them at a time, each once in
/// `client.channel_position_check_delay`.
pub(super) async fn check_positions(node: Arc<Node>) {
    let delay = node.config.position_check_delay();
    if delay.is_zero() {
        return;
    }
    loop {
        let spread = rand::rng().random_range(0.9..1.1);
        tokio::select! {
            () = tokio::time::sleep(delay.mul_f64(spread)) => {}
            () = node.stopped.cancelled() => return,
        }
        for batch in node.hub.channels().chunks(BATCH) {
            compare_batch(&node, batch, Doubt::None).await;
        }
    }
}
