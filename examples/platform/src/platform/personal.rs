//! What becomes of personal data and secrets, as the configuration says.

use std::sync::Arc;

use mcp_core::{
    Result,
    redact::{LogRedactor, Redactor},
    scope::TenantId,
};
use mcp_tenancy::pii::{PiiKey, PiiPolicies, PiiRedactor};

use super::secrets;
use crate::config::{Pii, PiiMode};

/// What redacts for tenants; nothing where no tenant's are redacted.
pub(super) struct Redactors {
    /// Answers of servers.
    pub(super) tools: Option<Arc<dyn Redactor>>,
    /// What contexts and memories are to hold.
    pub(super) contexts: Option<Arc<dyn Redactor>>,
}

/// What redacts for tenants: one key, so that a value that is hashed is the same in both.
///
/// # Errors
/// `InvalidInput` that names the setting.
pub(super) async fn of_tenants(settings: &Pii) -> Result<Redactors> {
    let key = key(settings).await?;
    let redactor = |otherwise| redactor(settings, otherwise, &key);
    Ok(Redactors { tools: redactor(settings.tool_results)?, contexts: redactor(settings.contexts)? })
}

/// By the policies of single tenants, and by `otherwise` for those that have none.
fn redactor(settings: &Pii, otherwise: PiiMode, key: &PiiKey) -> Result<Option<Arc<dyn Redactor>>> {
    if otherwise == PiiMode::Off && settings.tenants.values().all(|mode| *mode == PiiMode::Off) {
        return Ok(None);
    }
    let policies = PiiPolicies::new(otherwise.policy());
    for (tenant, mode) in &settings.tenants {
        policies.set(TenantId::parse(tenant)?, mode.policy())?;
    }
    Ok(Some(Arc::new(PiiRedactor::new(Arc::new(policies), key.clone()))))
}

/// What redacts the log, where it is redacted.
///
/// # Errors
/// `InvalidInput` that names the setting.
pub(crate) async fn of_logs(settings: &Pii) -> Result<Option<Arc<dyn LogRedactor>>> {
    if settings.logs == PiiMode::Off {
        return Ok(None);
    }
    let redactor = PiiRedactor::new(Arc::new(PiiPolicies::default()), key(settings).await?);
    Ok(Some(Arc::new(redactor.with_log_policy(settings.logs.policy()))))
}

async fn key(settings: &Pii) -> Result<PiiKey> {
    match settings.hash_key_file.as_os_str().is_empty() {
        true => PiiKey::ephemeral(),
        false => {
            PiiKey::from_base64(&secrets::from_file("pii.hash_key_file", &settings.hash_key_file).await?)
        }
    }
}
