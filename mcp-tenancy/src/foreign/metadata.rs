//! An issuer's metadata: OpenID Connect Discovery, and RFC 8414.

use mcp_core::Result;
use serde::Deserialize;

use super::fetch::{Endpoint, Fetch, broken};

/// What is read of an issuer's metadata.
#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    issuer: String,
    pub(super) jwks_uri: Option<String>,
    pub(super) introspection_endpoint: Option<String>,
}

/// Reads the metadata of `issuer`, which must be of that issuer, letter by letter.
pub(super) async fn discover(fetch: &Fetch, issuer: &Endpoint) -> Result<Metadata> {
    for url in places(&issuer.url) {
        let Some((body, _)) = fetch.get(&Endpoint { url, private: issuer.private }).await? else { continue };
        let metadata: Metadata =
            serde_json::from_slice(&body).map_err(|_| broken("its metadata cannot be read"))?;
        if metadata.issuer != issuer.url {
            return Err(broken("its metadata is of another issuer"));
        }
        return Ok(metadata);
    }
    Err(broken("it has no metadata; declare where its endpoints are"))
}

/// Where metadata may be, in the order in which it is looked for.
fn places(issuer: &str) -> [String; 2] {
    let issuer = issuer.trim_end_matches('/');
    let host_end = issuer.find("://").map_or(0, |at| at + 3);
    let path_at = issuer[host_end..].find('/').map_or(issuer.len(), |at| host_end + at);
    let (host, path) = issuer.split_at(path_at);
    [
        format!("{issuer}/.well-known/openid-configuration"),
        format!("{host}/.well-known/oauth-authorization-server{path}"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_where_the_two_standards_say() {
        assert_eq!(
            places("https://login.example/realms/a/"),
            [
                "https://login.example/realms/a/.well-known/openid-configuration",
                "https://login.example/.well-known/oauth-authorization-server/realms/a",
            ]
        );
        assert_eq!(
            places("https://login.example"),
            [
                "https://login.example/.well-known/openid-configuration",
                "https://login.example/.well-known/oauth-authorization-server",
            ]
        );
    }

    #[test]
    fn what_a_document_names_is_private_only_at_the_issuer_s_own_host() {
        let issuer = Endpoint { url: "http://10.0.0.7:8080/a".to_owned(), private: true };
        let at = |url: &str| Endpoint::discovered(url, &issuer).map(|endpoint| endpoint.private);
        assert!(at("http://10.0.0.7:8080/keys").unwrap());
        assert!(!at("https://10.0.0.8/keys").unwrap(), "another host of the private network");
        assert!(!at("https://10.0.0.7:8080/keys").unwrap(), "another scheme");
        assert!(at("http://169.254.169.254/keys").is_err());
        assert!(at("file:///etc/passwd").is_err());
    }
}
