//! The models there are, by name and version.

use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};

use mcp_core::{Error, Result, strict};

use super::Model;
use crate::text::EmbeddingModel;

/// One version of a model in a [`ModelRegistry`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ModelEntry {
    /// It can be computed.
    Loaded {
        /// The model.
        model: Arc<dyn Model>,
        /// The same as an embedder of texts, where it is one.
        embedder: Option<Arc<dyn EmbeddingModel>>,
    },
    /// It was refused when it was to be loaded.
    Refused {
        /// Why, for operators.
        reason: String,
    },
}

/// Models by name and version. Versions never change; what a name without a version means is the latest.
///
/// Models are operators' and the same for every tenant; what may be used is for the layers above to decide.
#[derive(Debug, Default)]
pub struct ModelRegistry {
    models: BTreeMap<String, Vec<(String, ModelEntry)>>,
}

impl ModelRegistry {
    /// Adds a version of a model.
    ///
    /// # Errors
    /// `AlreadyExists` for a version that is there.
    pub fn insert(&mut self, name: &str, version: &str, entry: ModelEntry) -> Result<()> {
        let versions = self.models.entry(name.to_owned()).or_default();
        match versions.binary_search_by(|(known, _)| compare(known, version)) {
            Ok(_) => {
                let message = format!("model `{name}` has a version {version} already");
                Err(Error::new(mcp_core::ErrorKind::AlreadyExists, "model.insert", message))
            }
            Err(at) => {
                versions.insert(at, (version.to_owned(), entry));
                Ok(())
            }
        }
    }

    /// Every model with its versions, earliest first.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[(String, ModelEntry)])> {
        self.models.iter().map(|(name, versions)| (name.as_str(), versions.as_slice()))
    }

    /// The version of a model, or without one its latest that could be loaded.
    ///
    /// # Errors
    /// `NotFound` that names the nearest model or the versions there are.
    pub fn entry(&self, name: &str, version: Option<&str>) -> Result<&ModelEntry> {
        let versions = self.models.get(name).ok_or_else(|| self.unknown(name))?;
        let found = match version {
            Some(version) => versions.iter().find(|(known, _)| known == version),
            None => {
                let loaded = |(_, entry): &&(String, ModelEntry)| matches!(entry, ModelEntry::Loaded { .. });
                versions.iter().rfind(loaded).or(versions.last())
            }
        };
        found.map(|(_, entry)| entry).ok_or_else(|| {
            let known: Vec<_> = versions.iter().map(|(version, _)| version.as_str()).collect();
            let version = version.unwrap_or_default();
            let message = format!("model `{name}` has no version {version:?}; it has {}", known.join(", "));
            Error::not_found("model.find", message)
        })
    }

    /// A model that can be computed.
    ///
    /// # Errors
    /// As [`entry`](Self::entry), and `Unavailable` for a model that was refused; why is for the log.
    pub fn model(&self, name: &str, version: Option<&str>) -> Result<Arc<dyn Model>> {
        match self.entry(name, version)? {
            ModelEntry::Loaded { model, .. } => Ok(Arc::clone(model)),
            ModelEntry::Refused { reason } => Err(refused(name, reason)),
        }
    }

    /// A model that embeds texts.
    ///
    /// # Errors
    /// As [`model`](Self::model), and `InvalidInput` for a model that does something else.
    pub fn embedder(&self, name: &str) -> Result<Arc<dyn EmbeddingModel>> {
        match self.entry(name, None)? {
            ModelEntry::Loaded { embedder: Some(embedder), .. } => Ok(Arc::clone(embedder)),
            ModelEntry::Loaded { embedder: None, .. } => {
                Err(Error::invalid_input("model.find", format!("model `{name}` does not embed texts")))
            }
            ModelEntry::Refused { reason } => Err(refused(name, reason)),
        }
    }

    fn unknown(&self, name: &str) -> Error {
        let message = match strict::nearest(name, self.models.keys().map(String::as_str)) {
            Some(near) => format!("there is no model `{name}`; did you mean `{near}`?"),
            None => format!("there is no model `{name}`"),
        };
        Error::not_found("model.find", message)
    }
}

fn refused(name: &str, reason: &str) -> Error {
    Error::unavailable("model.find", format!("model `{name}` could not be loaded"))
        .with_context("reason", reason)
}

/// Numbers as numbers, everything else as text after them.
fn compare(a: &str, b: &str) -> Ordering {
    match (a.parse::<u64>(), b.parse::<u64>()) {
        (Ok(a_number), Ok(b_number)) => a_number.cmp(&b_number).then_with(|| a.cmp(b)),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        (Err(_), Err(_)) => a.cmp(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused_entry(reason: &str) -> ModelEntry {
        ModelEntry::Refused { reason: reason.to_owned() }
    }

    #[test]
    fn versions_are_in_order_and_never_replaced() {
        let mut registry = ModelRegistry::default();
        for version in ["10", "9", "beta"] {
            registry.insert("m", version, refused_entry(version)).unwrap();
        }
        let error = registry.insert("m", "9", refused_entry("again")).unwrap_err();
        assert_eq!(error.kind(), mcp_core::ErrorKind::AlreadyExists);
        let versions: Vec<_> = registry.iter().flat_map(|(_, all)| all).map(|(version, _)| version).collect();
        assert_eq!(versions, ["9", "10", "beta"]);
    }

    #[test]
    fn what_is_not_there_is_named_with_what_is() {
        let mut registry = ModelRegistry::default();
        registry.insert("minilm", "1", refused_entry("secret path")).unwrap();
        let error = registry.model("minlm", None).unwrap_err();
        assert!(error.message().contains("did you mean `minilm`?"), "{error}");
        let error = registry.model("minilm", Some("2")).unwrap_err();
        assert!(error.message().contains("it has 1"), "{error}");
        let error = registry.model("minilm", None).unwrap_err();
        assert_eq!(error.kind(), mcp_core::ErrorKind::Unavailable);
        assert!(!error.message().contains("secret path"), "{error}");
    }
}
