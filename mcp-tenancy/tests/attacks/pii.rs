//! ReDoS: texts made to keep whoever searches them busy.

use std::sync::Arc;

use mcp_core::{
    ErrorKind, Scope,
    redact::{LogRedactor as _, Redactor as _},
};
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

/// A bit of everything that is looked for, and of what stands around it.
const EVERYTHING: &str = "Authorization: Bearer eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2ln token Basic dXNlcjpwYXNz \
    password='pa ss' {\"client_secret\":\"correct horse\"} postgres://app:s3cret@db/x ghp_a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2a1B2 \
    -----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY----- ada@sub.example.co.uk 名前@例え.テスト +1 (415) 555-2671 \
    +49 30 901820 4111 1111 1111 1111 GB29 NWBK 6016 1331 9268 19 078-05-1120 192.168.0.1 2001:db8::ff00:42:8329 é";

/// Whoever picks where a text is cut must not stop the search: it runs in the log of every request.
#[test]
fn no_cut_of_a_text_breaks_the_search() {
    let policies = Arc::new(PiiPolicies::new(PiiPolicy::all(PiiAction::Mask)));
    let redactor = PiiRedactor::new(policies, PiiKey::ephemeral().unwrap());
    let scope = Scope::new(tenant("acme"), Arc::new(principal("user-1")));
    let cuts: Vec<_> = EVERYTHING.char_indices().map(|(at, _)| at).collect();
    for at in &cuts {
        for part in [&EVERYTHING[..*at], &EVERYTHING[*at..]] {
            redactor.redact(&scope, part).unwrap();
            let json = serde_json::json!({ "message": part, "fields": [part] }).to_string();
            redactor.redact_json(&scope, &json).unwrap();
            assert!(!redactor.redact_line(&json).contains("withheld"), "{part}");
        }
    }
    let words: Vec<&str> = EVERYTHING.split(' ').collect();
    for pair in words.windows(2) {
        for part in [pair[0], pair[1], &pair.join(" ")] {
            redactor.redact(&scope, part).unwrap();
        }
    }
}

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
