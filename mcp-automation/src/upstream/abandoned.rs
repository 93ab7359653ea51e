//! Calls that nobody waits for any more, while their server may still be at work on them.

use std::collections::HashMap;

use mcp_core::scope::PrincipalId;

/// Most calls that are remembered. With more the connection stays in doubt until it ends.
const CAPACITY: usize = 1024;

/// The calls that were given up before their reply came, and whose they were.
///
/// What the server asks or says meanwhile may be about one of them, and so must not be taken for the business
/// of another principal. A server that obeys a cancellation sends no reply; nothing on the wire tells it from
/// one that is still busy.
#[derive(Debug, Default)]
pub(crate) struct Abandoned {
    calls: HashMap<u64, PrincipalId>,
    overflowed: bool,
}

impl Abandoned {
    /// Notes a call that was given up.
    pub(crate) fn add(&mut self, id: u64, principal: PrincipalId) {
        if self.calls.len() < CAPACITY {
            self.calls.insert(id, principal);
        } else {
            self.overflowed = true;
        }
    }

    /// The late reply has come: the server is done with this one.
    pub(crate) fn answered(&mut self, id: u64) {
        self.calls.remove(&id);
    }

    /// Whether the server may be at work on a call of somebody else's.
    pub(crate) fn any_but_of(&self, principal: &PrincipalId) -> bool {
        self.overflowed || self.calls.values().any(|whose| whose != principal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn principal(name: &str) -> PrincipalId {
        PrincipalId::parse(name).unwrap()
    }

    #[test]
    fn a_call_leaves_a_doubt_for_everybody_but_its_caller() {
        let mut abandoned = Abandoned::default();
        abandoned.add(1, principal("ann"));
        assert!(!abandoned.any_but_of(&principal("ann")));
        assert!(abandoned.any_but_of(&principal("bob")));
        abandoned.add(2, principal("bob"));
        assert!(abandoned.any_but_of(&principal("ann")));
        abandoned.answered(1);
        assert!(!abandoned.any_but_of(&principal("bob")));
    }

    #[test]
    fn more_than_are_remembered_leave_a_doubt_for_good() {
        let (ann, bob) = (principal("ann"), principal("bob"));
        let mut abandoned = Abandoned::default();
        for id in 0..CAPACITY as u64 {
            abandoned.add(id, ann.clone());
        }
        for id in 0..CAPACITY as u64 {
            assert!(abandoned.any_but_of(&bob));
            abandoned.answered(id);
        }
        assert!(!abandoned.any_but_of(&bob));
        for id in 0..=CAPACITY as u64 {
            abandoned.add(id, ann.clone());
        }
        for id in 0..=CAPACITY as u64 {
            abandoned.answered(id);
        }
        assert!(abandoned.any_but_of(&ann));
    }
}
