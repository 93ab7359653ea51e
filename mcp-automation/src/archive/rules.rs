//! What an archive may hold.

use std::{
    collections::HashSet,
    io::{self, Read},
};

use mcp_core::{Error, ErrorKind, Result, error::Detail};

/// Longest path of an entry, in bytes.
const PATH: usize = 1024;

/// How much an archive may hold. [`Default`] gives what each field says.
#[derive(Debug, Clone)]
pub struct ArchiveLimits {
    /// Entries. Default 50,000.
    pub entries: usize,
    /// Bytes of one file, unpacked. Default 128 MiB.
    pub file: u64,
    /// Bytes of all files, unpacked. Default 512 MiB.
    pub total: u64,
}

impl Default for ArchiveLimits {
    fn default() -> Self {
        Self { entries: 50_000, file: 128 << 20, total: 512 << 20 }
    }
}

/// Keeps count of an archive's entries and bytes.
pub(super) struct Counter<'a> {
    limits: &'a ArchiveLimits,
    seen: HashSet<String>,
    entries: usize,
    total: u64,
}

impl<'a> Counter<'a> {
    pub(super) fn new(limits: &'a ArchiveLimits) -> Self {
        Self { limits, seen: HashSet::new(), entries: 0, total: 0 }
    }

    pub(super) fn entry(&mut self) -> Result<()> {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(refused(format!("it holds more than {} entries", self.limits.entries)));
        }
        Ok(())
    }

    /// Admits a file's path, which must be new; letters that differ in case alone are one file on some disks.
    pub(super) fn file(&mut self, path: &str) -> Result<()> {
        check_path(path)?;
        if !self.seen.insert(path.to_lowercase()) {
            return Err(refused(format!("it holds `{}` twice", shown(path))));
        }
        Ok(())
    }

    /// Reads a file to its end; the first `keep` bytes are given back.
    pub(super) fn read(&mut self, path: &str, mut file: impl Read, keep: usize) -> Result<Vec<u8>> {
        let (mut kept, mut buffer, mut size) = (Vec::new(), [0; 16 << 10], 0);
        loop {
            let read = match file.read(&mut buffer) {
                Ok(0) => return Ok(kept),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(damaged(error)),
            };
            size += read as u64;
            self.total += read as u64;
            if size > self.limits.file || self.total > self.limits.total {
                let limit = if size > self.limits.file { self.limits.file } else { self.limits.total };
                let why = format!("`{}` takes it over {limit} bytes", shown(path));
                return Err(Error::new(
                    ErrorKind::TooLarge,
                    "archive.inspect",
                    format!("the archive is refused: {why}"),
                )
                .with_detail(Detail::Limit { bytes: limit }));
            }
            let room = keep.saturating_sub(kept.len());
            kept.extend_from_slice(&buffer[..read.min(room)]);
        }
    }
}

/// Refuses a path that could lead out of the folder it is unpacked into.
pub(crate) fn check_path(path: &str) -> Result<()> {
    let complaint = if path.is_empty() || path.len() > PATH {
        "has no length that a path may have"
    } else if path.starts_with('/') {
        "is absolute"
    } else if path.contains('\\') || path.contains(':') {
        "holds a character that is a separator elsewhere"
    } else if path.chars().any(char::is_control) {
        "holds a control character"
    } else if path.split('/').any(|part| part == "..") {
        "leads out of its folder"
    } else {
        return Ok(());
    };
    Err(refused(format!("the path `{}` {complaint}", shown(path))))
}

pub(super) fn refused(why: String) -> Error {
    Error::invalid_input("archive.inspect", format!("the archive is refused: {why}"))
}

pub(super) fn damaged(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    let error = error.into();
    Error::invalid_input("archive.inspect", format!("the archive is damaged: {error}")).with_source(error)
}

pub(super) fn shown(path: &str) -> String {
    path.chars().take(120).flat_map(char::escape_default).collect()
}
