//! How names and ids look in an OpenAPI document.

use crate::{issuer::IssuerId, key::KeyId, quota::QuotaSubject, role::RoleName, tenant::Name};

mcp_core::text_schema! {
    KeyId: "^[0-9a-f]{24}$", 24, "0123456789abcdef01234567", "Names a key; the middle part of its text.";
    IssuerId: "^[a-z0-9-]+$", 32, "okta", "Names an issuer; begins the ids of its principals.";
    RoleName: "^[a-z0-9_-]+$", 64, "editor", "A role's name, unique within its tenant.";
    QuotaSubject: "^(tenant|each_principal|principal/[!-~]+)$", 138, "tenant", "Whose use a quota counts.";
    Name: "^[a-z0-9._-]+$", 64, "ml_inference", "The name of a tier, a region or a feature.";
}
