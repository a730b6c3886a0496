//! The experiments that there are, and what several of them look at.

use std::fmt::Display;

use super::experiment::{Bound, Experiment, FLOOR, Measure, Subject, Task, Work};
use super::scale::Scale;
use crate::server::Server;

mod chat;
mod fanout;
mod idle;
mod nodes;
mod redis;
mod rooms;
mod storm;
mod variants;

/// All experiments.
#[must_use]
pub fn experiments(scale: Scale) -> Vec<Experiment> {
    let size = scale.size();
    let mut all = vec![idle::idle(scale)];
    if scale == Scale::Full {
        all.extend([idle::left(scale), idle::at_25_s(scale)]);
    }
    all.extend([
        fanout::one_at_a_time(scale),
        fanout::fixed_rate("fanout-1000-rate", size.listeners, 50, 1.15, scale),
        fanout::fixed_rate("fanout-10000-rate", size.many_listeners, 5, 1.1, scale),
        rooms::rate(scale),
        fanout::fullest("fanout-1000-max", size.listeners, scale),
        fanout::fullest("fanout-10000-max", size.many_listeners, scale),
        rooms::fullest(scale),
        storm::storm(scale),
        storm::with_recovery(scale),
        variants::delivery(scale),
        variants::idle_over_tls(scale),
    ]);
    if scale != Scale::Tiny {
        all.extend([
            redis::added(scale),
            redis::fullest(scale),
            chat::chat(scale),
            nodes::nodes(scale),
        ]);
    }
    for subject in all
        .iter_mut()
        .flat_map(|experiment| &mut experiment.subjects)
    {
        if let Task::Run(arguments) | Task::Spread(arguments) = &mut subject.work.task {
            arguments.extend(words([&"--warmup-seconds", &size.warmup_seconds]));
        }
    }
    all
}

fn servers(work: impl Fn(Server) -> Work) -> Vec<Subject> {
    only(Server::ALL, work)
}

fn only(servers: impl IntoIterator<Item = Server>, work: impl Fn(Server) -> Work) -> Vec<Subject> {
    let subject = |server: Server| Subject::new(server.name(), work(server));
    servers.into_iter().map(subject).collect()
}

/// The load generator's arguments for a scenario that lasts so long.
fn scenario<const N: usize>(name: &str, seconds: u64, more: [&dyn Display; N]) -> Vec<String> {
    let mut arguments = words([&"--scenario", &name, &"--seconds", &seconds]);
    arguments.extend(words(more));
    arguments
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

fn rss_per_connection() -> Measure {
    less("memory (RSS) per connection", "rss_per_connection_kb", "KB")
}

fn per_idle_second() -> Measure {
    let title = "CPU per idle connection and second";
    less(title, "cpu_us_per_connection_second", "µs/s")
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
