//! Looking through archives before anything unpacks them.
//!
//! Nothing is written here. An archive is read from end to end, and refused as a whole for an entry that could
//! reach outside of its folder or fill the disk; the package managers get only what has passed.

mod rules;
mod tarball;
mod wheel;

pub use rules::ArchiveLimits;
pub(crate) use rules::check_path;
pub use tarball::{NpmPackage, inspect_npm};
pub use wheel::{WheelPackage, inspect_wheel};
