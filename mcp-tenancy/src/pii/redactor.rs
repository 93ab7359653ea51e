//! The redactor: what was found, and what the tenant's policy says.

use std::{borrow::Cow, fmt, sync::Arc};

use aws_lc_rs::{hmac, rand};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use mcp_core::{
    Error, ErrorKind, Result, Scope,
    error::Detail,
    key::Secret,
    redact::{LogRedactor, PiiKind, PiiSpan, Placeholders, Redacted, Redactor},
};
use serde_json::Value;
use zeroize::Zeroize as _;

use super::{
    json,
    policy::{PiiAction, PiiPolicies, PiiPolicy},
    scan::Hit,
    settle::{is_placeholder, placeholder, settled},
};

/// The longest text that is redacted, in bytes. Longer ones are refused; a log line is withheld.
pub const MAX_TEXT_BYTES: usize = 1024 * 1024;

const KEY_LEN: usize = 32;
/// Stands for the tenant in hashes in log lines; no tenant can be called that.
const PLATFORM: &str = "platform";

/// What hashes are keyed with, for each tenant another. Cheap to clone; shows nothing in `Debug`.
#[derive(Clone)]
pub struct PiiKey(Arc<hmac::Key>);

impl PiiKey {
    /// A fresh key that is kept nowhere: hashes are equal for as long as the process lives.
    ///
    /// # Errors
    /// [`Internal`](mcp_core::ErrorKind::Internal) if the machine has no randomness.
    pub fn ephemeral() -> Result<Self> {
        let mut bytes = [0; KEY_LEN];
        rand::fill(&mut bytes).map_err(|_| Error::internal("pii.key", "the machine has no randomness"))?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
        bytes.zeroize();
        Ok(Self(Arc::new(key)))
    }

    /// The key written as standard base64 of 32 bytes, as it comes from a vault.
    ///
    /// # Errors
    /// [`InvalidInput`](mcp_core::ErrorKind::InvalidInput) if it is not that; the text is not repeated.
    pub fn from_base64(text: &Secret<String>) -> Result<Self> {
        let malformed =
            || Error::invalid_input("pii.key", "a key for hashes is the base64 of exactly 32 bytes");
        let mut bytes = STANDARD.decode(text.expose().trim()).map_err(|_| malformed())?;
        let key = (bytes.len() == KEY_LEN).then(|| hmac::Key::new(hmac::HMAC_SHA256, &bytes));
        bytes.zeroize();
        key.map(|key| Self(Arc::new(key))).ok_or_else(malformed)
    }

    /// 64 bits of a digest that only this tenant's equal values share, in letters that look like no number.
    fn digest(&self, tenant: &str, kind: PiiKind, value: &str) -> String {
        let of_tenant = hmac::sign(&self.0, format!("mcp-pii-1\0{tenant}").as_bytes());
        let key = hmac::Key::new(hmac::HMAC_SHA256, of_tenant.as_ref());
        let tag = hmac::sign(&key, format!("{kind}\0{}", normal(kind, value)).as_bytes());
        let half = |half: u8| char::from(b'a' + half);
        tag.as_ref()[..8].iter().flat_map(|byte| [half(byte >> 4), half(byte & 15)]).collect()
    }
}

impl fmt::Debug for PiiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PiiKey(…)")
    }
}

/// The form in which equal values are equal, however they are written.
fn normal(kind: PiiKind, value: &str) -> String {
    match kind {
        PiiKind::Secret => value.to_owned(),
        PiiKind::Email | PiiKind::IpAddress => value.to_lowercase(),
        _ => value.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_uppercase(),
    }
}

/// Redacts by the policies of tenants. It keeps no text and waits for nothing, but it takes time in proportion to the
/// text: give it large ones off the threads that serve others.
#[derive(Debug)]
pub struct PiiRedactor {
    policies: Arc<PiiPolicies>,
    key: PiiKey,
    of_logs: PiiPolicy,
}

impl PiiRedactor {
    /// A redactor that masks everything in log lines.
    #[must_use]
    pub fn new(policies: Arc<PiiPolicies>, key: PiiKey) -> Self {
        Self { policies, key, of_logs: PiiPolicy::default() }
    }

    /// Another policy for log lines; where it refuses, the line is withheld.
    #[must_use]
    pub fn with_log_policy(mut self, policy: PiiPolicy) -> Self {
        self.of_logs = policy;
        self
    }

    fn work<'a>(&'a self, policy: &'a PiiPolicy, tenant: &'a str) -> Work<'a> {
        Work { key: &self.key, policy, tenant, placeholders: None }
    }
}

impl Redactor for PiiRedactor {
    fn redact<'t>(&self, scope: &Scope, text: &'t str) -> Result<Redacted<'t>> {
        let policy = self.policies.of(scope.tenant());
        self.work(&policy, scope.tenant().as_str()).text(text)
    }

    fn redact_json<'t>(&self, scope: &Scope, json: &'t str) -> Result<Redacted<'t>> {
        let policy = self.policies.of(scope.tenant());
        self.work(&policy, scope.tenant().as_str()).json(json)
    }

    fn redact_value(&self, scope: &Scope, value: &mut Value) -> Result<Vec<PiiKind>> {
        let policy = self.policies.of(scope.tenant());
        let mut work = self.work(&policy, scope.tenant().as_str());
        let mut left = MAX_TEXT_BYTES;
        json::rewrite_value(value, &mut |text, secret| {
            left = left.checked_sub(text.len()).ok_or_else(too_long)?;
            work.string(text, secret)
        })
    }

    fn redact_reversibly<'t>(
        &self,
        scope: &Scope,
        text: &'t str,
        placeholders: &mut Placeholders,
    ) -> Result<Redacted<'t>> {
        let policy = self.policies.of(scope.tenant());
        let mut work = self.work(&policy, scope.tenant().as_str());
        work.placeholders = Some(placeholders);
        work.text(text)
    }
}

impl LogRedactor for PiiRedactor {
    fn redact_line<'t>(&self, line: &'t str) -> Cow<'t, str> {
        let mut work = self.work(&self.of_logs, PLATFORM);
        let structured = if line.starts_with('{') { work.json(line).ok() } else { None };
        let redacted = structured.map_or_else(|| work.text(line), Ok);
        redacted.map_or_else(
            |_| {
                Cow::Owned(format!(
                    "[a log line of {} bytes was withheld: it could not be redacted]\n",
                    line.len()
                ))
            },
            |redacted| redacted.text,
        )
    }
}

/// One text on its way through.
struct Work<'a> {
    key: &'a PiiKey,
    policy: &'a PiiPolicy,
    tenant: &'a str,
    placeholders: Option<&'a mut Placeholders>,
}

impl Work<'_> {
    fn text<'t>(&mut self, text: &'t str) -> Result<Redacted<'t>> {
        let changed = self.string(text, false)?;
        Ok(redacted(text, changed))
    }

    fn json<'t>(&mut self, json: &'t str) -> Result<Redacted<'t>> {
        within(json)?;
        let changed = json::rewrite(json, &mut |text, secret| self.string(text, secret))?;
        Ok(redacted(json, changed))
    }

    /// A string, `secret` if its name says so.
    fn string(&mut self, text: &str, secret: bool) -> Result<Option<(String, Vec<PiiSpan>)>> {
        within(text)?;
        let wanted = |kind| self.policy.action(kind) != PiiAction::Allow;
        let hits = if secret && wanted(PiiKind::Secret) && !text.is_empty() && !is_placeholder(text) {
            vec![Hit { kind: PiiKind::Secret, start: 0, end: text.len() }]
        } else {
            settled(text, wanted)?
        };
        if hits.is_empty() {
            return Ok(None);
        }
        let (mut out, mut kept) = (String::with_capacity(text.len()), 0);
        for hit in &hits {
            out.push_str(&text[kept..hit.start]);
            out.push_str(&self.replacement(hit.kind, &text[hit.start..hit.end])?);
            kept = hit.end;
        }
        out.push_str(&text[kept..]);
        let spans = hits.iter().map(|hit| PiiSpan { kind: hit.kind, start: hit.start, end: hit.end });
        Ok(Some((out, spans.collect())))
    }

    fn replacement(&mut self, kind: PiiKind, value: &str) -> Result<String> {
        let action = self.policy.action(kind);
        if action == PiiAction::Refuse {
            let message =
                format!("the text holds personal data or a secret ({kind}) that this tenant refuses");
            return Err(Error::invalid_input("pii.refuse", message));
        }
        match &mut self.placeholders {
            Some(placeholders) => placeholders.for_value(kind, value),
            None if action == PiiAction::Hash => {
                Ok(format!("[{kind}_{}]", self.key.digest(self.tenant, kind, value)))
            }
            None => Ok(placeholder(kind)),
        }
    }
}

fn redacted(text: &str, changed: Option<(String, Vec<PiiSpan>)>) -> Redacted<'_> {
    match changed {
        None => Redacted { text: Cow::Borrowed(text), spans: Vec::new() },
        Some((text, spans)) => Redacted { text: Cow::Owned(text), spans },
    }
}

fn within(text: &str) -> Result<()> {
    if text.len() <= MAX_TEXT_BYTES { Ok(()) } else { Err(too_long()) }
}

fn too_long() -> Error {
    let message = format!("a text of more than {MAX_TEXT_BYTES} bytes is not searched for personal data");
    Error::new(ErrorKind::TooLarge, "pii.redact", message)
        .with_detail(Detail::Limit { bytes: MAX_TEXT_BYTES as u64 })
}
