//! How many publications of one stream are under way: published, and not yet with all listeners.

/// Bounds what is under way, and knows how much that is.
#[derive(Debug)]
pub struct Window {
    /// By sequence number modulo its length, how many listeners still wait for it.
    waiting: Vec<u32>,
    /// The oldest that somebody waits for.
    oldest: u32,
    /// The next to be published.
    next: u32,
}

impl Window {
    /// Room for `size` publications, beginning with the one of this number.
    #[must_use]
    pub fn new(size: u32, next: u32) -> Self {
        Self {
            waiting: vec![0; size as usize],
            oldest: next,
            next,
        }
    }

    /// Whether there is room for one more.
    #[must_use]
    pub fn has_room(&self) -> bool {
        ((self.next - self.oldest) as usize) < self.waiting.len()
    }

    /// One more has been published, to so many listeners.
    pub fn sent(&mut self, listeners: u32) {
        let place = self.place(self.next);
        self.waiting[place] = listeners;
        self.next += 1;
        self.advance();
    }

    /// It came to one more listener. Returns whether there is room that was not there before.
    #[inline]
    pub fn delivered(&mut self, sequence: u32) -> bool {
        if sequence < self.oldest || sequence >= self.next {
            return false;
        }
        let place = self.place(sequence);
        self.waiting[place] = self.waiting[place].saturating_sub(1);
        let was_full = !self.has_room();
        self.advance();
        was_full && self.has_room()
    }

    fn advance(&mut self) {
        while self.oldest < self.next && self.waiting[self.place(self.oldest)] == 0 {
            self.oldest += 1;
        }
    }

    fn place(&self, sequence: u32) -> usize {
        sequence as usize % self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_when_the_slowest_listener_has_it() {
        let mut window = Window::new(2, 10);
        window.sent(2);
        assert!(window.has_room());
        window.sent(2);
        assert!(!window.has_room());
        assert!(!window.delivered(10));
        assert!(!window.delivered(11));
        assert!(!window.delivered(11), "the first is still waited for");
        assert!(window.delivered(10));
        window.sent(2);
        window.sent(2);
        assert!(!window.has_room());
    }

    #[test]
    fn what_is_not_under_way_changes_nothing() {
        let mut window = Window::new(1, 5);
        window.sent(1);
        assert!(!window.delivered(4));
        assert!(!window.delivered(6));
        assert!(window.delivered(5));
        assert!(!window.delivered(5));
    }

    #[test]
    fn a_channel_without_listeners_is_never_full() {
        let mut window = Window::new(1, 0);
        for _ in 0..3 {
            assert!(window.has_room());
            window.sent(0);
        }
    }
}
