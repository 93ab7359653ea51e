//! Calls that nobody waits for any more, while their server may still be at work on them.

use std::collections::HashSet;

/// Most ids that are remembered. With more the connection stays in doubt until it ends.
const CAPACITY: usize = 1024;

/// Ids of the calls that were given up before their reply came.
///
/// What the server asks or says meanwhile may be about one of them, and so must not be taken for the business
/// of another caller. A server that obeys a cancellation sends no reply; nothing on the wire tells it from one
/// that is still busy.
#[derive(Debug, Default)]
pub(crate) struct Abandoned {
    ids: HashSet<u64>,
    overflowed: bool,
}

impl Abandoned {
    /// Notes a call that was given up.
    pub(crate) fn add(&mut self, id: u64) {
        if self.ids.len() < CAPACITY {
            self.ids.insert(id);
        } else {
            self.overflowed = true;
        }
    }

    /// The late reply has come: the server is done with this one.
    pub(crate) fn answered(&mut self, id: u64) {
        self.ids.remove(&id);
    }

    /// Whether the server may be at work on any.
    pub(crate) fn any(&self) -> bool {
        self.overflowed || !self.ids.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_are_remembered_leave_a_doubt_for_good() {
        let mut abandoned = Abandoned::default();
        for id in 0..CAPACITY as u64 {
            abandoned.add(id);
        }
        for id in 0..CAPACITY as u64 {
            assert!(abandoned.any());
            abandoned.answered(id);
        }
        assert!(!abandoned.any());
        for id in 0..=CAPACITY as u64 {
            abandoned.add(id);
        }
        for id in 0..=CAPACITY as u64 {
            abandoned.answered(id);
        }
        assert!(abandoned.any());
    }
}
