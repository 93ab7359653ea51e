//! The suite of vaults.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use super::{Failure, Outcome, Report, ensure};
use crate::{
    error::Result,
    key::{KeyBytes, KeyPlace, KeyVault, Secret, WrappedKey},
    scope::TenantId,
};

/// Makes a vault; called again it makes another.
pub type MakeVault = Box<dyn Fn() -> BoxFuture<'static, Result<Arc<dyn KeyVault>>> + Send + Sync>;

/// A vault under test.
pub struct VaultHarness {
    /// The vault.
    pub vault: Arc<dyn KeyVault>,
    /// Rotates the wrapping key of `vault`, and answers with a vault that wraps by the new one.
    pub rotate: MakeVault,
    /// A vault of its own, of other keys.
    pub stranger: Arc<dyn KeyVault>,
}

impl std::fmt::Debug for VaultHarness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VaultHarness").field("vault", &self.vault).finish_non_exhaustive()
    }
}

/// Runs every case.
pub async fn run_key_vault(harness: &VaultHarness) -> Report {
    let mut report = Report::default();
    report.cases.push(("opens_in_its_place_only", opens_in_its_place_only(harness).await));
    report.cases.push(("nothing_altered_or_foreign_opens", nothing_altered_or_foreign_opens(harness).await));
    report.cases.push(("the_wrapped_form_shows_nothing", the_wrapped_form_shows_nothing(harness).await));
    report
        .cases
        .push(("rotation_is_seen_and_keeps_what_was", rotation_is_seen_and_keeps_what_was(harness).await));
    report
}

fn key(n: u8) -> KeyBytes {
    // No two bytes alike, so that the key can be looked for in its wrapped form.
    let mut bytes = [0; 32];
    for (byte, position) in bytes.iter_mut().zip(0_u8..) {
        *byte = position.wrapping_mul(37).wrapping_add(n);
    }
    Secret::new(bytes)
}

async fn expect(vault: &dyn KeyVault, place: KeyPlace<'_>, wrapped: &WrappedKey, key: &KeyBytes) -> Outcome {
    let opened = vault.unwrap_key(place, wrapped).await?;
    ensure(opened.ct_eq(key.expose()), "another key came out than went in")
}

async fn refuse(vault: &dyn KeyVault, place: KeyPlace<'_>, wrapped: &WrappedKey, what: &str) -> Outcome {
    ensure(vault.unwrap_key(place, wrapped).await.is_err(), format!("a wrapped key opened: {what}"))
}

async fn opens_in_its_place_only(harness: &VaultHarness) -> Outcome {
    let (acme, beta) = (TenantId::parse("acme")?, TenantId::parse("beta")?);
    let (vault, place) = (&*harness.vault, KeyPlace { tenant: &acme, version: 1 });
    let wrapped = vault.wrap_key(place, &key(1)).await?;
    expect(vault, place, &wrapped, &key(1)).await?;
    refuse(vault, KeyPlace { tenant: &beta, version: 1 }, &wrapped, "for another tenant").await?;
    refuse(vault, KeyPlace { tenant: &acme, version: 2 }, &wrapped, "as another version").await?;
    // Two places whose parts would be one text if they were only joined.
    let (one, two) = (TenantId::parse("acme1")?, KeyPlace { tenant: &acme, version: 11 });
    let wrapped = vault.wrap_key(KeyPlace { tenant: &one, version: 1 }, &key(1)).await?;
    refuse(vault, two, &wrapped, "where the parts of its place join to the same text").await
}

async fn nothing_altered_or_foreign_opens(harness: &VaultHarness) -> Outcome {
    let acme = TenantId::parse("acme")?;
    let (vault, place) = (&*harness.vault, KeyPlace { tenant: &acme, version: 1 });
    let wrapped = vault.wrap_key(place, &key(1)).await?;
    for at in 0..wrapped.bytes.len() {
        let mut altered = wrapped.clone();
        altered.bytes[at] ^= 1;
        refuse(vault, place, &altered, &format!("byte {at} was altered")).await?;
        let cut = WrappedKey { bytes: wrapped.bytes[..at].to_vec(), ..wrapped.clone() };
        refuse(vault, place, &cut, &format!("cut after {at} bytes")).await?;
    }
    let foreign = harness.stranger.wrap_key(place, &key(1)).await?;
    refuse(vault, place, &foreign, "another vault wrapped it").await?;
    let renamed = WrappedKey { wrapping_key: wrapped.wrapping_key.clone(), ..foreign };
    refuse(vault, place, &renamed, "another vault wrapped it, under this one's name").await?;
    expect(vault, place, &wrapped, &key(1)).await
}

async fn the_wrapped_form_shows_nothing(harness: &VaultHarness) -> Outcome {
    let acme = TenantId::parse("acme")?;
    let (vault, place) = (&*harness.vault, KeyPlace { tenant: &acme, version: 1 });
    let (first, second) = (vault.wrap_key(place, &key(1)).await?, vault.wrap_key(place, &key(1)).await?);
    ensure(first.bytes != second.bytes, "a key wrapped twice looks the same")?;
    let secret = key(1);
    let shown = first.bytes.windows(8).any(|part| secret.expose().windows(8).any(|of_key| of_key == part));
    ensure(!shown, "a part of the key is in its wrapped form")?;
    ensure((1..=4096).contains(&first.bytes.len()), format!("{} wrapped bytes", first.bytes.len()))
}

async fn rotation_is_seen_and_keeps_what_was(harness: &VaultHarness) -> Outcome {
    let acme = TenantId::parse("acme")?;
    let place = KeyPlace { tenant: &acme, version: 3 };
    let before = harness.vault.wrap_key(place, &key(3)).await?;
    ensure(
        before.wrapping_key == harness.vault.current_key().await?,
        "a wrapped key does not bear the current name",
    )?;
    ensure(harness.vault.rewrap_key(place, &before).await?.is_none(), "what is current was wrapped anew")?;

    let rotated = (harness.rotate)().await?;
    let current = rotated.current_key().await?;
    ensure(current != before.wrapping_key, "rotating did not change the name")?;
    expect(&*rotated, place, &before, &key(3)).await?;
    let after = rotated.wrap_key(place, &key(3)).await?;
    ensure(after.wrapping_key == current, "what is wrapped after a rotation bears another name")?;

    let Some(anew) = rotated.rewrap_key(place, &before).await? else {
        return Err(Failure::from("what an earlier key wrapped was left".to_owned()));
    };
    ensure(anew.wrapping_key == current, "what was wrapped anew bears another name")?;
    expect(&*rotated, place, &anew, &key(3)).await?;
    refuse(&*rotated, KeyPlace { version: 4, ..place }, &anew, "wrapped anew, as another version").await?;
    let mut altered = before.clone();
    if let Some(last) = altered.bytes.last_mut() {
        *last ^= 1;
    }
    ensure(rotated.rewrap_key(place, &altered).await.is_err(), "something altered was wrapped anew")?;
    let elsewhere = KeyPlace { version: 4, ..place };
    let moved = rotated.rewrap_key(elsewhere, &before).await;
    // A vault may only see it when the key is opened, if it wraps anew without opening.
    match moved {
        Ok(Some(moved)) => refuse(&*rotated, elsewhere, &moved, "wrapped anew in another place").await,
        Ok(None) => Err(Failure::from("what an earlier key wrapped was left".to_owned())),
        Err(_) => Ok(()),
    }
}
