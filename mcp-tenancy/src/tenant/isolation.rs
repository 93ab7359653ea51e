//! Which isolation mode a tier has.

use std::collections::BTreeMap;

use mcp_core::{Error, ErrorKind, Result, sql::IsolationMode};

use super::Name;

/// The isolation mode of each tier.
#[derive(Debug, Clone)]
pub struct TierModes {
    otherwise: IsolationMode,
    by_tier: BTreeMap<Name, IsolationMode>,
}

impl TierModes {
    /// `mode` for every tier.
    #[must_use]
    pub const fn all(mode: IsolationMode) -> Self {
        Self { otherwise: mode, by_tier: BTreeMap::new() }
    }

    /// The same, but `mode` for `tier`.
    #[must_use]
    pub fn with(mut self, tier: Name, mode: IsolationMode) -> Self {
        self.by_tier.insert(tier, mode);
        self
    }

    /// The mode of `tier`.
    #[must_use]
    pub fn of(&self, tier: &Name) -> IsolationMode {
        self.by_tier.get(tier).copied().unwrap_or(self.otherwise)
    }

    /// Every mode that some tier has: what the kernel must offer.
    #[must_use]
    pub fn modes(&self) -> Vec<IsolationMode> {
        let mut modes = vec![self.otherwise];
        for mode in self.by_tier.values() {
            if !modes.contains(mode) {
                modes.push(*mode);
            }
        }
        modes
    }

    /// Refuses a change of tier that would need the tenant's data to be moved.
    pub(crate) fn require_same(&self, old: &Name, new: &Name) -> Result<()> {
        let (from, to) = (self.of(old), self.of(new));
        if from == to {
            return Ok(());
        }
        Err(Error::new(
            ErrorKind::Unsupported,
            "tenant.update",
            format!(
                "the tier `{old}` keeps data in mode `{from}`, `{new}` in `{to}`; data cannot be moved yet"
            ),
        ))
    }
}
