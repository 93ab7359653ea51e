//! A platform inside a program of one's own: no listener, no socket, everything else as in the server.
//!
//! [`Embedded`] is the operator's side: tenants, keys, servers. [`TenantHandle`] is one tenant's side, made from
//! a key; each of its calls passes the layers a request passes (load shed, deadline, concurrency,
//! authentication, tenant, rate limit), so that a revoked key, a suspended tenant and a used-up limit mean here
//! what they mean over HTTP, down to the audit record.
//!
//! ```no_run
//! # async fn run() -> mcp_core::Result<()> {
//! use mcp_platform::embedded::{Embedded, Options};
//! use serde_json::json;
//!
//! let options = json!({ "data_dir": "data", "servers": { "time": { "command": "/opt/time/bin/mcp-server-time" } } });
//! let platform = Embedded::open(Options::parse(&options.to_string())?).await?;
//! platform.create_tenant("acme", "Acme Corp").await?;
//! let key = platform.create_key("acme", "laptop", "service", &["*"]).await?;
//! let acme = platform.tenant(key.expose()).await?;
//! let now = acme.call_tool("time__get_current_time", &json!({ "timezone": "UTC" })).await?;
//! println!("{now}");
//! platform.close().await;
//! # Ok(()) }
//! ```

mod admission;
mod api;
mod contexts;
mod failure;
mod options;
mod tenant;
mod tools;

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use axum::Router;
use mcp_core::{
    Error, ErrorKind, PlatformScope, Result,
    key::Secret,
    scope::{Permissions, PrincipalId, TenantId},
    telemetry::Metrics,
};
use mcp_tenancy::{
    key::NewApiKey,
    tenant::{NewTenant, Tenant},
};

pub use contexts::ContextFilter;
pub use failure::Failure;
pub use options::Options;
pub use tenant::TenantHandle;

use self::admission::Admission;
use crate::{app::tenant_routes, platform::Platform};

/// A platform inside this program. Clones share it.
///
/// Call [`close`](Self::close) before the runtime ends; one that is only dropped stops its servers too, but
/// waits for nothing.
#[derive(Debug, Clone)]
pub struct Embedded(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    platform: Arc<Platform>,
    admission: Admission,
    /// What a tenant's requests reach, with the state of its handlers.
    router: Router,
    closed: AtomicBool,
}

impl Embedded {
    /// Opens the databases and starts what runs in the background; MCP servers start on first use.
    ///
    /// Metrics of all embedded platforms of a process are counted together.
    ///
    /// # Errors
    /// `InvalidInput` that names the setting; `Unavailable` if the database is away, or where another program
    /// has the data directory open; `AlreadyExists` if the program has a metrics recorder of another make.
    pub async fn open(options: Options) -> Result<Self> {
        let Options { mut config, servers, launcher } = options;
        // Nothing but this module reaches the gateway, and that is how it calls itself.
        config.gateway.allowed_hosts = vec![tools::HOST.to_owned()];
        let platform = Arc::new(Platform::start_with(config, servers, launcher, metrics()?).await?);
        let (admission, router) = (Admission::new(&platform), tenant_routes(&platform));
        Ok(Self(Arc::new(Inner { platform, admission, router, closed: AtomicBool::new(false) })))
    }

    /// Creates a tenant with default limits.
    ///
    /// # Errors
    /// `InvalidInput` for an id or name that is none, `AlreadyExists`, `Unavailable`; `Cancelled` after
    /// [`close`](Self::close).
    pub async fn create_tenant(&self, id: &str, name: &str) -> Result<Tenant> {
        let new = NewTenant::new(TenantId::parse(id)?, name);
        self.platform()?.tenancy().create_tenant(&operator("creates a tenant")?, new).await
    }

    /// Creates a key with which its holder acts as `principal` of the tenant; returns its text, which is shown
    /// now and never again. Permissions are `area:verb` or `*`.
    ///
    /// # Errors
    /// `InvalidInput` that names the rule, `NotFound` if there is no such tenant, `Unavailable`; `Cancelled`
    /// after [`close`](Self::close).
    pub async fn create_key(
        &self,
        tenant: &str,
        name: &str,
        principal: &str,
        permissions: &[&str],
    ) -> Result<Secret<String>> {
        let permissions = Permissions::parse(permissions.iter().copied())?;
        let new = NewApiKey::service(TenantId::parse(tenant)?, name, principal, permissions)?;
        Ok(self.platform()?.tenancy().create_key(&operator("creates a key")?, new).await?.text)
    }

    /// Mounts a server for all tenants, in place of one that was mounted under this name before: starts it,
    /// lists its tools, then lets new calls go there. `server` is an entry of `mcpServers` in `.mcp.json`, as
    /// JSON; `${VAR}` is taken from the environment. It is mounted until the platform is closed.
    ///
    /// # Errors
    /// `InvalidInput` that names the key, `Conflict` for a server of [`Options::servers`], `Upstream` with the
    /// reason where it does not start or breaks the protocol; `Cancelled` after [`close`](Self::close).
    ///
    /// # Cancellation
    /// Safe: the server that was started is stopped.
    pub async fn mount(&self, name: &str, server: &str) -> Result<()> {
        let (platform, scope) = (self.platform()?, operator("mounts a server")?);
        for spec in options::server(name, server)?.servers() {
            let candidate = platform.fleet().try_out(&scope, spec.clone()).await?;
            platform.fleet().adopt(&scope, candidate)?;
        }
        Ok(())
    }

    /// The tenant that `key` belongs to, as its principal.
    ///
    /// # Errors
    /// `Unauthenticated` for a key that is none or was revoked, `PermissionDenied` for a suspended tenant,
    /// `RateLimited`: opening a handle is a request like any other; `Cancelled` after [`close`](Self::close).
    pub async fn tenant(&self, key: &str) -> Result<TenantHandle> {
        TenantHandle::open(self.clone(), Secret::new(key.to_owned())).await
    }

    /// Refuses new calls, lets tool calls in flight end within the configured drain time, stops the servers and
    /// closes the databases. Closing twice is closing once.
    ///
    /// # Cancellation
    /// What has been stopped stays stopped, and calls stay refused; the rest ends with the process.
    pub async fn close(&self) {
        if !self.0.closed.swap(true, Ordering::AcqRel) {
            self.0.platform.drain().await;
            self.0.platform.close().await;
        }
    }

    /// Whether [`close`](Self::close) was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.closed.load(Ordering::Acquire)
    }

    /// The platform, unless it is closed.
    fn platform(&self) -> Result<&Platform> {
        if self.is_closed() {
            let message = "the platform is closed; open it again to go on";
            return Err(Error::new(ErrorKind::Cancelled, "embedded.platform", message));
        }
        Ok(&self.0.platform)
    }

    /// The tenants' routes, unless it is closed.
    fn router(&self) -> Result<Router> {
        self.platform().map(|_| self.0.router.clone())
    }

    fn admission(&self) -> &Admission {
        &self.0.admission
    }
}

/// The scope of what the embedding program does as operator.
fn operator(reason: &str) -> Result<PlatformScope> {
    Ok(PlatformScope::new(PrincipalId::parse("operator:embedded")?, reason))
}

/// The one recorder of the process: there can be no second.
fn metrics() -> Result<Metrics> {
    static METRICS: Mutex<Option<Metrics>> = Mutex::new(None);
    let mut installed = METRICS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(metrics) = &*installed {
        return Ok(metrics.clone());
    }
    let metrics = Metrics::install()?;
    *installed = Some(metrics.clone());
    Ok(metrics)
}
