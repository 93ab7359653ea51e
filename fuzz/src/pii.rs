//! Texts searched for personal data: whoever writes one decides where it ends, what stands beside what, and how much
//! work the search is.

use std::sync::{Arc, LazyLock};

use mcp_core::{
    Scope,
    redact::{LogRedactor as _, Placeholders, Redactor as _},
};
use mcp_tenancy::pii::{MOST_STEPS_PER_BYTE, PiiAction, PiiKey, PiiPolicies, PiiPolicy, PiiRedactor, steps};

use crate::world::{acme, principal};

static MASKING: LazyLock<PiiRedactor> = LazyLock::new(|| {
    let policies = Arc::new(PiiPolicies::new(PiiPolicy::all(PiiAction::Mask)));
    PiiRedactor::new(policies, PiiKey::ephemeral().unwrap())
});
static SCOPE: LazyLock<Scope> = LazyLock::new(|| Scope::new(acme(), Arc::new(principal())));

/// The text, as itself, as a log line, and as JSON where it is some.
///
/// # Panics
/// When the search is not linear, what was masked is masked once more or does not come back, or JSON is none after.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let most = MOST_STEPS_PER_BYTE * (text.len() as u64 + 1);
    assert!(steps(&text) <= most, "{} steps for {} bytes", steps(&text), text.len());
    let masked = MASKING.redact(&SCOPE, &text).unwrap().text;
    let again = MASKING.redact(&SCOPE, &masked).unwrap();
    assert!(again.spans.is_empty(), "{text:?} -> {masked:?} -> {:?}", again.text);
    let mut placeholders = Placeholders::new().unwrap();
    // Refused where there are more values than places for them.
    if let Ok(reversible) = MASKING.redact_reversibly(&SCOPE, &text, &mut placeholders) {
        assert_eq!(placeholders.restore(&reversible.text), text, "{:?}", reversible.text);
    }
    std::hint::black_box(MASKING.redact_line(&text));
    let json = MASKING.redact_json(&SCOPE, &text);
    if serde_json::from_str::<serde_json::Value>(&text).is_ok()
        && let Ok(json) = json
    {
        serde_json::from_str::<serde_json::Value>(&json.text)
            .unwrap_or_else(|error| panic!("{text:?} -> {:?}: {error}", json.text));
    }
}
