//! What a tenant that does nothing costs: the platform with many of them, beside the platform with none.

use std::{path::Path, time::Duration};

use mcp_core::scope::TenantId;
use mcp_platform::{
    Administration,
    config::{Config, Isolation},
};
use mcp_tenancy::tenant::NewTenant;

use super::{NAME, operator};
use crate::{Failure, platform::Platform, row::Row};

/// How long a platform is left alone before it is weighed.
const SETTLING: Duration = Duration::from_secs(3);

/// Runs the case with this many tenants.
///
/// # Errors
/// When a tenant cannot be created, or the platform does not start.
pub(super) async fn run(program: &Path, tenants: u32) -> Result<Vec<Row>, Failure> {
    let tenants = tenants.max(1);
    let (empty, _) = weigh(program, 0).await?;
    let (full, record) = weigh(program, tenants).await?;
    let each = (full - empty) * 1024.0 / f64::from(tenants);
    let case = format!("memory of one idle of {tenants}");
    Ok(vec![Row::less(NAME, case, "KiB", each, record as f64 / 1024.0)])
}

/// Resident MiB of a platform with these tenants in shared tables, and the bytes of the record of one.
async fn weigh(program: &Path, tenants: u32) -> Result<(f64, usize), Failure> {
    let directory = tempfile::tempdir()?;
    let settings = "[database]\nisolation = \"row\"\n";
    let platform = Platform::prepare(program, directory.path(), None, settings)?;
    let mut config = Config::default();
    config.data.dir = Platform::data(directory.path());
    config.database.isolation = Isolation::Row;
    let administration = Administration::open(&config).await?;
    let mut record = 0;
    for n in 0..tenants {
        let new = NewTenant::new(TenantId::parse(&format!("tenant-{n}"))?, format!("Tenant {n}"));
        let tenant = administration.tenancy().create_tenant(&operator()?, new).await?;
        record = serde_json::to_vec(&tenant)?.len();
    }
    administration.close().await;
    let running = platform.serve().await?;
    tokio::time::sleep(SETTLING).await;
    Ok((running.resident_mib()?, record))
}
