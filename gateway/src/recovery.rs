//! Decides whether a client's position can be recovered from. Pure: it looks at
//! what was read and says what to answer.

use broker::{Position, Publication};

/// What a client is told about its position.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Everything that it missed is in `publications`.
    pub(crate) recovered: bool,
    /// What it missed, in order.
    pub(crate) publications: Vec<Publication>,
}

/// Stream mode: all that was missed, or nothing. `read` is what follows the
/// client's offset, and `top` where the history ends.
pub(crate) fn stream(client: &Position, top: &Position, read: Vec<Publication>) -> Outcome {
    let same_epoch = client.epoch.is_empty() || client.epoch == top.epoch;
    let complete = match (read.first(), read.last()) {
        (Some(first), Some(last)) => {
            first.offset == client.offset + 1 && last.offset == top.offset && is_gapless(&read)
        }
        _ => client.offset == top.offset,
    };
    if same_epoch && complete {
        Outcome {
            recovered: true,
            publications: read,
        }
    } else {
        Outcome::default()
    }
}

/// Whether the offsets follow each other.
pub(crate) fn is_gapless(publications: &[Publication]) -> bool {
    publications
        .windows(2)
        .all(|pair| pair[1].offset == pair[0].offset + 1)
}

/// Cache mode: the newest publication, unless the client has it.
pub(crate) fn cache(
    client: Option<&Position>,
    top: &Position,
    newest: Option<Publication>,
) -> Outcome {
    let has_it = client.is_some_and(|client| client == top && top.offset > 0);
    match newest {
        Some(newest) if newest.offset == top.offset => {
            let publications = if has_it { Vec::new() } else { vec![newest] };
            Outcome {
                recovered: true,
                publications,
            }
        }
        _ => Outcome {
            recovered: has_it,
            publications: Vec::new(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(epoch: &str, offset: u64) -> Position {
        Position {
            epoch: epoch.into(),
            offset,
        }
    }

    fn publications(offsets: &[u64]) -> Vec<Publication> {
        offsets
            .iter()
            .map(|&offset| Publication {
                offset,
                ..Publication::default()
            })
            .collect()
    }

    fn recovered(client: &Position, top: &Position, read: &[u64]) -> Option<usize> {
        let outcome = stream(client, top, publications(read));
        outcome.recovered.then_some(outcome.publications.len())
    }

    #[test]
    fn a_stream_is_recovered_wholly_or_not_at_all() {
        let top = at("e", 5);
        assert_eq!(
            recovered(&at("e", 5), &top, &[]),
            Some(0),
            "nothing was missed"
        );
        assert_eq!(recovered(&at("e", 3), &top, &[4, 5]), Some(2));
        assert_eq!(
            recovered(&at("", 3), &top, &[4, 5]),
            Some(2),
            "an epoch may be unknown"
        );
        assert_eq!(
            recovered(&at("e", 0), &at("e", 0), &[]),
            Some(0),
            "an empty history"
        );
        assert_eq!(recovered(&at("e", 2), &top, &[4, 5]), None, "3 has expired");
        assert_eq!(
            recovered(&at("e", 3), &top, &[4]),
            None,
            "more than were read"
        );
        assert_eq!(recovered(&at("e", 2), &top, &[3, 5]), None, "a hole");
        assert_eq!(
            recovered(&at("old", 3), &top, &[4, 5]),
            None,
            "another epoch"
        );
        assert_eq!(recovered(&at("e", 9), &top, &[]), None, "ahead of the top");
        assert_eq!(recovered(&at("e", 3), &top, &[]), None, "all have expired");
    }

    #[test]
    fn a_cache_gives_the_newest_once() {
        let newest = || publications(&[5]).pop();
        let top = at("e", 5);
        assert_eq!(cache(None, &top, newest()).publications.len(), 1);
        assert_eq!(
            cache(Some(&at("e", 3)), &top, newest()).publications.len(),
            1
        );
        let same = cache(Some(&top), &top, newest());
        assert!(same.recovered && same.publications.is_empty());
        assert!(!cache(None, &top, None).recovered, "the newest has expired");
        assert!(
            cache(Some(&top), &top, None).recovered,
            "but the client has it"
        );
        assert!(!cache(None, &at("e", 0), None).recovered);
    }
}
