//! A handler that writes down what it is told.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::{ClientInfo, EventHandler, Publication};

/// What a broker told its node.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "named as in `EventHandler`")]
pub enum Event {
    Publication {
        channel: String,
        epoch: Arc<str>,
        publication: Publication,
    },
    Membership {
        channel: String,
        joined: bool,
        info: ClientInfo,
    },
    Control(Bytes),
    PositionsUncertain(Vec<Arc<str>>),
}

/// Keeps all events, in order, and lets a test wait for them.
#[derive(Debug, Default)]
pub struct Recorder {
    events: Mutex<Vec<Event>>,
    arrived: Notify,
}

impl Recorder {
    /// Waits until the events so far give an answer.
    ///
    /// # Panics
    /// If they do not within 30 seconds.
    pub async fn until<T>(&self, mut answer: impl FnMut(&[Event]) -> Option<T>) -> T {
        let wait = async {
            loop {
                let arrived = self.arrived.notified();
                let found = answer(&self.events.lock());
                match found {
                    Some(found) => return found,
                    None => arrived.await,
                }
            }
        };
        let found = timeout(Duration::from_secs(30), wait).await;
        found.unwrap_or_else(|_| {
            let events = self.events.lock();
            let last = events.iter().rev().take(5).collect::<Vec<_>>();
            panic!("not among {} events, the last are {last:?}", events.len())
        })
    }

    /// Waits for `n` publications of a channel and returns all that it had.
    pub async fn publications(&self, channel: &str, n: usize) -> Vec<Publication> {
        self.until(|events| {
            let publications: Vec<_> = of_channel(events, channel).collect();
            (publications.len() >= n).then(|| publications.into_iter().cloned().collect())
        })
        .await
    }

    /// All events so far.
    pub fn events(&self) -> Vec<Event> {
        self.events.lock().clone()
    }

    fn add(&self, event: Event) {
        self.events.lock().push(event);
        self.arrived.notify_waiters();
        // For who is between looking and waiting.
        self.arrived.notify_one();
    }
}

fn of_channel<'a>(
    events: &'a [Event],
    wanted: &'a str,
) -> impl Iterator<Item = &'a Publication> + 'a {
    events.iter().filter_map(move |event| match event {
        Event::Publication {
            channel,
            publication,
            ..
        } if channel == wanted => Some(publication),
        _ => None,
    })
}

impl EventHandler for Recorder {
    fn publication(&self, channel: &str, epoch: &Arc<str>, publication: Publication) {
        self.add(Event::Publication {
            channel: channel.to_owned(),
            epoch: Arc::clone(epoch),
            publication,
        });
    }

    fn membership(&self, channel: &str, joined: bool, info: ClientInfo) {
        self.add(Event::Membership {
            channel: channel.to_owned(),
            joined,
            info,
        });
    }

    fn control(&self, message: Bytes) {
        self.add(Event::Control(message));
    }

    fn positions_uncertain(&self, channels: &[Arc<str>]) {
        self.add(Event::PositionsUncertain(channels.to_vec()));
    }
}
