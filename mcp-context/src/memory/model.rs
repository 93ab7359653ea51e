//! A memory, and what is asked and answered about it.

use std::{fmt, str::FromStr};

use mcp_core::{Error, Result, clock::Timestamp, error::Detail};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value};
use uuid::Uuid;

/// A memory's id (UUIDv7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct MemoryId(Uuid);

impl MemoryId {
    /// A fresh id.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// Parses an id in its one spelling.
    ///
    /// # Errors
    /// [`NotFound`](mcp_core::ErrorKind::NotFound) for any other text, as for an id that no memory has.
    pub fn parse(text: &str) -> Result<Self> {
        let id = Uuid::parse_str(text).ok().filter(|id| id.to_string() == text);
        id.map(Self).ok_or_else(super::store::not_found)
    }
}

impl fmt::Display for MemoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whose memories they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum NamespaceKind {
    /// A person's.
    User,
    /// An agent's.
    Agent,
    /// A session's.
    Session,
}

impl NamespaceKind {
    const ALL: [(Self, &'static str); 3] =
        [(Self::User, "user"), (Self::Agent, "agent"), (Self::Session, "session")];
}

/// Where memories belong: `user/user-789`, `agent/helper`, `session/s-1`. What is remembered in one is not
/// recalled in another.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Namespace {
    kind: NamespaceKind,
    text: String,
}

impl Namespace {
    /// Parses `kind/id`, where the id has 1 to 128 bytes without control characters.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) that says what it should look like.
    pub fn parse(text: &str) -> Result<Self> {
        let refuse = || {
            let message = "a namespace is `user/…`, `agent/…` or `session/…` with an id of 1 to 128 bytes";
            Error::invalid_input("memory.namespace", message)
                .with_detail(Detail::Field { path: "namespace".into(), nearest: None })
        };
        let (kind, id) = text.split_once('/').ok_or_else(refuse)?;
        let (kind, _) = NamespaceKind::ALL.into_iter().find(|(_, name)| *name == kind).ok_or_else(refuse)?;
        if !(1..=128).contains(&id.len()) || id.chars().any(char::is_control) {
            return Err(refuse());
        }
        Ok(Self { kind, text: text.to_owned() })
    }

    /// Whose kind of namespace it is.
    #[must_use]
    pub const fn kind(&self) -> NamespaceKind {
        self.kind
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Namespace {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Namespace {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Namespace {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|error| de::Error::custom(error.message()))
    }
}

/// A text to be remembered.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct NewMemory {
    /// Where it belongs.
    pub namespace: Namespace,
    /// The text: 1 byte to 8 KiB, not only blanks.
    #[cfg_attr(feature = "http-api", schema(min_length = 1, max_length = 8192))]
    pub text: String,
    /// What the caller wants to know of it later: at most 8 KiB as JSON. Default empty.
    #[serde(default)]
    pub metadata: Map<String, Value>,
}

/// A text that is remembered.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub struct Memory {
    /// Its id.
    pub id: MemoryId,
    /// Where it belongs.
    pub namespace: Namespace,
    /// The text.
    pub text: String,
    /// What the caller wanted to know of it.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
    /// The principal that remembered it.
    pub author: String,
    /// When.
    pub created_at: Timestamp,
}

/// What to recall.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Recall {
    /// Where to look.
    pub namespace: Namespace,
    /// A question or some words: 1 byte to 8 KiB.
    #[cfg_attr(feature = "http-api", schema(min_length = 1, max_length = 8192))]
    pub query: String,
    /// How many: 1 to 100. Default 10.
    #[cfg_attr(feature = "http-api", schema(minimum = 1, maximum = 100, default = 10))]
    #[serde(default = "ten")]
    pub limit: u32,
}

const fn ten() -> u32 {
    10
}

/// A memory that was recalled.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub struct Hit {
    /// The memory.
    #[serde(flatten)]
    pub memory: Memory,
    /// Its fused rank, comparable within one answer: higher is better.
    pub score: f32,
}

/// What was recalled, best first.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub struct Recalled {
    /// The memories.
    pub items: Vec<Hit>,
    /// Whether meanings were compared too, and not words alone.
    pub semantic: bool,
    /// Why meanings were not compared: there is no embedder, or it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}
