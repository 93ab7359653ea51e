//! Tenants declared in YAML: what is read, written down again, declares the same tenants.

use std::fmt::Write as _;

use mcp_tenancy::tenant::{NewTenant, declared_tenants};

const FILE: &str = "tenants.yaml";

/// The bytes are the file.
///
/// # Panics
/// When what was read, written in its plainest form, does not read the same, or a refusal does not name the file.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match declared_tenants(FILE, text) {
        Ok(tenants) => {
            let plain = plain(&tenants);
            let again = declared_tenants(FILE, &plain);
            let again =
                again.unwrap_or_else(|error| panic!("{error}\nin what was written of {text:?}:\n{plain}"));
            assert_eq!(again, tenants, "of {text:?}");
        }
        Err(error) => assert!(error.message().starts_with(FILE), "{error}"),
    }
}

/// Every tenant with every setting, in flow style.
fn plain(tenants: &[NewTenant]) -> String {
    let mut text = "tenants: {".to_owned();
    for tenant in tenants {
        let profile = &tenant.profile;
        let features: Vec<_> = profile.features.iter().map(|feature| quoted(feature.as_str())).collect();
        let _ = write!(
            text,
            "{}: {{ name: {}, schema: {}, tier: {}, region: {}, features: [{}], \
             limits: {{ requests_per_minute: {}, concurrent_contexts: {} }} }}, ",
            quoted(tenant.id.as_str()),
            quoted(&profile.name),
            quoted(tenant.schema.as_str()),
            quoted(profile.tier.as_str()),
            quoted(profile.region.as_str()),
            features.join(", "),
            profile.limits.requests_per_minute,
            profile.limits.concurrent_contexts,
        );
    }
    text.push('}');
    text
}

/// A scalar in double quotes, every character but the plainest as its code point.
fn quoted(text: &str) -> String {
    let mut quoted = "\"".to_owned();
    for letter in text.chars() {
        match letter {
            'a'..='z' | 'A'..='Z' | '0'..='9' | ' ' | '-' | '_' => quoted.push(letter),
            other => drop(write!(quoted, "\\U{:08X}", u32::from(other))),
        }
    }
    quoted.push('"');
    quoted
}
