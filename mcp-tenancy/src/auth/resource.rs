//! Where a client finds out who issues tokens for this server: RFC 9728, as the MCP specification asks for.

use http::{Uri, uri::Scheme};
use mcp_core::{Error, Result, layer::Challenge, scope::Permission};
use serde::Serialize;

/// The well-known path that a resource's own path goes behind (RFC 9728 §3.1).
pub const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The protected-resource metadata of a server.
///
/// One document describes the resource that tokens are for and everything below it: `https://host/mcp`
/// covers `https://host/mcp/everything`, as MCP clients read `resource`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProtectedResource {
    /// The URL that tokens are for: their `aud` (RFC 8707).
    resource: String,
    /// Issuers whose tokens are taken, for clients to choose from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    authorization_servers: Vec<String>,
    /// What may be asked for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scopes_supported: Vec<String>,
    /// How a token is sent: in the header alone, never in the URL.
    bearer_methods_supported: [&'static str; 1],
    /// A name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    resource_name: Option<String>,
}

impl ProtectedResource {
    /// The metadata of the resource at the URL `resource`: the audience of the platform's tokens.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) if it is no absolute `http` or `https` URL without
    /// query and fragment.
    pub fn new(resource: &str) -> Result<Self> {
        parse(resource)?;
        Ok(Self {
            resource: resource.trim_end_matches('/').to_owned(),
            authorization_servers: Vec::new(),
            scopes_supported: Vec::new(),
            bearer_methods_supported: ["header"],
            resource_name: None,
        })
    }

    /// The same, with the issuer identifiers of authorization servers. The MCP specification wants one at
    /// least; a document without any is for servers that give out keys alone.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) for one that is no such URL.
    pub fn with_authorization_servers(mut self, issuers: Vec<String>) -> Result<Self> {
        issuers.iter().try_for_each(|issuer| parse(issuer).map(drop))?;
        self.authorization_servers = issuers;
        Ok(self)
    }

    /// The same, with the permissions that can be asked for as scopes.
    #[must_use]
    pub fn with_scopes(mut self, scopes: impl IntoIterator<Item = Permission>) -> Self {
        self.scopes_supported = scopes.into_iter().map(String::from).collect();
        self
    }

    /// The same, with a name for people.
    #[must_use]
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.resource_name = Some(name.into());
        self
    }

    /// Where the document is: the well-known path between the resource's host and its path.
    #[must_use]
    pub fn metadata_url(&self) -> String {
        let path = self.path();
        let origin = self.resource.strip_suffix(path.as_str()).unwrap_or(&self.resource);
        format!("{origin}{WELL_KNOWN}{path}")
    }

    /// Whether the document at this path behind [`WELL_KNOWN`] is this one: of no resource in particular, of
    /// this one, and of what is below it.
    #[must_use]
    pub fn is_at(&self, suffix: &str) -> bool {
        let (path, suffix) = (self.path(), suffix.trim_end_matches('/'));
        let below = suffix.strip_prefix(path.as_str());
        suffix.is_empty() || below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// What the rescue layer challenges with, so that refused clients find the document. It asks for the
    /// scopes that the document names.
    ///
    /// # Errors
    /// None in practice: the URL was checked.
    pub fn challenge(&self) -> Result<Challenge> {
        let scopes: Vec<_> = self.scopes_supported.iter().map(String::as_str).collect();
        Challenge::new(&self.metadata_url())?.with_scopes(&scopes)
    }

    /// The resource's path, empty for the whole host.
    fn path(&self) -> String {
        let path = self.resource.parse::<Uri>().map(|uri| uri.path().to_owned()).unwrap_or_default();
        path.trim_end_matches('/').to_owned()
    }
}

fn parse(url: &str) -> Result<Uri> {
    let uri = url.parse::<Uri>().ok().filter(|uri| {
        let scheme = uri.scheme();
        let http = scheme == Some(&Scheme::HTTPS) || scheme == Some(&Scheme::HTTP);
        // `Uri` drops fragments silently.
        http && uri.authority().is_some() && uri.query().is_none() && !url.contains(['#', '"', '\\', '@'])
    });
    uri.ok_or_else(|| {
        Error::invalid_input(
            "auth.resource",
            format!("{url:?} is no http or https URL without query and fragment"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_stands_between_host_and_path() {
        for (resource, url) in [
            ("https://a.example/mcp", "https://a.example/.well-known/oauth-protected-resource/mcp"),
            ("https://a.example:8443", "https://a.example:8443/.well-known/oauth-protected-resource"),
            ("https://a.example/", "https://a.example/.well-known/oauth-protected-resource"),
            ("http://[::1]:8080/x/mcp/", "http://[::1]:8080/.well-known/oauth-protected-resource/x/mcp"),
        ] {
            assert_eq!(ProtectedResource::new(resource).unwrap().metadata_url(), url);
        }
    }

    #[test]
    fn it_covers_the_resource_and_what_is_below_it() {
        let resource = ProtectedResource::new("https://a.example/mcp").unwrap();
        for suffix in ["", "/", "/mcp", "/mcp/", "/mcp/everything"] {
            assert!(resource.is_at(suffix), "{suffix:?}");
        }
        for suffix in ["/mcpx", "/api", "/x/mcp", "mcp"] {
            assert!(!resource.is_at(suffix), "{suffix:?}");
        }
    }

    #[test]
    fn what_is_no_resource_is_refused() {
        for url in
            ["", "mcp", "/mcp", "ftp://a/mcp", "https://a/mcp?x=1", "https://a/mcp#x", "https://u@a/mcp"]
        {
            assert!(ProtectedResource::new(url).is_err(), "{url:?}");
        }
        let resource = ProtectedResource::new("https://a.example/mcp").unwrap();
        assert!(resource.with_authorization_servers(vec!["not a URL".to_owned()]).is_err());
    }

    #[test]
    fn the_document_has_the_names_of_the_rfc() {
        let scopes = [Permission::parse("tools:call").unwrap()];
        let resource = ProtectedResource::new("https://a.example/mcp").unwrap().with_scopes(scopes);
        let resource =
            resource.with_authorization_servers(vec!["https://idp.example/acme".to_owned()]).unwrap();
        let expected = serde_json::json!({
            "resource": "https://a.example/mcp", "authorization_servers": ["https://idp.example/acme"],
            "scopes_supported": ["tools:call"], "bearer_methods_supported": ["header"],
        });
        assert_eq!(serde_json::to_value(resource).unwrap(), expected);
    }
}
