//! What a channel knows: who listens, and the position that it has come to.

use std::sync::Arc;

use broker::{Position, Publication};

use super::{Arrived, Delivered};
use crate::connection::Connection;
use crate::hub::listeners::Listeners;

/// Publications that wait for a client whose subscription is being made, or for a
/// repair. More mean that recovering is cheaper than waiting.
pub(super) const BUFFERED: usize = 4096;

/// See the module. Plain: the lock belongs to the channel.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) listeners: Listeners,
    /// Boxed, as `repairing`, for what is seldom there.
    #[expect(clippy::box_collection, reason = "small in each channel")]
    pub(super) joining: Option<Box<Vec<Joining>>>,
    /// The epoch that offsets belong to; `None` until the first is known.
    pub(super) epoch: Option<Arc<str>>,
    /// Offset of the newest publication delivered; `None`: none was yet.
    pub(super) offset: Option<u64>,
    /// What arrived since a repair began.
    #[expect(clippy::box_collection, reason = "small in each channel")]
    pub(super) repairing: Option<Box<Vec<Arrived>>>,
    /// The broker did not know the channel when positions were last compared.
    pub(super) unknown: bool,
    /// Subscriptions that hold the channel; at 0 it may be removed.
    pub(super) members: usize,
    pub(super) subscribed: bool,
    /// Removed from the hub: nobody may enter any more.
    pub(super) removed: bool,
}

/// A client whose subscription is being made, and what has arrived for it meanwhile.
#[derive(Debug)]
pub(super) struct Joining {
    pub(super) connection: Arc<Connection>,
    /// `None`: more arrived than may wait.
    pub(super) buffer: Option<Vec<Arrived>>,
}

/// How an offset relates to what was delivered.
pub(super) enum Next {
    Expected,
    Seen,
    Hole,
}

impl State {
    /// This publication is delivered.
    pub(super) fn advance(&mut self, epoch: &Arc<str>, offset: u64) {
        self.epoch = Some(Arc::clone(epoch));
        self.offset = Some(offset);
    }

    /// How the offset of a publication relates to what was delivered. Without anybody who
    /// relies on a position, there are no holes.
    pub(super) fn next(&self, epoch: &Arc<str>, offset: u64) -> Next {
        match (&self.epoch, self.offset) {
            (Some(known), _) if known != epoch => {
                if self.listeners.iter().any(|one| one.positioned) {
                    Next::Hole
                } else {
                    Next::Expected
                }
            }
            (_, Some(top)) if offset <= top => Next::Seen,
            (_, Some(top)) if offset == top + 1 => Next::Expected,
            (_, Some(_)) if self.listeners.iter().any(|one| one.positioned) => Next::Hole,
            (_, Some(_)) => Next::Expected,
            (_, None) => {
                // The first one that this node sees: whoever has a position must
                // have everything before it.
                let mut positioned = self.listeners.iter().filter(|one| one.positioned);
                if positioned.any(|one| one.after + 1 < offset) {
                    Next::Hole
                } else {
                    Next::Expected
                }
            }
        }
    }

    /// See [`Channel::baseline`](super::Channel::baseline).
    pub(super) fn baseline(&self) -> Option<Position> {
        let positioned = self.listeners.iter().filter(|one| one.positioned);
        let lowest = positioned.map(|one| one.after).min()?;
        Some(Position {
            // Not known yet: any epoch will do for what comes first.
            epoch: self.epoch.clone().unwrap_or_default(),
            offset: self.offset.unwrap_or(lowest),
        })
    }

    /// Whether others have got what follows this position; empty: it is none.
    pub(super) fn has_delivered_beyond(&self, epoch: &Arc<str>, offset: u64) -> bool {
        !epoch.is_empty()
            && self.epoch.as_ref() == Some(epoch)
            && self.offset.is_some_and(|delivered| delivered > offset)
    }

    /// What arrives from now on waits.
    pub(super) fn begin_repair(&mut self) -> Delivered {
        self.repairing = Some(Box::default());
        Delivered::Repair
    }

    /// Ends the wait of a client.
    pub(super) fn take_joining(&mut self, connection: &Arc<Connection>) -> Option<Joining> {
        let all = self.joining.as_mut()?;
        let at = all
            .iter()
            .position(|one| Arc::ptr_eq(&one.connection, connection))?;
        let joining = all.swap_remove(at);
        if all.is_empty() {
            self.joining = None;
        }
        Some(joining)
    }
}

impl Joining {
    /// Keeps a publication for it, if it is not to give up.
    pub(super) fn keep(&mut self, epoch: &Arc<str>, publication: &Publication) {
        let Some(buffer) = &mut self.buffer else {
            return;
        };
        if buffer.len() < BUFFERED {
            buffer.push((Arc::clone(epoch), publication.clone()));
        } else {
            self.buffer = None;
        }
    }
}
