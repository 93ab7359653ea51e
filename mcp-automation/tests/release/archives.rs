//! What archives may not hold.

use std::path::PathBuf;

use mcp_automation::archive::{ArchiveLimits, inspect_npm, inspect_wheel};
use mcp_core::{Error, ErrorKind};
use tar::EntryType;

use crate::packages::{Entry, file, npm, special, tarball, zip};

fn on_disk(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("archive");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn npm_refusal(bytes: &[u8], limits: &ArchiveLimits) -> Error {
    let (_folder, path) = on_disk(bytes);
    inspect_npm(&path, limits).unwrap_err()
}

fn wheel_refusal(bytes: &[u8]) -> Error {
    let (_folder, path) = on_disk(bytes);
    inspect_wheel(&path, &ArchiveLimits::default()).unwrap_err()
}

fn manifest() -> Entry {
    file("package/package.json", r#"{"name":"x","version":"1.0.0","bin":"./cli.js"}"#)
}

#[test]
fn a_good_package_says_what_it_is() {
    let (_folder, path) = on_disk(&npm("@a/srv", "1.0.0"));
    let package = inspect_npm(&path, &ArchiveLimits::default()).unwrap();
    assert_eq!((package.name.as_str(), package.version.as_str()), ("@a/srv", "1.0.0"));
    assert_eq!(package.bin["srv"], "./index.js");
    let (_folder, path) = on_disk(&tarball(&[special("package/", EntryType::Directory, ""), manifest()]));
    assert_eq!(inspect_npm(&path, &ArchiveLimits::default()).unwrap().bin["x"], "./cli.js");
}

#[test]
fn wicked_tarballs_are_refused_by_name() {
    for (entry, wanted) in [
        (file("package/../../etc/cron.d/x", "x"), "leads out of its folder"),
        (file("../x", "x"), "leads out of its folder"),
        (file("/etc/passwd", "x"), "is absolute"),
        (file("package\\..\\x", "x"), "a separator elsewhere"),
        (file("C:/x", "x"), "a separator elsewhere"),
        (file("package/a\nb", "x"), "a control character"),
        (special("package/../x", EntryType::Directory, ""), "leads out of its folder"),
        (special("package/l", EntryType::Symlink, "/etc/passwd"), "is a link"),
        (special("package/l", EntryType::Symlink, "index.js"), "is a link"),
        (special("package/l", EntryType::Link, "package/package.json"), "is a link"),
        (special("package/d", EntryType::Char, ""), "is a device"),
        (special("package/d", EntryType::Block, ""), "is a device"),
        (special("package/d", EntryType::Fifo, ""), "is a device"),
        (file("package/package.json", "{}"), "twice"),
        (file("package/PACKAGE.json", "{}"), "twice"),
        (Entry { kind: EntryType::GNULongLink, ..file("x", "y") }, "is a link"),
        (Entry { kind: EntryType::GNULongName, ..file("x", vec![b'a'; 70_000]) }, "too great length"),
        (Entry { kind: EntryType::GNUSparse, ..file("x", "") }, "neither file nor folder"),
    ] {
        let path = entry.path;
        let error = npm_refusal(&tarball(&[manifest(), entry]), &ArchiveLimits::default());
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{path}: {error}");
        assert!(error.message().contains(wanted), "{path}: {error}");
    }
}

#[test]
fn a_long_name_is_checked_as_it_is_unpacked() {
    let long = Entry { kind: EntryType::GNULongName, ..file("././@LongLink", "package/../../../x\0") };
    let error =
        npm_refusal(&tarball(&[manifest(), long, file("package/short", "x")]), &ArchiveLimits::default());
    assert!(error.message().contains("leads out of its folder"), "{error}");
    let extended = Entry { kind: EntryType::XHeader, ..file("x", "18 path=/etc/shadow\n") };
    let extended = Entry { data: b"20 path=/etc/shadow\n".to_vec(), ..extended };
    let error =
        npm_refusal(&tarball(&[manifest(), extended, file("package/short", "x")]), &ArchiveLimits::default());
    assert!(error.message().contains("is absolute"), "{error}");
}

#[test]
fn bombs_are_refused_before_they_go_off() {
    let limits = ArchiveLimits { entries: 10, file: 1 << 20, total: 3 << 20 };
    let big = npm_refusal(&tarball(&[manifest(), file("package/a", vec![0; 2 << 20])]), &limits);
    assert_eq!(big.kind(), ErrorKind::TooLarge, "{big}");
    assert!(big.message().contains("package/a"), "{big}");
    let names = ["package/1", "package/2", "package/3", "package/4"];
    let many: Vec<_> = names.map(|name| file(name, vec![0; 1 << 20])).into();
    assert_eq!(npm_refusal(&tarball(&many), &limits).kind(), ErrorKind::TooLarge);
    let entries: Vec<_> = (0..11).map(|_| special("package/", EntryType::Directory, "")).collect();
    let error = npm_refusal(&tarball(&entries), &limits);
    assert!(error.message().contains("more than 10 entries"), "{error}");
    let (_folder, path) = on_disk(&zip(&[("a/x.py", &vec![0; 2 << 20])]));
    assert_eq!(inspect_wheel(&path, &limits).unwrap_err().kind(), ErrorKind::TooLarge);
}

#[test]
fn damaged_and_strange_archives_are_refused() {
    let limits = ArchiveLimits::default();
    let whole = npm("srv", "1.0.0");
    for bytes in [&b""[..], b"not gzip", &whole[..whole.len() / 2], b"PK\x05\x06"] {
        assert_eq!(npm_refusal(bytes, &limits).kind(), ErrorKind::InvalidInput);
        assert_eq!(wheel_refusal(bytes).kind(), ErrorKind::InvalidInput);
    }
    let error = npm_refusal(&tarball(&[file("package/x", "x")]), &limits);
    assert!(error.message().contains("no `package.json`"), "{error}");
    let error = npm_refusal(&tarball(&[file("package/package.json", "{")]), &limits);
    assert!(error.message().contains("malformed"), "{error}");
}

#[test]
fn wicked_wheels_are_refused_by_name() {
    for (name, wanted) in [("../x.py", "leads out"), ("/etc/x", "is absolute"), ("a/../../x", "leads out")] {
        let error = wheel_refusal(&zip(&[(name, b"x")]));
        assert!(error.message().contains(wanted), "{name}: {error}");
    }
    let mut link = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    link.add_symlink("a/link", "/etc/passwd", zip::write::SimpleFileOptions::default()).unwrap();
    let error = wheel_refusal(&link.finish().unwrap().into_inner());
    assert!(error.message().contains("a link or a device"), "{error}");
}

#[test]
fn a_name_that_stands_in_a_zip_twice_is_refused() {
    // Two names of one length, made the same in both places where each stands.
    let mut bytes = zip(&[("a/one.py", b"good"), ("a/two.py", b"evil")]);
    let places: Vec<_> =
        bytes.windows(8).enumerate().filter(|(_, window)| window == b"a/two.py").map(|(at, _)| at).collect();
    assert_eq!(places.len(), 2);
    for at in places {
        bytes[at..at + 8].copy_from_slice(b"a/one.py");
    }
    let error = wheel_refusal(&bytes);
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}
