//! Telephone numbers, where they are written as such: a bare run of digits is none.

use mcp_core::redact::PiiKind;

use super::{
    groups::Groups,
    scan::{Scan, is_word},
};

/// Digits of a number in international form (E.164), and bytes it may be written in.
const MOST_DIGITS: usize = 15;
const LONGEST: usize = 32;

pub(super) fn find(scan: &mut Scan<'_>, groups: &Groups<'_>) {
    for (plus, _) in scan.text.match_indices('+') {
        if is_word(scan.before(plus)) || scan.at(plus + 1) == b'0' {
            continue;
        }
        if let Some(end) = international(scan, plus + 1) {
            scan.hit(PiiKind::Phone, plus, end);
        }
    }
    for index in 0..groups.len() {
        scan.step(32);
        north_american(scan, groups, index);
        with_zero(scan, groups, index);
    }
}

/// Where the number ends whose country code begins at `start`: 8 to 15 digits, at least 10 where nothing
/// stands between them.
fn international(scan: &mut Scan<'_>, start: usize) -> Option<usize> {
    let (mut at, mut end, mut digits, mut gap, mut gaps) = (start, start, 0, 0, 0);
    let limit = scan.bytes.len().min(start + LONGEST);
    while at < limit && digits < MOST_DIGITS {
        match scan.at(at) {
            b'0'..=b'9' => {
                gaps += usize::from(gap > 0);
                (digits, gap, end) = (digits + 1, 0, at + 1);
            }
            b' ' | b'-' | b'.' | b'(' | b')' | b'/' if digits > 0 && gap < 2 => gap += 1,
            _ => break,
        }
        at += 1;
    }
    scan.step(at - start + 1);
    let enough = digits >= 10 || (digits >= 8 && gaps > 0);
    (enough && !is_word(scan.at(end))).then_some(end)
}

/// `212-555-0123`, `212.555.0123`, `(212) 555-0123`, with or without `1-` before it.
fn north_american(scan: &mut Scan<'_>, groups: &Groups<'_>, index: usize) {
    let (Some(area), Some(exchange), Some(line)) =
        (groups.get(index), groups.get(index + 1), groups.get(index + 2))
    else {
        return;
    };
    let lengths = (area.len(), exchange.len(), line.len()) == (3, 3, 4);
    if !lengths
        || matches!(scan.at(area.start), b'0' | b'1')
        || matches!(scan.at(exchange.start), b'0' | b'1')
    {
        return;
    }
    let between = (&scan.text[area.end..exchange.start], &scan.text[exchange.end..line.start]);
    let start = match between {
        ("-", "-") | (".", ".") => area.start,
        (") " | ")" | ")-", "-" | " " | ".") if scan.before(area.start) == b'(' => area.start - 1,
        _ => return,
    };
    let leads = start >= 2 && matches!(&scan.bytes[start - 2..start], b"1-" | b"1." | b"1 ");
    let start = if leads { start - 2 } else { start };
    if !scan.joined_before(start) && !scan.joined_after(line.end) {
        scan.hit(PiiKind::Phone, start, line.end);
    }
}

/// `030 1234567`, `0171/234 5678`, `0049 30 1234567`: a zero, an area, and groups of two digits at least.
fn with_zero(scan: &mut Scan<'_>, groups: &Groups<'_>, index: usize) {
    let Some(first) = groups.get(index) else { return };
    // In the middle of other groups it is a part of another number.
    if scan.before(first.start) == b' ' && first.start >= 2 && scan.before(first.start - 1).is_ascii_digit() {
        return;
    }
    let (zeros, abroad) = (scan.at(first.start) == b'0', scan.at(first.start + 1) == b'0');
    if !zeros || first.len() > 5 || (!abroad && first.len() < 3) || scan.joined_before(first.start) {
        return;
    }
    let (mut digits, mut end, mut count) = (first.len(), first.end, 1);
    while let Some(next) = groups.get(index + count)
        && next.start == end + 1
        && matches!(scan.at(end), b' ' | b'-' | b'/')
        && next.len() >= 2
        && count < 6
    {
        (digits, end, count) = (digits + next.len(), next.end, count + 1);
    }
    let sized = if abroad { (11..=17).contains(&digits) } else { (9..=11).contains(&digits) };
    if count > 1 && sized && !scan.joined_after(end) {
        scan.hit(PiiKind::Phone, first.start, end);
    }
}

#[cfg(test)]
mod tests {
    use super::super::scan::found;
    use mcp_core::redact::PiiKind::Phone;

    #[test]
    fn numbers_are_found_as_people_write_them() {
        for number in [
            "+49 30 1234567",
            "+442079460958",
            "+1 (212) 555-0123",
            "+33 (0)1 70 18 99 00",
            "(212) 555-0123",
            "1-212-555-0123",
            "212.555.0123",
            "030 1234567",
            "0171/234 5678",
            "0049 30 1234567",
        ] {
            assert_eq!(found(&format!("call {number}.")), [(Phone, number)], "{number}");
        }
    }

    #[test]
    fn ordinary_numbers_are_none() {
        for text in [
            "5551234",
            "212 555 0123",
            "1234567890",
            "2 + 12345",
            "a+4479460958",
            "+0123456789",
            "100-200-3000",
            "2024-05-06 07:08:09",
            "06-05-2024",
            "ISO 9001",
            "007 is 42",
            "3.14159",
            "1,000,000",
            "+5 (2024)",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }
}
