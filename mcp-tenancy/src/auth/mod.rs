//! As whom: from the credential of a request to an [`Identity`].

mod bearer;
mod identity;
mod operations;
mod resource;
mod verified;

pub use bearer::bearer;
pub use identity::{Authenticator, Authenticators, Identity, refused};
pub(crate) use identity::{reason, unidentified};
pub use operations::EndedCredentials;
pub use resource::{ProtectedResource, WELL_KNOWN};
pub(crate) use verified::{TokenFacts, TokenKey, VerifiedTokens, is_jwt};
