//! npm's packages: a gzipped tar.

use std::{fs::File, io::BufReader, path::Path};

use flate2::bufread::MultiGzDecoder;
use mcp_core::Result;
use serde::Deserialize;
use std::collections::BTreeMap;
use tar::{Archive, EntryType};

use super::rules::{ArchiveLimits, Counter, check_path, damaged, refused, shown};

/// Longest header that only describes another entry (a long name, extended attributes), in bytes.
const DESCRIPTION: u64 = 64 << 10;
/// Longest `package.json`, in bytes.
const MANIFEST: usize = 4 << 20;

/// What the `package.json` of an npm package says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NpmPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its programs by name: paths of scripts inside the package.
    pub bin: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Manifest {
    name: String,
    version: String,
    #[serde(default)]
    bin: Option<Bin>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Bin {
    One(String),
    Many(BTreeMap<String, String>),
}

/// Looks through the npm package at `path`. Blocks on the disk and computes: not for async threads.
///
/// # Errors
/// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) for links, devices, absolute paths, `..`, a name that is
/// there twice, too many entries, a damaged archive, or no usable `package.json`;
/// [`TooLarge`](mcp_core::ErrorKind::TooLarge) for what unpacks to more than the limits.
pub fn inspect_npm(path: &Path, limits: &ArchiveLimits) -> Result<NpmPackage> {
    check_headers(path, limits)?;
    let mut archive = open(path)?;
    let (mut counter, mut manifest) = (Counter::new(limits), None);
    for entry in archive.entries().map_err(damaged)? {
        let entry = entry.map_err(damaged)?;
        let raw = entry.path_bytes().into_owned();
        let name = std::str::from_utf8(&raw).map_err(|_| refused("a path is no UTF-8".to_owned()))?;
        match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous => counter.file(name)?,
            EntryType::Directory => check_path(name)?,
            // Checked above; it describes the entries after it.
            EntryType::XGlobalHeader => continue,
            other => return Err(unwanted(name, other)),
        }
        // npm takes the first folder off, whatever its name.
        let is_manifest = name.split_once('/').is_some_and(|(_, rest)| rest == "package.json");
        let bytes = counter.read(name, entry, if is_manifest { MANIFEST } else { 0 })?;
        if is_manifest {
            manifest = Some(bytes);
        }
    }
    let manifest = manifest.ok_or_else(|| refused("it holds no `package.json`".to_owned()))?;
    let manifest: Manifest = serde_json::from_slice(&manifest)
        .map_err(|error| refused(format!("its `package.json` is malformed: {error}")))?;
    let bin = match manifest.bin {
        None => BTreeMap::new(),
        // A single program is called like the package, without its scope.
        Some(Bin::One(path)) => {
            let name = manifest.name.rsplit('/').next().unwrap_or_default().to_owned();
            BTreeMap::from([(name, path)])
        }
        Some(Bin::Many(many)) => many,
    };
    Ok(NpmPackage { name: manifest.name, version: manifest.version, bin })
}

/// Goes over the headers as they are written: those that describe others are read into memory whole later.
fn check_headers(path: &Path, limits: &ArchiveLimits) -> Result<()> {
    let mut archive = open(path)?;
    let mut counter = Counter::new(limits);
    for entry in archive.entries().map_err(damaged)?.raw(true) {
        let entry = entry.map_err(damaged)?;
        counter.entry()?;
        let kind = entry.header().entry_type();
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::Directory => {}
            EntryType::XHeader | EntryType::XGlobalHeader | EntryType::GNULongName
                if entry.size() <= DESCRIPTION => {}
            other => return Err(unwanted(&name, other)),
        }
        counter.read(&name, entry, 0)?;
    }
    Ok(())
}

fn unwanted(name: &str, kind: EntryType) -> mcp_core::Error {
    let what = match kind {
        EntryType::Symlink | EntryType::Link | EntryType::GNULongLink => "a link",
        EntryType::Char | EntryType::Block | EntryType::Fifo => "a device",
        EntryType::XHeader | EntryType::XGlobalHeader | EntryType::GNULongName => {
            "described at too great length"
        }
        _ => "neither file nor folder",
    };
    refused(format!("`{}` is {what}", shown(name)))
}

fn open(path: &Path) -> Result<Archive<MultiGzDecoder<BufReader<File>>>> {
    let file = File::open(path).map_err(damaged)?;
    Ok(Archive::new(MultiGzDecoder::new(BufReader::new(file))))
}
