//! Personal data and secrets in text: the port through which messages, tool results and log lines lose them.
//!
//! What counts as personal, and what becomes of it for which tenant, is the business of a [`Redactor`]; the
//! crate for tenancy has one. [`Placeholders`] make masking reversible for whoever holds them: a prompt goes to
//! a provider without the names of the people it speaks of, and the answer comes back with them.

mod placeholders;

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};

pub use placeholders::{MAX_PLACEHOLDERS, Placeholders};

use crate::{error::Result, scope::Scope};

/// What kind of personal data or secret something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PiiKind {
    /// An e-mail address.
    Email,
    /// A telephone number.
    Phone,
    /// The number of a payment card.
    Card,
    /// An international bank account number.
    Iban,
    /// A number that a state gives a person.
    NationalId,
    /// An IP address.
    IpAddress,
    /// A key, token or password.
    Secret,
}

impl PiiKind {
    /// Every kind.
    pub const ALL: [Self; 7] =
        [Self::Email, Self::Phone, Self::Card, Self::Iban, Self::NationalId, Self::IpAddress, Self::Secret];

    /// The kind's name, in policies and in what stands for masked text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Card => "card",
            Self::Iban => "iban",
            Self::NationalId => "national_id",
            Self::IpAddress => "ip_address",
            Self::Secret => "secret",
        }
    }
}

impl fmt::Display for PiiKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where something was found, in bytes of the text that was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PiiSpan {
    /// What.
    pub kind: PiiKind,
    /// Its first byte. In JSON: that of the string or number it is in, if that is written with escapes.
    pub start: usize,
    /// The byte behind its last.
    pub end: usize,
}

/// A text without what its tenant's policy wants gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redacted<'t> {
    /// The text; borrowed where nothing was replaced.
    pub text: Cow<'t, str>,
    /// What was replaced, in order. Empty where nothing was.
    pub spans: Vec<PiiSpan>,
}

/// Finds personal data and secrets, and does with them what the policy of the scope's tenant says.
///
/// Promises:
/// - **Linear**: the time a text takes grows no faster than the text; one that is too long is refused.
/// - **Idempotent**: what has been redacted is left as it is when it is redacted again.
/// - **Faithful**: what is not replaced is not changed by a byte; JSON stays JSON.
/// - **Apart**: what stands for a value tells one tenant nothing of another's values.
/// - **Closed**: after an error no text has been let through, and the error does not repeat what was found.
pub trait Redactor: Send + Sync + fmt::Debug {
    /// Redacts plain text.
    ///
    /// # Errors
    /// [`TooLarge`](crate::ErrorKind::TooLarge) for a text over the redactor's limit;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput), naming the kind, if the policy refuses what it holds.
    fn redact<'t>(&self, scope: &Scope, text: &'t str) -> Result<Redacted<'t>>;

    /// Redacts the strings, names and numbers of a JSON text, and leaves every other byte as it is.
    ///
    /// # Errors
    /// As [`redact`](Self::redact); [`InvalidInput`](crate::ErrorKind::InvalidInput) if it is no JSON.
    fn redact_json<'t>(&self, scope: &Scope, json: &'t str) -> Result<Redacted<'t>>;

    /// Redacts a JSON value in place, and says what was replaced.
    ///
    /// # Errors
    /// As [`redact`](Self::redact); the value is then partly redacted and must not be used.
    fn redact_value(&self, scope: &Scope, value: &mut serde_json::Value) -> Result<Vec<PiiKind>>;

    /// Redacts plain text so that it can be restored: what the policy masks or hashes gets a placeholder of
    /// its own, the same for the same value, and `placeholders` keeps what it stands for.
    ///
    /// # Errors
    /// As [`redact`](Self::redact); [`TooLarge`](crate::ErrorKind::TooLarge) once `placeholders` is full.
    fn redact_reversibly<'t>(
        &self,
        scope: &Scope,
        text: &'t str,
        placeholders: &mut Placeholders,
    ) -> Result<Redacted<'t>>;
}

/// Takes personal data and secrets out of log lines, which belong to no tenant's policy. It never fails: a line
/// it cannot redact is withheld.
pub trait LogRedactor: Send + Sync + fmt::Debug {
    /// The line as it may be written.
    fn redact_line<'t>(&self, line: &'t str) -> Cow<'t, str>;
}
