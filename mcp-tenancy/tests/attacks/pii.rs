//! ReDoS: texts made to keep whoever searches them busy.

use std::sync::Arc;

use mcp_core::{ErrorKind, Scope, redact::Redactor as _};
use mcp_tenancy::pii::{MAX_TEXT_BYTES, PiiAction, PiiKey, PiiPolicies, PiiPolicy, PiiRedactor, steps};

use super::support::{principal, tenant};

/// What each detector hopes for, over and over, and never gets; and what it gets over and over.
const BAITS: [&str; 26] = [
    "a",
    "@",
    "a@",
    "a.",
    "a@a.",
    "1",
    "1 ",
    "1-",
    "1.",
    "0-0-",
    "4111 ",
    "4111 1111 1111 1111 ",
    "+1",
    "+1 ",
    "(",
    "GB29 ",
    "GB29NWBK",
    "1:",
    ":",
    "::",
    "://",
    "://a:",
    "password=",
    "password:\"",
    "-----BEGIN ",
    "-----BEGIN PRIVATE KEY-----",
];

#[test]
fn redos_no_text_costs_more_than_its_length_and_too_long_ones_are_refused() {
    let policies = Arc::new(PiiPolicies::new(PiiPolicy::all(PiiAction::Mask)));
    let redactor = PiiRedactor::new(policies, PiiKey::ephemeral().unwrap());
    let scope = Scope::new(tenant("acme"), Arc::new(principal("user-1")));
    for bait in BAITS {
        for tail in ["", "é@y.zz!"] {
            let mut costs = Vec::new();
            for length in [500, 4_000, 16_000] {
                let text = format!("{}{tail}", bait.repeat(length / bait.len()));
                let cost = steps(&text) as f64 / text.len() as f64;
                assert!(
                    cost <= mcp_tenancy::pii::MOST_STEPS_PER_BYTE as f64,
                    "{bait:?}: {cost} steps a byte"
                );
                costs.push(cost);
                redactor.redact(&scope, &text).unwrap();
            }
            assert!(costs[2] <= costs[0] * 1.5 + 1.0, "{bait:?}{tail:?}: steps a byte grow: {costs:?}");
        }
    }
    let long = "1".repeat(MAX_TEXT_BYTES + 1);
    assert_eq!(redactor.redact(&scope, &long).unwrap_err().kind(), ErrorKind::TooLarge);
}
