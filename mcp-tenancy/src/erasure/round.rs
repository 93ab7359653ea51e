//! One round: every tenant that is due, step by step.

use mcp_core::{Error, ErrorKind, Result, scope::TenantId};

use super::{Eraser, ErasureRound, Term};
use crate::tenant::{ErasureReceipt, ErasureStep, MAX_PAGE, Tenant, TenantFilter, TenantStatus};

impl Eraser {
    pub(super) async fn erase_due(&self, term: &mut Term) -> Result<ErasureRound> {
        let mut round = ErasureRound { leads: true, ..ErasureRound::default() };
        // Once more for organisations, whose projects became due, and went, in the pass before.
        for _ in 0..3 {
            let organisations = self.pass(term, &mut round).await?;
            if organisations.is_empty() || term.lost {
                round.waiting.extend(organisations);
                break;
            }
            // Those that wait for a project that cannot go now are looked at again in the next round.
            round.waiting.retain(|id| !organisations.contains(id));
            round.waiting.extend(organisations);
        }
        round.leads = !term.lost;
        round.waiting.retain(|id| !round.erased.contains(id));
        round.waiting.sort_unstable();
        round.waiting.dedup();
        Ok(round)
    }

    /// Goes once through all that are due; returns the organisations that still have projects.
    async fn pass(&self, term: &mut Term, round: &mut ErasureRound) -> Result<Vec<TenantId>> {
        let (mut after, mut organisations) = (None, Vec::new());
        loop {
            let due = self.tenants.due(&self.scope, after.as_ref(), MAX_PAGE).await?;
            let Some(last) = due.last() else { return Ok(organisations) };
            after = Some(last.id.clone());
            for tenant in due {
                if !self.still_leads(term).await? {
                    return Ok(organisations);
                }
                let id = tenant.id.clone();
                match self.erase_one(tenant, term).await {
                    Ok(Outcome::Erased) => {
                        tracing::info!(tenant = %id, "a deleted tenant was erased");
                        metrics::counter!("mcp_tenants_erased_total").increment(1);
                        round.erased.push(id);
                    }
                    Ok(Outcome::HasProjects) => organisations.push(id),
                    Ok(Outcome::Lost) => {
                        round.waiting.push(id);
                        return Ok(organisations);
                    }
                    Err(error) => {
                        // That it must wait for others is no fault.
                        let waits = error.kind() == ErrorKind::Unavailable;
                        let error = error.report();
                        if waits {
                            tracing::info!(tenant = %id, error, "a deleted tenant waits to be erased");
                        } else {
                            metrics::counter!("mcp_tenant_erasure_errors_total").increment(1);
                            tracing::warn!(tenant = %id, error, "a deleted tenant could not be erased; it is tried again");
                        }
                        round.waiting.push(id);
                    }
                }
            }
        }
    }

    async fn erase_one(&self, due: Tenant, term: &mut Term) -> Result<Outcome> {
        let tenant = self.tenants.begin_erasure(&self.scope, &due.id).await?;
        self.directory.note(&tenant);
        if self.has_projects(&tenant.id).await? {
            return Ok(Outcome::HasProjects);
        }
        let mut steps = self.tenants.steps(&self.scope, &tenant.id).await?;
        for part in &self.parts {
            if steps.iter().any(|step| step.name == part.name()) {
                continue;
            }
            if !self.still_leads(term).await? {
                return Ok(Outcome::Lost);
            }
            let erased = part
                .erase(&self.scope, &tenant.id)
                .await
                .map_err(|error| error.with_context("step", part.name()))?;
            let step = ErasureStep { name: part.name().to_owned(), finished_at: self.clock.now(), erased };
            self.tenants.record_step(&self.scope, &tenant.id, &step).await?;
            steps.push(step);
        }
        let tombstone = self.tenants.erased(&self.scope, &self.receipt(tenant, steps)?).await?;
        self.directory.note(&tombstone);
        Ok(Outcome::Erased)
    }

    fn receipt(&self, tenant: Tenant, steps: Vec<ErasureStep>) -> Result<ErasureReceipt> {
        let deletion = tenant.deletion;
        let (requested_at, started_at) = deletion
            .and_then(|deletion| Some((deletion.deleted_at, deletion.erasing_since?)))
            .ok_or_else(|| Error::internal("tenant.erase", "a tenant that is being erased is not deleted"))?;
        Ok(ErasureReceipt {
            tenant: tenant.id,
            parent: tenant.parent,
            region: tenant.profile.region,
            requested_at,
            started_at,
            finished_at: self.clock.now(),
            steps,
        })
    }

    async fn has_projects(&self, id: &TenantId) -> Result<bool> {
        let filter = TenantFilter { parent: Some(id.clone()), ..TenantFilter::default() };
        let mut cursor = None::<String>;
        loop {
            let page = self.tenants.list(&self.scope, &filter, cursor.as_deref(), MAX_PAGE).await?;
            if page.items.iter().any(|project| project.status != TenantStatus::Erased) {
                return Ok(true);
            }
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(false);
            }
        }
    }

    /// Renews the lease.
    async fn still_leads(&self, term: &mut Term) -> Result<bool> {
        match self.leases.renew(&self.scope, &term.lease, self.config.lease).await? {
            Some(lease) => term.lease = lease,
            None => term.lost = true,
        }
        Ok(!term.lost)
    }
}

enum Outcome {
    Erased,
    /// It goes after its last project.
    HasProjects,
    /// Another replica has taken over.
    Lost,
}
