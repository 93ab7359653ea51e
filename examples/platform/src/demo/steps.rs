//! What the demo does.

use std::{num::NonZeroU32, time::Duration};

use http::{StatusCode, Uri};
use mcp_core::{
    Error, PlatformScope, Result,
    key::Secret,
    scope::{Permissions, Principal, PrincipalId, PrincipalKind, TenantId},
};
use mcp_tenancy::{key::NewApiKey, operator::NewOperatorKey, tenant::NewTenant};
use serde_json::json;

use super::{chat, embedding, expect, remembering, servers::Mounted, show::Show, switching};
use crate::{
    client::{Answer, McpClient},
    platform::Platform,
    rest::RestClient,
};

/// Enough for callers that never pause.
const ACME_PER_MINUTE: u32 = 1_000_000;
/// Few enough to be used up in a moment, enough for what comes before.
const GLOBEX_PER_MINUTE: u32 = 40;

/// The way through the platform.
pub(super) struct Tour<'a> {
    pub(super) platform: &'a Platform,
    pub(super) mounted: &'a Mounted,
    pub(super) url: &'a str,
}

impl Tour<'_> {
    pub(super) async fn walk(&self, show: &mut Show) -> Result<()> {
        let tenants = self.two_tenants();
        show.step("make two tenants", tenants).await?;
        let connect = async {
            let acme = self.client(self.token_of("acme").await?).await?;
            let globex = self.client(self.key_of("globex").await?).await?;
            Ok(((acme, globex), "acme with a signed token, globex with an API key".to_owned()))
        };
        let (mut acme, mut globex) = show.step("connect a client of each", connect).await?;
        show.step("list the tools of all servers", self.list(&mut acme)).await?;
        show.step("call a tool as each tenant", self.call(&mut acme, &mut globex)).await?;
        if self.mounted.everything() {
            show.step("call the server from npm", self.everything(&mut acme, &mut globex)).await?;
        }
        show.step("keep their servers' memories apart", self.memories(&mut acme, &mut globex)).await?;
        show.step("chat past a dead provider", chat::past_a_dead_provider(&acme)).await?;
        show.step("try another tenant's id", self.trespass(&mut acme)).await?;

        let rest = |token| RestClient::new(self.url.trim_end_matches("/mcp").to_owned(), token);
        let (of_acme, of_globex) = (rest(self.token_of("acme").await?), rest(self.key_of("globex").await?));
        remembering::show(show, &of_acme, &of_globex).await?;
        embedding::show(show, &of_acme).await?;
        switching::show(show, self.mounted, &rest(self.operator_key().await?), &of_acme).await?;

        show.step("use up a rate limit", self.flood(&mut globex, &mut acme)).await?;
        show.step("suspend a tenant", self.suspend(&mut globex, &mut acme)).await?;
        show.step("verify the audit chains", self.audit()).await?;
        show.step("read the change feed", remembering::feed(&of_acme)).await
    }

    async fn two_tenants(&self) -> Result<((), String)> {
        for (id, name, per_minute) in
            [("acme", "Acme Corp", ACME_PER_MINUTE), ("globex", "Globex", GLOBEX_PER_MINUTE)]
        {
            let mut new = NewTenant::new(TenantId::parse(id)?, name);
            new.profile.limits.requests_per_minute = NonZeroU32::new(per_minute).unwrap_or(NonZeroU32::MIN);
            self.platform.tenancy().create_tenant(&scope()?, new).await?;
        }
        Ok(((), format!("acme ({ACME_PER_MINUTE} requests a minute), globex ({GLOBEX_PER_MINUTE})")))
    }

    /// A token for a user of the tenant.
    pub(super) async fn token_of(&self, tenant: &str) -> Result<Secret<String>> {
        let user = Principal {
            id: PrincipalId::parse("demo-user")?,
            kind: PrincipalKind::User,
            permissions: Permissions::parse(["*"])?,
        };
        let tenant = TenantId::parse(tenant)?;
        let life = Duration::from_secs(3600);
        Ok(self.platform.tenancy().issue_token(&scope()?, &tenant, &user, life).await?.token)
    }

    async fn key_of(&self, tenant: &str) -> Result<Secret<String>> {
        let new =
            NewApiKey::service(TenantId::parse(tenant)?, "demo", "demo-service", Permissions::parse(["*"])?)?;
        Ok(self.platform.tenancy().create_key(&scope()?, new).await?.text)
    }

    async fn operator_key(&self) -> Result<Secret<String>> {
        let new = NewOperatorKey::new("demo", PrincipalId::parse("operator:demo")?);
        Ok(self.platform.tenancy().create_operator_key(&scope()?, new).await?.text)
    }

    async fn client(&self, token: Secret<String>) -> Result<McpClient> {
        let url = self.url.parse::<Uri>().map_err(|error| Error::internal("demo.url", error.to_string()))?;
        McpClient::connect(url, token).await
    }

    async fn list(&self, acme: &mut McpClient) -> Result<((), String)> {
        let tools = acme.tools().await?;
        let of = |server: &str| tools.iter().filter(|tool| tool.starts_with(&format!("{server}__"))).count();
        let (fixture, everything) = (of("fixture"), of("everything"));
        expect(fixture > 0 && (everything > 0) == self.mounted.everything(), || format!("{tools:?}"))?;
        Ok(((), format!("fixture {fixture}, everything {everything}; as in fixture__echo")))
    }

    async fn call(&self, acme: &mut McpClient, globex: &mut McpClient) -> Result<((), String)> {
        let ours = acme.call("fixture__whoami", &json!({})).await?;
        let theirs = globex.call("fixture__whoami", &json!({})).await?;
        expect(ours != theirs, || "both tenants were answered by the same process".to_owned())?;
        Ok(((), "a process of its own answered each".to_owned()))
    }

    async fn everything(&self, acme: &mut McpClient, globex: &mut McpClient) -> Result<((), String)> {
        let ours = acme.call("everything__echo", &json!({ "message": "of acme" })).await?;
        let theirs = globex.call("everything__echo", &json!({ "message": "of globex" })).await?;
        expect(ours.contains("of acme") && theirs.contains("of globex"), || format!("{ours} / {theirs}"))?;
        Ok(((), format!("{ours:?} and {theirs:?}")))
    }

    async fn memories(&self, acme: &mut McpClient, globex: &mut McpClient) -> Result<((), String)> {
        let secret = json!({ "name": "plan", "value": "acme buys globex" });
        acme.call("fixture__remember", &secret).await?;
        let ours = acme.call("fixture__recall", &json!({ "name": "plan" })).await?;
        expect(ours.contains("acme buys globex"), || format!("acme recalls {ours:?}"))?;
        let theirs = globex.call("fixture__recall", &json!({ "name": "plan" })).await;
        let leaked = matches!(&theirs, Ok(text) if text.contains("acme buys"));
        expect(!leaked, || "globex recalls acme's plan".to_owned())?;
        Ok(((), "acme recalls its plan, globex finds nothing".to_owned()))
    }

    async fn trespass(&self, acme: &mut McpClient) -> Result<((), String)> {
        let list = json!({});
        let existing = acme.attempt("tools/list", &list, &same_request("globex")).await?;
        let invented = acme.attempt("tools/list", &list, &same_request("no-such-tenant")).await?;
        expect(existing.status == StatusCode::FORBIDDEN, || format!("{existing:?}"))?;
        expect(existing.body == invented.body, || "the answer tells whether a tenant exists".to_owned())?;
        Ok(((), "403, word for word as for a tenant that does not exist".to_owned()))
    }

    async fn flood(&self, globex: &mut McpClient, acme: &mut McpClient) -> Result<((), String)> {
        let mut passed = 0;
        let refused: Answer = loop {
            let answer = globex.attempt("ping", &json!({}), &[]).await?;
            if answer.status == StatusCode::TOO_MANY_REQUESTS {
                break answer;
            }
            passed += 1;
            expect(passed <= GLOBEX_PER_MINUTE, || format!("{passed} requests passed"))?;
        };
        let header =
            |name: &str| refused.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("?");
        let wait = header("retry-after").to_owned();
        acme.tools().await?;
        Ok(((), format!("429 after {passed} more, Retry-After: {wait} s; acme goes on")))
    }

    async fn suspend(&self, globex: &mut McpClient, acme: &mut McpClient) -> Result<((), String)> {
        let id = TenantId::parse("globex")?;
        self.platform.tenancy().suspend_tenant(&scope()?, &id).await?;
        let answer = globex.attempt("ping", &json!({}), &[]).await?;
        expect(answer.status == StatusCode::FORBIDDEN, || format!("{answer:?}"))?;
        acme.tools().await?;
        Ok(((), "globex gets 403, acme goes on".to_owned()))
    }

    async fn audit(&self) -> Result<((), String)> {
        self.platform.seal_audit().await?;
        let report = self.platform.administration().verify_audit().await?;
        expect(report.is_intact() && report.sealed() > 0, || report.to_string())?;
        Ok(((), report.to_string()))
    }
}

/// Two requests with the same id can be compared byte for byte.
fn same_request(tenant: &str) -> [(&'static str, &str); 2] {
    [("x-tenant-id", tenant), ("x-request-id", "trespass")]
}

fn scope() -> Result<PlatformScope> {
    Ok(PlatformScope::new(PrincipalId::parse("operator:demo")?, "shows the platform"))
}
