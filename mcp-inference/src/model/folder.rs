//! A folder of models: a folder each, with `model.json` and the files it names.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use mcp_core::{Error, Result};

use super::{Manifest, Model, ModelEntry, ModelRegistry, onnx::OnnxModel};
use crate::{
    cpu::CpuPool,
    text::{EmbeddingModel, TextEmbedder},
};

/// Largest manifest that is read.
const MAX_MANIFEST: u64 = 1 << 20;
const MANIFEST: &str = "model.json";

impl ModelRegistry {
    /// Loads every model below `folder`: `folder/NAME/model.json`. A model that is refused stays in the
    /// registry with the reason and a line in the log, so that one bad file does not take the others away.
    /// Blocks for about a second for each 100 MB.
    ///
    /// # Errors
    /// `InvalidInput` for a folder that cannot be read or that holds one version of a model twice.
    pub fn load(folder: &Path, pool: &CpuPool) -> Result<Self> {
        let mut registry = Self::default();
        for folder in folders(folder)? {
            let (name, version, entry) = match load(&folder, pool) {
                Ok((manifest, entry)) => (manifest.name, manifest.version, entry),
                Err((named, error)) => {
                    tracing::error!(folder = %folder.display(), error = error.report(), "a model is refused");
                    let (name, version) = named.unwrap_or_else(|| (folder_name(&folder), "0".to_owned()));
                    (name, version, ModelEntry::Refused { reason: error.message().to_owned() })
                }
            };
            registry.insert(&name, &version, entry)?;
        }
        Ok(registry)
    }
}

/// The folders below `folder` that hold a manifest, in the order of their names.
fn folders(folder: &Path) -> Result<Vec<PathBuf>> {
    let cannot = |error: std::io::Error| {
        let folder = folder.display();
        Error::invalid_input("model.load", format!("cannot read the folder of models {folder}: {error}"))
    };
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        if path.join(MANIFEST).is_file() {
            folders.push(path);
        }
    }
    folders.sort();
    Ok(folders)
}

type Refusal = (Option<(String, String)>, Error);

fn load(folder: &Path, pool: &CpuPool) -> Result<(Manifest, ModelEntry), Refusal> {
    let manifest = read_manifest(&folder.join(MANIFEST)).map_err(|error| (None, error))?;
    let entry = load_model(folder, &manifest, pool);
    match entry {
        Ok(entry) => Ok((manifest, entry)),
        Err(error) => Err((Some((manifest.name, manifest.version)), error)),
    }
}

fn load_model(folder: &Path, manifest: &Manifest, pool: &CpuPool) -> Result<ModelEntry> {
    let model: Arc<dyn Model> =
        Arc::new(OnnxModel::load(manifest, &read(&folder.join("model.onnx"))?, pool.clone())?);
    let embedder = match manifest.embedding {
        None => None,
        Some(spec) => {
            let tokenizer = read(&folder.join("tokenizer.json"))?;
            manifest.verify("tokenizer.json", &tokenizer)?;
            let embedder = TextEmbedder::new(Arc::clone(&model), spec, &tokenizer, pool.clone())?;
            Some(Arc::new(embedder) as Arc<dyn EmbeddingModel>)
        }
    };
    Ok(ModelEntry::Loaded { model, embedder })
}

fn read_manifest(path: &Path) -> Result<Manifest> {
    let name = path.display().to_string();
    let size = std::fs::metadata(path).map(|metadata| metadata.len()).unwrap_or_default();
    if size > MAX_MANIFEST {
        let message = format!("{name} has {size} bytes, which no manifest needs");
        return Err(Error::invalid_input("model.load", message));
    }
    let text = String::from_utf8(read(path)?)
        .map_err(|_| Error::invalid_input("model.load", format!("{name} is not UTF-8")))?;
    Manifest::parse(&name, &text)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|error| {
        Error::invalid_input("model.load", format!("cannot read {}: {error}", path.display()))
    })
}

fn folder_name(folder: &Path) -> String {
    folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
