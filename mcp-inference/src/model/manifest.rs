//! `model.json`: what a folder of the registry holds.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use mcp_core::{Error, ErrorKind, Result, strict};
use serde::{Deserialize, Serialize};

/// The manifest of one version of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// 1–64 characters of `[A-Za-z0-9._-]`.
    pub name: String,
    /// 1–64 characters of `[A-Za-z0-9._-]`; numbers are compared as numbers.
    pub version: String,
    /// SPDX expression of the model's licence.
    pub license: String,
    /// Where the files come from, as in `pypi:magika==1.0.3`.
    pub source: String,
    /// The model's files, each with what it must be.
    pub files: Vec<ManifestFile>,
    /// Sizes for dimensions that the graph leaves open, for graphs that cannot be computed with them open.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dimensions: BTreeMap<String, usize>,
    /// Present where the model embeds texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding: Option<EmbeddingSpec>,
}

/// A file beside the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestFile {
    /// Its name.
    pub path: String,
    /// SHA-256 of its content in lower-case hexadecimal.
    pub sha256: String,
}

/// How a model's token states become the embedding of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingSpec {
    /// How the states of a text's tokens become one vector.
    pub pooling: Pooling,
    /// Whether vectors are scaled to length 1.
    pub normalize: bool,
    /// Tokens of one text, its special tokens included.
    pub max_tokens: usize,
    /// Whether a longer text is cut; otherwise it is refused. Default `false`.
    #[serde(default)]
    pub truncate: bool,
}

/// How the states of a text's tokens become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// Their mean.
    Mean,
    /// The first token's.
    Cls,
}

impl Manifest {
    /// Reads a manifest; `file` is its name in errors.
    ///
    /// # Errors
    /// `InvalidInput` with line and column, or the field that breaks a rule.
    pub fn parse(file: &str, text: &str) -> Result<Self> {
        let manifest: Self = strict::from_json(file, text)?;
        let refuse = |why: String| Err(Error::invalid_input("model.manifest", format!("{file}: {why}")));
        for (field, value) in [("name", &manifest.name), ("version", &manifest.version)] {
            if !is_name(value) {
                return refuse(format!("`{field}` is not 1–64 characters of [A-Za-z0-9._-]: {value:?}"));
            }
        }
        if let Some(bad) = manifest.files.iter().find(|file| !is_name(&file.path)) {
            return refuse(format!("`files` names {:?}, which is no file beside the manifest", bad.path));
        }
        if let Some((name, _)) = manifest.dimensions.iter().find(|(_, size)| **size == 0) {
            return refuse(format!("`dimensions.{name}` must be at least 1"));
        }
        if manifest.embedding.is_some_and(|embedding| embedding.max_tokens < 8) {
            return refuse("`embedding.max_tokens` must be at least 8".to_owned());
        }
        Ok(manifest)
    }

    /// Whether `content` is that of the file `path`.
    ///
    /// # Errors
    /// `Corrupted` that names the file and both digests; `InvalidInput` for a file the manifest does not name.
    pub fn verify(&self, path: &str, content: &[u8]) -> Result<()> {
        let (name, version) = (&self.name, &self.version);
        let file = self.files.iter().find(|file| file.path == path).ok_or_else(|| {
            let message = format!("the manifest of model `{name}` version {version} names no file {path}");
            Error::invalid_input("model.load", message)
        })?;
        let found: String =
            digest(&SHA256, content).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        if found == file.sha256 {
            return Ok(());
        }
        let pinned = &file.sha256;
        let message = format!(
            "{path} of model `{name}` version {version} is not the file its manifest names: its SHA-256 is {found}, not {pinned}"
        );
        Err(Error::new(ErrorKind::Corrupted, "model.load", message))
    }
}

/// Not `.` or `..`, and without separators: such a name stays where it is put.
fn is_name(text: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=64).contains(&text.len()) && text.bytes().all(known) && !text.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(change: &[(&str, serde_json::Value)]) -> Result<Manifest> {
        let mut json = serde_json::json!({
            "name": "m", "version": "1", "license": "MIT", "source": "test",
            "files": [{ "path": "model.onnx", "sha256":
                "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" }],
        });
        for (field, value) in change {
            json[*field] = value.clone();
        }
        Manifest::parse("model.json", &json.to_string())
    }

    #[test]
    fn a_file_is_what_the_manifest_says_or_refused_with_both_digests() {
        let manifest = manifest(&[]).unwrap();
        manifest.verify("model.onnx", b"abc").unwrap();
        let error = manifest.verify("model.onnx", b"abd").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupted);
        assert!(error.message().contains("ba7816bf") && error.message().contains("a52d159f"), "{error}");
        assert!(manifest.verify("other", b"abc").is_err());
    }

    #[test]
    fn a_manifest_that_breaks_a_rule_is_refused() {
        for (field, value, wanted) in [
            ("name", serde_json::json!("../m"), "`name`"),
            ("name", serde_json::json!(".."), "`name`"),
            ("nam", serde_json::json!("m"), "did you mean `name`?"),
            ("files", serde_json::json!([{ "path": "a/b", "sha256": "" }]), "\"a/b\""),
            ("dimensions", serde_json::json!({ "batch": 0 }), "dimensions.batch"),
        ] {
            let error = manifest(&[(field, value)]).unwrap_err();
            assert!(error.message().contains(wanted), "{wanted:?} not in {error}");
        }
    }
}
