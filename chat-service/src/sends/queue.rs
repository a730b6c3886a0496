//! Sends that wait, by room, and which of them make up the next group. No clock, no
//! lock and no database.

use std::collections::{HashMap, VecDeque};

use crate::room::RoomId;

/// Limits of a [`Queue`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Sends that wait at most.
    pub(super) waiting: usize,
    /// Sends of one group at most.
    pub(super) group: usize,
    /// Groups under way at most.
    pub(super) groups: usize,
}

/// Sends that wait. A room is in one group at a time, so its sends are stored in the
/// order in which they came.
#[derive(Debug)]
pub(super) struct Queue<T> {
    limits: Limits,
    /// Rooms with a send that waits or is under way.
    rooms: HashMap<RoomId, VecDeque<T>>,
    /// Rooms with sends that wait and none under way, the longest first.
    ready: VecDeque<RoomId>,
    n_waiting: usize,
    n_groups: usize,
}

/// Sends to be stored together. Must be given back to [`Queue::end`].
#[derive(Debug)]
pub(super) struct Group<T> {
    pub(super) sends: Vec<T>,
    pub(super) rooms: Vec<RoomId>,
}

impl<T> Queue<T> {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            rooms: HashMap::new(),
            ready: VecDeque::new(),
            n_waiting: 0,
            n_groups: 0,
        }
    }

    /// How many sends wait.
    pub(super) fn len(&self) -> usize {
        self.n_waiting
    }

    /// Lets a send wait; gives it back when too many do.
    pub(super) fn push(&mut self, room: &RoomId, send: T) -> Result<(), T> {
        if self.n_waiting >= self.limits.waiting {
            return Err(send);
        }
        self.n_waiting += 1;
        if let Some(waiting) = self.rooms.get_mut(room) {
            waiting.push_back(send);
            return Ok(());
        }
        self.rooms.insert(room.clone(), VecDeque::from([send]));
        self.ready.push_back(room.clone());
        Ok(())
    }

    /// Takes a group, if one may begin: of the rooms that have waited longest, all that
    /// waits there.
    pub(super) fn begin(&mut self) -> Option<Group<T>> {
        if self.n_groups >= self.limits.groups || self.ready.is_empty() {
            return None;
        }
        let mut group = Group {
            sends: Vec::new(),
            rooms: Vec::new(),
        };
        while group.sends.len() < self.limits.group
            && let Some(id) = self.ready.pop_front()
        {
            let Some(waiting) = self.rooms.get_mut(&id) else {
                continue; // Never: a room that is ready is there.
            };
            let left = self.limits.group - group.sends.len();
            let n_taken = waiting.len().min(left);
            group.sends.extend(waiting.drain(..n_taken));
            group.rooms.push(id);
        }
        self.n_waiting -= group.sends.len();
        self.n_groups += 1;
        Some(group)
    }

    /// Ends a group: its rooms may be in others again.
    pub(super) fn end(&mut self, rooms: Vec<RoomId>) {
        self.n_groups -= 1;
        for id in rooms {
            if self.rooms.get(&id).is_none_or(VecDeque::is_empty) {
                self.rooms.remove(&id);
            } else {
                self.ready.push_back(id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(id: &str) -> RoomId {
        RoomId::parse(id).unwrap()
    }

    fn queue(waiting: usize, group: usize, groups: usize) -> Queue<u32> {
        Queue::new(Limits {
            waiting,
            group,
            groups,
        })
    }

    #[test]
    fn what_comes_while_a_group_is_under_way_is_the_next_one() {
        let mut queue = queue(10, 10, 1);
        queue.push(&room("a"), 1).unwrap();
        let first = queue.begin().unwrap();
        assert_eq!(first.sends, [1]);
        for (id, send) in [("a", 2), ("b", 3), ("a", 4)] {
            queue.push(&room(id), send).unwrap();
        }
        assert!(queue.begin().is_none());
        queue.end(first.rooms);
        let second = queue.begin().unwrap();
        assert_eq!(second.sends, [3, 2, 4]);
        queue.end(second.rooms);
        assert!(queue.begin().is_none());
        assert!(queue.rooms.is_empty(), "{queue:?}");
    }

    #[test]
    fn a_room_is_in_one_group_at_a_time() {
        let mut queue = queue(10, 10, 2);
        queue.push(&room("a"), 1).unwrap();
        let first = queue.begin().unwrap();
        queue.push(&room("a"), 2).unwrap();
        assert!(queue.begin().is_none());
        queue.push(&room("b"), 3).unwrap();
        let second = queue.begin().unwrap();
        assert_eq!(second.sends, [3]);
        queue.end(first.rooms);
        assert_eq!(queue.begin().unwrap().sends, [2]);
    }

    #[test]
    fn a_busy_room_does_not_keep_others_waiting() {
        let mut queue = queue(10, 2, 1);
        for send in 1..=4 {
            queue.push(&room("busy"), send).unwrap();
        }
        queue.push(&room("b"), 5).unwrap();
        let first = queue.begin().unwrap();
        assert_eq!(first.sends, [1, 2]);
        queue.end(first.rooms);
        let second = queue.begin().unwrap();
        assert_eq!(second.sends, [5, 3]);
        queue.end(second.rooms);
        assert_eq!(queue.begin().unwrap().sends, [4]);
    }

    #[test]
    fn too_many_are_given_back() {
        let mut queue = queue(2, 10, 1);
        queue.push(&room("a"), 1).unwrap();
        let first = queue.begin().unwrap();
        queue.push(&room("a"), 2).unwrap();
        queue.push(&room("b"), 3).unwrap();
        assert_eq!(queue.push(&room("c"), 4), Err(4));
        queue.end(first.rooms);
        queue.begin().unwrap();
        queue.push(&room("c"), 4).unwrap();
    }
}
