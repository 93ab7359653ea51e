//! `mcpctl issuers …`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use super::whose::Whose;
use crate::{
    client::{Ask, Client},
    failure::{Failure, Result},
    output::{self, Column},
};

/// Longest file with a declaration or a secret that is read.
const MAX_FILE: u64 = 64 * 1024;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List issuers: all of them with an operator's key, those of --tenant, else the tenant's own.
    List {
        #[command(flatten)]
        whose: Whose,
    },
    /// Declare an identity provider, whose tokens are taken from then on.
    Add(Box<Add>),
    /// Show one issuer.
    Show {
        /// The issuer's id.
        #[arg(value_name = "ISSUER")]
        id: String,
    },
    /// Remove an issuer: its tokens are refused within a second.
    Remove {
        /// The issuer's id.
        #[arg(value_name = "ISSUER")]
        id: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    /// Its URL, the `iss` of its tokens, letter by letter.
    #[arg(value_name = "URL")]
    issuer_url: String,
    /// Its id, with an operator's key: 1 to 32 of a-z, 0-9 and '-'. That of a tenant's issuer is made up.
    #[arg(long)]
    id: Option<String>,
    #[command(flatten)]
    whose: Whose,
    /// A resource its tokens may be for; may be given several times. An operator names one at least, a tenant's default
    /// is the platform's MCP endpoint.
    #[arg(long = "audience", value_name = "URL")]
    audiences: Vec<String>,
    /// The claim that names the tenant; an issuer that all tenants share has one.
    #[arg(long, value_name = "CLAIM")]
    tenant_claim: Option<String>,
    /// The claim that names the principal.
    #[arg(long, default_value = "sub", value_name = "CLAIM")]
    subject_claim: String,
    /// A claim whose values are permissions; may be given several times.
    #[arg(long = "permissions-claim", default_value = "scope", value_name = "CLAIM")]
    permissions_claims: Vec<String>,
    /// A value of those claims and what it gives, as in admin=tools:*; may be given several times.
    #[arg(long = "grant", value_name = "VALUE=PERMISSION", value_parser = grant)]
    grants: Vec<(String, String)>,
    /// The most that it can give; may be given several times. Everything within the tenant without it.
    #[arg(long = "ceiling", value_name = "PERMISSION")]
    ceiling: Vec<String>,
    /// Where its keys are; where its metadata says without it.
    #[arg(long, value_name = "URL", conflicts_with = "client_id")]
    jwks_uri: Option<String>,
    /// Take JWTs of type `JWT` too, not access tokens (`at+jwt`) alone.
    #[arg(long, conflicts_with = "client_id")]
    any_jwt: bool,
    /// Ask the issuer about each token (RFC 7662), as this client.
    #[arg(long, value_name = "ID", requires = "client_secret_file")]
    client_id: Option<String>,
    /// File with that client's secret.
    #[arg(long, value_name = "FILE", requires = "client_id")]
    client_secret_file: Option<PathBuf>,
    /// Where to ask; where its metadata says without it.
    #[arg(long, value_name = "URL", requires = "client_id")]
    introspection_endpoint: Option<String>,
    /// It may be at a private address, without TLS too; with an operator's key.
    #[arg(long)]
    private_addresses: bool,
    /// Makes trying again safe, with a tenant's key: the same key declares it once.
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

const COLUMNS: &[Column] = &[
    ("issuer", "id"),
    ("tenant", "spec.tenant"),
    ("url", "spec.url"),
    ("check", "spec.check.kind"),
    ("audiences", "spec.audiences"),
    ("ceiling", "spec.claims.ceiling"),
    ("version", "version"),
    ("updated", "updated_at"),
];

pub(crate) async fn run(command: Command, client: &Client, json: bool) -> Result<()> {
    let answer = match &command {
        Command::List { whose } if client.is_operator() && whose.named().is_none() => {
            client.list(&["operator", "issuers"], None).await?
        }
        Command::List { whose } => client.list(&whose.path(client, &["issuers"])?, None).await?,
        Command::Add(add) => client.send(add.ask(client)?).await?,
        Command::Show { id } => client.send(Ask::get(&path(client, id))).await?,
        Command::Remove { id } => client.send(Ask::new(Method::DELETE, &path(client, id))).await?,
    };
    output::show(&answer, COLUMNS, json);
    Ok(())
}

fn path<'a>(client: &Client, id: &'a str) -> Vec<&'a str> {
    if client.is_operator() { vec!["operator", "issuers", id] } else { vec!["issuers", id] }
}

impl Add {
    fn ask(&self, client: &Client) -> Result<Ask<'static>> {
        let mut body = json!({ "spec": self.spec() });
        if let Some(file) = &self.client_secret_file {
            body["secret"] = read(file)?.trim_end_matches(['\r', '\n']).into();
        }
        if client.is_operator() {
            let id = self.id.as_deref().ok_or_else(|| {
                Failure::Usage("an operator names the issuer: --id, as in --id okta".to_owned())
            })?;
            body["id"] = id.into();
            if let Some(tenant) = self.whose.named() {
                body["spec"]["tenant"] = tenant.into();
            }
            if self.private_addresses {
                body["spec"]["private_addresses"] = true.into();
            }
            return Ok(Ask::post(&["operator", "issuers"]).body(body));
        }
        if self.id.is_some() || self.whose.named().is_some() || self.private_addresses {
            return Err(Failure::Usage(
                "--id, --tenant and --private-addresses take an operator's key".to_owned(),
            ));
        }
        let mut ask = Ask::post(&["issuers"]).body(body);
        ask.idempotency_key.clone_from(&self.idempotency_key);
        Ok(ask)
    }

    fn spec(&self) -> Value {
        let check = match &self.client_id {
            Some(id) => json!({
                "kind": "introspection", "client_id": id, "endpoint": self.introspection_endpoint,
            }),
            None => {
                let types: &[&str] = if self.any_jwt { &["at+jwt", "JWT"] } else { &["at+jwt"] };
                let mut check = json!({ "kind": "jwt", "types": types });
                if let Some(url) = &self.jwks_uri {
                    check["keys"] = json!({ "jwks_uri": url });
                }
                check
            }
        };
        let mut claims = json!({
            "tenant": self.tenant_claim, "subject": self.subject_claim, "permissions": self.permissions_claims,
        });
        for (value, permission) in &self.grants {
            match &mut claims["grants"][value] {
                Value::Array(granted) => granted.push(permission.as_str().into()),
                none => *none = json!([permission]),
            }
        }
        if !self.ceiling.is_empty() {
            claims["ceiling"] = json!(self.ceiling);
        }
        json!({ "url": self.issuer_url, "audiences": self.audiences, "check": check, "claims": claims })
    }
}

/// `admin=tools:*`.
fn grant(text: &str) -> Result<(String, String), String> {
    let parts =
        text.split_once('=').filter(|(value, permission)| !value.is_empty() && !permission.is_empty());
    let (value, permission) = parts.ok_or("must be VALUE=PERMISSION, as in admin=tools:*")?;
    Ok((value.to_owned(), permission.to_owned()))
}

fn read(file: &PathBuf) -> Result<String> {
    let refused =
        |why: String| Failure::Usage(format!("cannot read the secret in {}: {why}", file.display()));
    let size = std::fs::metadata(file).map_err(|error| refused(error.to_string()))?.len();
    if size > MAX_FILE {
        return Err(refused("the file is too long to be a secret".to_owned()));
    }
    std::fs::read_to_string(file).map_err(|error| refused(error.to_string()))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        add: Add,
    }

    fn spec(arguments: &[&str]) -> Value {
        let line = [&["add", "https://login.example"], arguments].concat();
        Line::try_parse_from(line).unwrap().add.spec()
    }

    #[test]
    fn what_is_said_of_an_issuer_is_its_declaration() {
        assert_eq!(
            spec(&["--grant", "admin=tools:*", "--grant", "admin=audit:read", "--ceiling", "tools:*"]),
            json!({
                "url": "https://login.example", "audiences": [],
                "check": { "kind": "jwt", "types": ["at+jwt"] },
                "claims": {
                    "tenant": null, "subject": "sub", "permissions": ["scope"],
                    "grants": { "admin": ["tools:*", "audit:read"] }, "ceiling": ["tools:*"],
                },
            })
        );
        let elsewhere = spec(&["--jwks-uri", "https://login.example/keys", "--any-jwt"]);
        assert_eq!(elsewhere["check"]["keys"], json!({ "jwks_uri": "https://login.example/keys" }));
        assert_eq!(elsewhere["check"]["types"], json!(["at+jwt", "JWT"]));
        let asked = spec(&["--client-id", "platform", "--client-secret-file", "secret"]);
        assert_eq!(
            asked["check"],
            json!({ "kind": "introspection", "client_id": "platform", "endpoint": null })
        );
        for bad in [&["--client-id", "platform"][..], &["--grant", "admin"], &["--grant", "=tools:*"]] {
            let line = [&["add", "https://login.example"], bad].concat();
            assert!(Line::try_parse_from(line).is_err(), "{bad:?}");
        }
    }
}
