//! What the configuration makes: the parts of the SDK, put together in one place.

mod administration;
mod auditing;
mod chat;
mod database;
mod erasing;
mod forwarding;
mod identity;
mod inference;
mod limits;
pub(crate) mod personal;
mod policies;
mod readiness;
mod releases;
mod remembering;
mod secrets;
mod vault;

use std::{sync::Arc, time::Duration};

use mcp_automation::{
    fleet::{Fleet, FleetConfig, FleetSpec, launcher::Launcher},
    gateway::{Gateway, GatewayConfig, Guards},
    release::Releases,
};
use mcp_context::{context::ContextStore, memory::Memories};
use mcp_core::{
    Error, PlatformScope, Result,
    audit::DenialLog,
    clock::SystemClock,
    embed::Embedder,
    event::{EventBus, EventFeed},
    limit::RateLimiter,
    scope::{PrincipalId, TenantId},
    telemetry::Metrics,
};
use mcp_inference::{http_api::InferenceApi, router::Router};
use mcp_tenancy::{
    Tenancy, layer::TenantConcurrencyLayer, limit::LimitPolicy, policy::Authorization, tenant::Tenant,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use administration::Administration;
pub use readiness::Readiness;

pub(crate) use identity::{Identity, tokens};

use self::{
    auditing::Auditing, forwarding::Forwarding, inference::Inference, limits::Limits, policies::Policies,
    remembering::Remembering,
};
use crate::config::{self, Config};

/// A running platform: everything behind the listeners.
#[derive(Debug)]
pub struct Platform {
    config: Config,
    administration: Administration,
    identity: Identity,
    fleet: Arc<Fleet>,
    releases: Arc<Releases>,
    gateway: Gateway,
    inference: Inference,
    router: Router,
    limits: Limits,
    policies: Policies,
    auditing: Auditing,
    forwarding: Option<Forwarding>,
    remembering: Remembering,
    metrics: Metrics,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Platform {
    /// Opens the database, loads declared tenants, reads `.mcp.json` and starts what runs in the background.
    /// Servers start on first use.
    ///
    /// # Errors
    /// `InvalidInput` that names file, line and setting; `Unavailable` if the database is away.
    pub async fn start(config: Config, metrics: Metrics) -> Result<Self> {
        // Before anything is opened: a mistake in a file must not leave half a platform behind.
        let spec = servers(&config.fleet).await?;
        Self::start_with(config, spec, Launcher::ThisProgram, metrics).await
    }

    /// As [`start`](Self::start), with servers and launcher from the caller instead of `.mcp.json`.
    pub(crate) async fn start_with(
        config: Config,
        spec: FleetSpec,
        launcher: Launcher,
        metrics: Metrics,
    ) -> Result<Self> {
        let router = chat::router(&config).await?;
        let inference = Inference::open(&config.inference).await?;
        let administration = Administration::open(&config).await?;
        load_tenants(&administration, &config).await?;
        let identity = Identity::start(administration.shared_tenancy(), &config).await?;

        let fleet = Arc::new(Fleet::new(spec, fleet_config(&config.fleet, launcher.clone())));
        let auditing = administration.start_auditing()?;
        let personal::Redactors { tools, contexts } = personal::of_tenants(&config.pii).await?;
        let remembering = administration.start_remembering(&config, inference.embedder(), contexts)?;
        let limits = Limits::open(&config.limits, auditing.denials())?;
        let policies = administration.open_policies(&config.policy, auditing.denials()).await?;
        let gateway = Gateway::guarded(
            gateway_config(&config),
            Arc::clone(&fleet) as _,
            Arc::new(SystemClock),
            auditing.denials(),
            Guards {
                authorizer: Some(Arc::clone(policies.authorization().authorizer()) as _),
                limits: limits.of_tools(),
                quota: Some(administration.tenancy().quota()),
                redactor: tools,
            },
        )?;
        let forwarding = administration.start_forwarding(&config).await?;
        let releases = releases::start(&config, &administration, &fleet, launcher).await?;
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (until, folding) = (stop.clone(), metrics.clone());
        tasks.spawn(async move { until.run_until_cancelled(folding.upkeep()).await });
        let closing = close_suspended(administration.tenancy(), Arc::clone(&fleet))?;
        tasks.spawn(stop.clone().run_until_cancelled_owned(closing));
        let (index, suspended) = (remembering.index(), administration.tenancy().directory().suspended());
        let forgetting = async move { index.follow_closed(suspended).await };
        tasks.spawn(stop.clone().run_until_cancelled_owned(forgetting));
        let (index, authorization) = (remembering.index(), policies.authorization());
        let eraser = erasing::eraser(&config, &administration, &fleet, index, authorization)?;
        let until = stop.clone();
        tasks.spawn(async move { eraser.run(until).await });
        if let Some(token) = administration.vault_token() {
            tasks.spawn(stop.clone().run_until_cancelled_owned(token.follow()));
        }
        tasks.close();
        Ok(Self {
            config,
            administration,
            identity,
            fleet,
            releases,
            gateway,
            inference,
            router,
            limits,
            policies,
            auditing,
            forwarding,
            remembering,
            metrics,
            stop,
            tasks,
        })
    }

    /// Takes no new MCP call and waits for those in flight, at most for the configured drain time; returns
    /// how many were cut.
    pub async fn drain(&self) -> usize {
        self.remembering.end_streams();
        self.gateway.drain(Duration::from_secs(self.config.server.drain_seconds)).await
    }

    /// Stops every server and background task and closes the database. Call [`drain`](Self::drain) before.
    pub async fn close(&self) {
        self.releases.shutdown().await;
        self.fleet.shutdown(Duration::ZERO).await;
        self.inference.close().await;
        self.stop.cancel();
        self.tasks.wait().await;
        self.remembering.shutdown().await;
        self.auditing.shutdown().await;
        // Behind the sealer: what it sealed last is delivered too.
        if let Some(forwarding) = &self.forwarding {
            forwarding.shutdown().await;
        }
        self.administration.close().await;
    }

    /// Every setting.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// What works above tenants.
    #[must_use]
    pub const fn administration(&self) -> &Administration {
        &self.administration
    }

    /// Tenants, keys and tokens.
    #[must_use]
    pub fn tenancy(&self) -> &Tenancy {
        self.administration.tenancy()
    }

    /// As whom requests come.
    pub(crate) const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What the routes for callers without a token work on.
    pub(crate) fn token_routes(&self) -> mcp_tenancy::http_api::Deps {
        self.identity.routes(self.limiter(), self.limit_policy(), self.denials())
    }

    /// The MCP servers.
    #[must_use]
    pub const fn fleet(&self) -> &Arc<Fleet> {
        &self.fleet
    }

    /// The servers that operators add while it runs.
    #[must_use]
    pub const fn releases(&self) -> &Arc<Releases> {
        &self.releases
    }

    /// The MCP endpoint.
    #[must_use]
    pub const fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// Local models and routes to providers, as the wire reaches them.
    #[must_use]
    pub fn inference(&self) -> InferenceApi {
        self.inference.api(self.router.clone(), self.denials(), self.tenancy().quota())
    }

    /// What embeds texts that are remembered and searched, where there is such a model.
    #[must_use]
    pub fn embedder(&self) -> Option<Arc<dyn Embedder>> {
        self.inference.embedder()
    }

    /// The chat models behind their routes.
    #[must_use]
    pub const fn router(&self) -> &Router {
        &self.router
    }

    /// Contexts.
    #[must_use]
    pub fn contexts(&self) -> Arc<dyn ContextStore> {
        self.remembering.contexts()
    }

    /// Semantic memory.
    #[must_use]
    pub fn memories(&self) -> Arc<Memories> {
        self.remembering.memories()
    }

    /// Published events.
    #[must_use]
    pub fn feed(&self) -> Arc<dyn EventFeed> {
        self.remembering.feed()
    }

    /// Where events are published, for consumers in this process.
    #[must_use]
    pub fn bus(&self) -> Arc<dyn EventBus> {
        self.remembering.bus()
    }

    /// What the routes of contexts, memories and events work on.
    pub(crate) fn context_routes(&self) -> mcp_context::http_api::Deps {
        self.remembering.routes(self.tenancy().directory().clone(), self.denials())
    }

    /// The name of that model.
    pub(crate) fn embedder_name(&self) -> Option<&str> {
        self.inference.embedder_name()
    }

    /// What holds tenants to their requests a minute.
    #[must_use]
    pub fn limiter(&self) -> Arc<dyn RateLimiter> {
        self.limits.limiter()
    }

    /// The limits beside the tenant's own.
    pub(crate) fn limit_policy(&self) -> Arc<LimitPolicy> {
        self.limits.policy()
    }

    /// What bounds the requests of a tenant that run at once.
    pub(crate) fn at_once(&self) -> TenantConcurrencyLayer {
        self.limits.at_once()
    }

    /// Roles and policies of tenants.
    #[must_use]
    pub const fn authorization(&self) -> &Authorization {
        self.policies.authorization()
    }

    /// Whether tenants may write policies in Rego.
    pub(crate) const fn takes_rego(&self) -> bool {
        self.policies.takes_rego()
    }

    /// Where denials go.
    #[must_use]
    pub fn denials(&self) -> Arc<dyn DenialLog> {
        self.auditing.denials()
    }

    /// Seals the audit records that are there now, rather than at the next round.
    ///
    /// # Errors
    /// `Unavailable` if the database is away.
    pub async fn seal_audit(&self) -> Result<()> {
        self.auditing.seal_now().await
    }

    /// Prometheus text.
    #[must_use]
    pub fn metrics_text(&self) -> String {
        self.metrics.render()
    }

    /// Lets a suspended tenant be used again. When this returns, its servers start for it here, too: who was told
    /// of the resumption may call at once.
    ///
    /// # Errors
    /// As [`Tenancy::resume_tenant`].
    pub async fn resume_tenant(&self, scope: &PlatformScope, tenant: &TenantId) -> Result<Tenant> {
        let resumed = self.tenancy().resume_tenant(scope, tenant).await?;
        self.open_servers(scope);
        Ok(resumed)
    }

    /// Makes a deleted tenant what it was. As [`resume_tenant`](Self::resume_tenant) for its servers.
    ///
    /// # Errors
    /// As [`Tenancy::restore_tenant`].
    pub async fn restore_tenant(&self, scope: &PlatformScope, tenant: &TenantId) -> Result<Tenant> {
        let restored = self.tenancy().restore_tenant(scope, tenant).await?;
        self.open_servers(scope);
        Ok(restored)
    }

    fn open_servers(&self, scope: &PlatformScope) {
        let suspended = self.tenancy().directory().suspended();
        self.fleet.close_tenants(scope, || suspended.borrow().clone());
    }

    /// Whether the platform can serve, and what it knows of its parts.
    pub async fn readiness(&self) -> Readiness {
        Readiness::look(self).await
    }
}

/// Nothing runs for a tenant that is suspended, here or by another replica or a command.
fn close_suspended(tenancy: &Tenancy, fleet: Arc<Fleet>) -> Result<impl Future<Output = ()> + use<>> {
    let scope = PlatformScope::new(PrincipalId::parse("platform")?, "a tenant was suspended or resumed");
    let mut suspended = tenancy.directory().suspended();
    Ok(async move {
        loop {
            fleet.close_tenants(&scope, || suspended.borrow_and_update().clone());
            // The directory is gone with the platform.
            if suspended.changed().await.is_err() {
                return;
            }
        }
    })
}

/// Reads the operators' `.mcp.json`; where the default one is missing there are no servers.
async fn servers(fleet: &config::Fleet) -> Result<FleetSpec> {
    let name = fleet.file.display().to_string();
    match tokio::fs::read_to_string(&fleet.file).await {
        Ok(text) => FleetSpec::parse(&name, &text, &config::environment()),
        Err(error)
            if error.kind() == std::io::ErrorKind::NotFound
                && fleet.file == config::Fleet::default().file =>
        {
            tracing::warn!("there is no {name}: no MCP servers are mounted");
            Ok(FleetSpec::default())
        }
        Err(error) => Err(Error::invalid_input("fleet.file", format!("cannot read {name}: {error}"))),
    }
}

fn fleet_config(fleet: &config::Fleet, launcher: Launcher) -> FleetConfig {
    FleetConfig {
        launcher,
        idle: Duration::from_secs(fleet.idle_seconds),
        processes_per_tenant: fleet.processes_per_tenant,
        processes: fleet.processes,
        ..FleetConfig::default()
    }
}

/// A web page whose name a foreign DNS points at this machine (DNS rebinding) must not reach a platform that
/// serves this machine alone: there, where no hosts are listed, only its own names are served.
fn gateway_config(config: &Config) -> GatewayConfig {
    let mut gateway = config.gateway.clone();
    if gateway.allowed_hosts.is_empty() && config.server.listen.ip().is_loopback() {
        gateway.allowed_hosts = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned).into();
        gateway.allowed_hosts.push(config.server.listen.to_string());
        let public = config.server.public_url.parse::<http::Uri>().ok();
        gateway.allowed_hosts.extend(public.and_then(|url| url.authority().map(ToString::to_string)));
    }
    // A browser that passes the preflight must not be refused by the endpoint behind it.
    gateway.allowed_origins.extend(config.server.cors_origins.iter().cloned());
    gateway
}

async fn load_tenants(administration: &Administration, config: &Config) -> Result<()> {
    let file = &config.data.tenants_file;
    if file.as_os_str().is_empty() {
        return Ok(());
    }
    let name = file.display().to_string();
    let text = tokio::fs::read_to_string(file)
        .await
        .map_err(|error| Error::invalid_input("data.tenants_file", format!("cannot read {name}: {error}")))?;
    let scope = PlatformScope::new(PrincipalId::parse("platform")?, format!("loads {name}"));
    let loaded = administration.tenancy().load_tenants(&scope, &name, &text).await?;
    tracing::info!(file = name, ?loaded, "tenants loaded");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_for_this_machine_serves_only_its_names() {
        let mut config = Config::default();
        assert_eq!(
            gateway_config(&config).allowed_hosts,
            ["localhost", "127.0.0.1", "[::1]", "127.0.0.1:8080"]
        );
        config.server.public_url = "https://mcp.example.com/".to_owned();
        assert_eq!(gateway_config(&config).allowed_hosts.last().unwrap(), "mcp.example.com");
        config.gateway.allowed_hosts = vec!["only.example".to_owned()];
        assert_eq!(gateway_config(&config).allowed_hosts, ["only.example"]);
        config.gateway.allowed_hosts.clear();
        config.server.listen = ([0, 0, 0, 0], 8080).into();
        assert_eq!(gateway_config(&config).allowed_hosts, [""; 0]);
    }
}
