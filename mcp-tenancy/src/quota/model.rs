//! Quotas as they are set and shown.

use std::{fmt, time::Duration};

use mcp_core::{
    Error, Result,
    limit::{MAX_AMOUNT, Meter, Period, Window},
    scope::PrincipalId,
};
use serde::{Deserialize, Serialize};

/// Most quotas of a tenant.
pub const MAX_LIMITS: usize = 1_000;

/// How quotas are counted.
#[derive(Debug, Clone, Copy)]
pub struct QuotaConfig {
    /// How long a reservation can be settled; after that it stays counted in full. Default one hour.
    pub settle_within: Duration,
}

impl Default for QuotaConfig {
    fn default() -> Self {
        Self { settle_within: Duration::from_secs(3600) }
    }
}

/// Whose use a quota counts: `tenant`, `each_principal` or `principal/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum QuotaSubject {
    /// All of the tenant's principals together.
    Tenant,
    /// Each principal for itself, unless it has a quota of its own for the meter and period.
    EachPrincipal,
    /// This principal.
    Principal(PrincipalId),
}

impl QuotaSubject {
    /// Parses what it is printed as.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) for any other text.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "tenant" => Ok(Self::Tenant),
            "each_principal" => Ok(Self::EachPrincipal),
            _ => match text.strip_prefix("principal/") {
                Some(id) => PrincipalId::parse(id).map(Self::Principal),
                None => Err(Error::invalid_input(
                    "quota.subject",
                    "a quota is of `tenant`, `each_principal` or `principal/{id}`",
                )),
            },
        }
    }
}

impl fmt::Display for QuotaSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tenant => f.write_str("tenant"),
            Self::EachPrincipal => f.write_str("each_principal"),
            Self::Principal(id) => write!(f, "principal/{id}"),
        }
    }
}

impl TryFrom<String> for QuotaSubject {
    type Error = Error;
    fn try_from(text: String) -> Result<Self> {
        Self::parse(&text)
    }
}

impl From<QuotaSubject> for String {
    fn from(subject: QuotaSubject) -> Self {
        subject.to_string()
    }
}

/// How much of a meter a subject may use in a period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct QuotaLimit {
    /// Whose use it counts.
    pub subject: QuotaSubject,
    /// What it counts.
    pub meter: Meter,
    /// By day or by month, in UTC.
    pub period: Period,
    /// How much; zero allows nothing. At most [`MAX_AMOUNT`].
    pub amount: u64,
}

impl QuotaLimit {
    /// Checks what the types of the fields do not.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) above [`MAX_AMOUNT`].
    pub fn validate(&self) -> Result<()> {
        check_amount(self.amount)
    }

    /// Whether both are of the same subject, meter and period.
    pub(super) fn is_of(&self, other: &Self) -> bool {
        (&self.subject, &self.meter, self.period) == (&other.subject, &other.meter, other.period)
    }
}

/// What was used of a quota.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub struct QuotaUsage {
    /// Whose use: the tenant's, or the asking principal's.
    pub subject: QuotaSubject,
    /// What is counted.
    pub meter: Meter,
    /// The day or month.
    pub window: Window,
    /// How much may be used in it.
    pub limit: u64,
    /// How much was, with what is reserved.
    pub used: u64,
}

pub(super) fn check_amount(amount: u64) -> Result<()> {
    if amount <= MAX_AMOUNT {
        return Ok(());
    }
    Err(Error::invalid_input("quota.amount", format!("an amount may be at most {MAX_AMOUNT}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_read_back_as_they_are_printed() {
        for text in ["tenant", "each_principal", "principal/user-1", "principal/*", "principal/tenant"] {
            assert_eq!(QuotaSubject::parse(text).unwrap().to_string(), text);
        }
        for bad in ["", "tenants", "principal", "principal/", "principal/a b", "Tenant"] {
            assert!(QuotaSubject::parse(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
