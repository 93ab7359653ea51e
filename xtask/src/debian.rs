//! Debian's packages, installed where we may.

use std::process::Command;

use crate::sh::{self, Result};

/// Whether packages can be installed here.
pub(crate) fn may_install() -> bool {
    rustix::process::geteuid().is_root() && sh::find("apt-get", &[]).is_some()
}

/// Installs a package from the lists there are, brought up to date where they can be.
///
/// # Errors
/// When apt has it not, or cannot install it.
pub(crate) fn install(package: &str) -> Result {
    println!("installing Debian's package {package}");
    if let Err(failure) = sh::run(apt().arg("update")) {
        // One unreachable list of many fails it; the one we need may be there.
        println!("{failure}; trying with the lists there are");
    }
    sh::run(apt().args(["install", "--yes", "--no-install-recommends", package]))
}

fn apt() -> Command {
    let mut apt = Command::new("apt-get");
    // Another installation may hold the lock.
    apt.args(["--quiet", "-o", "DPkg::Lock::Timeout=300"]).env("DEBIAN_FRONTEND", "noninteractive");
    apt
}
