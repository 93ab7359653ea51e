//! Local models, as the configuration names them.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use mcp_core::{Error, Result, audit::DenialLog, embed::Embedder, limit::Quota};
use mcp_inference::{
    cpu::CpuPool,
    http_api::InferenceApi,
    model::{ModelEntry, ModelRegistry},
    router::Router,
    text::ModelEmbedder,
};

use crate::config;

#[derive(Debug)]
pub(super) struct Inference {
    pool: CpuPool,
    models: Arc<ModelRegistry>,
    /// With its name among the models.
    embedder: Option<(String, Arc<dyn Embedder>)>,
}

impl Inference {
    /// Loads the models and starts the threads that compute them.
    ///
    /// # Errors
    /// `InvalidInput` that names the setting: a folder that cannot be read, an embedder that is not there.
    pub(super) async fn open(settings: &config::Inference) -> Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if settings.threads == 0 { cores } else { settings.threads };
        let pool = CpuPool::start(threads, settings.queue)?;
        let models = Arc::new(models(settings, &pool).await?);
        let embedder = embedder(&models, &settings.embedder)?;
        Ok(Self { pool, models, embedder })
    }

    pub(super) fn api(
        &self,
        router: Router,
        denials: Arc<dyn DenialLog>,
        quota: Arc<dyn Quota>,
    ) -> InferenceApi {
        InferenceApi { models: Arc::clone(&self.models), router, denials, quota: Some(quota) }
    }

    pub(super) fn embedder(&self) -> Option<Arc<dyn Embedder>> {
        self.embedder.as_ref().map(|(_, embedder)| Arc::clone(embedder))
    }

    /// The name of the model behind [`embedder`](Self::embedder).
    pub(super) fn embedder_name(&self) -> Option<&str> {
        self.embedder.as_ref().map(|(name, _)| name.as_str())
    }

    /// Ends the threads that compute.
    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

async fn models(settings: &config::Inference, pool: &CpuPool) -> Result<ModelRegistry> {
    let folder = match settings.models_dir.as_os_str().is_empty() {
        false => settings.models_dir.clone(),
        true => match default_folder().filter(|folder| folder.is_dir()) {
            Some(folder) => folder,
            None => return Ok(ModelRegistry::default()),
        },
    };
    let pool = pool.clone();
    let loaded = tokio::task::spawn_blocking(move || ModelRegistry::load(&folder, &pool)).await;
    loaded.map_err(|error| {
        Error::internal("inference.models_dir", "loading models met a defect").with_source(error)
    })?
}

/// Where models are put by those who make or fetch them for this user.
fn default_folder() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let cache = cache.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cache")))?;
    Some(cache.join("mcp-platform/models"))
}

fn embedder(models: &ModelRegistry, wanted: &str) -> Result<Option<(String, Arc<dyn Embedder>)>> {
    let embeds = |entry: &ModelEntry| matches!(entry, ModelEntry::Loaded { embedder: Some(_), .. });
    let first = || models.iter().find(|(_, versions)| versions.iter().any(|(_, entry)| embeds(entry)));
    let name = match wanted {
        "" => first().map(|(name, _)| name),
        name => Some(name),
    };
    let Some(name) = name else { return Ok(None) };
    let model = models.embedder(name).map_err(|error| {
        Error::invalid_input("inference.embedder", format!("inference.embedder: {}", error.message()))
    })?;
    Ok(Some((name.to_owned(), Arc::new(ModelEmbedder::new(model)))))
}
