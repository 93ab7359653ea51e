//! As whom: from the credential of a request to an [`Identity`].

mod bearer;
mod identity;

pub use bearer::bearer;
pub(crate) use identity::reason;
pub use identity::{Authenticator, Authenticators, Identity, refused};
