//! Which server a call goes to.

use mcp_core::Scope;
use serde_json::json;

use super::{
    config::PrefixMode,
    listing::{Kind, Listing},
    names::{self, Names},
    path::Endpoint,
    servers::Unavailable,
    shared::Shared,
    template,
};
use crate::{
    jsonrpc::{Fault, code},
    protocol::ServerName,
};

/// A server, and the name it knows the called thing by.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) server: ServerName,
    pub(super) name: String,
}

impl Shared {
    /// The server that has a tool or prompt of this name.
    ///
    /// # Errors
    /// -32602: unknown, with the nearest known names; ambiguous, with the servers.
    pub(super) async fn owner_of_name(
        &self,
        scope: &Scope,
        endpoint: &Endpoint,
        kind: Kind,
        name: &str,
    ) -> Result<Owner, Fault> {
        if let Endpoint::Server(server) = endpoint {
            return Ok(Owner { server: server.clone(), name: name.to_owned() });
        }
        let by_prefix: Vec<Owner> = self
            .upstreams
            .names(scope)
            .into_iter()
            .filter_map(|server| {
                let name = names::without_prefix(&server, name)?.to_owned();
                Some(Owner { server, name })
            })
            .collect();
        let mode = self.config.prefix;
        if mode == PrefixMode::Always && by_prefix.len() == 1 {
            return by_prefix.into_iter().next().ok_or_else(|| unknown(kind, name, &[], &[]));
        }
        if mode != PrefixMode::Always {
            let inner = |server: &ServerName, listing: &Listing| {
                let tail = (mode == PrefixMode::Conflict).then(|| names::without_prefix(server, name));
                let mut names = [Some(name), tail.flatten()].into_iter().flatten();
                names.find(|name| listing.find(name).is_some()).map(str::to_owned)
            };
            let last_owners = self.last_owners(scope, kind, &inner).await;
            if let Some(owner) = self.confirmed(scope, kind, &last_owners, &inner).await {
                return Ok(owner);
            }
        }
        let (parts, unavailable) = self.parts(scope, endpoint, kind).await;
        let names = Names::of(kind, mode, &parts);
        if let Some(entry) = names.find(name) {
            return Ok(Owner { server: entry.server.clone(), name: entry.item.name.to_string() });
        }
        if let Some(servers) = names.conflicts.get(name) {
            return Err(ambiguous(kind, name, servers));
        }
        if mode == PrefixMode::Conflict
            && let Some(owner) = by_prefix.into_iter().next()
        {
            return Ok(owner);
        }
        let known: Vec<&str> = names.entries.iter().map(|entry| &*entry.name).collect();
        Err(unknown(kind, name, &known, &unavailable))
    }

    /// The server that has a resource of this URI, by its lists and then its templates.
    ///
    /// # Errors
    /// [`code::INVALID_PARAMS`] or, for older clients, [`code::RESOURCE_NOT_FOUND`]: unknown; -32602:
    /// ambiguous, with the servers.
    pub(super) async fn owner_of_uri(
        &self,
        scope: &Scope,
        endpoint: &Endpoint,
        uri: &str,
        not_found: i64,
    ) -> Result<ServerName, Fault> {
        if let Endpoint::Server(server) = endpoint {
            return Ok(server.clone());
        }
        if let Some(owner) = self.known_owner_of_uri(scope, uri).await {
            return Ok(owner.server);
        }
        let (parts, mut unavailable) = self.parts(scope, endpoint, Kind::Resources).await;
        let listed = parts.iter().filter(|part| part.listing.find(uri).is_some());
        let mut owners: Vec<ServerName> = listed.map(|part| part.server.clone()).collect();
        if owners.is_empty() {
            let (templates, also_unavailable) = self.parts(scope, endpoint, Kind::Templates).await;
            unavailable = also_unavailable;
            let matching = templates.iter().filter(|part| makes(&part.listing, uri));
            owners = matching.map(|part| part.server.clone()).collect();
        }
        match owners.as_slice() {
            [owner] => Ok(owner.clone()),
            [] => {
                let mut fault = unknown(Kind::Resources, uri, &[], &unavailable);
                fault.code = not_found;
                Err(fault)
            }
            several => Err(ambiguous(Kind::Resources, uri, &several.iter().collect::<Vec<_>>())),
        }
    }

    /// The owner of a URI by what the servers listed last.
    async fn known_owner_of_uri(&self, scope: &Scope, uri: &str) -> Option<Owner> {
        let is_listed = |_: &ServerName, listing: &Listing| listing.find(uri).map(|_| uri.to_owned());
        let listed = self.last_owners(scope, Kind::Resources, &is_listed).await;
        if !listed.is_empty() {
            return self.confirmed(scope, Kind::Resources, &listed, &is_listed).await;
        }
        let is_made = |_: &ServerName, listing: &Listing| makes(listing, uri).then(|| uri.to_owned());
        let made = self.last_owners(scope, Kind::Templates, &is_made).await;
        // Lists come before templates, so that they must have been seen for a template to decide.
        self.catalog.last_known(scope, made.first()?, Kind::Resources).await?;
        self.confirmed(scope, Kind::Templates, &made, &is_made).await
    }

    /// The servers that had what `inner` looks for when they last listed. Asks nobody.
    async fn last_owners(
        &self,
        scope: &Scope,
        kind: Kind,
        inner: &(dyn Fn(&ServerName, &Listing) -> Option<String> + Sync),
    ) -> Vec<ServerName> {
        let mut owners = Vec::new();
        for server in self.upstreams.names(scope) {
            let listing = self.catalog.last_known(scope, &server, kind).await;
            if listing.is_some_and(|listing| inner(&server, &listing).is_some()) {
                owners.push(server);
            }
        }
        owners
    }

    /// The only one of `last_owners`, if it has what `inner` looks for still.
    ///
    /// Asks no other server, so that one that hangs does not hold up the calls to the rest. Whether another has
    /// come to offer the same meanwhile shows when all are listed again.
    async fn confirmed(
        &self,
        scope: &Scope,
        kind: Kind,
        last_owners: &[ServerName],
        inner: &(dyn Fn(&ServerName, &Listing) -> Option<String> + Sync),
    ) -> Option<Owner> {
        let [server] = last_owners else { return None };
        let upstream = self.connect(scope, server).await.ok()?;
        let listing = self.catalog.listing(scope, &upstream, kind).await.ok()?;
        Some(Owner { server: server.clone(), name: inner(server, &listing)? })
    }

    /// The fault for a tool or prompt that a server says it does not have, if its list says so too.
    ///
    /// Servers answer unknown names in many ways; clients get one. Asked only after a failure, so that a
    /// good call needs no list.
    pub(super) async fn unknown_at_server(
        &self,
        scope: &Scope,
        endpoint: &Endpoint,
        kind: Kind,
        owner: &Owner,
    ) -> Option<Fault> {
        let upstream = self.connect(scope, &owner.server).await.ok()?;
        let listing = self.catalog.listing(scope, &upstream, kind).await.ok()?;
        if listing.find(&owner.name).is_some() {
            return None;
        }
        let prefix = *endpoint == Endpoint::Aggregate && self.config.prefix == PrefixMode::Always;
        let shown = |name: &str| if prefix { names::prefixed(&owner.server, name) } else { name.to_owned() };
        let known: Vec<String> = listing.items.iter().map(|item| shown(&item.name)).collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        Some(unknown(kind, &shown(&owner.name), &known, &[]))
    }
}

/// Whether one of the templates makes this URI, or is it, which is what completions refer to.
fn makes(templates: &Listing, uri: &str) -> bool {
    templates.items.iter().any(|item| &*item.name == uri || template::matches(&item.name, uri))
}

fn unknown(kind: Kind, name: &str, known: &[&str], unavailable: &[Unavailable]) -> Fault {
    let shown: String = name.chars().take(200).collect();
    let mut data = json!({ "name": shown, "nearest": names::nearest(name, known.iter().copied()) });
    if !unavailable.is_empty() {
        // It may be one of theirs.
        data["unavailable"] = unavailable.iter().map(|part| json!(part.server)).collect();
    }
    Fault::new(code::INVALID_PARAMS, format!("unknown {}: {shown}", kind.noun())).with_data(data)
}

fn ambiguous(kind: Kind, name: &str, servers: &[&ServerName]) -> Fault {
    let shown: String = name.chars().take(200).collect();
    let list = servers.iter().map(|server| server.as_str()).collect::<Vec<_>>().join(", ");
    let text = format!(
        "the {} {shown} is ambiguous: the servers {list} have one; call it at /mcp/{{server}}",
        kind.noun()
    );
    Fault::new(code::INVALID_PARAMS, text).with_data(json!({ "name": shown, "servers": servers }))
}
