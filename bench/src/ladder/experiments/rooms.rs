//! Many channels with few listeners each.

use super::{p99, per_delivery, per_second, scenario, servers};
use crate::ladder::experiment::{Bound, Experiment, FLOOR, OURS, Work};
use crate::ladder::scale::Scale;
use crate::server::Setup;

/// The load generator's arguments for many rooms at a fixed rate.
pub(super) fn at_a_rate(scale: Scale) -> Vec<String> {
    let size = scale.size();
    scenario(
        "rooms",
        size.seconds,
        [
            &"--connections",
            &size.in_rooms,
            &"--rate",
            &size.rooms_rate,
        ],
    )
}

pub(super) fn rate(scale: Scale) -> Experiment {
    let size = scale.size();
    let arguments = at_a_rate(scale);
    Experiment {
        name: "rooms-rate",
        // The worst latency differs more between trials than servers do.
        turns: 2 * size.turns - 1,
        judged: OURS,
        title: format!(
            "{} connections in rooms of 10, {} publications per second",
            size.in_rooms, size.rooms_rate
        ),
        subjects: servers(|server| Work::run(Setup::plain(server), &arguments)),
        measures: vec![per_delivery().bound(Bound::TimesAtMost(FLOOR, 1.2)), p99()],
    }
}

pub(super) fn fullest(scale: Scale) -> Experiment {
    let size = scale.size();
    let arguments = scenario(
        "rooms",
        size.seconds,
        [&"--connections", &size.in_rooms, &"--max"],
    );
    Experiment {
        name: "rooms-max",
        turns: 1,
        judged: OURS,
        title: format!(
            "{} connections in rooms of 10, the queue kept full",
            size.in_rooms
        ),
        subjects: servers(|server| Work::run(Setup::plain(server), &arguments)),
        measures: vec![per_second().bound(Bound::TimesAtLeast(FLOOR, 1.0))],
    }
}
