//! The commands, a file a resource.

pub(crate) mod audit;
pub(crate) mod certificates;
pub(crate) mod completion;
pub(crate) mod contexts;
pub(crate) mod data_keys;
pub(crate) mod issuers;
pub(crate) mod keys;
pub(crate) mod memories;
pub(crate) mod policies;
pub(crate) mod principals;
pub(crate) mod quotas;
pub(crate) mod roles;
pub(crate) mod servers;
pub(crate) mod signing_keys;
pub(crate) mod tenants;
pub(crate) mod tokens;
mod whose;
