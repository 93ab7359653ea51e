//! Versions of packages: their text, their order, and what is near one that does not exist.

use std::{cmp::Ordering, fmt};

use mcp_core::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest version, in bytes.
const MAX: usize = 64;

/// One exact version: 1–64 characters of `[A-Za-z0-9.+!_-]` that begin with a digit, so that it can be part of
/// a folder's name. Compared by its numbers; what follows a letter or `-` comes before the release itself.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Version(Box<str>);

impl Version {
    /// Parses a version; ranges and tags are none.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) that names the text and the rule.
    pub fn parse(text: &str) -> Result<Self> {
        let ok = |b: u8| b.is_ascii_alphanumeric() || b".+!_-".contains(&b);
        let begins = text.bytes().next().is_some_and(|b| b.is_ascii_digit());
        if !begins || text.len() > MAX || !text.bytes().all(ok) {
            let shown: String = text.chars().take(40).collect();
            return Err(Error::invalid_input(
                "source.version",
                format!("{shown:?} is no exact version such as 1.2.3; ranges and tags are not accepted"),
            ));
        }
        Ok(Self(text.into()))
    }

    /// The version as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is a release and no preview of one.
    pub(super) fn is_final(&self) -> bool {
        self.parts().iter().all(|part| matches!(part, Part::Number(_)))
    }

    fn parts(&self) -> Vec<Part<'_>> {
        let text = self.0.split('+').next().unwrap_or_default();
        let mut parts = Vec::new();
        for piece in text.split(['.', '-', '_', '!']) {
            let mut rest = piece;
            while !rest.is_empty() {
                let digit = rest.as_bytes()[0].is_ascii_digit();
                let end = rest.bytes().position(|b| b.is_ascii_digit() != digit).unwrap_or(rest.len());
                let (part, after) = rest.split_at(end);
                parts.push(if digit { Part::Number(part.trim_start_matches('0')) } else { Part::Word(part) });
                rest = after;
            }
        }
        parts
    }
}

#[derive(PartialEq, Eq)]
enum Part<'a> {
    /// Digits without leading zeros, of any length.
    Number(&'a str),
    Word(&'a str),
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (self.parts(), other.parts());
        for index in 0..a.len().max(b.len()) {
            let order = match (a.get(index), b.get(index)) {
                (Some(Part::Number(a)), Some(Part::Number(b))) => a.len().cmp(&b.len()).then(a.cmp(b)),
                (Some(Part::Word(a)), Some(Part::Word(b))) => a.cmp(b),
                // 1.0.1 > 1.0 > 1.0-beta
                (Some(Part::Number(_)), _) | (None, Some(Part::Word(_))) => Ordering::Greater,
                (_, Some(Part::Number(_))) | (Some(Part::Word(_)), None) => Ordering::Less,
                (None, None) => Ordering::Equal,
            };
            if order != Ordering::Equal {
                return order;
            }
        }
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The known versions just below and above one that does not exist, and the latest.
pub(super) fn nearest(wanted: &Version, known: &[Version]) -> Vec<Version> {
    let mut known: Vec<_> = known.iter().collect();
    known.sort();
    let above = known.partition_point(|version| *version < wanted);
    let mut near: Vec<_> = known[..above]
        .iter()
        .rev()
        .take(1)
        .chain(known[above..].iter().take(1))
        .map(|v| (*v).clone())
        .collect();
    if let Some(latest) = known.last().filter(|latest| !near.contains(latest)) {
        near.push((*latest).clone());
    }
    near
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Version({})", self.0)
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    #[test]
    fn ordered_as_releases_are() {
        let ordered = [
            "0.6.2",
            "1.0.0-alpha",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0",
            "1.0.1",
            "2025.12.18",
            "2026.7.4",
            "2026.10.1",
        ];
        let mut shuffled = ordered.map(version).to_vec();
        shuffled.reverse();
        shuffled.sort();
        assert_eq!(shuffled, ordered.map(version));
        assert!(version("1.2").is_final() && !version("1.2rc1").is_final() && !version("1.0-x").is_final());
    }

    #[test]
    fn ranges_tags_and_paths_are_no_versions() {
        for bad in ["", "latest", "^1.0.0", "1.x ", ">=1", "1/2", "../1", "1\n", ".1", "1 || 2", "v1"] {
            assert!(Version::parse(bad).is_err(), "{bad}");
        }
        assert!(Version::parse(&"1".repeat(65)).is_err());
    }

    #[test]
    fn neighbours_and_the_latest_are_near() {
        let known = ["2025.12.18", "2026.1.14", "2026.8.18", "2026.8.31"].map(version);
        let near =
            |text: &str| nearest(&version(text), &known).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(near("2026.8.30"), ["2026.8.18", "2026.8.31"]);
        assert_eq!(near("2026.1.1"), ["2025.12.18", "2026.1.14", "2026.8.31"]);
        assert_eq!(near("9"), ["2025.12.18", "2026.8.31"]);
    }
}
