//! Why a tenant's calls are refused.

use mcp_core::Error;

use crate::tenant::Name;

/// Why calls for a tenant may not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It is suspended.
    Suspended,
    /// It is deleted; whether it is erased already makes no difference to its callers.
    Deleted,
    /// The organisation whose project it is may not be used.
    Organisation,
    /// Its data lives in a region that is served elsewhere.
    Elsewhere {
        /// The region.
        region: Name,
    },
}

impl Refusal {
    /// In words for the audit log.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Suspended => "the tenant is suspended",
            Self::Deleted => "the tenant is deleted",
            Self::Organisation => "the tenant's organisation is closed",
            Self::Elsewhere { .. } => "the tenant's region is served elsewhere",
        }
    }

    /// What its callers are told, who have shown that they belong to it.
    #[must_use]
    pub fn error(&self, operation: &'static str) -> Error {
        let message = match self {
            Self::Suspended => "the tenant is suspended; ask the platform's operator".to_owned(),
            Self::Deleted => "the tenant is deleted; ask the platform's operator".to_owned(),
            Self::Organisation => {
                "the organisation of this tenant is closed; ask the platform's operator".to_owned()
            }
            Self::Elsewhere { region } => {
                format!(
                    "the tenant's data lives in the region `{region}`, which is not served here; call that region"
                )
            }
        };
        Error::permission_denied(operation, message)
    }
}
