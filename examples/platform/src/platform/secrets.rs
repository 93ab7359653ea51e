//! What the configuration names and does not hold: secrets and certificates in files and the environment.

use std::path::Path;

use mcp_core::{Error, Result, key::Secret, net::Roots};

use crate::config;

/// The secret in the file that `setting` names.
///
/// # Errors
/// `InvalidInput` that names setting and file.
pub(super) async fn from_file(setting: &str, file: &Path) -> Result<Secret<String>> {
    let text = Secret::new(read(setting, file).await?);
    let text = Secret::new(text.expose().trim().to_owned());
    match text.expose().is_empty() {
        true => Err(refused(setting, format!("the file {} is empty", file.display()))),
        false => Ok(text),
    }
}

/// The secret in the environment variable that `setting` names.
///
/// # Errors
/// `InvalidInput` that names setting and variable.
pub(super) fn from_environment(setting: &str, variable: &str) -> Result<Secret<String>> {
    let value = config::environment().remove(variable).filter(|value| !value.is_empty());
    value.map(Secret::new).ok_or_else(|| refused(setting, format!("the environment has no {variable}")))
}

/// The certificates in the PEM file that `setting` names; without a file those of the public web.
///
/// # Errors
/// `InvalidInput` that names setting and file.
pub(super) async fn roots(setting: &str, file: &Path) -> Result<Roots> {
    match file.as_os_str().is_empty() {
        true => Ok(Roots::Public),
        false => Ok(Roots::Pem(read(setting, file).await?.into_bytes())),
    }
}

/// The text of a file.
///
/// # Errors
/// `InvalidInput` that names setting and file.
pub(super) async fn read(setting: &str, file: &Path) -> Result<String> {
    let unreadable = |error| refused(setting, format!("cannot read {}: {error}", file.display()));
    tokio::fs::read_to_string(file).await.map_err(unreadable)
}

fn refused(setting: &str, why: String) -> Error {
    Error::invalid_input("config.load", format!("{setting}: {why}"))
}
