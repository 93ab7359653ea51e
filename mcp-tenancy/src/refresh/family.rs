//! A lineage of refresh tokens, and what becomes of it when one is redeemed.

use std::time::Duration;

use mcp_core::{
    clock::Timestamp,
    scope::{Principal, TenantId},
};

use super::text::{Issued, Presented};
use crate::key::{KeyDigest, KeyId};

/// Names a lineage: 24 hex digits. It appears in audit records and is no secret.
pub type FamilyId = KeyId;

/// A lineage as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFamily {
    /// Names it.
    pub id: FamilyId,
    /// Whose it is.
    pub tenant: TenantId,
    /// For whom its tokens are, and the most that they may do.
    pub principal: Principal,
    /// The API key it began with: when that may not be used, neither may this.
    pub key: KeyId,
    /// Marks tokens of this lineage.
    pub tag_key: [u8; 32],
    /// The digest of the one token that can be redeemed.
    pub digest: KeyDigest,
    /// The digest of the token before, and the nonce that leads from it to the one now.
    pub previous: Option<(KeyDigest, [u8; 32])>,
    /// How many tokens there were, from 1.
    pub generation: i64,
    /// When the token now was made.
    pub rotated_at: Timestamp,
    /// When it began.
    pub created_at: Timestamp,
    /// When it ends, however often it is used.
    pub expires_at: Timestamp,
    /// When it was ended, if it was.
    pub revoked_at: Option<Timestamp>,
}

/// What a redeemed token changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotated {
    /// The digest of the token that was redeemed, which must still be the one stored.
    pub from: KeyDigest,
    /// The digest of its successor.
    pub to: KeyDigest,
    /// What leads from one to the other.
    pub nonce: [u8; 32],
    /// When.
    pub at: Timestamp,
}

/// What to do with a presented token.
pub(super) enum Decision {
    /// It is the one: this replaces it, if nothing else has by then.
    Rotate(Rotated, Issued),
    /// It was replaced a moment ago, by this.
    Again(Issued),
    /// It was replaced before: somebody else has it.
    Reused,
    /// It is no good, which says nothing about the lineage.
    Refused(&'static str),
}

impl StoredFamily {
    /// What `presented` is at `now`; `nonce` is random.
    pub(super) fn decide(
        &self,
        presented: &Presented,
        nonce: [u8; 32],
        now: Timestamp,
        grace: Duration,
    ) -> Decision {
        if !presented.is_of(self) {
            return Decision::Refused("a refresh token that was never issued");
        }
        if self.revoked_at.is_some() {
            return Decision::Refused("the refresh token's lineage has ended");
        }
        if self.expires_at <= now {
            return Decision::Refused("the refresh token has expired");
        }
        if presented.shows(&self.digest) {
            let next = presented.successor(self, &nonce);
            let rotated = Rotated { from: self.digest.clone(), to: next.digest.clone(), nonce, at: now };
            return Decision::Rotate(rotated, next);
        }
        match &self.previous {
            Some((digest, nonce)) if presented.shows(digest) && now < self.rotated_at.after(grace) => {
                Decision::Again(presented.successor(self, nonce))
            }
            _ => Decision::Reused,
        }
    }

    /// The lineage after a token was redeemed.
    pub(crate) fn rotated(mut self, rotated: &Rotated) -> Self {
        self.previous = Some((rotated.from.clone(), rotated.nonce));
        self.digest = rotated.to.clone();
        self.rotated_at = rotated.at;
        self.generation += 1;
        self
    }
}
