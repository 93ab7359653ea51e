//! One pass of all detectors over a text.

use std::collections::BTreeMap;

use mcp_core::redact::PiiKind;

use super::{card, email, groups::Groups, iban, ip, national, personal, phone, secret};

/// No text makes the detectors look at more than this many bytes for each of its own. It is stated so that it
/// can be held to: the scan counts.
pub const MOST_STEPS_PER_BYTE: u64 = 200;

/// Something that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) kind: PiiKind,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// What detectors look at, and where they put what they find.
#[derive(Debug)]
pub(super) struct Scan<'t> {
    pub(super) text: &'t str,
    pub(super) bytes: &'t [u8],
    hits: Vec<Hit>,
    steps: u64,
}

impl<'t> Scan<'t> {
    fn new(text: &'t str) -> Self {
        Self { text, bytes: text.as_bytes(), hits: Vec::new(), steps: 0 }
    }

    /// Counts bytes that are looked at.
    pub(super) fn step(&mut self, bytes: usize) {
        self.steps += bytes as u64;
    }

    pub(super) fn hit(&mut self, kind: PiiKind, start: usize, end: usize) {
        self.hits.push(Hit { kind, start, end });
    }

    /// The byte before `at`; a blank at the beginning.
    pub(super) fn before(&self, at: usize) -> u8 {
        at.checked_sub(1).and_then(|at| self.bytes.get(at)).copied().unwrap_or(b' ')
    }

    /// The byte at `at`; a blank at the end.
    pub(super) fn at(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(b' ')
    }

    /// Whether a number or name that begins at `start` would be part of a longer word or number.
    pub(super) fn joined_before(&self, start: usize) -> bool {
        let before = self.before(start);
        is_word(before)
            || (matches!(before, b'.' | b'-' | b',' | b'/' | b'+') && self.before(start - 1).is_ascii_digit())
    }

    /// The same for its end.
    pub(super) fn joined_after(&self, end: usize) -> bool {
        let after = self.at(end);
        is_word(after) || (matches!(after, b'.' | b'-' | b'/') && self.at(end + 1).is_ascii_digit())
    }
}

/// ASCII letters, digits and `_`. Letters of other scripts stand beside numbers without a blank.
pub(super) const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// What is found in `text` of these kinds, in order, without overlaps; and the bytes that were looked at.
pub(super) fn scan(text: &str, wanted: impl Fn(PiiKind) -> bool) -> (Vec<Hit>, u64) {
    let mut scan = Scan::new(text);
    // In this order: what is found first keeps its place.
    if wanted(PiiKind::Secret) {
        secret::find(&mut scan);
    }
    if wanted(PiiKind::Email) {
        email::find(&mut scan);
    }
    if wanted(PiiKind::Iban) {
        iban::find(&mut scan);
    }
    let numbers = [PiiKind::Card, PiiKind::NationalId, PiiKind::Phone, PiiKind::IpAddress];
    if numbers.into_iter().any(&wanted) {
        let groups = Groups::of(text);
        scan.step(text.len());
        if wanted(PiiKind::Card) {
            card::find(&mut scan, &groups);
        }
        if wanted(PiiKind::NationalId) {
            national::find(&mut scan, &groups);
            personal::find(&mut scan);
        }
        if wanted(PiiKind::Phone) {
            phone::find(&mut scan, &groups);
        }
        if wanted(PiiKind::IpAddress) {
            ip::find(&mut scan, &groups);
        }
    }
    let mut kept: BTreeMap<usize, Hit> = BTreeMap::new();
    for hit in scan.hits {
        let before = kept.range(..hit.end).next_back();
        if before.is_none_or(|(_, before)| before.end <= hit.start) {
            kept.insert(hit.start, hit);
        }
    }
    (kept.into_values().collect(), scan.steps)
}

/// How many bytes the detectors look at to search `text` once: the figure that [`MOST_STEPS_PER_BYTE`] bounds.
#[must_use]
pub fn steps(text: &str) -> u64 {
    scan(text, |_| true).1
}

#[cfg(test)]
pub(super) fn found(text: &str) -> Vec<(PiiKind, &str)> {
    let hits = scan(text, |_| true).0;
    hits.into_iter().map(|hit| (hit.kind, &text[hit.start..hit.end])).collect()
}
