//! What is refused although it has not expired.

use std::time::Duration;

use mcp_core::{Error, Result, clock::Timestamp, scope::TenantId};

use crate::issuer::MAX_URL_LEN;

/// Longest id of a token (`jti`), in bytes.
pub const MAX_TOKEN_ID_LEN: usize = 256;
/// Most tokens of one tenant that are denied one by one at a time, unless a store is made for another number.
pub const MAX_DENIED: u32 = 10_000;
/// How far in the future a denied token may end: 400 days.
pub const MAX_DENIAL: Duration = Duration::from_secs(400 * 24 * 3600);

/// One token that is refused from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeniedToken {
    /// The tenant it is for.
    pub tenant: TenantId,
    /// Who issued it: its `iss`, letter by letter. A token's id is unique with its issuer only.
    pub issuer: String,
    /// Its id, `jti`.
    pub id: String,
    /// When it ends anyway: until then the denial is kept.
    pub expires_at: Timestamp,
}

impl DeniedToken {
    /// Checks what the types of the fields do not.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) that names the field.
    pub fn validate(&self, now: Timestamp) -> Result<()> {
        let of_length = |text: &str, most| (1..=most).contains(&text.len());
        let complaint = if !of_length(&self.issuer, MAX_URL_LEN) {
            format!("`issuer` must have 1 to {MAX_URL_LEN} bytes")
        } else if !of_length(&self.id, MAX_TOKEN_ID_LEN) {
            format!("`id` must have 1 to {MAX_TOKEN_ID_LEN} bytes")
        } else if self.expires_at <= now {
            "`expires_at` must lie in the future: a token that has expired is refused anyway".to_owned()
        } else if self.expires_at > now.after(MAX_DENIAL) {
            let days = MAX_DENIAL.as_secs() / (24 * 3600);
            format!("`expires_at` must lie within {days} days; end all tokens of the tenant instead")
        } else {
            return Ok(());
        };
        Err(Error::invalid_input("token.revoke", complaint))
    }
}

/// What is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revocation {
    /// One token.
    Token(DeniedToken),
    /// Every token of a tenant that was issued until then: the tenant's epoch.
    All {
        /// Whose tokens.
        tenant: TenantId,
        /// Tokens issued in that second or before are refused, and those that do not say when they were.
        issued_until: Timestamp,
    },
}

/// A revocation and its place in the order of all changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationChange {
    /// What is refused.
    pub revocation: Revocation,
    /// Grows with every change.
    pub revision: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_names_one_token_and_ends() {
        let now = Timestamp::from_micros(1_800_000_000_000_000);
        let good = DeniedToken {
            tenant: TenantId::parse("acme").unwrap(),
            issuer: "https://login.example".to_owned(),
            id: "j".repeat(MAX_TOKEN_ID_LEN),
            expires_at: now.after(MAX_DENIAL),
        };
        good.validate(now).unwrap();
        let too_long = "x".repeat(MAX_URL_LEN + 1);
        for (bad, field) in [
            (DeniedToken { issuer: String::new(), ..good.clone() }, "`issuer`"),
            (DeniedToken { issuer: too_long.clone(), ..good.clone() }, "`issuer`"),
            (DeniedToken { id: String::new(), ..good.clone() }, "`id`"),
            (DeniedToken { id: too_long, ..good.clone() }, "`id`"),
            (DeniedToken { expires_at: now, ..good.clone() }, "`expires_at`"),
            (DeniedToken { expires_at: now.after(MAX_DENIAL * 2), ..good.clone() }, "`expires_at`"),
        ] {
            assert!(bad.validate(now).unwrap_err().message().contains(field), "{bad:?}");
        }
    }
}
