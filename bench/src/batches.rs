//! Publications that leave together: a publisher's next ones when all of its last have come.

/// Knows who may publish, and to which of its streams.
#[derive(Debug)]
pub struct Batches {
    size: usize,
    /// By publisher.
    senders: Vec<Sender>,
    /// Publishers none of whose publications is under way.
    ready: Vec<usize>,
}

#[derive(Debug, Default)]
struct Sender {
    streams: Vec<usize>,
    /// Publications so far: they go to the streams in turn.
    made: usize,
    /// Deliveries that are still to come.
    missing: u64,
}

impl Batches {
    /// Batches of `size` publications. `senders` says whose each stream is; nothing is under way.
    #[must_use]
    pub fn new(size: u32, senders: impl IntoIterator<Item = usize>) -> Self {
        let mut known: Vec<Sender> = Vec::new();
        for (stream, sender) in senders.into_iter().enumerate() {
            if known.len() <= sender {
                known.resize_with(sender + 1, Sender::default);
            }
            known[sender].streams.push(stream);
        }
        let has_streams = |&sender: &usize| !known[sender].streams.is_empty();
        Self {
            size: size as usize,
            ready: (0..known.len()).filter(has_streams).collect(),
            senders: known,
        }
    }

    /// The streams of a batch that may leave now, each as often as it is to be published to.
    pub fn take(&mut self) -> Option<Vec<usize>> {
        let sender = &mut self.senders[self.ready.pop()?];
        let turns = sender.made..sender.made + self.size;
        sender.made = turns.end;
        let streams = &sender.streams;
        Some(turns.map(|turn| streams[turn % streams.len()]).collect())
    }

    /// A publication of a publisher has left, to so many listeners.
    pub fn sent(&mut self, sender: usize, listeners: u32) {
        self.senders[sender].missing += u64::from(listeners);
    }

    /// A publication of a publisher came to one more listener.
    #[inline]
    pub fn delivered(&mut self, sender: usize) {
        let missing = &mut self.senders[sender].missing;
        // What was published before there were batches may come late.
        if *missing > 0 {
            *missing -= 1;
            if *missing == 0 {
                self.ready.push(sender);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_leaves_when_all_of_the_last_has_come() {
        let mut batches = Batches::new(3, [1]);
        assert_eq!(batches.take(), Some(vec![0, 0, 0]));
        for _ in 0..3 {
            batches.sent(1, 2);
        }
        for _ in 0..5 {
            batches.delivered(1);
            assert_eq!(batches.take(), None);
        }
        batches.delivered(1);
        assert_eq!(batches.take(), Some(vec![0, 0, 0]));
    }

    #[test]
    fn each_publishes_to_its_own_streams_in_turn() {
        let mut batches = Batches::new(2, [0, 1, 0, 1, 0]);
        let mut first = [batches.take(), batches.take()].map(Option::unwrap);
        first.sort();
        assert_eq!(first, [[0, 2], [1, 3]]);
        batches.sent(0, 1);
        batches.delivered(0);
        assert_eq!(batches.take(), Some(vec![4, 0]));
        assert_eq!(batches.take(), None);
    }

    #[test]
    fn what_was_not_in_a_batch_changes_nothing() {
        let mut batches = Batches::new(1, [0]);
        assert!(batches.take().is_some());
        batches.delivered(0);
        assert_eq!(batches.take(), None);
    }
}
