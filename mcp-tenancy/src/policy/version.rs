//! Policies as they are kept: numbered, never changed, one of them active.

use mcp_core::{Result, clock::Timestamp, scope::PrincipalId};
use serde::Serialize;

use super::{Language, PolicyText, language::bad};

/// Versions kept of each tenant's policy, besides the active one; the oldest go.
pub const KEPT_VERSIONS: u32 = 50;
/// Longest note, in characters.
const MAX_NOTE: usize = 200;

/// A version to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPolicy {
    /// The policy.
    pub policy: PolicyText,
    /// Why it is made, for people: at most 200 characters, no control characters.
    pub note: String,
}

impl NewPolicy {
    /// A version without a note.
    #[must_use]
    pub const fn new(policy: PolicyText) -> Self {
        Self { policy, note: String::new() }
    }

    /// Checks what a draft must keep to; whether it is a policy at all is found out when it is validated.
    ///
    /// # Errors
    /// As [`PolicyText::check_size`]; [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) for the note.
    pub fn check(&self) -> Result<()> {
        self.policy.check_size()?;
        if self.policy.text.contains('\0') {
            return Err(bad("text", "the text must not hold the character U+0000"));
        }
        if self.note.chars().count() > MAX_NOTE || self.note.chars().any(char::is_control) {
            return Err(bad("note", "a note has at most 200 characters and no control characters"));
        }
        Ok(())
    }
}

/// How far a version has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PolicyState {
    /// Written, not checked.
    Draft,
    /// Checked; can be activated.
    Validated,
    /// What decides.
    Active,
}

/// A version without its text, as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub struct PolicyHead {
    /// Its number, from 1; never given twice.
    pub version: i64,
    /// What it is written in.
    pub language: Language,
    /// How far it has come.
    pub state: PolicyState,
    /// Why it was made.
    pub note: String,
    /// Who made it.
    pub author: PrincipalId,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was validated, if it was.
    pub validated_at: Option<Timestamp>,
}

/// A version with its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub struct PolicyVersion {
    /// What lists show.
    #[serde(flatten)]
    pub head: PolicyHead,
    /// The text and its data.
    pub policy: PolicyText,
}

/// The state of a version, given when it was validated and which is active.
pub(super) const fn state(version: i64, validated: bool, active: i64) -> PolicyState {
    match (version == active, validated) {
        (true, _) => PolicyState::Active,
        (false, true) => PolicyState::Validated,
        (false, false) => PolicyState::Draft,
    }
}
