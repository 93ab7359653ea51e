//! A folder as a whole: its digest, and whether it can be written. All of it blocks on the disk.

use std::{
    fs,
    io::Read as _,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use mcp_core::{Error, Result};

use crate::source::{Hash, hasher};

/// Files and folders of one release at most.
const ENTRIES: usize = 300_000;
const WRITE: u32 = 0o222;

/// The digest of everything below `root`: paths, kinds, execute bits, contents and the targets of links. The
/// file called `except` at the top does not count.
///
/// # Errors
/// `Unavailable` if something cannot be read, `TooLarge` for a folder without end.
pub(super) fn digest(root: &Path, except: &str) -> Result<Hash> {
    let mut hasher = hasher();
    let mut buffer = vec![0; 64 << 10];
    for entry in walk(root)? {
        if entry.path == except {
            continue;
        }
        let at = root.join(&entry.path);
        let mut say = |part: &[u8]| {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part);
        };
        say(entry.path.as_bytes());
        match &entry.kind {
            Kind::Folder => say(b"folder"),
            Kind::Link(target) => {
                say(b"link");
                say(target.as_bytes());
            }
            Kind::File { executable, size } => {
                say(if *executable { b"program" } else { b"file" });
                say(&size.to_be_bytes());
                let mut file = fs::File::open(&at).map_err(|error| unreadable(&at, error))?;
                loop {
                    let read = file.read(&mut buffer).map_err(|error| unreadable(&at, error))?;
                    if read == 0 {
                        break;
                    }
                    hasher.update(&buffer[..read]);
                }
            }
        }
    }
    Ok(hasher.finish())
}

/// Takes the right to write from everything below `root`, and from `root` itself where `whole`.
pub(super) fn make_read_only(root: &Path, whole: bool) -> Result<()> {
    for entry in walk(root)? {
        if !matches!(entry.kind, Kind::Link(_)) {
            permit(&root.join(&entry.path), |mode| mode & !WRITE)?;
        }
    }
    if whole { permit(root, |mode| mode & !WRITE) } else { Ok(()) }
}

/// Removes `root` and all below it, read-only or not. What is not there is removed already.
pub(super) fn remove(root: &Path) -> Result<()> {
    if fs::symlink_metadata(root).is_err() {
        return Ok(());
    }
    permit(root, |mode| mode | 0o700)?;
    for entry in walk(root)? {
        if matches!(entry.kind, Kind::Folder) {
            permit(&root.join(&entry.path), |mode| mode | 0o700)?;
        }
    }
    fs::remove_dir_all(root).map_err(|error| unreadable(root, error))
}

struct Entry {
    /// Below the root.
    path: String,
    kind: Kind,
}

enum Kind {
    Folder,
    File { executable: bool, size: u64 },
    Link(String),
}

/// Everything below `root` in the order of the paths, links not followed.
fn walk(root: &Path) -> Result<Vec<Entry>> {
    let (mut found, mut folders) = (Vec::new(), vec![String::new()]);
    while let Some(folder) = folders.pop() {
        let at = root.join(&folder);
        for entry in fs::read_dir(&at).map_err(|error| unreadable(&at, error))? {
            let entry = entry.map_err(|error| unreadable(&at, error))?;
            let name = entry.file_name().into_string().map_err(|name| {
                Error::unavailable(
                    "release.tree",
                    format!("{} holds a name that is no UTF-8: {name:?}", at.display()),
                )
            })?;
            let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            let metadata = entry.metadata().map_err(|error| unreadable(&at, error))?;
            let kind = if metadata.is_symlink() {
                let target = fs::read_link(entry.path()).map_err(|error| unreadable(&entry.path(), error))?;
                Kind::Link(target.to_string_lossy().into_owned())
            } else if metadata.is_dir() {
                // A folder may be unreadable to us only after it was made so; then reading it says why.
                folders.push(path.clone());
                Kind::Folder
            } else {
                Kind::File { executable: metadata.mode() & 0o111 != 0, size: metadata.len() }
            };
            found.push(Entry { path, kind });
            if found.len() > ENTRIES {
                let why = format!("{} holds more than {ENTRIES} files", root.display());
                return Err(Error::new(mcp_core::ErrorKind::TooLarge, "release.tree", why));
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn permit(path: &Path, change: impl Fn(u32) -> u32) -> Result<()> {
    let mode = fs::symlink_metadata(path).map_err(|error| unreadable(path, error))?.permissions().mode();
    fs::set_permissions(path, fs::Permissions::from_mode(change(mode)))
        .map_err(|error| unreadable(path, error))
}

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    Error::unavailable("release.tree", format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_change_changes_the_digest_and_nothing_else_does() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::create_dir(at("d")).unwrap();
        fs::write(at("d/a"), "one").unwrap();
        fs::write(at("release.json"), "x").unwrap();
        std::os::unix::fs::symlink("a", at("d/link")).unwrap();
        let now = || digest(root.path(), "release.json").unwrap();
        let first = now();
        fs::write(at("release.json"), "y").unwrap();
        assert_eq!(now(), first);
        let mut seen = vec![first];
        let mut differs = || {
            let next = now();
            assert!(!seen.contains(&next));
            seen.push(next);
        };
        fs::write(at("d/a"), "two").unwrap();
        differs();
        fs::rename(at("d/a"), at("d/b")).unwrap();
        differs();
        fs::set_permissions(at("d/b"), fs::Permissions::from_mode(0o755)).unwrap();
        differs();
        fs::remove_file(at("d/link")).unwrap();
        std::os::unix::fs::symlink("b", at("d/link")).unwrap();
        differs();
        fs::create_dir(at("e")).unwrap();
        differs();
    }

    #[test]
    fn what_was_made_read_only_can_be_removed() {
        let root = tempfile::tempdir().unwrap();
        let top = root.path().join("r");
        fs::create_dir_all(top.join("d")).unwrap();
        fs::write(top.join("d/a"), "one").unwrap();
        make_read_only(&top, true).unwrap();
        assert_eq!(fs::metadata(top.join("d/a")).unwrap().mode() & WRITE, 0);
        assert_eq!(fs::metadata(&top).unwrap().mode() & WRITE, 0);
        remove(&top).unwrap();
        remove(&top).unwrap();
        assert!(!top.exists());
    }
}
