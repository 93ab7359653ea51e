//! Issuers as they are declared, stored and shown.

use std::collections::BTreeSet;

use mcp_core::{Error, Result, clock::Timestamp, scope::TenantId};
use serde::{Deserialize, Serialize};

use super::{ClaimMapping, IssuerId};

/// Longest URL of an issuer or of one of its endpoints, in bytes.
pub const MAX_URL_LEN: usize = 512;
/// Most issuers of one tenant, and most shared ones.
pub const MAX_ISSUERS: u32 = 32;
const MAX_AUDIENCES: usize = 16;

/// How an issuer's signatures are made. Only asymmetric ones: who can check a token must not be able to make one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
// The platform's own keys have a type of that name too, and a document has one schema a name.
#[cfg_attr(feature = "http-api", schema(as = IssuerAlgorithm))]
#[non_exhaustive]
pub enum SigningAlgorithm {
    /// RSA PKCS #1 v1.5 with SHA-256, keys of 2048 to 8192 bits.
    #[serde(rename = "RS256")]
    Rs256,
    /// RSA-PSS with SHA-256, keys of 2048 to 8192 bits.
    #[serde(rename = "PS256")]
    Ps256,
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl SigningAlgorithm {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Rs256, Self::Ps256, Self::Es256, Self::EdDsa];

    /// The name in the header of tokens, letter by letter.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// What a token's `typ` says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub enum TokenType {
    /// `at+jwt`, an access token (RFC 9068).
    #[serde(rename = "at+jwt")]
    AccessToken,
    /// `JWT`, which may be anything: the audience alone tells an access token from an ID token.
    #[serde(rename = "JWT")]
    Jwt,
}

/// Where an issuer's public keys are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub enum KeySource {
    /// Where its metadata says: `/.well-known/openid-configuration` behind its URL, else the place of RFC 8414.
    #[default]
    Discovery,
    /// At this URL.
    JwksUri(String),
}

/// How a token is checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub enum TokenCheck {
    /// A JWT, by the issuer's public keys.
    Jwt {
        /// Where the keys are. Default: where its metadata says.
        #[serde(default)]
        keys: KeySource,
        /// Which signatures are accepted, 1 or more. Default: all.
        #[serde(default = "all_algorithms")]
        algorithms: BTreeSet<SigningAlgorithm>,
        /// Which `typ` is accepted, 1 or more. Default `at+jwt` alone.
        #[serde(default = "access_tokens")]
        types: BTreeSet<TokenType>,
    },
    /// Any token, by asking the issuer about it (RFC 7662).
    Introspection {
        /// Where to ask. Default: where its metadata says.
        #[serde(default)]
        endpoint: Option<String>,
        /// As which client the platform asks; its secret is kept apart.
        client_id: String,
    },
}

impl TokenCheck {
    /// JWTs by keys where the metadata says, in every accepted algorithm, of type `at+jwt`.
    #[must_use]
    pub fn jwt() -> Self {
        Self::Jwt { keys: KeySource::Discovery, algorithms: all_algorithms(), types: access_tokens() }
    }

    /// Introspection where the metadata says.
    #[must_use]
    pub fn introspection(client_id: impl Into<String>) -> Self {
        Self::Introspection { endpoint: None, client_id: client_id.into() }
    }

    /// The name in the database.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Jwt { .. } => "jwt",
            Self::Introspection { .. } => "introspection",
        }
    }
}

fn all_algorithms() -> BTreeSet<SigningAlgorithm> {
    SigningAlgorithm::ALL.into()
}

fn access_tokens() -> BTreeSet<TokenType> {
    [TokenType::AccessToken].into()
}

/// An issuer as it is declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub struct IssuerSpec {
    /// Its URL, the `iss` of its tokens, letter by letter: a slash more at the end is another issuer. It has no
    /// query, fragment or user, and is `https` unless `private_addresses` is set.
    pub url: String,
    /// The tenant it speaks for; `None` is a shared issuer, whose tokens name their tenant.
    #[serde(default)]
    pub tenant: Option<TenantId>,
    /// The resources (RFC 8707) its tokens may be for, 1 to 16; a token must be for one of them.
    pub audiences: BTreeSet<String>,
    /// How its tokens are checked.
    pub check: TokenCheck,
    /// What the claims of its tokens mean. Default: [`ClaimMapping::default`].
    #[serde(default)]
    pub claims: ClaimMapping,
    /// Whether it may be at a loopback or private address, over plain HTTP too. Only an operator may say so, never
    /// a tenant. Default no.
    #[serde(default)]
    pub private_addresses: bool,
}

impl IssuerSpec {
    /// A tenant's own issuer of JWTs.
    #[must_use]
    pub fn of_tenant(tenant: TenantId, url: impl Into<String>, audience: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            tenant: Some(tenant),
            audiences: [audience.into()].into(),
            check: TokenCheck::jwt(),
            claims: ClaimMapping::default(),
            private_addresses: false,
        }
    }

    /// A shared issuer of JWTs whose claim `tenant_claim` names the tenant.
    #[must_use]
    pub fn shared(
        url: impl Into<String>,
        audience: impl Into<String>,
        tenant_claim: impl Into<String>,
    ) -> Self {
        let claims = ClaimMapping { tenant: Some(tenant_claim.into()), ..ClaimMapping::default() };
        Self {
            url: url.into(),
            tenant: None,
            audiences: [audience.into()].into(),
            check: TokenCheck::jwt(),
            claims,
            private_addresses: false,
        }
    }

    /// Checks what the types of the fields do not.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) that names the field.
    pub fn validate(&self) -> Result<()> {
        let endpoint = |field: &str, url: &str| {
            authority(url, self.private_addresses).err().map(|rule| format!("`{field}` {rule}"))
        };
        let is_audience = |text: &String| (1..=MAX_URL_LEN).contains(&text.len());
        let of_check = || match &self.check {
            TokenCheck::Jwt { algorithms, .. } if algorithms.is_empty() => {
                Some("`algorithms` must name at least one".to_owned())
            }
            TokenCheck::Jwt { types, .. } if types.is_empty() => {
                Some("`types` must name at least one".to_owned())
            }
            TokenCheck::Jwt { keys: KeySource::JwksUri(url), .. } => endpoint("jwks_uri", url),
            TokenCheck::Introspection { client_id, .. } if !(1..=256).contains(&client_id.len()) => {
                Some("`client_id` must have 1 to 256 bytes".to_owned())
            }
            TokenCheck::Introspection { endpoint: Some(url), .. } => endpoint("endpoint", url),
            TokenCheck::Jwt { .. } | TokenCheck::Introspection { .. } => None,
        };
        let complaint = endpoint("url", &self.url)
            .or_else(|| {
                let count = self.audiences.len();
                let ok = (1..=MAX_AUDIENCES).contains(&count) && self.audiences.iter().all(is_audience);
                (!ok).then(|| {
                    format!("`audiences` must hold 1 to {MAX_AUDIENCES}, of 1 to {MAX_URL_LEN} bytes each")
                })
            })
            .or_else(|| {
                let nameless = self.tenant.is_none() && self.claims.tenant.is_none();
                nameless.then(|| {
                    "`claims.tenant` must say which claim names the tenant, as the issuer is shared"
                        .to_owned()
                })
            })
            .or_else(of_check)
            .or_else(|| self.claims.complaint());
        complaint.map_or(Ok(()), |rule| Err(Error::invalid_input("issuer.put", rule)))
    }
}

/// Scheme and authority of an endpoint's URL; the error is the rule that it breaks.
pub(crate) fn authority(url: &str, private: bool) -> Result<(String, String), &'static str> {
    if url.len() > MAX_URL_LEN || !url.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("must have at most 512 printable ASCII characters");
    }
    if url.contains(['?', '#', '@', '\\']) {
        return Err("must have no query, fragment or user");
    }
    let uri: http::Uri = url.parse().map_err(|_| "must be a URL")?;
    match (uri.scheme_str(), uri.authority()) {
        (Some("https"), Some(host)) => Ok(("https".to_owned(), host.as_str().to_owned())),
        (Some("http"), Some(host)) if private => Ok(("http".to_owned(), host.as_str().to_owned())),
        _ => Err("must begin with `https://` (`http://` only with `private_addresses`)"),
    }
}

/// An issuer as it is stored and shown: everything but its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub struct Issuer {
    /// Its name here.
    pub id: IssuerId,
    /// What was declared.
    pub spec: IssuerSpec,
    /// Whether it was removed: then it is in no list, and its tokens are refused.
    #[serde(skip)]
    pub removed: bool,
    /// When it was declared first.
    pub created_at: Timestamp,
    /// When it changed last.
    pub updated_at: Timestamp,
    /// Grows by one with each change.
    pub version: i64,
    /// The place of its last change among the changes of all issuers.
    #[serde(skip)]
    pub revision: i64,
}

/// An issuer as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredIssuer {
    /// What lists show.
    pub issuer: Issuer,
    /// The client secret for introspection, sealed by the [`MasterKey`](mcp_core::key::MasterKey), bound to the id.
    pub sealed_secret: Option<Vec<u8>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(url: &str) -> IssuerSpec {
        IssuerSpec::of_tenant(TenantId::parse("acme").unwrap(), url, "https://mcp.example/mcp")
    }

    #[test]
    fn an_issuer_is_an_https_url_and_nothing_more() {
        for good in ["https://login.example", "https://login.example/", "https://login.example:8443/a/b"] {
            spec(good).validate().unwrap();
        }
        let long = format!("https://login.example/{}", "x".repeat(MAX_URL_LEN));
        for bad in [
            "",
            "login.example",
            "/path",
            "http://login.example",
            "ftp://login.example",
            "https://login.example?x",
            "https://login.example#x",
            "https://a@login.example",
            "https://login.example/\u{e9}",
            "https://login.example\\@evil.example",
            "https://",
            long.as_str(),
        ] {
            assert!(spec(bad).validate().is_err(), "{bad:?} was accepted");
        }
        let private = IssuerSpec { private_addresses: true, ..spec("http://127.0.0.1:4000") };
        private.validate().unwrap();
    }

    #[test]
    fn what_is_incomplete_is_refused_by_name() {
        let good = spec("https://login.example");
        let jwt = |keys, algorithms, types| IssuerSpec {
            check: TokenCheck::Jwt { keys, algorithms, types },
            ..good.clone()
        };
        let elsewhere = KeySource::JwksUri("http://login.example/jwks".to_owned());
        for (bad, field) in [
            (IssuerSpec { audiences: BTreeSet::new(), ..good.clone() }, "audiences"),
            (IssuerSpec { audiences: [String::new()].into(), ..good.clone() }, "audiences"),
            (IssuerSpec { tenant: None, ..good.clone() }, "claims.tenant"),
            (jwt(KeySource::Discovery, BTreeSet::new(), access_tokens()), "algorithms"),
            (jwt(KeySource::Discovery, all_algorithms(), BTreeSet::new()), "types"),
            (jwt(elsewhere, all_algorithms(), access_tokens()), "jwks_uri"),
            (IssuerSpec { check: TokenCheck::introspection(""), ..good.clone() }, "client_id"),
        ] {
            let error = bad.validate().unwrap_err();
            assert!(error.message().contains(field), "{error}");
        }
    }

    #[test]
    fn a_declaration_says_little_and_unknown_keys_are_refused() {
        let text = r#"{ "url": "https://login.example", "tenant": "acme",
            "audiences": ["https://mcp.example/mcp"], "check": { "kind": "jwt" } }"#;
        let parsed: IssuerSpec = serde_json::from_str(text).unwrap();
        assert_eq!(parsed, spec("https://login.example"));
        let round: IssuerSpec = serde_json::from_str(&serde_json::to_string(&parsed).unwrap()).unwrap();
        assert_eq!(round, parsed);
        for bad in [text.replace("\"tenant\"", "\"tenent\""), text.replace("\"jwt\"", "\"jwt\", \"alg\": 1")]
        {
            assert!(serde_json::from_str::<IssuerSpec>(&bad).is_err(), "{bad}");
        }
        let symmetric = text.replace("\"jwt\"", "\"jwt\", \"algorithms\": [\"HS256\"]");
        assert!(serde_json::from_str::<IssuerSpec>(&symmetric).is_err());
    }
}
