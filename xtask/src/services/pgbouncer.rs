//! PgBouncer: tests start their own, and find it installed.

use crate::debian;
use crate::sh::{self, Failure, Result};

/// Makes sure that there is one, installed where we may.
///
/// # Errors
/// When it is missing and cannot be installed.
pub(super) fn prepare() -> Result {
    let installed = || sh::find("pgbouncer", &["/usr/sbin".into()]).is_some();
    if installed() {
        return Ok(());
    }
    if !debian::may_install() {
        return Err(Failure::new(
            "PgBouncer is missing, through which tests go to PostgreSQL. Install it (Debian: `apt-get install pgbouncer`).",
        ));
    }
    debian::install("pgbouncer")?;
    if installed() {
        Ok(())
    } else {
        Err(Failure::new("the package pgbouncer is installed, yet there is none"))
    }
}
