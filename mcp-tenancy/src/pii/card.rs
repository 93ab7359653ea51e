//! Numbers of payment cards.

use mcp_core::redact::PiiKind;

use super::{
    groups::{Groups, Shaped, luhn, number},
    scan::Scan,
};

/// How cards print their numbers. The longest first.
const SHAPES: [&[usize]; 6] = [&[4, 4, 4, 4, 3], &[4, 4, 4, 4], &[4, 6, 5], &[4, 6, 4], &[4, 4, 5], &[0]];

pub(super) fn find(scan: &mut Scan<'_>, groups: &Groups<'_>) {
    let mut index = 0;
    while index < groups.len() {
        scan.step(SHAPES.len() * 20);
        let good = SHAPES.iter().find_map(|lens| {
            let shaped = groups.shaped(index, lens, b" -").filter(|shaped| is_card(scan, shaped))?;
            Some((shaped, lens.len()))
        });
        if let Some((shaped, _)) = good {
            scan.hit(PiiKind::Card, shaped.start, shaped.end);
        }
        index += good.map_or(1, |(_, count)| count);
    }
}

fn is_card(scan: &Scan<'_>, shaped: &Shaped<'_>) -> bool {
    if !(12..=23).contains(&(shaped.end - shaped.start)) {
        return false;
    }
    let digits = shaped.digits();
    is_issued(&digits) && luhn(&digits) && !scan.joined_before(shaped.start) && !scan.joined_after(shaped.end)
}

/// Whether an issuer has such numbers: their first digits and their lengths.
fn is_issued(digits: &[u8]) -> bool {
    let Some(first) = digits.get(..6) else { return false };
    let range = number(first);
    match range {
        400_000..=499_999 => matches!(digits.len(), 13 | 16 | 19),
        510_000..=559_999 | 222_100..=272_099 => digits.len() == 16,
        340_000..=349_999 | 370_000..=379_999 => digits.len() == 15,
        300_000..=305_999 | 360_000..=369_999 | 380_000..=399_999 => matches!(digits.len(), 14 | 16),
        352_800..=358_999 => matches!(digits.len(), 16 | 19),
        601_100..=601_199 | 622_126..=622_925 | 644_000..=659_999 => matches!(digits.len(), 16 | 19),
        620_000..=629_999 | 810_000..=817_199 => matches!(digits.len(), 16..=19),
        500_000..=509_999 | 560_000..=589_999 | 630_000..=639_999 | 670_000..=679_999 => {
            matches!(digits.len(), 16 | 18 | 19)
        }
        220_000..=220_499 => digits.len() == 16,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::scan::found;
    use mcp_core::redact::PiiKind::Card;

    #[test]
    fn cards_of_every_issuer_are_found_as_they_are_written() {
        for number in [
            "4111111111111111",
            "4111 1111 1111 1111",
            "4111-1111-1111-1111",
            "5555555555554444",
            "2223003122003222",
            "3782 822463 10005",
            "30569309025904",
            "3056 930902 5904",
            "6011111111111117",
            "3530111333300000",
            "6200000000000005",
        ] {
            let text = format!("card: {number}, thanks; 卡号{number}。");
            assert_eq!(found(&text), [(Card, number), (Card, number)], "{text}");
        }
        assert_eq!(found("4111 1111 1111 1111 2027"), [(Card, "4111 1111 1111 1111")]);
    }

    #[test]
    fn a_wrong_digit_and_longer_numbers_are_none() {
        for text in [
            "4111111111111112",
            "4111 1111-1111 1111",
            "0.4111111111111111",
            "x4111111111111111",
            "4111111111111111f",
            "14111111111111111",
            "1700000000000000",
            "0000000000000000",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }
}
