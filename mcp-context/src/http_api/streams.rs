//! How many event streams a tenant has open.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mcp_core::{Error, ErrorKind, Result, scope::TenantId};

#[derive(Debug)]
pub(super) struct Streams {
    open: Arc<Mutex<HashMap<TenantId, usize>>>,
    per_tenant: usize,
}

/// One open stream; dropping it makes room for another.
#[derive(Debug)]
pub(super) struct Place {
    open: Arc<Mutex<HashMap<TenantId, usize>>>,
    tenant: TenantId,
}

fn lock(open: &Mutex<HashMap<TenantId, usize>>) -> MutexGuard<'_, HashMap<TenantId, usize>> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Streams {
    pub(super) fn new(per_tenant: usize) -> Self {
        Self { open: Arc::default(), per_tenant }
    }

    /// A place for one more stream of the tenant.
    pub(super) fn take(&self, tenant: &TenantId) -> Result<Place> {
        let mut open = lock(&self.open);
        let count = open.entry(tenant.clone()).or_default();
        if *count >= self.per_tenant {
            let message = format!("the tenant has {count} event streams open, which is its limit; close one");
            return Err(Error::new(ErrorKind::RateLimited, "events.stream", message));
        }
        *count += 1;
        Ok(Place { open: self.open.clone(), tenant: tenant.clone() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = lock(&self.open);
        if let Some(count) = open.get_mut(&self.tenant) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_has_so_many_streams_and_no_more() {
        let (streams, acme) = (Streams::new(2), TenantId::parse("acme").unwrap());
        let globex = TenantId::parse("globex").unwrap();
        let (one, _two) = (streams.take(&acme).unwrap(), streams.take(&acme).unwrap());
        assert_eq!(streams.take(&acme).unwrap_err().kind(), ErrorKind::RateLimited);
        let _other = streams.take(&globex).unwrap();
        drop(one);
        let _three = streams.take(&acme).unwrap();
        assert!(streams.take(&acme).is_err());
    }
}
