//! Two nodes over Redis.

use super::nodes::ONE_NODE;
use super::{less, more, scenario};
use crate::ladder::experiment::{Bound, Experiment, OURS, Subject, Task, Work};
use crate::ladder::reference::{CONNECTIONS, PIPELINE};
use crate::ladder::scale::Scale;
use crate::server::{Backing, Channels, Server, Setup};

/// Two nodes over Redis, against one in memory.
pub(super) fn added(scale: Scale) -> Experiment {
    let size = scale.size();
    let arguments = scenario(
        "redis",
        size.seconds,
        [
            &"--channels",
            &size.redis_channels,
            &"--rate",
            &size.redis_rate,
        ],
    );
    let one = Setup::plain(Server::Fanfare);
    let two = Setup {
        backing: Backing::Redis(2),
        ..one
    };
    Experiment {
        name: "redis-added",
        turns: 1,
        judged: "two nodes",
        title: format!(
            "{} publications per second on {} channels with a listener each: published at one node \
             and delivered by another over Redis, against one node alone",
            size.redis_rate, size.redis_channels
        ),
        subjects: vec![
            Subject::new("two nodes", Work::run(two, &arguments)),
            Subject::new(ONE_NODE, Work::run(one, &arguments)),
        ],
        measures: vec![
            less(
                "CPU of all nodes per publication",
                "cpu_us_per_publication",
                "µs",
            )
            .against(ONE_NODE),
            less("p50 latency", "latency_ms.p50", "ms").against(ONE_NODE),
            less("p99 latency", "latency_ms.p99", "ms").against(ONE_NODE),
        ],
    }
}

pub(super) fn fullest(scale: Scale) -> Experiment {
    let size = scale.size();
    let arguments = scenario(
        "redis",
        size.seconds,
        [
            &"--channels",
            &size.redis_channels,
            &"--publishers",
            &CONNECTIONS,
            &"--max",
            &"--batch",
            &PIPELINE,
        ],
    );
    let setup = Setup {
        backing: Backing::Redis(2),
        channels: Channels::History,
        ..Setup::plain(Server::Fanfare)
    };
    let benchmark = Task::RedisBenchmark {
        seconds: size.seconds,
    };
    Experiment {
        name: "redis-max",
        turns: 1,
        judged: OURS,
        title: format!(
            "most publications per second on {} channels with history over Redis, against \
             redis-benchmark with the broker's script",
            size.redis_channels
        ),
        subjects: vec![
            Subject::new(OURS, Work::run(setup, &arguments)),
            Subject::new(
                "redis-benchmark",
                Work {
                    setup,
                    task: benchmark,
                },
            ),
        ],
        measures: vec![
            more("publications per second", "publications_per_second", "/s")
                .against("redis-benchmark")
                .bound(Bound::TimesAtLeast("redis-benchmark", 0.8)),
        ],
    }
}
