//! How often and how much at once, as the configuration says.

use std::{sync::Arc, time::Duration};

use mcp_automation::gateway::ToolLimits;
use mcp_core::{Result, audit::DenialLog, clock::SystemClock, key::Secret, limit::RateLimiter};
use mcp_tenancy::{
    layer::TenantConcurrencyLayer,
    limit::{
        FallbackConfig, FallbackLimiter, GcraLimiter, LimitPolicy, LimiterHealth, RedisConfig, RedisLimiter,
    },
};
use serde::Serialize;

use crate::config;

/// What bounds the requests of tenants.
#[derive(Debug)]
pub(super) struct Limits {
    limiter: Arc<dyn RateLimiter>,
    /// The same, where replicas share it.
    shared: Option<Arc<FallbackLimiter>>,
    policy: Arc<LimitPolicy>,
    at_once: TenantConcurrencyLayer,
}

/// Who decides, for `/ready`.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum LimiterState {
    /// `local`: this replica for itself, as configured.
    Local { state: &'static str },
    /// The limiter that replicas share, or what stands in for it.
    Shared(LimiterHealth),
}

impl Limits {
    /// Nothing is connected yet: Redis is asked with the first request.
    ///
    /// # Errors
    /// `InvalidInput` that names the setting.
    pub(super) fn open(settings: &config::Limits, denials: Arc<dyn DenialLog>) -> Result<Self> {
        let shared = match settings.redis_url.as_str() {
            "" => None,
            url => Some(Arc::new(FallbackLimiter::new(
                Arc::new(RedisLimiter::new(RedisConfig {
                    prefix: settings.redis_prefix.clone(),
                    timeout: Duration::from_millis(settings.redis_timeout_millis),
                    ..RedisConfig::new(Secret::new(url.to_owned()))
                })?),
                GcraLimiter::default(),
                FallbackConfig { divide_by: settings.divide_by, ..FallbackConfig::default() },
                Arc::new(SystemClock),
            ))),
        };
        let limiter: Arc<dyn RateLimiter> = match &shared {
            Some(shared) => shared.clone(),
            None => Arc::new(GcraLimiter::default()),
        };
        Ok(Self {
            limiter,
            shared,
            policy: Arc::new(settings.policy()),
            at_once: TenantConcurrencyLayer::new(settings.requests_at_once, denials),
        })
    }

    pub(super) fn limiter(&self) -> Arc<dyn RateLimiter> {
        Arc::clone(&self.limiter)
    }

    pub(super) fn policy(&self) -> Arc<LimitPolicy> {
        Arc::clone(&self.policy)
    }

    /// One for all stacks, so that a tenant's requests are counted together.
    pub(super) fn at_once(&self) -> TenantConcurrencyLayer {
        self.at_once.clone()
    }

    /// What the gateway holds calls of tools to, where there is such a limit.
    pub(super) fn of_tools(&self) -> Option<ToolLimits> {
        let LimitPolicy { tools, tool_per_minute, .. } = &*self.policy;
        (tool_per_minute.is_some() || !tools.is_empty()).then(|| ToolLimits {
            limiter: self.limiter(),
            tools: tools.clone(),
            each: *tool_per_minute,
        })
    }

    pub(super) fn state(&self) -> LimiterState {
        match &self.shared {
            None => LimiterState::Local { state: "local" },
            Some(shared) => LimiterState::Shared(shared.health()),
        }
    }
}
