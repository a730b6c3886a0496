//! Exact counts of what each listener got: received, lost, doubled, reordered.
//!
//! Per listener and publisher one number is kept, the next sequence number in order. Only when
//! one arrives that is not the next, the holes are remembered beside it, so that a hole that is
//! filled later counts as reordered and one that never is counts as lost.

use std::collections::HashMap;
use std::ops::Range;

use serde::Serialize;

/// What became of one delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The first of its number, after its predecessor or a hole.
    InOrder,
    /// The first of its number, after one that should have come later.
    Reordered,
    /// Had come before.
    Doubled,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Publications sent.
    pub sent: u64,
    /// Deliveries that should have been made.
    pub expected: u64,
    /// Expected deliveries that were made.
    pub received: u64,
    /// Expected deliveries that were not.
    pub lost: u64,
    /// Deliveries beyond the first of the same publication to the same listener.
    pub doubled: u64,
    /// Deliveries that came after one that was published later.
    pub reordered: u64,
    /// Deliveries whose payload is not what was sent; they are also lost.
    pub damaged: u64,
    /// Deliveries to a listener of another channel, or of what was never sent.
    pub strayed: u64,
}

impl Counts {
    /// Whether each listener got each publication once, whole and in order.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.received == self.expected
            && [
                self.lost,
                self.doubled,
                self.reordered,
                self.damaged,
                self.strayed,
            ] == [0; 5]
    }
}

/// The deliveries to some listeners, each of one channel with the same number of publishers.
#[derive(Debug)]
pub struct Ledger {
    publishers: usize,
    /// By listener and publisher, the lowest sequence number above all that came.
    next: Vec<u32>,
    /// What is missing below `next`, by its index. Empty unless something went wrong.
    holes: HashMap<usize, Vec<Range<u32>>>,
    received: u64,
    doubled: u64,
    reordered: u64,
    damaged: u64,
    strayed: u64,
}

impl Ledger {
    /// Nothing has been delivered yet.
    #[must_use]
    pub fn new(listeners: usize, publishers: usize) -> Self {
        Self {
            publishers,
            next: vec![0; listeners * publishers],
            holes: HashMap::new(),
            received: 0,
            doubled: 0,
            reordered: 0,
            damaged: 0,
            strayed: 0,
        }
    }

    /// Deliveries so far, each publication counted once per listener.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Notes a delivery.
    #[inline]
    pub fn record(&mut self, listener: usize, publisher: usize, sequence: u32) -> Arrival {
        let index = listener * self.publishers + publisher;
        let next = &mut self.next[index];
        if sequence == *next {
            *next += 1;
            self.received += 1;
            return Arrival::InOrder;
        }
        self.out_of_order(index, sequence)
    }

    #[cold]
    fn out_of_order(&mut self, index: usize, sequence: u32) -> Arrival {
        let next = self.next[index];
        if sequence > next {
            self.holes.entry(index).or_default().push(next..sequence);
            self.next[index] = sequence + 1;
            self.received += 1;
            return Arrival::InOrder;
        }
        let holes = self.holes.entry(index).or_default();
        let place = holes.partition_point(|hole| hole.end <= sequence);
        let Some(hole) = holes.get_mut(place).filter(|hole| hole.contains(&sequence)) else {
            self.doubled += 1;
            return Arrival::Doubled;
        };
        let after = sequence + 1..hole.end;
        hole.end = sequence;
        if hole.start == hole.end {
            holes.remove(place);
            if after.start < after.end {
                holes.insert(place, after);
            }
        } else if after.start < after.end {
            holes.insert(place + 1, after);
        }
        self.received += 1;
        self.reordered += 1;
        Arrival::Reordered
    }

    /// Notes a payload that is not as it was sent.
    pub fn damaged(&mut self) {
        self.damaged += 1;
    }

    /// Notes a delivery that nobody asked for.
    pub fn strayed(&mut self) {
        self.strayed += 1;
    }

    /// The sum, when `published(listener, publisher)` were to be delivered.
    #[must_use]
    pub fn counts(&self, sent: u64, published: impl Fn(usize, usize) -> u32) -> Counts {
        let mut expected = 0;
        let mut lost = 0;
        for (index, &next) in self.next.iter().enumerate() {
            let published = published(index / self.publishers, index % self.publishers);
            expected += u64::from(published);
            lost += u64::from(published.saturating_sub(next));
        }
        let holes = self.holes.values().flatten();
        lost += holes
            .map(|hole| u64::from(hole.end - hole.start))
            .sum::<u64>();
        Counts {
            sent,
            expected,
            received: self.received,
            lost,
            doubled: self.doubled,
            reordered: self.reordered,
            damaged: self.damaged,
            strayed: self.strayed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(arrivals: &[u32], published: u32) -> Counts {
        let mut ledger = Ledger::new(1, 1);
        for &sequence in arrivals {
            ledger.record(0, 0, sequence);
        }
        ledger.counts(u64::from(published), |_, _| published)
    }

    fn faults(arrivals: &[u32], published: u32) -> (u64, u64, u64) {
        let counts = counts(arrivals, published);
        assert_eq!(counts.received + counts.lost, u64::from(published));
        (counts.lost, counts.doubled, counts.reordered)
    }

    #[test]
    fn each_once_and_in_order_is_exact() {
        assert!(counts(&[0, 1, 2, 3], 4).is_exact());
        assert!(counts(&[], 0).is_exact());
    }

    #[test]
    fn a_hole_is_lost_until_it_is_filled() {
        assert_eq!(faults(&[0, 1, 5], 6), (3, 0, 0));
        assert_eq!(faults(&[0, 1, 5, 3], 6), (2, 0, 1));
        assert_eq!(faults(&[0, 1, 5, 3, 2, 4], 6), (0, 0, 3));
        assert_eq!(faults(&[3, 0, 1, 2], 4), (0, 0, 3));
    }

    #[test]
    fn what_never_came_at_the_end_is_lost() {
        assert_eq!(faults(&[0, 1], 5), (3, 0, 0));
        assert_eq!(faults(&[], 5), (5, 0, 0));
    }

    #[test]
    fn the_second_of_a_number_is_doubled() {
        assert_eq!(faults(&[0, 0, 1, 0], 2), (0, 2, 0));
        assert_eq!(faults(&[0, 4, 2, 2, 4], 5), (2, 2, 1));
    }

    #[test]
    fn listeners_and_publishers_are_apart() {
        let mut ledger = Ledger::new(2, 2);
        ledger.record(0, 0, 0);
        ledger.record(0, 1, 0);
        ledger.record(1, 1, 0);
        let counts = ledger.counts(2, |_, _| 1);
        assert_eq!((counts.expected, counts.received, counts.lost), (4, 3, 1));
    }

    #[test]
    fn any_order_of_any_arrivals_is_counted_as_a_list_would() {
        let mut state = 7_u32;
        let mut random = move |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) % below
        };
        for _ in 0..500 {
            let published = 1 + random(20);
            let arrivals: Vec<u32> = (0..random(40)).map(|_| random(published)).collect();
            let mut seen = Vec::new();
            let mut expected = (0, 0, 0);
            for &sequence in &arrivals {
                if seen.contains(&sequence) {
                    expected.1 += 1;
                } else {
                    if seen.iter().any(|&earlier| earlier > sequence) {
                        expected.2 += 1;
                    }
                    seen.push(sequence);
                }
            }
            expected.0 = u64::from(published) - seen.len() as u64;
            assert_eq!(faults(&arrivals, published), expected, "{arrivals:?}");
        }
    }
}
