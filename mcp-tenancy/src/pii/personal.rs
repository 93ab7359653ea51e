//! National ids that have letters: of Spain, Italy and the United Kingdom.

use mcp_core::redact::PiiKind;

use super::scan::{Scan, is_word};

/// A longer word is no id.
const LONGEST: usize = 16;

pub(super) fn find(scan: &mut Scan<'_>) {
    let mut at = 0;
    while at < scan.bytes.len() {
        let word = scan.bytes[at..].iter().take_while(|byte| is_word(**byte)).count();
        scan.step(word + 1);
        let letters = &scan.bytes[at..at + word];
        let good = match word {
            9 => es_dni(letters) || gb_nino(letters),
            LONGEST => it_fiscal(letters),
            _ => false,
        };
        if good {
            scan.hit(PiiKind::NationalId, at, at + word);
        } else if word == 2
            && let Some(end) = spaced_nino(scan, at)
        {
            scan.hit(PiiKind::NationalId, at, end);
        }
        at += word + 1;
    }
}

/// Spain: eight digits, or a letter and seven, and a check letter.
fn es_dni(word: &[u8]) -> bool {
    let first = match word[0].to_ascii_uppercase() {
        digit @ b'0'..=b'9' => u32::from(digit - b'0'),
        letter @ b'X'..=b'Z' => u32::from(letter - b'X'),
        _ => return false,
    };
    if !word[1..8].iter().all(u8::is_ascii_digit) {
        return false;
    }
    let number = word[1..8].iter().fold(first, |number, digit| number * 10 + u32::from(digit - b'0'));
    word[8].to_ascii_uppercase() == b"TRWAGMYFPDXBNJZSQVHLCKE"[(number % 23) as usize]
}

/// United Kingdom: two letters, six digits and a letter from A to D.
fn gb_nino(word: &[u8]) -> bool {
    let upper = [word[0].to_ascii_uppercase(), word[1].to_ascii_uppercase()];
    let letters = upper.iter().all(u8::is_ascii_uppercase)
        && !upper.iter().any(|letter| b"DFIQUV".contains(letter))
        && upper[1] != b'O'
        && ![b"BG", b"GB", b"NK", b"KN", b"TN", b"NT", b"ZZ"].contains(&&upper);
    letters
        && word[2..8].iter().all(u8::is_ascii_digit)
        && matches!(word[8].to_ascii_uppercase(), b'A'..=b'D')
}

/// The same, written `AB 12 34 56 C`.
fn spaced_nino(scan: &Scan<'_>, start: usize) -> Option<usize> {
    let written = scan.bytes.get(start..start + 13)?;
    let blanks = [2, 5, 8, 11].iter().all(|place| written[*place] == b' ');
    let word: Vec<u8> = written.iter().copied().filter(|byte| *byte != b' ').collect();
    (blanks && word.len() == 9 && gb_nino(&word) && !is_word(scan.at(start + 13))).then_some(start + 13)
}

/// Italy: six letters, two digits, a letter, two digits, a letter, three digits, and a check letter. Digits may
/// have been exchanged for letters where two people would have the same.
fn it_fiscal(word: &[u8]) -> bool {
    /// Values at odd places, of 0 and A, of 1 and B and so on.
    const ODD: [u32; 26] =
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    const LETTERS: [usize; 9] = [0, 1, 2, 3, 4, 5, 8, 11, 15];
    let upper = word.to_ascii_uppercase();
    let formed = upper.iter().enumerate().all(|(place, byte)| match LETTERS.contains(&place) {
        true => byte.is_ascii_uppercase(),
        false => byte.is_ascii_digit() || b"LMNPQRSTUV".contains(byte),
    });
    if !formed {
        return false;
    }
    let sum: u32 = upper[..15]
        .iter()
        .enumerate()
        .map(|(place, byte)| {
            let value = if byte.is_ascii_digit() { byte - b'0' } else { byte - b'A' };
            if place % 2 == 0 { ODD[usize::from(value)] } else { u32::from(value) }
        })
        .sum();
    u32::from(upper[15] - b'A') == sum % 26
}

#[cfg(test)]
mod tests {
    use super::super::scan::found;
    use mcp_core::redact::PiiKind::NationalId;

    #[test]
    fn ids_with_letters_are_found_by_their_checks() {
        for id in ["12345678Z", "X1234567L", "RSSMRA85T10A562S", "AB123456C", "AB 12 34 56 C"] {
            assert_eq!(found(&format!("id {id}.")), [(NationalId, id)], "{id}");
        }
        for text in [
            "12345678A",
            "X1234567A",
            "RSSMRA85T10A562T",
            "GB123456C",
            "AB123456E",
            "deadbeef1",
            "IT 12 34 56 C",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }
}
