//! Key files: made once, by whoever comes first, and readable by their owner alone.

use std::{fs::OpenOptions, io, io::Write as _, path::Path};

use zeroize::Zeroize as _;

use super::Secret;
use crate::error::{Error, Result};

/// What a key file holds, for its error messages.
pub(crate) struct KeyFile {
    pub(crate) operation: &'static str,
    /// As in "cannot read the … file".
    pub(crate) what: &'static str,
}

/// The text of the file at `path`, which is created with what `make` returns, mode 0600, if there is none.
///
/// Several processes may start at once: the text is written to a file of its own and then linked to its
/// name, which only one of them can do; all read the one that is there afterwards. Blocks on the disk.
///
/// # Errors
/// `InvalidInput` if others may read the file, `Unavailable` if it can be neither read nor created, and
/// those of `make`.
pub(crate) fn load_or_create(
    path: &Path,
    file: &KeyFile,
    make: impl FnOnce() -> Result<Secret<String>>,
) -> Result<Secret<String>> {
    if let Some(text) = load(path, file)? {
        return Ok(text);
    }
    create_once(path, make()?.expose().as_bytes()).map_err(|error| unreadable(path, file, error))?;
    let vanished =
        || Error::unavailable(file.operation, format!("the {} file vanished at start-up", file.what));
    load(path, file)?.ok_or_else(vanished)
}

fn load(path: &Path, file: &KeyFile) -> Result<Option<Secret<String>>> {
    let mut text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(path, file, error)),
    };
    let trimmed = Secret::new(text.trim().to_owned());
    text.zeroize();
    private_to_owner(path, file)?;
    Ok(Some(trimmed))
}

/// Writes a complete file and gives it its name in one step, unless another process was first.
fn create_once(path: &Path, contents: &[u8]) -> io::Result<()> {
    let draft = path.with_extension(format!("{}.draft", uuid::Uuid::new_v4().simple()));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&draft).and_then(|mut file| {
        file.write_all(contents)?;
        file.sync_all()
    });
    let linked = written.and_then(|()| match std::fs::hard_link(&draft, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    });
    let removed = std::fs::remove_file(&draft);
    linked.and(removed)?;
    sync_directory_of(path)
}

/// Makes the name of a new file durable: without this a power cut could take it, and with it everything
/// that rests on the file.
pub(crate) fn sync_directory_of(path: &Path) -> io::Result<()> {
    match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) if cfg!(unix) => std::fs::File::open(parent)?.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(unix)]
fn private_to_owner(path: &Path, file: &KeyFile) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::metadata(path).map_err(|error| unreadable(path, file, error))?.permissions().mode();
    if mode & 0o077 != 0 {
        let message = format!("others may read the {} file; run `chmod 600 {}`", file.what, path.display());
        return Err(Error::invalid_input(file.operation, message));
    }
    Ok(())
}

#[cfg(not(unix))]
fn private_to_owner(_: &Path, _: &KeyFile) -> Result<()> {
    Ok(())
}

fn unreadable(path: &Path, file: &KeyFile, error: io::Error) -> Error {
    let message = format!("cannot read or create the {} file {}", file.what, path.display());
    Error::unavailable(file.operation, message).with_source(error)
}
