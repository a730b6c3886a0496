//! The suite that every broker passes.
//!
//! An implementation's tests say how to make [`Nodes`] and call
//! [`contract_tests!`](crate::contract_tests), which makes one test of each
//! function here. Each gets nodes of its own, with nothing in them.

mod delivery;
mod history;
mod log;
mod presence;
mod recorder;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::{Broker, HistoryPolicy, HistoryRequest, PublishRequest};

pub use self::delivery::*;
pub use self::history::*;
pub use self::log::*;
pub use self::presence::*;
pub use self::recorder::{Event, Recorder};

/// Two nodes that share everything, or one twice if there can be only one.
#[derive(Debug)]
pub struct Nodes {
    /// Receives.
    pub here: Arc<dyn Broker>,
    /// Publishes. It does not run a handler, unless it is the same as `here`.
    pub there: Arc<dyn Broker>,
    /// What must live as long as they do.
    pub guard: Box<dyn Any + Send + Sync>,
}

impl Nodes {
    /// Starts delivery to a new recorder.
    pub async fn record(&self) -> Arc<Recorder> {
        let recorder = Arc::new(Recorder::default());
        let handler = Arc::clone(&recorder);
        self.here.run(handler).await.expect("it runs");
        recorder
    }
}

/// Makes a test of each part of the suite. The argument is an async function that
/// returns [`Nodes`](crate::contract::Nodes).
#[macro_export]
macro_rules! contract_tests {
    ($make:path) => {
        $crate::contract_tests! { $make:
            publications_arrive_in_order
            concurrent_publications_arrive_in_the_order_of_their_offsets
            only_subscribed_channels_arrive
            nothing_arrives_after_unsubscribing
            subscribing_twice_and_unsubscribing_the_unknown_are_harmless
            everything_a_publication_has_arrives
            ephemeral_publications_have_no_offset_and_no_history
            any_name_and_any_payload_will_do
            many_channels_at_once
            joins_and_leaves_arrive_in_order_with_publications
            control_messages_arrive
            reading_makes_an_epoch_that_publishing_keeps
            asking_for_positions_makes_nothing
            any_part_of_a_history_can_be_read
            a_history_keeps_its_size
            publications_expire_and_the_position_stays
            a_position_expires_and_the_next_has_another_epoch
            reading_prolongs_the_life_of_a_position
            removing_a_history_keeps_its_position
            a_key_is_published_once
            a_key_is_published_once_whoever_races
            old_versions_are_not_published
            a_log_is_published_in_order_and_without_gaps
            a_log_is_published_once_whoever_races
            another_log_replaces_the_history_only_from_its_beginning
            an_anchor_is_set_once
            senseless_positions_are_refused
            presence_comes_and_goes
            users_are_counted_once
            whoever_does_not_renew_is_not_present
        }
    };
    ($make:path: $($name:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                $crate::contract::$name(&$make().await).await;
            }
        )+
    };
}

const CHANNEL: &str = "room:1";

const LONG: Duration = Duration::from_secs(60);

fn policy(size: u32) -> HistoryPolicy {
    HistoryPolicy {
        size,
        ttl: LONG,
        meta_ttl: 10 * LONG,
    }
}

fn data(text: impl Into<String>) -> Bytes {
    Bytes::from(text.into())
}

fn ephemeral(text: impl Into<String>) -> PublishRequest {
    PublishRequest {
        data: data(text),
        ..PublishRequest::default()
    }
}

fn kept(text: impl Into<String>) -> PublishRequest {
    PublishRequest {
        history: Some(policy(100)),
        ..ephemeral(text)
    }
}

fn only_position() -> HistoryRequest {
    HistoryRequest {
        limit: Some(0),
        ..HistoryRequest::default()
    }
}
