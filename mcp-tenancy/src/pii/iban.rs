//! International bank account numbers (ISO 13616).

use mcp_core::redact::PiiKind;

use super::{
    scan::{Scan, is_word},
    tables::IBAN_LENGTHS,
};

/// The longest of all countries.
const LONGEST: usize = 34;

pub(super) fn find(scan: &mut Scan<'_>) {
    let mut at = 0;
    while at + 15 <= scan.bytes.len() {
        scan.step(1);
        let begins = !is_word(scan.before(at))
            && scan.bytes[at..at + 2].iter().all(u8::is_ascii_alphabetic)
            && scan.bytes[at + 2..at + 4].iter().all(u8::is_ascii_digit);
        match begins.then(|| end_of(scan, at)).flatten() {
            Some(end) => {
                scan.hit(PiiKind::Iban, at, end);
                at = end;
            }
            None => at += 1,
        }
    }
}

/// Where the IBAN ends that begins at `start`, if one does: as many letters and digits as its country has, a
/// blank here and there.
fn end_of(scan: &mut Scan<'_>, start: usize) -> Option<usize> {
    let country = [scan.at(start).to_ascii_uppercase(), scan.at(start + 1).to_ascii_uppercase()];
    let length = IBAN_LENGTHS.iter().find(|(code, _)| code.as_bytes() == country)?.1;
    let (mut letters, mut end) = ([0; LONGEST], start);
    let mut taken = 0;
    while taken < length {
        let byte = scan.at(end);
        if byte.is_ascii_alphanumeric() {
            letters[taken] = byte.to_ascii_uppercase();
            taken += 1;
        } else if !matches!(byte, b' ' | b'-') || !scan.at(end + 1).is_ascii_alphanumeric() {
            break;
        }
        end += 1;
    }
    scan.step(end - start + 1);
    let whole = taken == length && !is_word(scan.at(end)) && checks(&letters[..length]);
    whole.then_some(end)
}

/// ISO 7064, mod 97-10: the first four at the end, letters as numbers from 10 on, and 1 remains.
fn checks(letters: &[u8]) -> bool {
    let (head, rest) = letters.split_at(4);
    let remains = rest.iter().chain(head).fold(0_u32, |remains, byte| match byte {
        b'0'..=b'9' => (remains * 10 + u32::from(byte - b'0')) % 97,
        _ => (remains * 100 + u32::from(byte - b'A') + 10) % 97,
    });
    remains == 1
}

#[cfg(test)]
mod tests {
    use super::super::scan::found;
    use mcp_core::redact::PiiKind::Iban;

    #[test]
    fn ibans_are_found_by_their_checksum() {
        for iban in [
            "DE89370400440532013000",
            "DE89 3704 0044 0532 0130 00",
            "GB29 NWBK 6016 1331 9268 19",
            "fr1420041010050500013m02606",
            "NO9386011117947",
            "MT84MALT011000012345MTLCAST001S",
        ] {
            assert_eq!(found(&format!("to {iban}.")), [(Iban, iban)]);
        }
        for text in [
            "DE88370400440532013000",
            "DE8937040044053201300",
            "XDE89370400440532013000",
            "ZZ89370400440532013000",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }
}
