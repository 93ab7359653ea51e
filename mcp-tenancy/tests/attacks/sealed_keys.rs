//! Attacks of someone who can write to the database, and what is left after a tenant's keys are destroyed.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use mcp_core::{Error, ErrorKind, PlatformScope, Result, clock::Timestamp, key::MasterKey, scope::TenantId};
use mcp_tenancy::{
    Tenancy, TenancyDeps,
    token::{Grant, SigningKey, SigningKeyStore},
};

use crate::support::{World, principal, tenant};

const HOUR: Duration = Duration::from_secs(3600);

/// A key store whose rows somebody has rewritten.
#[derive(Debug)]
struct Rewritten(Vec<SigningKey>);

#[async_trait]
impl SigningKeyStore for Rewritten {
    async fn keys(&self, _: &PlatformScope, tenant: &TenantId) -> Result<Vec<SigningKey>> {
        Ok(self.0.iter().filter(|key| key.tenant == *tenant).cloned().collect())
    }
    async fn first(&self, _: &PlatformScope, key: SigningKey) -> Result<SigningKey> {
        Ok(key)
    }
    async fn rotate(&self, _: &PlatformScope, key: SigningKey, _: Duration) -> Result<SigningKey> {
        Ok(key)
    }
    async fn remove(
        &self,
        scope: &PlatformScope,
        tenant: &TenantId,
        kid: &str,
        _: Timestamp,
    ) -> Result<SigningKey> {
        let found = self.keys(scope, tenant).await?.into_iter().find(|key| key.kid == kid);
        found.ok_or_else(|| Error::not_found("test", "no such key"))
    }
    async fn record(&self, _: &PlatformScope, _: &Grant) -> Result<()> {
        Ok(())
    }
}

impl World {
    /// A process on the same tenants, with these signing keys in its database.
    async fn with_rows(&self, rows: Vec<SigningKey>) -> Tenancy {
        let deps = TenancyDeps { signing_keys: Arc::new(Rewritten(rows)), ..self.deps.clone() };
        Tenancy::open(deps).await.unwrap()
    }

    async fn issue(&self, tenancy: &Tenancy, of: &str) -> Result<(), ErrorKind> {
        let issued = tenancy.issue_token(&self.admin, &tenant(of), &principal("user-1"), HOUR).await;
        issued.map(drop).map_err(|error| error.kind())
    }
}

#[tokio::test]
async fn a_private_key_moved_to_another_tenant_or_kid_signs_nothing() {
    let world = World::new().await;
    let (acme, _) = world.stolen_key("acme").await;
    let (beta, _) = world.stolen_key("beta").await;
    let honest = world.with_rows(vec![acme.clone(), beta.clone()]).await;
    assert_eq!(world.issue(&honest, "beta").await, Ok(()), "the attacks below would prove nothing");
    for (row, what) in [
        (
            SigningKey { tenant: beta.tenant.clone(), ..acme.clone() },
            "the whole row, given to another tenant",
        ),
        (SigningKey { sealed: acme.sealed.clone(), ..beta.clone() }, "the private half alone"),
        (SigningKey { kid: acme.kid.clone(), ..beta.clone() }, "under another kid"),
    ] {
        let tenancy = world.with_rows(vec![row]).await;
        assert_eq!(world.issue(&tenancy, "beta").await, Err(ErrorKind::Corrupted), "{what}");
    }
    for at in [0, 4, 5, 17, beta.sealed.len() - 1] {
        let mut altered = beta.clone();
        altered.sealed[at] ^= 1;
        let tenancy = world.with_rows(vec![altered]).await;
        assert_eq!(world.issue(&tenancy, "beta").await, Err(ErrorKind::Corrupted), "byte {at}");
    }
}

#[tokio::test]
async fn destroyed_data_keys_take_the_signing_keys_with_them() {
    let world = World::new().await;
    let token = world.token("acme").await;
    let (row, _) = world.stolen_key("acme").await;
    let receipt = world.tenancy.shred_data_keys(&world.admin, &tenant("acme")).await.unwrap();
    assert_eq!(receipt.keys, 1);
    let restored_from_backup = world.with_rows(vec![row]).await;
    for tenancy in [&world.tenancy, &world.other_replica().await, &restored_from_backup] {
        assert_eq!(world.issue(tenancy, "acme").await, Err(ErrorKind::NotFound));
        assert_eq!(world.issue(tenancy, "beta").await, Ok(()));
    }
    let rotated = world.tenancy.rotate_data_key(&world.admin, &tenant("acme")).await;
    assert_eq!(rotated.unwrap_err().kind(), ErrorKind::NotFound);
    // What was signed before is still known to be genuine: that takes the public half only.
    assert_eq!(world.send_bearer(&token).await.status(), http::StatusCode::OK);
}

/// Rows from before there were data keys, sealed by the master key itself.
#[tokio::test]
async fn signing_keys_of_the_earlier_layout_still_sign_and_are_bound_to_their_place() {
    let world = World::new().await;
    let (row, _) = world.stolen_key("acme").await;
    let service =
        mcp_core::scope::Principal { kind: mcp_core::scope::PrincipalKind::Service, ..principal("thief") };
    let scope = mcp_core::Scope::new(tenant("acme"), Arc::new(service));
    let cell = crate::support::PRIVATE_KEY.row(&row.kid);
    let sealed = mcp_core::key::Sealed::from_stored(row.sealed.clone()).unwrap();
    let private = world.deps.data_keys.open(&scope, cell, &sealed).await.unwrap();
    let earlier = |place: &[&str]| SigningKey {
        sealed: world.deps.master.seal(private.expose(), place).unwrap(),
        ..row.clone()
    };
    let tenancy = world.with_rows(vec![earlier(&["acme", &row.kid])]).await;
    assert_eq!(world.issue(&tenancy, "acme").await, Ok(()));
    for place in [&["beta", row.kid.as_str()][..], &["acme", "other"], &["acme"]] {
        let tenancy = world.with_rows(vec![earlier(place)]).await;
        assert_eq!(world.issue(&tenancy, "acme").await, Err(ErrorKind::Corrupted), "{place:?}");
    }
    let foreign = MasterKey::ephemeral().unwrap().seal(private.expose(), &["acme", &row.kid]).unwrap();
    let tenancy = world.with_rows(vec![SigningKey { sealed: foreign, ..row }]).await;
    assert_eq!(world.issue(&tenancy, "acme").await, Err(ErrorKind::Corrupted));
}
