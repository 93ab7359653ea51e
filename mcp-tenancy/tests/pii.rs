//! What becomes of personal data and secrets in texts, JSON and log lines.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{borrow::Cow, sync::Arc};

use mcp_core::{
    ErrorKind, Scope,
    redact::{LogRedactor as _, PiiKind, Placeholders, Redactor as _},
    scope::{Permissions, Principal, PrincipalId, PrincipalKind, TenantId},
};
use mcp_tenancy::pii::{MAX_TEXT_BYTES, PiiAction, PiiKey, PiiPolicies, PiiPolicy, PiiRedactor};
use proptest::prelude::*;
use serde_json::{Value, json};

const ORDINARY: &str = include_str!("data/pii/ordinary.txt");
const PERSONAL: &str = include_str!("data/pii/personal.txt");

fn scope(tenant: &str) -> Scope {
    let principal = Principal {
        id: PrincipalId::parse("u1").unwrap(),
        kind: PrincipalKind::User,
        permissions: Permissions::default(),
    };
    Scope::new(TenantId::parse(tenant).unwrap(), Arc::new(principal))
}

fn redactor(policy: PiiPolicy) -> PiiRedactor {
    PiiRedactor::new(Arc::new(PiiPolicies::new(policy)), PiiKey::ephemeral().unwrap())
}

fn masking() -> PiiRedactor {
    redactor(PiiPolicy::default())
}

#[test]
fn no_ordinary_number_is_masked() {
    for line in ORDINARY.lines() {
        let redacted = masking().redact(&scope("acme"), line).unwrap();
        assert!(matches!(redacted.text, Cow::Borrowed(_)), "{line}\n{}", redacted.text);
    }
}

#[test]
fn every_personal_thing_is_masked_and_nothing_around_it() {
    for line in PERSONAL.lines() {
        let mut fields = line.split('\t');
        let (kind, text, value) = (fields.next().unwrap(), fields.next().unwrap(), fields.next().unwrap());
        let redacted = masking().redact(&scope("acme"), text).unwrap();
        assert_eq!(redacted.text, text.replace(value, &format!("[{kind}]")), "{text}");
        let [span] = redacted.spans[..] else { panic!("{text}: {:?}", redacted.spans) };
        assert_eq!((span.kind.as_str(), &text[span.start..span.end]), (kind, value));
    }
}

#[test]
fn each_tenant_has_its_policy_and_hashes_of_two_tenants_do_not_correlate() {
    let policies = Arc::new(PiiPolicies::new(PiiPolicy::all(PiiAction::Hash)));
    let redactor = PiiRedactor::new(policies.clone(), PiiKey::ephemeral().unwrap());
    let hash = |tenant: &str, text: &str| redactor.redact(&scope(tenant), text).unwrap().text.into_owned();
    let acme = hash("acme", "Ada@Example.com");
    assert!(acme.starts_with("[email_") && !acme.contains('@'), "{acme}");
    assert_eq!(hash("acme", "ada@example.com"), acme, "equal values of one tenant are equal");
    assert_ne!(hash("beta", "ada@example.com"), acme, "equal values of two tenants are not");
    assert_ne!(hash("acme", "bob@example.com"), acme);
    assert_eq!(hash("acme", "4111-1111-1111-1111"), hash("acme", "4111111111111111"));

    let beta = TenantId::parse("beta").unwrap();
    policies
        .set(beta.clone(), PiiPolicy { card: PiiAction::Refuse, ..PiiPolicy::all(PiiAction::Allow) })
        .unwrap();
    assert_eq!(hash("beta", "ada@example.com"), "ada@example.com");
    let error = redactor.redact(&scope("beta"), "pay 4111111111111111").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.message().contains("card") && !format!("{error:?}").contains("4111"), "{error:?}");
    policies.remove(&beta);
    assert!(hash("beta", "ada@example.com").starts_with("[email_"));
}

#[test]
fn policies_are_data_and_unknown_kinds_and_actions_are_refused() {
    let read: PiiPolicy = serde_json::from_str(r#"{"card":"refuse","email":"hash"}"#).unwrap();
    assert_eq!((read.card, read.email, read.iban), (PiiAction::Refuse, PiiAction::Hash, PiiAction::Mask));
    assert!(serde_json::from_str::<PiiPolicy>(r#"{"cards":"refuse"}"#).is_err());
    assert!(serde_json::from_str::<PiiPolicy>(r#"{"card":"ignore"}"#).is_err());
}

#[test]
fn json_keeps_every_byte_that_is_not_replaced() {
    let json = r#" { "a" : 1.50 , "to":"ada@example.com","n":[4111111111111111, 12e3,-7] ,
        "esc":"x\nada@example.com\u00e9","password":"two words","ada@example.com":1,"bob@example.com":2,
        "nested":{"api_key":"k","note":"\/ stays"}, "max_tokens":4096 }"#;
    let redacted = masking().redact_json(&scope("acme"), json).unwrap();
    let expected = r#" { "a" : 1.50 , "to":"[email]","n":["[card]", 12e3,-7] ,
        "esc":"x\n[email]","password":"[secret]","[email]":1,"[email]_2":2,
        "nested":{"api_key":"[secret]","note":"\/ stays"}, "max_tokens":4096 }"#;
    // The letter behind the address is part of its last label.
    assert_eq!(redacted.text, expected);
    let first = redacted.spans[0];
    assert_eq!(&json[first.start..first.end], "ada@example.com");
    let again = masking().redact_json(&scope("acme"), &redacted.text).unwrap();
    assert!(matches!(again.text, Cow::Borrowed(_)), "{}", again.text);

    let untouched = r#"{"z":1,"a":[ ]}"#;
    assert!(matches!(masking().redact_json(&scope("acme"), untouched).unwrap().text, Cow::Borrowed(_)));
    assert_eq!(masking().redact_json(&scope("acme"), "{oops").unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn values_are_redacted_in_place_however_deep_they_are() {
    let mut value = json!({
        "content": [{ "type": "text", "text": "call +49 30 1234567" }],
        "card": 4111111111111111_u64, "pi": 3.5, "clientSecret": "x", "ada@example.com": null, "b@example.com": 1,
    });
    let kinds = masking().redact_value(&scope("acme"), &mut value).unwrap();
    assert_eq!(value["content"][0]["text"], "call [phone]");
    assert_eq!(
        (&value["card"], &value["pi"], &value["clientSecret"]),
        (&json!("[card]"), &json!(3.5), &json!("[secret]"))
    );
    assert!(value.get("[email]").is_some() && value.get("[email]_2").is_some(), "{value}");
    assert_eq!(kinds.len(), 5, "{kinds:?}");
    assert!(masking().redact_value(&scope("acme"), &mut value).unwrap().is_empty(), "{value}");

    let mut deep = json!("ada@example.com");
    for _ in 0..100_000 {
        deep = Value::Array(vec![deep]);
    }
    assert_eq!(masking().redact_value(&scope("acme"), &mut deep).unwrap(), [PiiKind::Email]);
    // Dropping it would recurse.
    while let Value::Array(inner) = &mut deep {
        deep = inner.pop().unwrap();
    }
    assert_eq!(deep, "[email]");
}

#[test]
fn what_was_masked_reversibly_comes_back_in_the_answer() {
    let (redactor, mut placeholders) = (masking(), Placeholders::new().unwrap());
    let prompt = "Ask ada@example.com, not bob@example.com; ada@example.com knows.";
    let masked = redactor.redact_reversibly(&scope("acme"), prompt, &mut placeholders).unwrap().text;
    assert!(!masked.contains('@') && masked.matches("[email_1_").count() == 2, "{masked}");
    let next =
        redactor.redact_reversibly(&scope("acme"), "bob@example.com?", &mut placeholders).unwrap().text;
    assert!(next.starts_with("[email_2_"), "{next}");
    assert_eq!(placeholders.restore(&masked), prompt);
    assert_eq!(placeholders.restore(&format!("I asked {next}")), "I asked bob@example.com?");
    let again = redactor.redact_reversibly(&scope("acme"), &masked, &mut placeholders).unwrap();
    assert!(again.spans.is_empty(), "{}", again.text);
}

#[test]
fn log_lines_of_both_formats_are_redacted_and_never_lost_as_a_whole() {
    let redactor = masking();
    let text = "INFO request{caller=ada@example.com}: login from 203.0.113.9 token=abc123\n";
    assert_eq!(
        redactor.redact_line(text),
        "INFO request{caller=[email]}: login from [ip_address] token=abc123\n",
        "a bare `token` may be a count"
    );
    let json = "{\"message\":\"x\\nada@example.com\",\"card\":4111111111111111}\n";
    assert_eq!(redactor.redact_line(json), "{\"message\":\"x\\n[email]\",\"card\":\"[card]\"}\n");
    assert_eq!(redactor.redact_line("{not json ada@example.com"), "{not json [email]");
    let long = "x".repeat(MAX_TEXT_BYTES + 1);
    assert!(redactor.redact_line(&long).contains("withheld"));
    let refusing = masking().with_log_policy(PiiPolicy::all(PiiAction::Refuse));
    let withheld = refusing.redact_line("ada@example.com");
    assert!(withheld.contains("withheld") && !withheld.contains("ada"), "{withheld}");
}

#[test]
fn a_text_over_the_limit_is_refused() {
    let long = "x".repeat(MAX_TEXT_BYTES + 1);
    assert_eq!(masking().redact(&scope("acme"), &long).unwrap_err().kind(), ErrorKind::TooLarge);
    assert_eq!(masking().redact_json(&scope("acme"), &long).unwrap_err().kind(), ErrorKind::TooLarge);
    let mut value = json!(["x".repeat(MAX_TEXT_BYTES / 2), "x".repeat(MAX_TEXT_BYTES / 2), "more"]);
    assert_eq!(masking().redact_value(&scope("acme"), &mut value).unwrap_err().kind(), ErrorKind::TooLarge);
}

/// Parts that personal things are made of, joined in ways that nobody would.
fn fragments() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("4111 1111 1111 1111".to_owned()),
        Just("ada@example.com".to_owned()),
        Just("+49 30 1234567".to_owned()),
        Just("DE89370400440532013000".to_owned()),
        Just("123-45-6789".to_owned()),
        Just("203.0.113.9".to_owned()),
        Just("2001:db8::1".to_owned()),
        Just("password=".to_owned()),
        Just("://a:b@".to_owned()),
        Just("-----BEGIN PRIVATE KEY-----".to_owned()),
        Just("eyJhbGciOiJFUzI1NiJ9.e30.x".to_owned()),
        "[-+@:./_ \\[\\]\"'0-9a-fé]{0,6}",
        "\\PC{0,4}",
    ];
    proptest::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn redacting_twice_is_redacting_once(text in fragments(), hash in any::<bool>()) {
        let redactor = redactor(PiiPolicy::all(if hash { PiiAction::Hash } else { PiiAction::Mask }));
        let once = redactor.redact(&scope("acme"), &text).unwrap();
        let twice = redactor.redact(&scope("acme"), &once.text).unwrap();
        prop_assert_eq!(&twice.text, &once.text);
        // What is outside of the spans is there, in order.
        let mut kept = 0;
        for span in &once.spans {
            prop_assert!(kept <= span.start && span.start < span.end && span.end <= text.len());
            prop_assert!(once.text.contains(&text[kept..span.start]));
            kept = span.end;
        }
        prop_assert!(once.text.ends_with(&text[kept..]));
    }

    #[test]
    fn json_stays_json_and_means_the_same_elsewhere(texts in proptest::collection::vec(fragments(), 1..4)) {
        let value = json!({ "texts": texts, "n": [1, 2.5, null], "deep": { "key": { "x": true } } });
        let written = value.to_string();
        let redacted = masking().redact_json(&scope("acme"), &written).unwrap();
        let read: Value = serde_json::from_str(&redacted.text).unwrap();
        let mut in_place = value.clone();
        masking().redact_value(&scope("acme"), &mut in_place).unwrap();
        prop_assert_eq!(read, in_place);
    }

    #[test]
    fn reversible_masking_restores_every_text(text in fragments()) {
        let mut placeholders = Placeholders::new().unwrap();
        let masked = masking().redact_reversibly(&scope("acme"), &text, &mut placeholders).unwrap().text;
        prop_assert_eq!(placeholders.restore(&masked), text.as_str());
    }

    #[test]
    fn no_text_makes_it_panic(
        text in any::<String>(),
        words in "((token|Bearer|basic|password=|AKIA|eyJ|://|-----BEGIN |@|é|1)[ .:]?){0,5}",
        json in "\\PC{0,40}",
    ) {
        let _ = masking().redact(&scope("acme"), &text).unwrap();
        let _ = masking().redact(&scope("acme"), &words).unwrap();
        let _ = masking().redact_json(&scope("acme"), &json);
    }
}
