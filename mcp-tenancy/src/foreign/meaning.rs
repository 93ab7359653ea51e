//! What the claims of a token that is genuine mean here: for which tenant, as whom, until when.

use std::sync::Arc;

use mcp_core::{
    Result,
    clock::Timestamp,
    scope::{Principal, PrincipalId, PrincipalKind, TenantId},
};
use serde_json::Value;

use super::parse::Members;
use crate::{
    auth::{Identity, TokenFacts, refused},
    issuer::{ClaimMapping, Issuer},
    revocation::MAX_TOKEN_ID_LEN,
};

/// Whether the token is for one of the issuer's audiences (RFC 8707): `aud` is a string or an array of strings.
pub(super) fn is_for(issuer: &Issuer, claims: &Members) -> Result<bool> {
    let wanted = |text: &str| issuer.spec.audiences.contains(text);
    match claims.0.get("aud") {
        Some(Value::String(one)) => Ok(wanted(one)),
        Some(Value::Array(many)) => {
            let texts = many.iter().map(Value::as_str).collect::<Option<Vec<_>>>();
            Ok(texts.ok_or_else(|| refused("an audience of a wrong type"))?.into_iter().any(wanted))
        }
        Some(_) => Err(refused("an audience of a wrong type")),
        None => Ok(false),
    }
}

/// The tenant the token is for: the issuer's own, with which the claim must agree, or the one the claim names.
pub(super) fn tenant(issuer: &Issuer, claims: &Members) -> Result<TenantId> {
    let named = match &issuer.spec.claims.tenant {
        None => None,
        Some(claim) => match ClaimMapping::find(&claims.0, claim) {
            Some(Value::String(text)) => {
                Some(TenantId::parse(text).map_err(|_| refused("a tenant claim that names no tenant"))?)
            }
            _ => return Err(refused("no tenant claim, or one of a wrong type")),
        },
    };
    match (&issuer.spec.tenant, named) {
        (Some(own), None) => Ok(own.clone()),
        (Some(own), Some(named)) if *own == named => Ok(named),
        (Some(_), Some(_)) => Err(refused("issuer and tenant claim that disagree")),
        (None, Some(named)) => Ok(named),
        (None, None) => Err(refused("no tenant claim, or one of a wrong type")),
    }
}

/// What a genuine token of `issuer` says. `digest` names a token that has no id.
pub(super) fn of(issuer: &Issuer, claims: &Members, digest: &str) -> Result<(TokenFacts, Identity)> {
    if !is_for(issuer, claims)? {
        return Err(refused("a token for another audience"));
    }
    // A token bound to a key or certificate is worth nothing without the proof, which nobody asks for here.
    if claims.0.contains_key("cnf") {
        return Err(refused("a token that is no bearer token"));
    }
    let tenant = tenant(issuer, claims)?;
    let mapping = &issuer.spec.claims;
    let subject = match ClaimMapping::find(&claims.0, &mapping.subject) {
        Some(Value::String(subject)) if !subject.is_empty() => subject.as_str(),
        _ => return Err(refused("no subject, or one that is empty or of a wrong type")),
    };
    let id = PrincipalId::parse(&format!("{}:{subject}", issuer.id))
        .map_err(|_| refused("a subject that is too long or has blanks"))?;
    let permissions = mapping
        .permissions(&claims.0)
        .map_err(|_| refused("permission claims of a wrong type, or too many"))?;
    // A client that acts for itself is its own subject (RFC 9068 §2.2).
    let kind = match claims.text("client_id")? {
        Some(client) if client == subject => PrincipalKind::Service,
        _ => PrincipalKind::User,
    };
    let token_id = claims.text("jti")?;
    if token_id.is_some_and(|id| id.is_empty() || id.len() > MAX_TOKEN_ID_LEN) {
        return Err(refused("a token id that is empty or too long"));
    }
    let named = token_id.filter(|id| id.bytes().all(|b| b.is_ascii_graphic())).unwrap_or(digest);
    let facts = TokenFacts {
        tenant: tenant.clone(),
        issuer: issuer.spec.url.as_str().into(),
        id: token_id.map(Arc::from),
        issued_at: claims.seconds("iat")?,
        not_before: claims.seconds("nbf")?,
        expires_at: claims.seconds("exp")?,
    };
    let identity = Identity {
        tenant,
        principal: Arc::new(Principal { id, kind, permissions }),
        credential: format!("token/{}/{named}", issuer.id).into(),
        expires_at: facts.expires_at.map(|exp| Timestamp::from_micros(exp.saturating_mul(1_000_000))),
    };
    Ok((facts, identity))
}
