//! Virtual environments: what comes from PyPI, apart from the system's Python.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::debian;
use crate::sh::{self, Context, Failure, Result};

/// What makes them.
const NEEDED: &str = "Python 3.11 or later with venv (Debian: python3-venv)";

/// Makes an environment at `folder`, anew where there is one, and returns its pip, which still has to be told
/// what to do.
///
/// # Errors
/// When Python is missing, or its `venv` is and cannot be installed.
pub(crate) fn pip(folder: &Path) -> Result<Command> {
    let python = sh::find("python3", &[])
        .ok_or_else(|| Failure::new(format!("`python3` is missing: install {NEEDED}")))?;
    if !has_venv(&python)? {
        install(&python)?;
    }
    sh::run(Command::new(python).args(["-m", "venv", "--clear"]).arg(folder))?;
    let mut pip = Command::new(folder.join("bin/python"));
    pip.args(["-m", "pip", "--quiet", "--disable-pip-version-check"]);
    Ok(pip)
}

/// Debian keeps what gives an environment its pip in a package of its own; without it `venv` is there and fails.
fn has_venv(python: &Path) -> Result<bool> {
    let mut look = Command::new(python);
    look.args(["-c", "import ensurepip, venv"]).stdin(Stdio::null()).stderr(Stdio::null());
    Ok(look.status().context("starting python3")?.success())
}

fn install(python: &Path) -> Result {
    if debian::may_install() {
        debian::install("python3-venv")?;
        // The package is for Debian's Python, which need not be the one found.
        if has_venv(python)? {
            return Ok(());
        }
    }
    let python = python.display();
    Err(Failure::new(format!("{python} cannot make environments with pip in them: install {NEEDED}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_python_without_venv_is_noticed() {
        assert!(has_venv(Path::new("/bin/true")).unwrap());
        assert!(!has_venv(Path::new("/bin/false")).unwrap());
    }
}
