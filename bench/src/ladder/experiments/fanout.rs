//! One channel with all listeners.

use super::{p99, per_delivery, per_second, scenario, servers};
use crate::ladder::experiment::{Bound, Experiment, FLOOR, OURS, Work};
use crate::ladder::scale::Scale;
use crate::server::Setup;

pub(super) fn one_at_a_time(scale: Scale) -> Experiment {
    let size = scale.size();
    let arguments = scenario(
        "fanout",
        size.seconds,
        [&"--connections", &size.listeners, &"--one-at-a-time"],
    );
    Experiment {
        name: "fanout-1000-one",
        turns: size.turns,
        judged: OURS,
        title: format!("{} listeners, one publication at a time", size.listeners),
        subjects: servers(|server| Work::run(Setup::plain(server), &arguments)),
        measures: vec![per_delivery().bound(Bound::TimesAtMost(FLOOR, 1.1))],
    }
}

pub(super) fn fixed_rate(
    name: &'static str,
    listeners: usize,
    rate: usize,
    limit: f64,
    scale: Scale,
) -> Experiment {
    let size = scale.size();
    let arguments = scenario(
        "fanout",
        size.seconds,
        [&"--connections", &listeners, &"--rate", &rate],
    );
    Experiment {
        name,
        turns: size.turns,
        judged: OURS,
        title: format!("{listeners} listeners, {rate} publications per second"),
        subjects: servers(|server| Work::run(Setup::plain(server), &arguments)),
        measures: vec![
            per_delivery().bound(Bound::TimesAtMost(FLOOR, limit)),
            p99(),
        ],
    }
}

pub(super) fn fullest(name: &'static str, listeners: usize, scale: Scale) -> Experiment {
    let arguments = scenario(
        "fanout",
        scale.size().seconds,
        [&"--connections", &listeners, &"--max"],
    );
    Experiment {
        name,
        turns: 1,
        judged: OURS,
        title: format!("{listeners} listeners, the queue kept full"),
        subjects: servers(|server| Work::run(Setup::plain(server), &arguments)),
        measures: vec![per_second().bound(Bound::TimesAtLeast("nats", 3.0))],
    }
}
