//! Connections that do nothing.

use super::{less, only, per_idle_second, rss_per_connection, scenario, servers};
use crate::ladder::experiment::{Bound, Experiment, FLOOR, OURS, Work};
use crate::ladder::scale::Scale;
use crate::server::{Server, Setup};

/// Connections that come, stay silent for some seconds, and are looked at again so many
/// seconds after they have left.
pub(super) fn stay(connections: usize, seconds: u64, leave_seconds: u64) -> Vec<String> {
    scenario(
        "idle",
        seconds,
        [
            &"--connections",
            &connections,
            &"--leave-seconds",
            &leave_seconds,
        ],
    )
}

pub(super) fn idle(scale: Scale) -> Experiment {
    let size = scale.size();
    let arguments = stay(size.idle, size.idle_seconds, 2);
    Experiment {
        name: "idle",
        turns: size.turns,
        judged: OURS,
        title: format!(
            "{} connections, each subscribed to a channel of its own; a heartbeat every {} s",
            size.idle, size.heartbeat
        ),
        subjects: servers(|server| {
            let setup = Setup {
                heartbeat: size.heartbeat,
                ..Setup::plain(server)
            };
            Work::run(setup, &arguments)
        }),
        measures: vec![
            rss_per_connection().bound(Bound::AtMost(1.5)),
            less(
                "memory 2 s after all have left, over that of the start",
                "rss_after_start_ratio",
                "times",
            ),
            less(
                "CPU per accept, upgrade, connect and subscribe",
                "cpu_us_per_connect",
                "µs",
            )
            .bound(Bound::TimesAtMost(FLOOR, 2.0)),
            per_idle_second().bound(Bound::TimesAtMost(FLOOR, 1.2)),
        ],
    }
}

pub(super) fn left(scale: Scale) -> Experiment {
    let size = scale.size();
    let arguments = stay(size.idle, 1, size.leave_seconds);
    Experiment {
        name: "left",
        turns: 1,
        judged: OURS,
        title: format!("{} connections come and go", size.idle),
        subjects: only([Server::Fanfare, Server::Floor], |server| {
            Work::run(Setup::plain(server), &arguments)
        }),
        measures: vec![
            less(
                "memory 60 s after all have left, over that of the start",
                "rss_after_start_ratio",
                "times",
            )
            .bound(Bound::AtMost(1.3)),
        ],
    }
}

pub(super) fn at_25_s(scale: Scale) -> Experiment {
    let size = scale.size();
    let arguments = stay(size.idle, size.idle_default_seconds, 0);
    Experiment {
        name: "idle-25s",
        turns: 1,
        judged: OURS,
        title: format!(
            "{} idle connections; a heartbeat every 25 s, the default",
            size.idle
        ),
        subjects: only([Server::Fanfare, Server::Floor], |server| {
            Work::run(Setup::plain(server), &arguments)
        }),
        measures: vec![per_idle_second().bound(Bound::AtMost(0.5))],
    }
}
