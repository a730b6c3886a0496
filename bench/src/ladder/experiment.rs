//! What is measured: subjects side by side in one scenario, and the targets.

use std::fmt::Display;

use serde::{Deserialize, Serialize};

use super::scale::Scale;
use crate::server::{Backing, Channels, Encoding, Server, Setup, Transport};

/// Our server's name among the subjects.
pub const OURS: &str = "fanfare";
/// The subject that everything is compared with, unless said otherwise.
pub const FLOOR: &str = "floor";

/// Subjects side by side.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// Its name in options and results.
    pub name: &'static str,
    /// What is done, in words.
    pub title: String,
    /// Who does it.
    pub subjects: Vec<Subject>,
    /// Which of them the targets are about.
    pub judged: &'static str,
    /// What is looked at.
    pub measures: Vec<Measure>,
}

/// Something that is measured.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Its name in this experiment.
    pub label: String,
    /// What it runs.
    pub work: Work,
}

/// A server and what is done to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// What is started.
    pub setup: Setup,
    /// What happens then.
    pub task: Task,
}

/// What is done to a server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// The load generator runs against the first node; publications enter at the last.
    Run(Vec<String>),
    /// A load generator for each node, with its part of connections and rate, and rooms of
    /// its own.
    Split {
        /// Arguments of all.
        arguments: Vec<String>,
        /// Over all nodes.
        connections: usize,
        /// Publications per second over all nodes.
        rate: usize,
    },
    /// `redis-benchmark` runs the broker's own script against the same Redis.
    RedisBenchmark {
        /// For about so long.
        seconds: u64,
    },
    /// `pgbench` inserts the rows of a message in a transaction of its own.
    Pgbench {
        /// Into so many rooms.
        rooms: usize,
        /// For so long.
        seconds: u64,
    },
}

/// A figure of the outcome.
#[derive(Clone, Debug)]
pub struct Measure {
    /// In words.
    pub title: &'static str,
    /// See [`Outcome::figure`](super::Outcome::figure).
    pub figure: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// Whether less is better.
    pub less_is_better: bool,
    /// Which subject's figure of the same round it is divided by.
    pub against: &'static str,
    /// What the judged subject is to reach.
    pub targets: Vec<Bound>,
}

/// A target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// The figure itself.
    AtMost(f64),
    /// The ratio to another subject.
    TimesAtMost(&'static str, f64),
    /// The ratio to another subject.
    TimesAtLeast(&'static str, f64),
    /// The difference to another subject.
    MoreAtMost(&'static str, f64),
    /// Less than that of any server but the floor.
    BelowPeers,
}

impl Bound {
    /// The number in it.
    #[must_use]
    pub fn limit(self) -> f64 {
        match self {
            Self::AtMost(limit)
            | Self::TimesAtMost(_, limit)
            | Self::TimesAtLeast(_, limit)
            | Self::MoreAtMost(_, limit) => limit,
            Self::BelowPeers => 1.0,
        }
    }
}

impl Subject {
    /// A subject under a name.
    #[must_use]
    pub fn new(label: impl Into<String>, work: Work) -> Self {
        Self {
            label: label.into(),
            work,
        }
    }

    /// Whether it is somebody else's server.
    #[must_use]
    pub fn is_peer(&self) -> bool {
        let is_server = matches!(self.work.task, Task::Run(_));
        is_server && !matches!(self.work.setup.server, Server::Fanfare | Server::Floor)
    }
}

impl Work {
    /// A server under the load generator.
    #[must_use]
    pub fn run(setup: Setup, arguments: &[String]) -> Self {
        Self {
            setup,
            task: Task::Run(arguments.to_vec()),
        }
    }
}

/// All experiments.
#[must_use]
pub fn experiments(scale: Scale) -> Vec<Experiment> {
    let size = scale.size();
    let mut all = vec![idle(scale)];
    if scale == Scale::Full {
        all.extend([left(scale), idle_at_25_s(scale)]);
    }
    all.extend([
        one_at_a_time(scale),
        fixed_rate("fanout-1000-rate", size.listeners, 50, 1.15, scale),
        fixed_rate("fanout-10000-rate", size.many_listeners, 5, 1.1, scale),
        rooms(scale),
        fullest("fanout-1000-max", size.listeners, scale),
        fullest("fanout-10000-max", size.many_listeners, scale),
        rooms_fullest(scale),
        storm(scale),
        storm_with_recovery(scale),
        variants(scale),
        idle_over_tls(scale),
    ]);
    if scale != Scale::Tiny {
        all.extend([
            redis_added(scale),
            redis_fullest(scale),
            chat(scale),
            nodes(scale),
        ]);
    }
    for subject in all
        .iter_mut()
        .flat_map(|experiment| &mut experiment.subjects)
    {
        if let Task::Run(arguments) | Task::Split { arguments, .. } = &mut subject.work.task {
            arguments.extend(words([&"--warmup-seconds", &size.warmup_seconds]));
        }
    }
    all
}

/// Connections that come, stay silent for some seconds, and are looked at again so many
/// seconds after they have left.
fn stay(connections: usize, seconds: u64, leave_seconds: u64) -> Vec<String> {
    words([
        &"--scenario",
        &"idle",
        &"--connections",
        &connections,
        &"--seconds",
        &seconds,
        &"--leave-seconds",
        &leave_seconds,
    ])
}

fn idle(scale: Scale) -> Experiment {
    let size = scale.size();
    let arguments = stay(size.idle, size.idle_seconds, 2);
    Experiment {
        name: "idle",
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
            less("memory (RSS) per connection", "rss_per_connection_kb", "KB")
                .bound(Bound::AtMost(1.5)),
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
            less(
                "CPU per idle connection and second",
                "cpu_us_per_connection_second",
                "µs/s",
            )
            .bound(Bound::TimesAtMost(FLOOR, 1.2)),
        ],
    }
}

fn left(scale: Scale) -> Experiment {
    let size = scale.size();
    let arguments = stay(size.idle, 1, size.leave_seconds);
    Experiment {
        name: "left",
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

fn idle_at_25_s(scale: Scale) -> Experiment {
    let size = scale.size();
    let arguments = stay(size.idle, size.idle_default_seconds, 0);
    Experiment {
        name: "idle-25s",
        judged: OURS,
        title: format!(
            "{} idle connections; a heartbeat every 25 s, the default",
            size.idle
        ),
        subjects: only([Server::Fanfare, Server::Floor], |server| {
            Work::run(Setup::plain(server), &arguments)
        }),
        measures: vec![
            less(
                "CPU per idle connection and second",
                "cpu_us_per_connection_second",
                "µs/s",
            )
            .bound(Bound::AtMost(0.5)),
        ],
    }
}

fn one_at_a_time(scale: Scale) -> Experiment {
    let size = scale.size();
    let arguments = words([
        &"--scenario",
        &"fanout",
        &"--connections",
        &size.listeners,
        &"--one-at-a-time",
        &"--seconds",
        &size.seconds,
    ]);
    Experiment {
        name: "fanout-1000-one",
        judged: OURS,
        title: format!("{} listeners, one publication at a time", size.listeners),
        subjects: servers(|server| Work::run(Setup::plain(server), &arguments)),
        measures: vec![per_delivery().bound(Bound::TimesAtMost(FLOOR, 1.1))],
    }
}

fn fixed_rate(
    name: &'static str,
    listeners: usize,
    rate: usize,
    limit: f64,
    scale: Scale,
) -> Experiment {
    let arguments = words([
        &"--scenario",
        &"fanout",
        &"--connections",
        &listeners,
        &"--rate",
        &rate,
        &"--seconds",
        &scale.size().seconds,
    ]);
    Experiment {
        name,
        judged: OURS,
        title: format!("{listeners} listeners, {rate} publications per second"),
        subjects: servers(|server| Work::run(Setup::plain(server), &arguments)),
        measures: vec![
            per_delivery().bound(Bound::TimesAtMost(FLOOR, limit)),
            p99(),
        ],
    }
}

fn rooms(scale: Scale) -> Experiment {
    let size = scale.size();
    let arguments = words([
        &"--scenario",
        &"rooms",
        &"--connections",
        &size.in_rooms,
        &"--rate",
        &size.rooms_rate,
        &"--seconds",
        &size.seconds,
    ]);
    Experiment {
        name: "rooms-rate",
        judged: OURS,
        title: format!(
            "{} connections in rooms of 10, {} publications per second",
            size.in_rooms, size.rooms_rate
        ),
        subjects: servers(|server| Work::run(Setup::plain(server), &arguments)),
        measures: vec![per_delivery().bound(Bound::TimesAtMost(FLOOR, 1.2)), p99()],
    }
}

fn fullest(name: &'static str, listeners: usize, scale: Scale) -> Experiment {
    let arguments = words([
        &"--scenario",
        &"fanout",
        &"--connections",
        &listeners,
        &"--max",
        &"--seconds",
        &scale.size().seconds,
    ]);
    Experiment {
        name,
        judged: OURS,
        title: format!("{listeners} listeners, the queue kept full"),
        subjects: servers(|server| Work::run(Setup::plain(server), &arguments)),
        measures: vec![per_second().bound(Bound::TimesAtLeast("nats", 3.0))],
    }
}

fn rooms_fullest(scale: Scale) -> Experiment {
    let size = scale.size();
    let arguments = words([
        &"--scenario",
        &"rooms",
        &"--connections",
        &size.in_rooms,
        &"--max",
        &"--seconds",
        &size.seconds,
    ]);
    Experiment {
        name: "rooms-max",
        judged: OURS,
        title: format!(
            "{} connections in rooms of 10, the queue kept full",
            size.in_rooms
        ),
        subjects: servers(|server| Work::run(Setup::plain(server), &arguments)),
        measures: vec![per_second().bound(Bound::TimesAtLeast(FLOOR, 1.0))],
    }
}

fn storm(scale: Scale) -> Experiment {
    let arguments = storm_arguments(scale);
    Experiment {
        name: "storm",
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

fn storm_with_recovery(scale: Scale) -> Experiment {
    let mut recovering = storm_arguments(scale);
    recovering.extend(words([&"--recover", &10]));
    let history = |server| Setup {
        channels: Channels::History,
        ..Setup::plain(server)
    };
    Experiment {
        name: "storm-recovery",
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

/// Our own ways to deliver, against the plain one.
fn variants(scale: Scale) -> Experiment {
    let size = scale.size();
    let arguments = words([
        &"--scenario",
        &"fanout",
        &"--connections",
        &size.listeners,
        &"--one-at-a-time",
        &"--seconds",
        &size.seconds,
    ]);
    let plain = Setup::plain(Server::Fanfare);
    let subject = |label, setup| Subject::new(label, Work::run(setup, &arguments));
    Experiment {
        name: "variants",
        judged: "positioned",
        title: format!(
            "{} listeners, one publication at a time: positioned and recoverable, Protobuf and TLS \
             against plain JSON",
            size.listeners
        ),
        subjects: vec![
            subject(
                "positioned",
                Setup {
                    channels: Channels::History,
                    ..plain
                },
            ),
            subject(PLAIN, plain),
            subject(
                "Protobuf",
                Setup {
                    encoding: Encoding::Protobuf,
                    ..plain
                },
            ),
            subject(
                "TLS",
                Setup {
                    transport: Transport::Tls,
                    ..plain
                },
            ),
        ],
        measures: vec![
            per_delivery()
                .against(PLAIN)
                .bound(Bound::TimesAtMost(PLAIN, 1.05)),
        ],
    }
}

/// Ours without what the experiment is about.
const PLAIN: &str = "plain";

fn idle_over_tls(scale: Scale) -> Experiment {
    let size = scale.size();
    let arguments = stay(size.idle_tls, 1, 0);
    let plain = Setup::plain(Server::Fanfare);
    let tls = Setup {
        transport: Transport::Tls,
        ..plain
    };
    Experiment {
        name: "idle-tls",
        judged: "TLS",
        title: format!(
            "{} idle connections over TLS, against plain TCP",
            size.idle_tls
        ),
        subjects: vec![
            Subject::new("TLS", Work::run(tls, &arguments)),
            Subject::new(PLAIN, Work::run(plain, &arguments)),
        ],
        measures: vec![
            less("memory (RSS) per connection", "rss_per_connection_kb", "KB")
                .against(PLAIN)
                .bound(Bound::MoreAtMost(PLAIN, 6.0)),
            less(
                "CPU per accept, handshakes, connect and subscribe",
                "cpu_us_per_connect",
                "µs",
            )
            .against(PLAIN),
        ],
    }
}

/// Two nodes over Redis, against one in memory.
fn redis_added(scale: Scale) -> Experiment {
    let size = scale.size();
    let arguments = words([
        &"--scenario",
        &"redis",
        &"--channels",
        &size.redis_channels,
        &"--rate",
        &size.redis_rate,
        &"--seconds",
        &size.seconds,
    ]);
    let one = Setup::plain(Server::Fanfare);
    let two = Setup {
        backing: Backing::Redis(2),
        ..one
    };
    Experiment {
        name: "redis-added",
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

const ONE_NODE: &str = "one node";

fn redis_fullest(scale: Scale) -> Experiment {
    let size = scale.size();
    let arguments = words([
        &"--scenario",
        &"redis",
        &"--channels",
        &size.redis_channels,
        &"--max",
        &"--seconds",
        &size.seconds,
    ]);
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

fn chat(scale: Scale) -> Experiment {
    let size = scale.size();
    let rooms = 100;
    let arguments = words([
        &"--scenario",
        &"chat",
        &"--rooms",
        &rooms,
        &"--seconds",
        &size.seconds,
    ]);
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

/// The same load on more nodes.
fn nodes(scale: Scale) -> Experiment {
    let size = scale.size();
    let arguments = words([&"--scenario", &"rooms", &"--seconds", &size.seconds]);
    let on = |label, nodes| {
        let setup = Setup {
            backing: Backing::Redis(nodes),
            ..Setup::plain(Server::Fanfare)
        };
        let arguments = arguments.clone();
        let task = Task::Split {
            arguments,
            connections: size.in_rooms,
            rate: size.rooms_rate,
        };
        Subject::new(label, Work { setup, task })
    };
    Experiment {
        name: "nodes",
        judged: "8 nodes",
        title: format!(
            "{} connections in rooms of 10, {} publications per second, over 1, 2, 4 and 8 nodes that \
             share no rooms, with one Redis",
            size.in_rooms, size.rooms_rate
        ),
        subjects: vec![
            on("8 nodes", 8),
            on("4 nodes", 4),
            on("2 nodes", 2),
            on(ONE_NODE, 1),
        ],
        measures: vec![
            // Less than 10 % per doubling, three times.
            per_delivery()
                .against(ONE_NODE)
                .bound(Bound::TimesAtMost(ONE_NODE, 1.331)),
        ],
    }
}

fn servers(work: impl Fn(Server) -> Work) -> Vec<Subject> {
    only(Server::ALL, work)
}

fn only(servers: impl IntoIterator<Item = Server>, work: impl Fn(Server) -> Work) -> Vec<Subject> {
    let subject = |server: Server| Subject::new(server.name(), work(server));
    servers.into_iter().map(subject).collect()
}

fn words<const N: usize>(parts: [&dyn Display; N]) -> Vec<String> {
    parts.iter().map(ToString::to_string).collect()
}

fn per_delivery() -> Measure {
    less("server CPU per delivery", "cpu_us_per_delivery", "µs")
}

fn per_second() -> Measure {
    more("deliveries per second", "deliveries_per_second", "/s")
}

fn p99() -> Measure {
    let measure = less("p99 latency", "latency_ms.p99", "ms");
    measure
        .bound(Bound::TimesAtMost(FLOOR, 1.2))
        .bound(Bound::BelowPeers)
}

fn less(title: &'static str, figure: &'static str, unit: &'static str) -> Measure {
    Measure {
        title,
        figure,
        unit,
        less_is_better: true,
        against: FLOOR,
        targets: Vec::new(),
    }
}

fn more(title: &'static str, figure: &'static str, unit: &'static str) -> Measure {
    Measure {
        less_is_better: false,
        ..less(title, figure, unit)
    }
}

impl Measure {
    fn bound(mut self, bound: Bound) -> Self {
        self.targets.push(bound);
        self
    }

    fn against(self, against: &'static str) -> Self {
        Self { against, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_is_about_a_subject_that_is_there() {
        for scale in [Scale::Full, Scale::Quick, Scale::Tiny] {
            for experiment in experiments(scale) {
                let has = |label: &str| experiment.subjects.iter().any(|s| s.label == label);
                assert!(has(experiment.judged), "{}", experiment.name);
                for measure in &experiment.measures {
                    assert!(has(measure.against), "{}", experiment.name);
                    for bound in &measure.targets {
                        match bound {
                            Bound::TimesAtMost(of, _)
                            | Bound::TimesAtLeast(of, _)
                            | Bound::MoreAtMost(of, _) => assert!(has(of), "{}", experiment.name),
                            Bound::AtMost(_) | Bound::BelowPeers => {}
                        }
                    }
                }
            }
        }
    }
}
