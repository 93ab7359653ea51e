//! How a tenant's keys follow each other: what every backend decides alike.

use std::time::Duration;

use mcp_core::{Error, ErrorKind, Result, clock::Timestamp};
use serde::Serialize;

use super::{MAX_SIGNING_KEYS, SigningAlgorithm, SigningKey};

/// Shortest time between publishing a key and signing with it: longer than any replica goes on without looking
/// for a key it does not know.
pub const MIN_LEAD: Duration = Duration::from_secs(5);
/// Longest such time.
pub const MAX_LEAD: Duration = Duration::from_secs(24 * 3600);

/// From when a tenant's first key signs: on replicas whose clocks are behind, too.
pub(super) const ALWAYS: Timestamp = Timestamp::from_micros(0);

/// A rotation to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// What the new key signs with. Default EdDSA.
    pub algorithm: SigningAlgorithm,
    /// How long the new key is published before it signs, so that verifiers that keep the tenant's JWKS know
    /// it by then: [`MIN_LEAD`] to [`MAX_LEAD`]. Default 10 minutes, twice as long as a JWKS may be cached.
    pub lead: Duration,
}

impl Default for Rotation {
    fn default() -> Self {
        Self { algorithm: SigningAlgorithm::default(), lead: Duration::from_secs(600) }
    }
}

impl Rotation {
    /// Checks the lead.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput).
    pub fn validate(&self) -> Result<()> {
        if (MIN_LEAD..=MAX_LEAD).contains(&self.lead) {
            return Ok(());
        }
        let (min, max) = (MIN_LEAD.as_secs(), MAX_LEAD.as_secs());
        Err(Error::invalid_input("signing_key.rotate", format!("`lead` must be {min} to {max} seconds")))
    }
}

/// Where a key is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum KeyState {
    /// Published, and signs nothing yet.
    Next,
    /// Signs.
    Active,
    /// Signs no more; verifies what it signed until the last of it has expired.
    Retiring,
    /// Neither signs nor verifies. Its row goes with the next rotation.
    Retired,
}

impl SigningKey {
    /// Where it is in its life at `now`.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> KeyState {
        if self.verifies_until.is_some_and(|until| until <= now) {
            KeyState::Retired
        } else if now < self.active_from {
            KeyState::Next
        } else if self.signs_until.is_none_or(|until| now < until) {
            KeyState::Active
        } else {
            KeyState::Retiring
        }
    }
}

/// The key that signs at `now`.
pub(super) fn signing_at(keys: &[SigningKey], now: Timestamp) -> Option<&SigningKey> {
    let active = keys.iter().filter(|key| key.state(now) == KeyState::Active);
    active.max_by_key(|key| key.active_from)
}

/// What a rotation or removal changes; all of it or nothing.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Rows to delete, by kid.
    pub(super) delete: Vec<String>,
    /// Rows whose times change.
    pub(super) amend: Vec<SigningKey>,
    /// The row to insert.
    pub(super) insert: Option<SigningKey>,
}

/// How `new`, made now, comes to follow `keys`; the key that signs until then goes on verifying for `overlap`.
pub(super) fn plan_rotation(keys: &[SigningKey], mut new: SigningKey, overlap: Duration) -> Result<Plan> {
    let now = new.created_at;
    let mut plan = Plan::default();
    let mut live = 0;
    for key in keys {
        match key.state(now) {
            KeyState::Retired => plan.delete.push(key.kid.clone()),
            KeyState::Next => {
                return Err(conflict(format!(
                    "the key `{}` signs from {} on; wait until then, or remove it",
                    key.kid, key.active_from
                )));
            }
            KeyState::Active => {
                live += 1;
                let signs_until = Some(new.active_from);
                let verifies_until = Some(new.active_from.after(overlap));
                plan.amend.push(SigningKey { signs_until, verifies_until, ..key.clone() });
            }
            KeyState::Retiring => live += 1,
        }
    }
    if live >= MAX_SIGNING_KEYS as usize {
        return Err(conflict(format!(
            "the tenant has {live} keys that still verify, as many as it may have; wait, or remove one"
        )));
    }
    if plan.amend.is_empty() {
        // There is nothing that could sign until then.
        new.active_from = ALWAYS;
    }
    plan.insert = Some(new);
    Ok(plan)
}

/// How the key `kid` goes at `now`. Without a next key, the one that signs goes on signing.
pub(super) fn plan_removal(keys: &[SigningKey], kid: &str, now: Timestamp) -> Result<(SigningKey, Plan)> {
    let removed = keys.iter().find(|key| key.kid == kid);
    let removed = removed
        .ok_or_else(|| Error::not_found("signing_key.remove", format!("the tenant has no key `{kid}`")))?;
    let mut plan = Plan { delete: vec![kid.to_owned()], ..Plan::default() };
    match removed.state(now) {
        KeyState::Active => {
            return Err(Error::new(
                ErrorKind::Conflict,
                "signing_key.remove",
                format!("the key `{kid}` signs; rotate to another first, with a lead of a few seconds"),
            ));
        }
        KeyState::Next => {
            let followed = keys.iter().filter(|key| key.signs_until == Some(removed.active_from));
            plan.amend = followed
                .map(|key| SigningKey { signs_until: None, verifies_until: None, ..key.clone() })
                .collect();
        }
        KeyState::Retiring | KeyState::Retired => {}
    }
    Ok((removed.clone(), plan))
}

pub(super) fn conflict(message: String) -> Error {
    Error::new(ErrorKind::Conflict, "signing_key.rotate", message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mcp_core::scope::TenantId;

    const OVERLAP: Duration = Duration::from_secs(100);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn key(kid: &str, made: i64, from: i64) -> SigningKey {
        SigningKey {
            tenant: TenantId::parse("acme").unwrap(),
            kid: kid.to_owned(),
            algorithm: SigningAlgorithm::EdDsa,
            public: vec![],
            sealed: vec![],
            created_at: at(made),
            active_from: at(from),
            signs_until: None,
            verifies_until: None,
        }
    }

    fn apply(keys: &mut Vec<SigningKey>, plan: Plan) {
        keys.retain(|key| !plan.delete.contains(&key.kid));
        for amended in plan.amend {
            let at = keys.iter().position(|key| key.kid == amended.kid).unwrap();
            keys[at] = amended;
        }
        keys.extend(plan.insert);
    }

    #[test]
    fn keys_follow_each_other_without_a_gap_and_verify_for_the_overlap() {
        let mut keys = vec![key("a", 0, 0)];
        let plan = plan_rotation(&keys, key("b", 10, 20), OVERLAP).unwrap();
        apply(&mut keys, plan);
        let states = |now| keys.iter().map(|key| key.state(at(now))).collect::<Vec<_>>();
        assert_eq!(states(10), [KeyState::Active, KeyState::Next]);
        assert_eq!(states(20), [KeyState::Retiring, KeyState::Active]);
        assert_eq!(states(119), [KeyState::Retiring, KeyState::Active]);
        assert_eq!(states(120), [KeyState::Retired, KeyState::Active]);
        for now in [0, 10, 19, 20, 119, 120] {
            let expected = if now < 20 { "a" } else { "b" };
            assert_eq!(signing_at(&keys, at(now)).unwrap().kid, expected, "at {now}");
        }
        assert!(plan_rotation(&keys, key("c", 15, 25), OVERLAP).is_err(), "two next keys");
        let plan = plan_rotation(&keys, key("c", 130, 140), OVERLAP).unwrap();
        assert_eq!(plan.delete, ["a"]);
    }

    #[test]
    fn a_removed_next_key_leaves_the_one_before_as_it_was() {
        let mut keys = vec![key("a", 0, 0)];
        let plan = plan_rotation(&keys, key("b", 10, 20), OVERLAP).unwrap();
        apply(&mut keys, plan);
        let (_, plan) = plan_removal(&keys, "b", at(15)).unwrap();
        apply(&mut keys, plan);
        assert_eq!(keys, [key("a", 0, 0)]);
    }

    #[test]
    fn the_key_that_signs_is_not_removed_and_retiring_keys_are() {
        let mut keys = vec![key("a", 0, 0)];
        assert_eq!(plan_removal(&keys, "a", at(1)).unwrap_err().kind(), ErrorKind::Conflict);
        assert_eq!(plan_removal(&keys, "x", at(1)).unwrap_err().kind(), ErrorKind::NotFound);
        let plan = plan_rotation(&keys, key("b", 10, 20), OVERLAP).unwrap();
        apply(&mut keys, plan);
        let (removed, plan) = plan_removal(&keys, "a", at(30)).unwrap();
        apply(&mut keys, plan);
        assert_eq!((removed.kid.as_str(), keys.len()), ("a", 1));
    }

    #[test]
    fn keys_that_still_verify_are_bounded() {
        let mut keys = vec![key("k0", 0, 0)];
        for n in 1..i64::from(MAX_SIGNING_KEYS) {
            let plan = plan_rotation(&keys, key(&format!("k{n}"), n, n), Duration::from_secs(9999)).unwrap();
            apply(&mut keys, plan);
        }
        let refused = plan_rotation(&keys, key("one-more", 50, 50), OVERLAP).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Conflict);
    }
}
