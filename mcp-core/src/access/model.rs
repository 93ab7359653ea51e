//! What is to be done, and to what.

use std::{borrow::Cow, fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    error::{Detail, Error, Result},
    scope::{Scope, TenantId},
};

/// Facts about a resource or a call, for policies to look at; never a secret.
pub type Attributes = Map<String, Value>;

/// What is to be done: `area:verb`, the permission it takes, without `*`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Action(Cow<'static, str>);

impl Action {
    /// Longest action, in bytes.
    pub const MAX_LEN: usize = 65;

    /// An action written in a program; one that is malformed does not compile in a `const`.
    ///
    /// # Panics
    /// If `text` is not `area:verb`.
    #[must_use]
    pub const fn constant(text: &'static str) -> Self {
        assert!(is_action(text.as_bytes()), "an action is `area:verb` in lower case");
        Self(Cow::Borrowed(text))
    }

    /// An action that a program names: as [`parse`](Self::parse), with a [refusal](Self::missing) that says which
    /// permission to ask for.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn named(text: &'static str) -> Result<Self> {
        Self::parse(text).map(|_| Self(Cow::Borrowed(text)))
    }

    /// Parses an action.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the text is not `area:verb`.
    pub fn parse(text: &str) -> Result<Self> {
        if is_action(text.as_bytes()) {
            return Ok(Self(Cow::Owned(text.to_owned())));
        }
        Err(Error::invalid_input(
            "access.action",
            "an action is `area:verb` in lower case, as in `tools:call`",
        ))
    }

    /// The action as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The refusal of whoever lacks the permission for it.
    #[must_use]
    pub fn missing(&self) -> Error {
        let message = format!("this needs the permission `{}`", self.0);
        let error = Error::permission_denied("access.authorize", message);
        match self.0 {
            Cow::Borrowed(scope) => error.with_detail(Detail::MissingScope { scope }),
            Cow::Owned(_) => error,
        }
    }
}

/// `area:verb`, each of 1–32 characters of `[a-z0-9_-]`.
const fn is_action(text: &[u8]) -> bool {
    let (mut at, mut colon) = (0, None);
    while at < text.len() {
        match text[at] {
            b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' => {}
            b':' if colon.is_none() => colon = Some(at),
            _ => return false,
        }
        at += 1;
    }
    match colon {
        Some(area) => {
            let verb = text.len() - area - 1;
            area >= 1 && area <= 32 && verb >= 1 && verb <= 32
        }
        None => false,
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Action({})", self.0)
    }
}

impl TryFrom<String> for Action {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        Self::parse(&text)
    }
}

impl From<Action> for String {
    fn from(action: Action) -> Self {
        action.0.into_owned()
    }
}

/// What kind of thing a resource is: `tool`, `context`, `audit_log`; `[a-z][a-z0-9_]{0,31}`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ResourceKind(Arc<str>);

impl ResourceKind {
    /// Parses a kind.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if it has another form.
    pub fn parse(text: &str) -> Result<Self> {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        let first = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
        if !first || text.len() > 32 || !text.bytes().all(inner) {
            return Err(Error::invalid_input(
                "access.resource",
                "a kind of resource has 1 to 32 characters of a-z, 0-9 and '_' and begins with a letter",
            ));
        }
        Ok(Self(text.into()))
    }

    /// The kind as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ResourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResourceKind({})", self.0)
    }
}

impl TryFrom<String> for ResourceKind {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        Self::parse(&text)
    }
}

impl From<ResourceKind> for String {
    fn from(kind: ResourceKind) -> Self {
        kind.0.as_ref().to_owned()
    }
}

/// What something is to be done to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub struct Resource {
    /// Whose it is.
    pub tenant: TenantId,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: ResourceKind,
    /// Which one: at most 1024 bytes, `*` where it is all of that kind.
    pub id: String,
    /// What policies may look at: `owner`, `labels`; never a secret.
    #[serde(default)]
    #[cfg_attr(feature = "http-api", schema(value_type = Object))]
    pub attributes: Attributes,
}

impl Resource {
    /// Longest id, in bytes.
    pub const MAX_ID: usize = 1024;

    /// A resource of the scope's tenant, without attributes.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a malformed kind or an id that is too long.
    pub fn of(scope: &Scope, kind: &str, id: impl Into<String>) -> Result<Self> {
        let id = id.into();
        if id.len() > Self::MAX_ID {
            return Err(Error::invalid_input("access.resource", "a resource's id has at most 1024 bytes"));
        }
        let kind = ResourceKind::parse(kind)?;
        Ok(Self { tenant: scope.tenant().clone(), kind, id, attributes: Attributes::new() })
    }

    /// The same resource with one attribute more.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.attributes.insert(name.to_owned(), value.into());
        self
    }
}

/// An action on a resource, in its circumstances.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub struct Access {
    /// What is to be done.
    pub action: Action,
    /// To what.
    pub resource: Resource,
    /// In which circumstances: `method`, `path`; never a secret.
    #[serde(default)]
    #[cfg_attr(feature = "http-api", schema(value_type = Object))]
    pub context: Attributes,
}

impl Access {
    /// `action` on `resource`, without circumstances.
    #[must_use]
    pub fn new(action: Action, resource: Resource) -> Self {
        Self { action, resource, context: Attributes::new() }
    }

    /// The same access with one circumstance more.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.context.insert(name.to_owned(), value.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_has_two_halves_and_no_wildcard() {
        for good in ["tools:call", "a:b", "audit_log:read-all"] {
            assert_eq!(Action::parse(good).unwrap().as_str(), good);
        }
        let long = format!("{}:x", "a".repeat(33));
        for bad in ["", ":", "a:", ":b", "tools", "Tools:call", "a:b:c", "a:*", "*", "a b:c", long.as_str()] {
            assert!(Action::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn a_kind_is_a_name() {
        assert!(ResourceKind::parse("audit_log").is_ok());
        for bad in ["", "Tool", "1a", "_a", "a-b", "a.b", "é", &"x".repeat(33)] {
            assert!(ResourceKind::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn serde_goes_through_parse() {
        assert!(serde_json::from_str::<Action>("\"not valid\"").is_err());
        assert!(serde_json::from_str::<ResourceKind>("\"../x\"").is_err());
    }
}
