//! Digits as people write them: in groups, with something between.

/// A run of digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Group {
    pub(super) const fn len(self) -> usize {
        self.end - self.start
    }
}

/// All runs of digits of a text, in order.
#[derive(Debug)]
pub(super) struct Groups<'t> {
    bytes: &'t [u8],
    groups: Vec<Group>,
}

impl<'t> Groups<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        let bytes = text.as_bytes();
        let mut groups = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let run = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            if run > 0 {
                groups.push(Group { start: at, end: at + run });
            }
            at += run + 1;
        }
        Self { bytes, groups }
    }

    pub(super) fn len(&self) -> usize {
        self.groups.len()
    }

    pub(super) fn get(&self, index: usize) -> Option<Group> {
        self.groups.get(index).copied()
    }

    /// The `lens.len()` groups from `index` on, if they have these lengths and each is one byte of `between`
    /// from the next, always the same. Lengths of `0` stand for any.
    pub(super) fn shaped(&self, index: usize, lens: &[usize], between: &[u8]) -> Option<Shaped<'t>> {
        let groups = self.groups.get(index..index + lens.len())?;
        let fits = groups.iter().zip(lens).all(|(group, len)| *len == 0 || group.len() == *len);
        let mut separators = groups.windows(2).map(|pair| match pair {
            [one, other] if other.start == one.end + 1 => self.bytes.get(one.end).copied(),
            _ => None,
        });
        let first = match separators.next() {
            None => None,
            Some(None) => return None,
            Some(Some(first)) => Some(first),
        };
        let same = separators.all(|separator| separator == first);
        let allowed = first.is_none_or(|first| between.contains(&first));
        let (start, end) = (groups.first()?.start, groups.last()?.end);
        (fits && same && allowed).then(|| Shaped { bytes: &self.bytes[start..end], start, end })
    }
}

/// Groups that belong together.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shaped<'t> {
    bytes: &'t [u8],
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Shaped<'_> {
    /// The digits alone, as numbers.
    pub(super) fn digits(&self) -> Vec<u8> {
        self.bytes.iter().filter(|byte| byte.is_ascii_digit()).map(|byte| byte - b'0').collect()
    }
}

/// The check of cards and of many ids (ISO/IEC 7812-1).
pub(super) fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match (place % 2, u32::from(*digit)) {
            (0, digit) => digit,
            (_, digit) if digit < 5 => 2 * digit,
            (_, digit) => 2 * digit - 9,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// The digits as one number; they are at most 18.
pub(super) fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |number, digit| number * 10 + u64::from(*digit))
}
