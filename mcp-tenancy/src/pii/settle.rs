//! Replacing what was found until nothing is found any more.
//!
//! Taking one thing out can bring another to light: the end of a long number that was none, say, once what
//! stood before it is gone. So what has been replaced is looked at again, and what turns up is replaced too.

use mcp_core::{Error, Result, redact::PiiKind};

use super::scan::{Hit, scan};

/// Each round joins what was found to more of the text; texts that people write take two.
const MOST_ROUNDS: usize = 8;

/// What is to be replaced in `text`: in order, and so that nothing is found in what remains.
///
/// # Errors
/// `InvalidInput` for a text that is made to have no end.
pub(super) fn settled(text: &str, wanted: impl Fn(PiiKind) -> bool) -> Result<Vec<Hit>> {
    let mut hits = scan(text, &wanted).0;
    for _ in 0..MOST_ROUNDS {
        if hits.is_empty() {
            return Ok(hits);
        }
        let (masked, pieces) = mask(text, &hits);
        let more = scan(&masked, &wanted).0;
        if more.is_empty() {
            return Ok(hits);
        }
        let found = more.into_iter().map(|hit| Hit {
            start: origin(&pieces, hit.start, false),
            end: origin(&pieces, hit.end, true),
            ..hit
        });
        hits = joined(hits.into_iter().map(|hit| (hit, false)).chain(found.map(|hit| (hit, true))).collect());
    }
    Err(Error::invalid_input("pii.redact", "personal data is nested too deeply in this text to be taken out"))
}

/// What overlaps becomes one, of the kind that was found last.
fn joined(mut hits: Vec<(Hit, bool)>) -> Vec<Hit> {
    hits.sort_by_key(|(hit, _)| hit.start);
    let mut out: Vec<Hit> = Vec::with_capacity(hits.len());
    for (hit, is_new) in hits {
        match out.last_mut() {
            Some(last) if hit.start < last.end => {
                last.end = last.end.max(hit.end);
                last.kind = if is_new { hit.kind } else { last.kind };
            }
            _ => out.push(hit),
        }
    }
    out
}

/// A replaced part: where it stands now, and where it stood.
struct Piece {
    now: (usize, usize),
    was: (usize, usize),
}

fn mask(text: &str, hits: &[Hit]) -> (String, Vec<Piece>) {
    let (mut masked, mut pieces, mut kept) = (String::with_capacity(text.len()), Vec::new(), 0);
    for hit in hits {
        masked.push_str(&text[kept..hit.start]);
        let start = masked.len();
        masked.push_str(&placeholder(hit.kind));
        pieces.push(Piece { now: (start, masked.len()), was: (hit.start, hit.end) });
        kept = hit.end;
    }
    masked.push_str(&text[kept..]);
    (masked, pieces)
}

/// Where `at` stood before; within a replaced part, its beginning or its end.
fn origin(pieces: &[Piece], at: usize, is_end: bool) -> usize {
    let behind = pieces.partition_point(|piece| piece.now.0 < at || (piece.now.0 == at && !is_end));
    match behind.checked_sub(1).and_then(|last| pieces.get(last)) {
        None => at,
        Some(piece) if at < piece.now.1 || (is_end && at == piece.now.1) => {
            if is_end {
                piece.was.1
            } else {
                piece.was.0
            }
        }
        Some(piece) => at - piece.now.1 + piece.was.1,
    }
}

/// What stands for a masked value.
pub(super) fn placeholder(kind: PiiKind) -> String {
    format!("[{kind}]")
}

/// Whether a text is one of the things that stand for values.
pub(super) fn is_placeholder(text: &str) -> bool {
    let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inner.is_some_and(|inner| {
        inner.len() <= 48
            && inner.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            && PiiKind::ALL.iter().any(|kind| inner.starts_with(kind.as_str()))
    })
}
