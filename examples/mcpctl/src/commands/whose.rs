//! Whose things a command is about.

use clap::Args;

use crate::{
    client::Client,
    failure::{Failure, Result},
};

/// The tenant that is meant.
#[derive(Debug, Args)]
pub(crate) struct Whose {
    /// The tenant, with an operator's key; a tenant's key means its own.
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
}

impl Whose {
    /// Where `rest` is below the API's root.
    pub(crate) fn path<'a>(&'a self, client: &Client, rest: &[&'a str]) -> Result<Vec<&'a str>> {
        match (&self.tenant, client.is_operator()) {
            (Some(tenant), true) => Ok([&["operator", "tenants", tenant.as_str()][..], rest].concat()),
            (None, false) => Ok(rest.to_vec()),
            (None, true) => Err(Failure::Usage("an operator names the tenant: --tenant ID".to_owned())),
            (Some(_), false) => {
                Err(Failure::Usage("--tenant takes an operator's key; this one means its own".to_owned()))
            }
        }
    }

    /// The tenant that an operator named.
    pub(crate) fn named(&self) -> Option<&str> {
        self.tenant.as_deref()
    }
}
