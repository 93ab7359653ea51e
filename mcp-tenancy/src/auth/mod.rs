//! As whom: from the credential of a request to an [`Identity`].

mod bearer;
mod identity;
mod verified;

pub use bearer::bearer;
pub(crate) use identity::reason;
pub use identity::{Authenticator, Authenticators, Identity, refused};
pub(crate) use verified::{TokenFacts, TokenKey, VerifiedTokens, is_jwt};
