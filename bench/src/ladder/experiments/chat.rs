//! Messages that are stored before they are acknowledged.

use super::{less, more, scenario};
use crate::ladder::experiment::{Bound, Experiment, OURS, Subject, Task, Work};
use crate::ladder::scale::Scale;
use crate::server::{Backing, Server, Setup};

pub(super) fn chat(scale: Scale) -> Experiment {
    let size = scale.size();
    let rooms = 100;
    let arguments = scenario("chat", size.seconds, [&"--rooms", &rooms]);
    let setup = Setup {
        backing: Backing::Chat,
        ..Setup::plain(Server::Fanfare)
    };
    let pgbench = Task::Pgbench {
        rooms,
        seconds: size.seconds,
    };
    Experiment {
        name: "chat",
        turns: 1,
        judged: OURS,
        title: format!(
            "persisted messages end to end in {rooms} rooms, socket to PostgreSQL to socket, against \
             pgbench inserting the same rows in transactions of its own"
        ),
        subjects: vec![
            Subject::new(OURS, Work::run(setup, &arguments)),
            Subject::new(
                "pgbench",
                Work {
                    setup,
                    task: pgbench,
                },
            ),
        ],
        measures: vec![
            more("sends per second", "sends_per_second", "/s")
                .against("pgbench")
                .bound(Bound::TimesAtLeast("pgbench", 0.7)),
            less("p50 latency, send to delivery", "latency_ms.p50", "ms").against("pgbench"),
            less("p99 latency, send to delivery", "latency_ms.p99", "ms").against("pgbench"),
        ],
    }
}
