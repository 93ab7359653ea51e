//! Tenants declared in a YAML file: a Kubernetes `ConfigMap` with `routing.yaml` in it, or that map bare.

use std::collections::{BTreeMap, BTreeSet};

use mcp_core::{Error, Result, scope::TenantId, strict};
use serde::{Deserialize, de::IgnoredAny};
use serde_saphyr::Spanned;

use super::{Name, NewTenant, SchemaName, TenantLimits};

/// A tenant as a file declares it. What is left out takes the defaults of [`NewTenant`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredTenant {
    /// Name for people.
    pub name: String,
    /// Its database schema, for ever.
    #[serde(default)]
    pub schema: Option<SchemaName>,
    /// What it has been given.
    #[serde(default)]
    pub features: BTreeSet<Name>,
    /// How much it may use.
    #[serde(default)]
    pub limits: TenantLimits,
    /// Its tier.
    #[serde(default)]
    pub tier: Option<Name>,
    /// Where its data lives, for ever.
    #[serde(default)]
    pub region: Option<Name>,
    /// The organisation whose project it is, for ever.
    #[serde(default)]
    pub parent: Option<TenantId>,
}

impl DeclaredTenant {
    /// The tenant this declares under `id`.
    #[must_use]
    pub fn into_new(self, id: TenantId) -> NewTenant {
        let mut new = NewTenant::new(id, self.name);
        new.schema = self.schema.unwrap_or(new.schema);
        new.parent = self.parent;
        new.profile.features = self.features;
        new.profile.limits = self.limits;
        new.profile.tier = self.tier.unwrap_or(new.profile.tier);
        new.profile.region = self.region.unwrap_or(new.profile.region);
        new
    }
}

/// Reads the tenants that `text` declares; `file` names it in errors.
///
/// Either `tenants:` at the top, or a `ConfigMap` whose `data["routing.yaml"]` has it:
///
/// ```
/// let text = r#"
/// tenants:
///   tenant-123:
///     name: "Acme Corp"
///     features: ["ml_inference"]
///     limits: { requests_per_minute: 1000 }
/// "#;
/// let tenants = mcp_tenancy::tenant::declared_tenants("routing.yaml", text)?;
/// assert_eq!(tenants[0].profile.name, "Acme Corp");
/// # Ok::<(), mcp_core::Error>(())
/// ```
///
/// # Errors
/// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) with file, line and column, for an unknown key with
/// the nearest known one. Lines are those of the file, inside `routing.yaml: |` too.
pub fn declared_tenants(file: &str, text: &str) -> Result<Vec<NewTenant>> {
    let probe: Probe = strict::from_yaml(file, text)?;
    let declared = match probe.tenants {
        Some(_) => strict::from_yaml::<Tenants>(file, text)?,
        None => {
            let map: ConfigMap = strict::from_yaml(file, text)?;
            if map.kind != "ConfigMap" {
                return Err(Error::invalid_input(
                    "tenant.load",
                    format!(
                        "{file}: expected `kind: ConfigMap` or `tenants:` at the top, not `{}`",
                        map.kind
                    ),
                ));
            }
            strict::from_yaml::<Tenants>(file, &in_place(text, &map.data.routing))?
        }
    };
    let mut tenants: Vec<_> =
        declared.tenants.into_iter().map(|(id, declared)| declared.into_new(id)).collect();
    // Organisations first: a project can be created once its own is there.
    tenants.sort_by_key(|tenant| tenant.parent.is_some());
    for tenant in &tenants {
        tenant.validate().map_err(|error| {
            Error::invalid_input(
                "tenant.load",
                format!("{file}: tenant `{}`: {}", tenant.id, error.message()),
            )
        })?;
    }
    Ok(tenants)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tenants {
    tenants: BTreeMap<TenantId, DeclaredTenant>,
}

/// Tells the two forms apart.
#[derive(Deserialize)]
struct Probe {
    tenants: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigMap {
    #[serde(rename = "apiVersion")]
    #[expect(dead_code, reason = "required by Kubernetes; there is only one version")]
    api_version: String,
    kind: String,
    #[serde(default)]
    #[expect(dead_code, reason = "for Kubernetes alone")]
    metadata: Option<IgnoredAny>,
    #[serde(default)]
    #[expect(dead_code, reason = "for Kubernetes alone")]
    immutable: Option<bool>,
    data: Data,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    #[serde(rename = "routing.yaml")]
    routing: Spanned<String>,
}

/// The inner document at the lines it has in the outer one, so that errors name the operator's lines.
fn in_place(outer: &str, inner: &Spanned<String>) -> String {
    let first = usize::try_from(inner.referenced.line()).unwrap_or(1);
    let header = outer.lines().nth(first.saturating_sub(1)).unwrap_or_default().trim_end();
    let is_block = header.contains(['|', '>']);
    // A block begins on the line after its header and every line of it is indented alike.
    let blank = if is_block { first } else { first.saturating_sub(1) };
    let body = outer.lines().nth(blank).filter(|_| is_block).unwrap_or_default();
    let indent = " ".repeat(body.len() - body.trim_start_matches(' ').len());
    let mut text = "\n".repeat(blank);
    for line in inner.value.lines() {
        text.push_str(&indent);
        text.push_str(line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTING: &str = include_str!("../../tests/data/routing.yaml");

    #[test]
    fn the_config_map_loads_as_it_stands() {
        let tenants = declared_tenants("routing.yaml", ROUTING).unwrap();
        assert_eq!(tenants.len(), 2);
        let acme = &tenants[0];
        assert_eq!((acme.id.as_str(), acme.schema.as_str()), ("tenant-123", "tenant_123"));
        assert_eq!(acme.profile.name, "Acme Corp");
        let features: Vec<_> = acme.profile.features.iter().map(Name::as_str).collect();
        assert_eq!(features, ["advanced_analytics", "ml_inference"]);
        assert_eq!(acme.profile.limits.requests_per_minute.get(), 1000);
        assert_eq!(tenants[1].profile.limits.concurrent_contexts.get(), 50);
    }

    #[test]
    fn a_slip_of_the_keyboard_is_refused_at_its_line_in_the_outer_file() {
        let slipped = ROUTING.replace("concurrent_contexts: 50", "concurent_contexts: 50");
        let line = slipped.lines().position(|line| line.contains("concurent")).unwrap() + 1;
        let error = declared_tenants("routing.yaml", &slipped).unwrap_err();
        assert!(error.message().contains("did you mean `concurrent_contexts`"), "{error}");
        assert!(error.message().starts_with(&format!("routing.yaml:{line}:")), "line {line}: {error}");
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_its_place() {
        for (from, to) in [
            ("requests_per_minute: 1000", "requests_per_minute: 0"),
            ("requests_per_minute: 1000", "requests_per_minute: many"),
            ("schema: \"tenant_123\"", "schema: \"public\""),
            ("tenant-456:", "Tenant_456:"),
        ] {
            let changed = ROUTING.replace(from, to);
            let line = changed.lines().position(|line| line.contains(to)).unwrap() + 1;
            let message = declared_tenants("r.yaml", &changed).unwrap_err().message().to_owned();
            assert!(message.starts_with(&format!("r.yaml:{line}:")), "{to}: {message}");
        }
        for text in
            ["", "kind: Secret\napiVersion: v1\ndata: {routing.yaml: ''}\n", "tenant: {}\n", "tenants: 3\n"]
        {
            assert!(declared_tenants("r.yaml", text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_bare_map_loads_too() {
        let inner = "tenants:\n  acme:\n    name: Acme\n    tier: gold\n";
        let tenants = declared_tenants("t.yaml", inner).unwrap();
        assert_eq!(tenants[0].profile.tier.as_str(), "gold");
        assert_eq!(tenants[0].schema.as_str(), "acme");
        let family = "tenants:\n  a-project:\n    name: P\n    parent: org\n  org:\n    name: O\n";
        let ids = declared_tenants("t.yaml", family).unwrap();
        let ids: Vec<_> = ids.iter().map(|tenant| (tenant.id.as_str(), tenant.parent.is_some())).collect();
        assert_eq!(ids, [("org", false), ("a-project", true)], "an organisation comes before its projects");
        let twice = "tenants:\n  acme:\n    name: A\n  acme:\n    name: B\n";
        assert!(declared_tenants("t.yaml", twice).is_err(), "a tenant declared twice was accepted");
    }
}
