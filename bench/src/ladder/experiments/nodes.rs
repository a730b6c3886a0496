//! Several nodes with one Redis.

use super::per_delivery;
use super::rooms::at_a_rate;
use crate::ladder::experiment::{Bound, Experiment, Subject, Task, Work};
use crate::ladder::scale::Scale;
use crate::server::{Backing, Server, Setup};

/// One publisher for each of 8 nodes, and as many where there are fewer nodes. What one client
/// says comes in one read: with one publisher per node, one node was given the whole load by a
/// single client, and eight by eight.
const PUBLISHERS: usize = 8;

/// The subject that more nodes are compared with.
pub(super) const ONE_NODE: &str = "one node";

/// The same load on more nodes.
pub(super) fn nodes(scale: Scale) -> Experiment {
    let size = scale.size();
    let mut arguments = at_a_rate(scale);
    arguments.extend(["--publishers".to_owned(), PUBLISHERS.to_string()]);
    // One load generator for all of them: one for each node would be eight more processes
    // for the same two processors, and what they cost the nodes would be counted as theirs.
    let on = |label, nodes| {
        let setup = Setup {
            backing: Backing::Redis(nodes),
            ..Setup::plain(Server::Fanfare)
        };
        let task = Task::Spread(arguments.clone());
        Subject::new(label, Work { setup, task })
    };
    Experiment {
        name: "nodes",
        turns: size.turns,
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
