//! The protocol's versions, and the names of servers.

use std::{fmt, str::FromStr, sync::Arc};

use mcp_core::{Error, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A published version of the Model Context Protocol. Later versions compare greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ProtocolVersion {
    /// 2024-11-05: HTTP+SSE.
    V2024_11_05,
    /// 2025-03-26: streamable HTTP, batches.
    V2025_03_26,
    /// 2025-06-18: structured content, elicitation; no batches.
    V2025_06_18,
    /// 2025-11-25: the last with `initialize` and sessions.
    V2025_11_25,
    /// 2026-07-28: stateless.
    V2026_07_28,
}

impl ProtocolVersion {
    /// Every version, oldest first.
    pub const ALL: [Self; 5] =
        [Self::V2024_11_05, Self::V2025_03_26, Self::V2025_06_18, Self::V2025_11_25, Self::V2026_07_28];

    /// The newest version with `initialize` and sessions.
    pub const LATEST_LEGACY: Self = Self::V2025_11_25;

    /// The newest version.
    pub const LATEST: Self = Self::V2026_07_28;

    /// The version's name on the wire, a date.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V2024_11_05 => "2024-11-05",
            Self::V2025_03_26 => "2025-03-26",
            Self::V2025_06_18 => "2025-06-18",
            Self::V2025_11_25 => "2025-11-25",
            Self::V2026_07_28 => "2026-07-28",
        }
    }

    /// The version of that name, if it is known.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.as_str() == text)
    }

    /// Whether requests of this version stand alone: no `initialize`, no session, `_meta` on each.
    #[must_use]
    pub fn is_stateless(self) -> bool {
        self >= Self::V2026_07_28
    }
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The name of a server in a fleet: 1–32 characters of `[A-Za-z0-9_-]`, without `__`, which separates the
/// server's name from the tool's in the aggregate endpoint.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerName(Arc<str>);

impl ServerName {
    /// Separates server and tool in a prefixed name: `everything__echo`.
    pub const SEPARATOR: &'static str = "__";

    /// Parses a name.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) that names the text and the rule.
    pub fn parse(text: &str) -> Result<Self> {
        let ok = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if text.is_empty() || text.len() > 32 || !text.bytes().all(ok) || text.contains(Self::SEPARATOR) {
            let shown: String = text.chars().take(40).collect();
            return Err(Error::invalid_input(
                "protocol.server_name",
                format!(
                    "{shown:?} is no server name: use 1 to 32 of A-Z, a-z, 0-9, '_' and '-', without '__'"
                ),
            ));
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ServerName({})", self.0)
    }
}

impl FromStr for ServerName {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl Serialize for ServerName {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ServerName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_by_date_and_round_trip() {
        assert!(ProtocolVersion::ALL.is_sorted());
        for version in ProtocolVersion::ALL {
            assert_eq!(ProtocolVersion::parse(version.as_str()), Some(version));
        }
        assert_eq!(ProtocolVersion::parse("2026-07-29"), None);
    }

    #[test]
    fn server_names_leave_the_separator_free() {
        for name in ["everything", "a", "mcp-time_2", &"x".repeat(32)] {
            assert_eq!(ServerName::parse(name).unwrap().as_str(), name);
        }
        for name in ["", "a__b", "a b", "a/b", "é", &"x".repeat(33)] {
            assert!(ServerName::parse(name).is_err(), "{name:?} was accepted");
        }
    }
}
