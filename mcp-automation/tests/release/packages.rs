//! Packages made for tests, wicked ones too.

use std::io::Write as _;

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::{Compression, write::GzEncoder};
use tar::{Builder, EntryType, Header};
use zip::{ZipWriter, write::SimpleFileOptions};

/// One entry of a tarball.
pub(crate) struct Entry {
    pub(crate) path: &'static str,
    pub(crate) kind: EntryType,
    pub(crate) link: &'static str,
    pub(crate) data: Vec<u8>,
}

pub(crate) fn file(path: &'static str, data: impl Into<Vec<u8>>) -> Entry {
    Entry { path, kind: EntryType::Regular, link: "", data: data.into() }
}

pub(crate) fn special(path: &'static str, kind: EntryType, link: &'static str) -> Entry {
    Entry { path, kind, link, data: Vec::new() }
}

/// A tarball with exactly these entries, whatever their paths.
pub(crate) fn tarball(entries: &[Entry]) -> Vec<u8> {
    let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for entry in entries {
        let mut header = Header::new_gnu();
        header.set_entry_type(entry.kind);
        header.set_size(entry.data.len() as u64);
        header.set_mode(0o644);
        // Set as bytes: the builder refuses what is tested here.
        let raw = header.as_gnu_mut().unwrap();
        raw.name[..entry.path.len()].copy_from_slice(entry.path.as_bytes());
        raw.linkname[..entry.link.len()].copy_from_slice(entry.link.as_bytes());
        header.set_cksum();
        builder.append(&header, &entry.data[..]).unwrap();
    }
    builder.into_inner().unwrap().finish().unwrap()
}

/// An npm package called `name` whose program answers as an MCP server.
pub(crate) fn npm(name: &str, version: &str) -> Vec<u8> {
    let manifest = serde_json::json!({ "name": name, "version": version, "bin": { "srv": "./index.js" } });
    let program = format!("#!/usr/bin/env node\nconst version = {version:?};\n{SERVER}");
    tarball(&[file("package/package.json", manifest.to_string()), file("package/index.js", program)])
}

/// Answers `initialize`, `tools/list` and every call with its version.
const SERVER: &str = r#"
require("readline").createInterface({ input: process.stdin }).on("line", (line) => {
    const { id, method, params } = JSON.parse(line);
    const answer = (result) => console.log(JSON.stringify({ jsonrpc: "2.0", id, result }));
    if (method === "initialize") {
        answer({ protocolVersion: params.protocolVersion, capabilities: { tools: {} }, serverInfo: { name: "s", version } });
    } else if (method === "tools/list") {
        answer({ tools: [{ name: "version", inputSchema: { type: "object" } }] });
    } else if (method === "tools/call") {
        answer({ content: [{ type: "text", text: version }] });
    } else if (id !== undefined) {
        console.log(JSON.stringify({ jsonrpc: "2.0", id, error: { code: -32601, message: "Method not found" } }));
    }
});
"#;

/// A zip with these files.
pub(crate) fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, data) in files {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(data).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

pub(crate) fn sha512(data: &[u8]) -> String {
    format!("sha512-{}", STANDARD.encode(digest::digest(&digest::SHA512, data)))
}

pub(crate) fn sha256_hex(data: &[u8]) -> String {
    digest::digest(&digest::SHA256, data).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
