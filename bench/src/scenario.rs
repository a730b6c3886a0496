//! The scenarios: what is done to a server, and which figures come of it.

pub mod broadcast;
pub mod chat;
pub mod idle;
pub mod rpc;
pub mod storm;

use std::time::Duration;

use clap::ValueEnum;

use crate::dialect::{Role, Session};
use crate::event_loop::EventLoop;
use crate::fleet::Opening;
use crate::process::Processes;
use crate::target::Target;
use crate::traffic::number;

/// What can be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ScenarioName {
    /// Connections that do nothing: memory, what opening them costs, what keeping them costs.
    Idle,
    /// Many listeners of one channel.
    Fanout,
    /// Many channels with few listeners each.
    Rooms,
    /// All connections are lost at once and come back.
    Storm,
    /// Calls and their answers.
    Rpc,
    /// Published at one node, delivered by another.
    Redis,
    /// Messages that are stored before they are delivered.
    Chat,
}

/// What every scenario needs.
#[derive(Debug)]
pub struct Setup {
    /// The generator.
    pub event_loop: EventLoop,
    /// The servers' processes.
    pub processes: Processes,
    /// Where listeners connect, in turn.
    pub targets: Vec<Target>,
    /// Where publishers connect, in turn.
    pub publish_targets: Vec<Target>,
    /// How connections are opened.
    pub opening: Opening,
    /// How long nothing may come before what is missing is lost.
    pub quiet: Duration,
}

impl Setup {
    /// Listeners of these channels. Those of one channel connect to the same node, when
    /// `together`; else they are spread.
    pub fn listeners(
        &self,
        channels: &[u32],
        together: bool,
    ) -> impl ExactSizeIterator<Item = (Session, Target)> + use<> {
        let targets = self.targets.clone();
        let channels = channels.to_vec();
        (0..channels.len()).map(move |place| {
            let channel = channels[place];
            let node = if together { channel as usize } else { place };
            let session = Session::new(Role::Listener, number(place), channel);
            (session, targets[node % targets.len()].clone())
        })
    }

    /// So many publishers.
    pub fn publishers(
        &self,
        count: usize,
    ) -> impl ExactSizeIterator<Item = (Session, Target)> + use<> {
        let targets = self.publish_targets.clone();
        (0..count).map(move |place| {
            let session = Session::new(Role::Publisher, number(place), number(place));
            (session, targets[place % targets.len()].clone())
        })
    }
}

/// The channel of each listener, when so many share one.
#[must_use]
pub fn rooms(listeners: usize, room: usize) -> Vec<u32> {
    let rooms = (0..listeners).map(|place| number(place / room.max(1)));
    rooms.collect()
}
