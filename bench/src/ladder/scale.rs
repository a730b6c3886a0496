//! How large and long trials are.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A ladder's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// The sizes of the targets.
    Full,
    /// Two minutes: enough to see that something became slower.
    Quick,
    /// Seconds: only shows that everything works.
    Tiny,
}

/// Numbers of connections, rates, seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) idle: usize,
    pub(super) idle_tls: usize,
    pub(super) idle_seconds: u64,
    pub(super) idle_default_seconds: u64,
    pub(super) heartbeat: u64,
    pub(super) leave_seconds: u64,
    pub(super) listeners: usize,
    pub(super) many_listeners: usize,
    pub(super) in_rooms: usize,
    pub(super) rooms_rate: usize,
    pub(super) storm: usize,
    pub(super) redis_channels: usize,
    pub(super) redis_rate: usize,
    pub(super) seconds: u64,
    pub(super) warmup_seconds: f64,
    /// Turns in each round of an experiment whose bound is closer than its trials are to
    /// each other.
    pub(super) turns: usize,
}

impl Scale {
    pub(super) fn size(self) -> Size {
        match self {
            Self::Full => Size {
                idle: 10_000,
                idle_tls: 5_000,
                // Three heartbeats of each connection, as at the default.
                idle_seconds: 15,
                idle_default_seconds: 75,
                heartbeat: 5,
                leave_seconds: 60,
                listeners: 1_000,
                many_listeners: 10_000,
                in_rooms: 5_000,
                rooms_rate: 2_000,
                storm: 10_000,
                redis_channels: 100,
                redis_rate: 1_000,
                seconds: 10,
                warmup_seconds: 2.0,
                turns: 3,
            },
            Self::Quick => Size {
                idle: 2_000,
                idle_tls: 1_000,
                // Two heartbeats of each connection.
                idle_seconds: 4,
                idle_default_seconds: 25,
                heartbeat: 2,
                leave_seconds: 0,
                many_listeners: 5_000,
                in_rooms: 2_000,
                rooms_rate: 1_000,
                storm: 2_000,
                seconds: 2,
                warmup_seconds: 1.0,
                turns: 1,
                ..Self::Full.size()
            },
            Self::Tiny => Size {
                idle: 50,
                idle_tls: 50,
                idle_seconds: 2,
                idle_default_seconds: 2,
                heartbeat: 1,
                leave_seconds: 0,
                listeners: 20,
                many_listeners: 40,
                in_rooms: 50,
                rooms_rate: 50,
                storm: 50,
                redis_channels: 10,
                redis_rate: 50,
                seconds: 1,
                warmup_seconds: 0.2,
                turns: 2,
            },
        }
    }
}
