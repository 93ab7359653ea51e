//! Where a tenant's data lives.

use super::{IsolationMode, SchemaName};
use crate::scope::TenantId;

/// Where a tenant's data lives: one row of the control table `placement`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The tenant.
    pub tenant: TenantId,
    /// How its data is kept apart.
    pub mode: IsolationMode,
    /// The name of its schema (mode `schema`) or database (mode `database`); unique over all tenants.
    pub schema: SchemaName,
    /// Whether it is provisioned: its schema, database or file exists and is migrated.
    pub ready: bool,
}
