//! National ids that are digits: each by its checksum where it has one, else by the form it is written in.

use mcp_core::redact::PiiKind;

use super::{
    groups::{Groups, luhn, number},
    scan::Scan,
};

/// How an id is written, what may stand between its groups, and whether its digits are good.
struct Id {
    lens: &'static [usize],
    between: &'static [u8],
    good: fn(&[u8]) -> bool,
}

const IDS: [Id; 8] = [
    // United States: social security number.
    Id { lens: &[3, 2, 4], between: b"-", good: us_ssn },
    // India: Aadhaar.
    Id { lens: &[4, 4, 4], between: b" -", good: in_aadhaar },
    // Poland: PESEL.
    Id { lens: &[11], between: b"", good: pl_pesel },
    // France: numéro de sécurité sociale.
    Id { lens: &[15], between: b"", good: fr_nir },
    Id { lens: &[1, 2, 2, 2, 3, 3, 2], between: b" ", good: fr_nir },
    // Sweden: personnummer.
    Id { lens: &[6, 4], between: b"-", good: se_personnummer },
    Id { lens: &[8, 4], between: b"-", good: se_personnummer },
    // Germany: Steuer-Identifikationsnummer.
    Id { lens: &[2, 3, 3, 3], between: b" ", good: de_tax },
];

pub(super) fn find(scan: &mut Scan<'_>, groups: &Groups<'_>) {
    for index in 0..groups.len() {
        scan.step(64);
        let found = IDS.iter().find_map(|id| {
            let shaped = groups.shaped(index, id.lens, id.between)?;
            (id.good)(&shaped.digits()).then_some((shaped.start, shaped.end))
        });
        let found = found.or_else(|| br_cpf(scan, groups, index));
        if let Some((start, end)) = found
            && !scan.joined_before(start)
            && !scan.joined_after(end)
        {
            scan.hit(PiiKind::NationalId, start, end);
        }
    }
}

fn us_ssn(digits: &[u8]) -> bool {
    let (area, group, serial) = (number(&digits[..3]), number(&digits[3..5]), number(&digits[5..]));
    !matches!(area, 0 | 666 | 900..) && group != 0 && serial != 0
}

/// Brazil: CPF, `ddd.ddd.ddd-dd`, with two check digits.
fn br_cpf(scan: &Scan<'_>, groups: &Groups<'_>, index: usize) -> Option<(usize, usize)> {
    let head = groups.shaped(index, &[3, 3, 3], b".")?;
    let check = groups.get(index + 3).filter(|check| check.len() == 2 && check.start == head.end + 1)?;
    let mut digits = head.digits();
    let dashed = scan.at(head.end) == b'-';
    for place in 0..2 {
        let weights = (2..=10 + place).rev();
        let sum: usize = digits.iter().zip(weights).map(|(digit, weight)| usize::from(*digit) * weight).sum();
        let wanted = u8::try_from(sum * 10 % 11 % 10).ok()?;
        if scan.at(check.start + place) != b'0' + wanted {
            return None;
        }
        digits.push(wanted);
    }
    let varied = digits.iter().any(|digit| *digit != digits[0]);
    (dashed && varied).then_some((head.start, check.end))
}

/// Twelve digits of which the last checks by Verhoeff's scheme.
fn in_aadhaar(digits: &[u8]) -> bool {
    const TIMES: [[u8; 10]; 10] = [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        [1, 2, 3, 4, 0, 6, 7, 8, 9, 5],
        [2, 3, 4, 0, 1, 7, 8, 9, 5, 6],
        [3, 4, 0, 1, 2, 8, 9, 5, 6, 7],
        [4, 0, 1, 2, 3, 9, 5, 6, 7, 8],
        [5, 9, 8, 7, 6, 0, 4, 3, 2, 1],
        [6, 5, 9, 8, 7, 1, 0, 4, 3, 2],
        [7, 6, 5, 9, 8, 2, 1, 0, 4, 3],
        [8, 7, 6, 5, 9, 3, 2, 1, 0, 4],
        [9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
    ];
    const TURNS: [[u8; 10]; 8] = [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
        [1, 5, 7, 6, 2, 8, 3, 0, 9, 4],
        [5, 8, 0, 3, 7, 9, 6, 1, 4, 2],
        [8, 9, 1, 6, 0, 4, 3, 5, 2, 7],
        [9, 4, 5, 3, 1, 2, 6, 8, 7, 0],
        [4, 2, 8, 6, 5, 7, 3, 9, 0, 1],
        [2, 7, 9, 3, 8, 0, 6, 4, 1, 5],
        [7, 0, 4, 6, 9, 1, 3, 2, 5, 8],
    ];
    let check = digits.iter().rev().enumerate().fold(0_u8, |check, (place, digit)| {
        TIMES[usize::from(check)][usize::from(TURNS[place % 8][usize::from(*digit)])]
    });
    digits[0] >= 2 && check == 0
}

fn pl_pesel(digits: &[u8]) -> bool {
    const WEIGHTS: [u32; 11] = [1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1];
    let sum: u32 = digits.iter().zip(WEIGHTS).map(|(digit, weight)| u32::from(*digit) * weight).sum();
    // The century is added to the month, twenty for each.
    let (month, day) = (number(&digits[2..4]) % 20, number(&digits[4..6]));
    sum.is_multiple_of(10) && is_day(month, day)
}

fn fr_nir(digits: &[u8]) -> bool {
    let (person, key) = (number(&digits[..13]), number(&digits[13..]));
    let month = number(&digits[3..5]);
    matches!(digits[0], 1 | 2) && matches!(month, 1..=12 | 20..=42 | 50..) && 97 - person % 97 == key
}

/// Ten digits, or twelve with the century, of which the last ten check.
fn se_personnummer(digits: &[u8]) -> bool {
    let short = &digits[digits.len() - 10..];
    // Coordination numbers have sixty added to the day.
    let (month, day) = (number(&short[2..4]), number(&short[4..6]) % 60);
    luhn(short) && is_day(month, day)
}

/// ISO 7064, mod 11,10; the first is not zero, and one digit of the first ten comes twice or three times.
fn de_tax(digits: &[u8]) -> bool {
    let product = digits[..10].iter().fold(10_u32, |product, digit| {
        let sum = (u32::from(*digit) + product) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    let check = (11 - product) % 10;
    let most = (0..10).map(|one| digits[..10].iter().filter(|digit| **digit == one).count()).max();
    digits[0] != 0 && check == u32::from(digits[10]) && matches!(most, Some(2 | 3))
}

fn is_day(month: u64, day: u64) -> bool {
    (1..=12).contains(&month) && (1..=31).contains(&day)
}

#[cfg(test)]
mod tests {
    use super::super::scan::found;
    use mcp_core::redact::PiiKind::NationalId;

    #[test]
    fn ids_are_found_by_their_checks() {
        for id in [
            "123-45-6789",
            "529.982.247-25",
            "2341 2341 2346",
            "44051401359",
            "1 84 12 76 451 089 46",
            "184127645108946",
            "811218-9876",
            "19811218-9876",
            "86 095 742 719",
        ] {
            assert_eq!(found(&format!("id {id};")), [(NationalId, id)], "{id}");
        }
    }

    #[test]
    fn a_wrong_digit_is_none() {
        for text in [
            "000-45-6789",
            "666-45-6789",
            "123-00-6789",
            "529.982.247-26",
            "111.111.111-11",
            "2341 2341 2345",
            "44051401358",
            "184127645108947",
            "811218-9877",
            "86 095 742 718",
            "123-45-67890",
            "5-123-45-6789",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }
}
