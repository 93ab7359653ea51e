//! What stands for masked values, and what it stands for.

use std::{borrow::Cow, collections::HashMap, fmt};

use aws_lc_rs::rand;
use zeroize::Zeroize as _;

use super::PiiKind;
use crate::error::{Detail, Error, ErrorKind, Result};

/// The most values that one set of placeholders keeps.
pub const MAX_PLACEHOLDERS: usize = 10_000;

/// No placeholder is longer, in bytes.
const LONGEST: usize = 48;

/// The values of one conversation and what stands for each: `[email_1_kqzv…]`.
///
/// A value has the same placeholder wherever it comes up. The letters at its end are random, so that nobody can
/// write a placeholder into a text and have somebody else's value put there. Values are wiped when this is
/// dropped, and `Debug` does not show them.
pub struct Placeholders {
    tag: String,
    counts: HashMap<PiiKind, usize>,
    of_value: HashMap<(PiiKind, String), String>,
    values: HashMap<String, String>,
}

impl Placeholders {
    /// No values yet.
    ///
    /// # Errors
    /// [`Internal`](crate::ErrorKind::Internal) if the machine has no randomness.
    pub fn new() -> Result<Self> {
        let mut bytes = [0; 8];
        rand::fill(&mut bytes)
            .map_err(|_| Error::internal("redact.placeholders", "the machine has no randomness"))?;
        // Letters alone, so that no placeholder looks like a number of any kind.
        let tag = bytes
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .map(|half| char::from(b'a' + half))
            .collect();
        Ok(Self { tag, counts: HashMap::new(), of_value: HashMap::new(), values: HashMap::new() })
    }

    /// What stands for this value.
    ///
    /// # Errors
    /// [`TooLarge`](crate::ErrorKind::TooLarge) once there are [`MAX_PLACEHOLDERS`].
    pub fn for_value(&mut self, kind: PiiKind, value: &str) -> Result<String> {
        if let Some(known) = self.of_value.get(&(kind, value.to_owned())) {
            return Ok(known.clone());
        }
        if self.values.len() >= MAX_PLACEHOLDERS {
            let message = format!("at most {MAX_PLACEHOLDERS} values can be masked in one conversation");
            return Err(Error::new(ErrorKind::TooLarge, "redact.placeholders", message)
                .with_detail(Detail::Limit { bytes: MAX_PLACEHOLDERS as u64 }));
        }
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        let placeholder = format!("[{kind}_{count}_{}]", self.tag);
        self.of_value.insert((kind, value.to_owned()), placeholder.clone());
        self.values.insert(placeholder.clone(), value.to_owned());
        Ok(placeholder)
    }

    /// The text with each placeholder replaced by its value. What only looks like one is left as it is.
    #[must_use]
    pub fn restore<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut restored = String::new();
        let mut kept = 0;
        for (open, _) in text.match_indices('[') {
            let window = &text.as_bytes()[open..text.len().min(open + LONGEST)];
            let Some(close) = window.iter().position(|byte| *byte == b']') else { continue };
            let end = open + close + 1;
            if open >= kept
                && let Some(value) = text.get(open..end).and_then(|placeholder| self.values.get(placeholder))
            {
                restored.push_str(&text[kept..open]);
                restored.push_str(value);
                kept = end;
            }
        }
        if kept == 0 {
            return Cow::Borrowed(text);
        }
        restored.push_str(&text[kept..]);
        Cow::Owned(restored)
    }

    /// How many values there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

impl Drop for Placeholders {
    fn drop(&mut self) {
        self.values.drain().for_each(|(_, mut value)| value.zeroize());
        self.of_value.drain().for_each(|((_, mut value), _)| value.zeroize());
    }
}

impl fmt::Debug for Placeholders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Placeholders({} values)", self.values.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_has_one_placeholder_and_comes_back() {
        let mut placeholders = Placeholders::new().unwrap();
        let ada = placeholders.for_value(PiiKind::Email, "ada@example.com").unwrap();
        let bob = placeholders.for_value(PiiKind::Email, "bob@example.com").unwrap();
        assert_eq!(placeholders.for_value(PiiKind::Email, "ada@example.com").unwrap(), ada);
        assert_ne!(ada, bob);
        let text = format!("[[{ada}] and {bob}, [email_1], {}", &ada[..ada.len() - 1]);
        let expected =
            format!("[[ada@example.com] and bob@example.com, [email_1], {}", &ada[..ada.len() - 1]);
        assert_eq!(placeholders.restore(&text), expected);
        assert!(matches!(placeholders.restore("nothing [here]"), Cow::Borrowed(_)));
        assert!(!format!("{placeholders:?}").contains("ada"));
    }

    #[test]
    fn nobody_elses_placeholders_are_restored() {
        let (mut mine, mut theirs) = (Placeholders::new().unwrap(), Placeholders::new().unwrap());
        theirs.for_value(PiiKind::Phone, "+49 30 1234567").unwrap();
        let foreign = mine.for_value(PiiKind::Phone, "+49 30 7654321").unwrap();
        assert_eq!(theirs.restore(&foreign), foreign);
    }

    #[test]
    fn there_is_a_bound() {
        let mut placeholders = Placeholders::new().unwrap();
        for number in 0..MAX_PLACEHOLDERS {
            placeholders.for_value(PiiKind::Secret, &number.to_string()).unwrap();
        }
        assert_eq!(placeholders.for_value(PiiKind::Secret, "more").unwrap_err().kind(), ErrorKind::TooLarge);
        assert!(placeholders.for_value(PiiKind::Secret, "7").is_ok());
    }
}
