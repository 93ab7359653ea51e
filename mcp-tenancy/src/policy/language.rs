//! Policies as texts, and what makes them something that can be asked: pure functions of the text.

use std::{fmt, sync::Arc};

use mcp_core::{Error, ErrorKind, Result, error::Detail};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Policy;

/// Longest policy, in bytes.
pub const MAX_TEXT: usize = 64 * 1024;
/// Largest data document of a policy, as JSON, in bytes.
pub const MAX_DATA: usize = 256 * 1024;

/// What a policy is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Language {
    /// Cedar, held to the schema.
    Cedar,
    /// Rego, version 1: `allow if { … }`.
    Rego,
    /// Rego as it was before: `allow { … }`.
    RegoV0,
}

impl Language {
    /// The name on the wire and in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cedar => "cedar",
            Self::Rego => "rego",
            Self::RegoV0 => "rego_v0",
        }
    }

    /// Parses a name.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a name that is none.
    pub fn parse(text: &str) -> Result<Self> {
        let known = [Self::Cedar, Self::Rego, Self::RegoV0];
        known.into_iter().find(|language| language.as_str() == text).ok_or_else(|| {
            Error::invalid_input("policy.language", "a policy's language is `cedar`, `rego` or `rego_v0`")
        })
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A policy as its author wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PolicyText {
    /// What it is written in.
    pub language: Language,
    /// The policies: at most [`MAX_TEXT`] bytes. In Rego one module; its rules `allow` and `deny` decide.
    pub text: String,
    /// What Rego finds under `data`: at most [`MAX_DATA`] bytes as JSON. Cedar has none.
    #[serde(default)]
    #[cfg_attr(feature = "http-api", schema(value_type = Object))]
    pub data: Map<String, Value>,
}

impl PolicyText {
    /// A policy without data.
    #[must_use]
    pub fn new(language: Language, text: impl Into<String>) -> Self {
        Self { language, text: text.into(), data: Map::new() }
    }

    /// Checks its size: what a draft must keep to.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for an empty text or data that the language does not have,
    /// [`TooLarge`](ErrorKind::TooLarge).
    pub fn check_size(&self) -> Result<()> {
        if self.text.trim().is_empty() {
            return Err(bad("text", "the policy is empty; deactivate it to have none"));
        }
        if self.language == Language::Cedar && !self.data.is_empty() {
            return Err(bad("data", "Cedar policies have no data; use attributes of resources"));
        }
        too_large("text", self.text.len(), MAX_TEXT)?;
        let data = serde_json::to_vec(&self.data).map_err(|_| bad("data", "the data is not JSON"))?;
        too_large("data", data.len(), MAX_DATA)
    }
}

/// Makes texts into policies that can be asked, under one schema.
///
/// Cedar alone at first: its policies cost microseconds, whoever wrote them. Rego is a language with loops; its
/// time is limited, its memory is not, so it is for those whose authors are trusted not to exhaust the server.
#[derive(Debug, Clone)]
pub struct Compiler {
    #[cfg(feature = "cedar")]
    schema: super::CedarSchema,
    #[cfg(feature = "rego")]
    rego: bool,
}

impl Compiler {
    /// Compiles Cedar, where the build has it, under the schema that is shipped.
    ///
    /// # Errors
    /// None in practice: a test parses that schema.
    pub fn new() -> Result<Self> {
        Ok(Self {
            #[cfg(feature = "cedar")]
            schema: super::CedarSchema::shipped()?,
            #[cfg(feature = "rego")]
            rego: false,
        })
    }

    /// The same compiler with another schema of what Cedar policies may speak of.
    #[cfg(feature = "cedar")]
    #[must_use]
    pub fn with_cedar_schema(mut self, schema: super::CedarSchema) -> Self {
        self.schema = schema;
        self
    }

    /// The same compiler for Rego too.
    #[cfg(feature = "rego")]
    #[must_use]
    pub const fn with_rego(mut self) -> Self {
        self.rego = true;
        self
    }

    /// Parses and checks `policy`. A pure function that takes as long as the text is large: call it off the
    /// async threads.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) that names line and column, as [`PolicyText::check_size`],
    /// [`Unsupported`](ErrorKind::Unsupported) for a language that is not switched on.
    pub fn compile(&self, policy: &PolicyText) -> Result<Arc<dyn Policy>> {
        policy.check_size()?;
        #[cfg(feature = "cedar")]
        if policy.language == Language::Cedar {
            return Ok(Arc::new(super::CedarPolicy::parse(&policy.text, &self.schema)?));
        }
        #[cfg(feature = "rego")]
        if self.rego && matches!(policy.language, Language::Rego | Language::RegoV0) {
            return Ok(Arc::new(super::RegoPolicy::parse(policy)?));
        }
        let message = format!(
            "policies in `{}` are not switched on here; ask the platform's operator",
            policy.language
        );
        Err(Error::new(ErrorKind::Unsupported, "policy.compile", message))
    }
}

fn too_large(field: &'static str, size: usize, limit: usize) -> Result<()> {
    if size <= limit {
        return Ok(());
    }
    let message = format!("`{field}` has {size} bytes, more than the {limit} a policy may have");
    Err(Error::new(ErrorKind::TooLarge, "policy.compile", message)
        .with_detail(Detail::Limit { bytes: limit as u64 }))
}

pub(super) fn bad(field: &'static str, message: impl Into<String>) -> Error {
    Error::invalid_input("policy.compile", message.into())
        .with_detail(Detail::Field { path: field.to_owned(), nearest: None })
}

/// Line and column, from 1, of a byte of `text`.
#[cfg(feature = "cedar")]
pub(super) fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    (line, String::from_utf8_lossy(&before[start..]).chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_checked_before_anything_is_parsed() {
        let large = PolicyText::new(Language::Rego, "#".repeat(MAX_TEXT + 1));
        assert_eq!(Compiler::new().unwrap().compile(&large).unwrap_err().kind(), ErrorKind::TooLarge);
        let mut data = PolicyText::new(Language::Rego, "package a");
        data.data.insert("x".into(), "y".repeat(MAX_DATA).into());
        assert_eq!(data.check_size().unwrap_err().kind(), ErrorKind::TooLarge);
        assert_eq!(
            PolicyText::new(Language::Cedar, " \n").check_size().unwrap_err().kind(),
            ErrorKind::InvalidInput
        );
    }

    #[cfg(feature = "cedar")]
    #[test]
    fn places_count_characters() {
        assert_eq!(place("ab\ncé!", 0), (1, 1));
        assert_eq!(place("ab\ncé!", 6), (2, 3));
        assert_eq!(place("ab", 99), (1, 3));
    }

    #[test]
    fn languages_have_names() {
        for language in [Language::Cedar, Language::Rego, Language::RegoV0] {
            assert_eq!(Language::parse(language.as_str()).unwrap(), language);
            assert_eq!(serde_json::to_value(language).unwrap(), language.as_str());
        }
        assert!(Language::parse("opa").is_err());
    }
}
