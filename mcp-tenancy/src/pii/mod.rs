//! Personal data and secrets: found without backtracking, and masked, hashed or refused as a tenant wishes.
//!
//! [`PiiRedactor`] is the platform's [`Redactor`](mcp_core::redact::Redactor). What it knows: e-mail addresses,
//! telephone numbers, cards (by their check digit and their issuer's ranges), IBANs (by length and checksum),
//! national ids of ten countries (by checksum where there is one), IP addresses, and keys, tokens and
//! passwords. Ordinary numbers are left alone: what has no checksum must be written as such a number is
//! written.
//!
//! Each detector is a scanner of its own that looks at no byte more than a fixed number of times, so there is
//! no text that takes longer than its length.
//!
//! ```
//! # fn main() -> mcp_core::Result<()> {
//! use std::sync::Arc;
//! use mcp_core::{
//!     Scope,
//!     redact::Redactor as _,
//!     scope::{Permissions, Principal, PrincipalId, PrincipalKind, TenantId},
//! };
//! use mcp_tenancy::pii::{PiiAction, PiiKey, PiiPolicies, PiiPolicy, PiiRedactor};
//!
//! let policies = Arc::new(PiiPolicies::new(PiiPolicy::default()));
//! let acme = TenantId::parse("acme")?;
//! policies.set(acme.clone(), PiiPolicy { card: PiiAction::Refuse, ..PiiPolicy::default() })?;
//! let redactor = PiiRedactor::new(policies, PiiKey::ephemeral()?);
//!
//! # let principal = Principal { id: PrincipalId::parse("u1")?, kind: PrincipalKind::User, permissions: Permissions::default() };
//! let scope = Scope::new(acme, Arc::new(principal));
//! let redacted = redactor.redact(&scope, "Write to ada@example.com from 203.0.113.9")?;
//! assert_eq!(redacted.text, "Write to [email] from [ip_address]");
//! assert!(redactor.redact(&scope, "4111 1111 1111 1111").is_err());
//! # Ok(())
//! # }
//! ```

mod card;
mod email;
mod groups;
mod iban;
mod ip;
mod json;
mod national;
mod personal;
mod phone;
mod policy;
mod redactor;
mod scan;
mod secret;
mod settle;
mod tables;

pub use policy::{MAX_POLICIES, PiiAction, PiiPolicies, PiiPolicy};
pub use redactor::{MAX_TEXT_BYTES, PiiKey, PiiRedactor};
pub use scan::{MOST_STEPS_PER_BYTE, steps};
