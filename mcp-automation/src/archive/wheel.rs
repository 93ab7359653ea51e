//! Python's wheels: a zip.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufReader, Read as _, Seek as _, SeekFrom},
    path::Path,
};

use mcp_core::Result;
use zip::ZipArchive;

use super::rules::{ArchiveLimits, Counter, check_path, damaged, refused, shown};

/// Longest `entry_points.txt`, in bytes.
const ENTRY_POINTS: usize = 256 << 10;
/// Longest end of a zip: its last record and the longest comment.
const END: u64 = 22 + 0xffff;
/// Bits of a Unix mode that say what an entry is, and the two that are wanted.
const KIND: u32 = 0o170_000;
const FILE: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;

/// What a wheel says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WheelPackage {
    /// Its console scripts by name: `module:function`.
    pub console_scripts: BTreeMap<String, String>,
}

/// Looks through the wheel at `path`. Blocks on the disk and computes: not for async threads.
///
/// # Errors
/// As [`inspect_npm`](super::inspect_npm), and `InvalidInput` for an encrypted entry.
pub fn inspect_wheel(path: &Path, limits: &ArchiveLimits) -> Result<WheelPackage> {
    let listed = listed_entries(path)?;
    let mut archive = ZipArchive::new(BufReader::new(File::open(path).map_err(damaged)?)).map_err(damaged)?;
    if archive.len() != usize::from(listed) {
        return Err(refused("it holds a name twice, or more entries than it lists".to_owned()));
    }
    let (mut counter, mut scripts) = (Counter::new(limits), BTreeMap::new());
    for index in 0..archive.len() {
        counter.entry()?;
        let entry = archive.by_index(index).map_err(damaged)?;
        let name = std::str::from_utf8(entry.name_raw())
            .map_err(|_| refused("a path is no UTF-8".to_owned()))?
            .to_owned();
        if entry.encrypted() {
            return Err(refused(format!("`{}` is encrypted", shown(&name))));
        }
        let kind = entry.unix_mode().unwrap_or_default() & KIND;
        if ![0, FILE, FOLDER].contains(&kind) {
            return Err(refused(format!("`{}` is a link or a device", shown(&name))));
        }
        if name.ends_with('/') {
            check_path(&name)?;
            continue;
        }
        counter.file(&name)?;
        let is_entry_points = matches!(name.split_once('/'), Some((folder, "entry_points.txt")) if folder.ends_with(".dist-info"));
        let bytes = counter.read(&name, entry, if is_entry_points { ENTRY_POINTS } else { 0 })?;
        if is_entry_points {
            scripts = console_scripts(&bytes)?;
        }
    }
    Ok(WheelPackage { console_scripts: scripts })
}

/// How many entries the archive's last record says it lists: the reader's own table shows each name once.
fn listed_entries(path: &Path) -> Result<u16> {
    let mut file = File::open(path).map_err(damaged)?;
    let length = file.seek(SeekFrom::End(0)).map_err(damaged)?;
    file.seek(SeekFrom::Start(length.saturating_sub(END))).map_err(damaged)?;
    let mut end = Vec::new();
    file.take(END).read_to_end(&mut end).map_err(damaged)?;
    let at = end.windows(4).rposition(|window| window == b"PK\x05\x06");
    let count = at.and_then(|at| end.get(at + 10..at + 12)).and_then(|bytes| bytes.try_into().ok());
    count.map(u16::from_le_bytes).ok_or_else(|| damaged("it has no end of a zip"))
}

/// The section `[console_scripts]`: lines `name = module:function`, extras in brackets left off.
fn console_scripts(bytes: &[u8]) -> Result<BTreeMap<String, String>> {
    let text =
        std::str::from_utf8(bytes).map_err(|_| refused("`entry_points.txt` is no UTF-8".to_owned()))?;
    let (mut scripts, mut inside) = (BTreeMap::new(), false);
    for line in text.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line == "[console_scripts]";
        } else if inside && let Some((name, target)) = line.split_once('=') {
            let target = target.split('[').next().unwrap_or_default();
            scripts.insert(name.trim().to_owned(), target.trim().to_owned());
        }
    }
    Ok(scripts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn console_scripts_are_found_among_other_entry_points() {
        let text = b"[gui_scripts]\nx = y:z\n\n[console_scripts]\n mcp-time = mcp_time:main \n\
            extra=a.b:c.d [speedups]\n# comment\n[other]\nn = m:f\n";
        let wanted = [("extra", "a.b:c.d"), ("mcp-time", "mcp_time:main")];
        let wanted = wanted.map(|(name, target)| (name.to_owned(), target.to_owned()));
        assert_eq!(console_scripts(text).unwrap(), BTreeMap::from(wanted));
    }
}
