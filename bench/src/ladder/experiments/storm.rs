//! All sockets are lost at once and come back at once.

use super::{less, servers, words};
use crate::ladder::experiment::{Bound, Experiment, FLOOR, OURS, Subject, Work};
use crate::ladder::scale::Scale;
use crate::server::{Channels, Server, Setup};

pub(super) fn storm(scale: Scale) -> Experiment {
    let arguments = storm_arguments(scale);
    Experiment {
        name: "storm",
        turns: 1,
        judged: OURS,
        title: format!(
            "{} sockets dropped, back and subscribed again",
            scale.size().storm
        ),
        subjects: servers(|server| Work::run(Setup::plain(server), &arguments)),
        measures: vec![
            less("time until all are back", "seconds", "s").bound(Bound::TimesAtMost(FLOOR, 2.0)),
            less("p99 of connecting and subscribing", "connect_ms_p99", "ms")
                .bound(Bound::AtMost(250.0)),
        ],
    }
}

pub(super) fn with_recovery(scale: Scale) -> Experiment {
    let mut recovering = storm_arguments(scale);
    recovering.extend(words([&"--recover", &10]));
    let history = |server| Setup {
        channels: Channels::History,
        ..Setup::plain(server)
    };
    Experiment {
        name: "storm-recovery",
        turns: 1,
        judged: OURS,
        title: format!(
            "{} sockets dropped and back, each recovers 10 missed messages; the floor recovers nothing",
            scale.size().storm
        ),
        subjects: vec![
            Subject::new(OURS, Work::run(history(Server::Fanfare), &recovering)),
            Subject::new(
                FLOOR,
                Work::run(Setup::plain(Server::Floor), &storm_arguments(scale)),
            ),
            Subject::new(
                "centrifuge-go",
                Work::run(history(Server::CentrifugeGo), &recovering),
            ),
        ],
        measures: vec![
            less("time until all are back and have recovered", "seconds", "s")
                .bound(Bound::TimesAtMost(FLOOR, 3.0)),
            less(
                "p99 of connecting, subscribing and recovering",
                "connect_ms_p99",
                "ms",
            )
            .bound(Bound::AtMost(250.0)),
        ],
    }
}

fn storm_arguments(scale: Scale) -> Vec<String> {
    words([
        &"--scenario",
        &"storm",
        &"--connections",
        &scale.size().storm,
    ])
}
