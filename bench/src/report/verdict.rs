//! Results against targets: medians of ratios within one turn.

use serde::Serialize;

use crate::ladder::{Bound, Experiment, Measure, Results, Subject};

/// A measure, what each subject reached in it, and whether the targets are met.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// The name of the experiment.
    pub experiment: String,
    /// What was done.
    pub what: String,
    /// What was measured.
    pub measure: String,
    /// Its unit.
    pub unit: String,
    /// Whether less is better.
    pub less_is_better: bool,
    /// Which subject the targets are about.
    pub judged: String,
    /// Which subject the ratios are to.
    pub against: String,
    /// One for each subject, in the order of the experiment.
    pub lines: Vec<Line>,
    /// The targets of this measure; none, where the figures are only written down.
    pub targets: Vec<Judged>,
}

/// What a subject reached.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// Which subject.
    pub subject: String,
    /// The figure of each turn; `None` where there is none.
    pub values: Vec<Option<f64>>,
    /// Of the figures.
    pub figure: Option<Summary>,
    /// Of the ratios within a turn.
    pub ratio: Option<Summary>,
}

/// A target and what there is of it.
#[derive(Clone, Debug, Serialize)]
pub struct Judged {
    /// In words.
    pub target: String,
    /// What it is about: ratios or figures.
    pub reached: Option<Summary>,
    /// Whether the median is within the target; `None`: it was not measured.
    pub met: Option<bool>,
    /// Where the target is among the figures, by the median of what it is relative to.
    pub mark: Option<f64>,
}

/// The middle and the ends of some figures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// The middle one, or between the two middle ones.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

impl Summary {
    /// Of these figures; `None` if there are none.
    #[must_use]
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut figures: Vec<f64> = figures
            .into_iter()
            .filter(|figure| !figure.is_nan())
            .collect();
        figures.sort_by(f64::total_cmp);
        let (&min, &max) = (figures.first()?, figures.last()?);
        let upper = figures.len() / 2;
        let lower = (figures.len() - 1) / 2;
        Some(Self {
            median: f64::midpoint(figures[lower], figures[upper]),
            min,
            max,
        })
    }
}

/// Judges every measure of every experiment.
#[must_use]
pub fn judge(experiments: &[Experiment], results: &Results) -> Vec<Verdict> {
    let of_one = |experiment| {
        let verdict = move |measure| judge_measure(experiment, measure, results);
        experiment.measures.iter().map(verdict)
    };
    experiments.iter().flat_map(of_one).collect()
}

fn judge_measure(experiment: &Experiment, measure: &Measure, results: &Results) -> Verdict {
    let figures = |subject: &Subject| turns(experiment, measure, results, &subject.label);
    let columns: Vec<(&Subject, Vec<Option<f64>>)> = experiment
        .subjects
        .iter()
        .map(|subject| (subject, figures(subject)))
        .collect();
    let column = |label: &str| {
        let found = columns.iter().find(|(subject, _)| subject.label == label);
        found.map_or(&[][..], |(_, values)| values.as_slice())
    };
    let base = column(measure.against);
    let lines = columns.iter().map(|(subject, values)| Line {
        subject: subject.label.clone(),
        values: values.clone(),
        figure: Summary::of(values.iter().flatten().copied()),
        ratio: Summary::of(pairs(values, base).map(|(value, base)| value / base)),
    });
    let peers = experiment
        .subjects
        .iter()
        .filter(|subject| subject.is_peer());
    let peers: Vec<_> = peers.map(|peer| peer.label.as_str()).collect();
    let judged =
        |bound: &Bound| judge_bound(*bound, measure, column(experiment.judged), &column, &peers);
    Verdict {
        experiment: experiment.name.to_owned(),
        what: experiment.title.clone(),
        measure: measure.title.to_owned(),
        unit: measure.unit.to_owned(),
        less_is_better: measure.less_is_better,
        judged: experiment.judged.to_owned(),
        against: measure.against.to_owned(),
        lines: lines.collect(),
        targets: measure.targets.iter().map(judged).collect(),
    }
}

fn judge_bound<'a>(
    bound: Bound,
    measure: &Measure,
    ours: &[Option<f64>],
    column: &dyn Fn(&str) -> &'a [Option<f64>],
    peers: &[&str],
) -> Judged {
    let ratios = |of| Summary::of(pairs(ours, column(of)).map(|(ours, other)| ours / other));
    let (target, reached, met): (_, _, fn(f64, f64) -> bool) = match bound {
        Bound::AtMost(_) => (
            format!("≤ {} {}", bound.limit(), measure.unit),
            Summary::of(ours.iter().flatten().copied()),
            |reached, limit| reached <= limit,
        ),
        Bound::TimesAtMost(of, limit) => (
            format!("≤ {limit} × {of}"),
            ratios(of),
            |reached, limit| reached <= limit,
        ),
        Bound::TimesAtLeast(of, limit) => (
            format!("≥ {limit} × {of}"),
            ratios(of),
            |reached, limit| reached >= limit,
        ),
        Bound::MoreAtMost(of, limit) => (
            format!("≤ {limit} {} more than {of}", measure.unit),
            Summary::of(pairs(ours, column(of)).map(|(ours, other)| ours - other)),
            |reached, limit| reached <= limit,
        ),
        Bound::BelowPeers => (
            "below every peer".to_owned(),
            // The best peer is the one that ours comes nearest to in the middle of all turns;
            // the luckiest of each turn would be another one each time.
            peers
                .iter()
                .filter_map(|peer| ratios(peer))
                .max_by(|one, other| one.median.total_cmp(&other.median)),
            |reached, limit| reached < limit,
        ),
    };
    let middle = |of| Some(Summary::of(column(of).iter().flatten().copied())?.median);
    let mark = match bound {
        Bound::AtMost(limit) => Some(limit),
        Bound::TimesAtMost(of, limit) | Bound::TimesAtLeast(of, limit) => {
            middle(of).map(|middle| middle * limit)
        }
        Bound::MoreAtMost(of, limit) => middle(of).map(|middle| middle + limit),
        Bound::BelowPeers => None,
    };
    Judged {
        target,
        mark,
        met: reached.map(|reached| met(reached.median, bound.limit())),
        reached,
    }
}

/// The figure of each turn.
fn turns(
    experiment: &Experiment,
    measure: &Measure,
    results: &Results,
    subject: &str,
) -> Vec<Option<f64>> {
    let mut values = vec![None; experiment.turns_until(results.conditions.rounds)];
    for trial in results.of(experiment.name, subject) {
        let figure = trial
            .outcome
            .as_ref()
            .and_then(|outcome| outcome.figure(measure.figure));
        if let Some(value) = values.get_mut(trial.turn.wrapping_sub(1)) {
            *value = figure;
        }
    }
    values
}

/// Figures of the same turn; those by which nothing can be divided are left out.
fn pairs(ours: &[Option<f64>], other: &[Option<f64>]) -> impl Iterator<Item = (f64, f64)> {
    let both = ours
        .iter()
        .zip(other)
        .filter_map(|(ours, other)| Some(((*ours)?, (*other)?)));
    both.filter(|(_, other)| *other != 0.0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::ladder::{Conditions, Outcome, Trial, Work};
    use crate::server::{Server, Setup};

    fn subject(label: &str, server: Server) -> Subject {
        Subject::new(label, Work::run(Setup::plain(server), &[]))
    }

    fn results(figures: &[(&str, [f64; 3])]) -> Results {
        let trials = figures.iter().flat_map(|(subject, values)| {
            values.iter().enumerate().map(|(turn, value)| Trial {
                turn: turn + 1,
                experiment: "e".to_owned(),
                subject: (*subject).to_owned(),
                seconds: 1.0,
                outcome: value.is_finite().then(|| Outcome {
                    measures: BTreeMap::from([("m".to_owned(), (*value).into())]),
                    ..Outcome::default()
                }),
                error: None,
            })
        });
        Results {
            conditions: Conditions {
                rounds: 3,
                ..Conditions::unknown()
            },
            left_out: BTreeMap::new(),
            versions: BTreeMap::new(),
            trials: trials.collect(),
        }
    }

    fn verdict(figures: &[(&str, [f64; 3])], targets: &[Bound]) -> Verdict {
        let experiment = Experiment {
            name: "e",
            turns: 1,
            title: "E".to_owned(),
            judged: "fanfare",
            subjects: vec![
                subject("fanfare", Server::Fanfare),
                subject("floor", Server::Floor),
                subject("nchan", Server::Nchan),
                subject("nats", Server::Nats),
            ],
            measures: vec![Measure {
                title: "M",
                figure: "m",
                unit: "s",
                less_is_better: true,
                against: "floor",
                targets: targets.to_vec(),
            }],
        };
        judge(&[experiment], &results(figures)).remove(0)
    }

    #[test]
    fn ratios_are_of_the_same_turn() {
        // A noisy machine: what counts is that each turn has the same ratio.
        let verdict = verdict(
            &[
                ("fanfare", [2.0, 20.0, 200.0]),
                ("floor", [1.0, 10.0, 100.0]),
            ],
            &[
                Bound::TimesAtMost("floor", 2.0),
                Bound::TimesAtMost("floor", 1.9),
            ],
        );
        let ours = &verdict.lines[0];
        assert_eq!(
            ours.ratio,
            Some(Summary {
                median: 2.0,
                min: 2.0,
                max: 2.0
            })
        );
        assert_eq!(ours.figure.map(|figure| figure.median), Some(20.0));
        assert_eq!(verdict.targets[0].met, Some(true));
        assert_eq!(verdict.targets[1].met, Some(false));
    }

    #[test]
    fn a_failed_trial_takes_its_turn_out_and_nothing_else() {
        let verdict = verdict(
            &[
                ("fanfare", [2.0, f64::NAN, 4.0]),
                ("floor", [1.0, 1.0, 1.0]),
            ],
            &[Bound::AtMost(3.0), Bound::TimesAtLeast("nats", 3.0)],
        );
        let expected = Summary {
            median: 3.0,
            min: 2.0,
            max: 4.0,
        };
        assert_eq!(verdict.lines[0].ratio, Some(expected));
        assert_eq!(verdict.targets[0].met, Some(true));
        assert_eq!(verdict.targets[1].met, None, "nats was not measured");
    }

    #[test]
    fn every_peer_must_be_behind() {
        let figures = [
            ("fanfare", [2.0, 2.0, 2.0]),
            ("floor", [1.0, 1.0, 1.0]),
            ("nchan", [4.0, 4.0, 4.0]),
            ("nats", [1.5, 3.0, 1.9]),
        ];
        let verdict = verdict(&figures, &[Bound::BelowPeers]);
        assert_eq!(
            verdict.targets[0].met,
            Some(false),
            "nats was ahead in two turns of three"
        );
        assert_eq!(verdict.lines[1].ratio.map(|ratio| ratio.median), Some(1.0));
    }

    #[test]
    fn peers_that_are_lucky_in_turn_are_behind() {
        let figures = [
            ("fanfare", [2.0, 2.0, 2.0]),
            ("nchan", [1.9, 4.0, 4.0]),
            ("nats", [2.5, 1.9, 2.5]),
        ];
        let verdict = verdict(&figures, &[Bound::BelowPeers]);
        let target = &verdict.targets[0];
        assert_eq!(target.met, Some(true));
        assert_eq!(target.reached.map(|reached| reached.median), Some(0.8));
    }

    #[test]
    fn the_middle_of_an_even_number_is_between() {
        let summary = Summary::of([4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!((summary.median, summary.min, summary.max), (2.5, 1.0, 4.0));
        assert_eq!(Summary::of([]), None);
    }
}
