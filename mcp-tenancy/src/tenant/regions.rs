//! Which regions' tenants live here.

use std::collections::BTreeSet;

use mcp_core::{Error, ErrorKind, Result};

use super::Name;

/// The regions that a deployment serves: those whose tenants' data its databases hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Regions {
    here: BTreeSet<Name>,
    elsewhere: BTreeSet<Name>,
}

impl Default for Regions {
    /// The one region `local`, which a tenant has that names none.
    fn default() -> Self {
        Self::here([Name::constant("local")])
    }
}

impl Regions {
    /// Regions whose data lies in the kernel's own databases.
    #[must_use]
    pub fn here(names: impl IntoIterator<Item = Name>) -> Self {
        Self { here: names.into_iter().collect(), elsewhere: BTreeSet::new() }
    }

    /// The same, and `region`, whose databases the kernel was opened with under that name.
    #[must_use]
    pub fn with(mut self, region: Name) -> Self {
        self.here.remove(&region);
        self.elsewhere.insert(region);
        self
    }

    /// Whether tenants of `region` live here.
    #[must_use]
    pub fn serves(&self, region: &Name) -> bool {
        self.here.contains(region) || self.elsewhere.contains(region)
    }

    /// The kernel's name of the region: `None` where its data lies in the kernel's own databases.
    ///
    /// # Errors
    /// As [`require`](Self::require).
    pub fn place(&self, region: &Name) -> Result<Option<&str>> {
        self.require("tenant.create", region)?;
        Ok(self.elsewhere.get(region).map(Name::as_str))
    }

    /// Refuses a region that is served elsewhere.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) that names it, and those that are served.
    pub fn require(&self, operation: &'static str, region: &Name) -> Result<()> {
        if self.serves(region) {
            return Ok(());
        }
        let served: Vec<_> = self.here.union(&self.elsewhere).map(|name| format!("`{name}`")).collect();
        let message =
            format!("the region `{region}` is not served here; this deployment serves {}", served.join(", "));
        Err(Error::new(ErrorKind::InvalidInput, operation, message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_region_is_refused_by_name() {
        let eu = Name::parse("eu-west-1").unwrap();
        let regions = Regions::default().with(eu.clone());
        assert_eq!(regions.place(&eu).unwrap(), Some("eu-west-1"));
        assert_eq!(regions.place(&Name::parse("local").unwrap()).unwrap(), None);
        let error = regions.place(&Name::parse("us").unwrap()).unwrap_err();
        assert!(
            error.message().contains("`us`") && error.message().contains("`eu-west-1`, `local`"),
            "{error}"
        );
    }
}
