//! Audit records as syslog messages: RFC 5424, framed as RFC 5425 wants it.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::line::{checkpoint_line, link_line};
use crate::{
    audit::{Chain, Checkpoint, Outcome, SealedEntry},
    error::{Detail, Error, Result},
};

/// What every receiver must take (RFC 5425, section 4.3.1).
const LEAST_MAX: usize = 2048;
/// How much of one value is kept where the message would be too long without its JSON line.
const CUT: usize = 128;
/// Severities (RFC 5424, table 2): what was denied is worth a look, what was done is not.
const WARNING: u8 = 4;
const NOTICE: u8 = 5;

/// How records become syslog messages. [`new`](Self::new) gives the defaults.
///
/// A message has the action as its MSGID, the fields of the record as structured data under
/// `audit@<enterprise>`, and the JSON line of the export as its text, so that what a receiver keeps can be
/// verified as well. Where that would exceed `max_message`, the detail is left out of the line (its digest
/// stays), then the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyslogFormat {
    /// HOSTNAME: this machine's name, 1 to 255 printable ASCII characters.
    pub hostname: String,
    /// APP-NAME: 1 to 48 printable ASCII characters. Default `mcp-platform`.
    pub app_name: String,
    /// The private enterprise number in the name of the structured data. Default 32473, which RFC 5612 keeps
    /// for examples: give that of your organisation.
    pub enterprise: u32,
    /// The facility, 0 to 23. Default 13, log audit.
    pub facility: u8,
    /// The longest message in bytes, at least 2048. Default 8192, which receivers should take.
    pub max_message: usize,
}

impl SyslogFormat {
    /// The defaults, for this machine.
    #[must_use]
    pub fn new(hostname: impl Into<String>) -> Self {
        Self {
            hostname: hostname.into(),
            app_name: "mcp-platform".to_owned(),
            enterprise: 32_473,
            facility: 13,
            max_message: 8192,
        }
    }

    /// Refuses what no message can hold.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) that names the setting.
    pub fn check(&self) -> Result<()> {
        for (setting, text, most) in [("hostname", &self.hostname, 255), ("app_name", &self.app_name, 48)] {
            if text.is_empty() || text.len() > most || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
                let rule =
                    format!("`{setting}` must be 1 to {most} printable ASCII characters without blanks");
                return Err(refused(setting, rule));
            }
        }
        if self.facility > 23 {
            return Err(refused("facility", "`facility` is 0 to 23".to_owned()));
        }
        if self.max_message < LEAST_MAX {
            return Err(refused("max_message", format!("`max_message` is at least {LEAST_MAX} bytes")));
        }
        Ok(())
    }

    /// The message for one link of a chain.
    ///
    /// # Errors
    /// [`Internal`](crate::ErrorKind::Internal) if the record has no JSON form.
    pub fn link(&self, chain: &Chain, sealed: &SealedEntry) -> Result<String> {
        let entry = sealed.record.as_ref().map(|stored| &stored.entry);
        let denied = entry.is_none_or(|entry| entry.outcome != Outcome::Done.as_str());
        let time = entry.map_or_else(|| "-".to_owned(), |entry| entry.time.to_string());
        let action = entry.map_or("audit.gone", |entry| &entry.action);
        let seq = sealed.seal.seq.to_string();
        let hash = STANDARD.encode(sealed.seal.hash);
        let mut data = vec![("chain", chain.as_str()), ("seq", &seq), ("hash", &hash)];
        if let Some(entry) = entry {
            data.extend([
                ("actor", entry.actor.as_str()),
                ("action", &entry.action),
                ("resource", &entry.resource),
                ("outcome", &entry.outcome),
                ("request_id", &entry.request_id),
            ]);
        }
        let head = self.head(if denied { WARNING } else { NOTICE }, &time, action);
        for with_detail in [true, false] {
            let text = link_line(chain, sealed, with_detail)?;
            let message = format!("{head}{}{}", self.data(&data, usize::MAX), with_text(&text));
            if message.len() <= self.max_message {
                return Ok(message);
            }
        }
        Ok(format!("{head}{}", self.data(&data, CUT)))
    }

    /// The message for a checkpoint: it lets the receiver's copy be verified.
    ///
    /// # Errors
    /// As [`link`](Self::link).
    pub fn checkpoint(&self, checkpoint: &Checkpoint) -> Result<String> {
        let seq = checkpoint.seq.to_string();
        let data = [("chain", checkpoint.chain.as_str()), ("seq", &seq)];
        let head = self.head(NOTICE, &checkpoint.time.to_string(), "audit.checkpoint");
        Ok(format!("{head}{}{}", self.data(&data, usize::MAX), with_text(&checkpoint_line(checkpoint)?)))
    }

    /// Everything before the structured data, with the blank behind it.
    fn head(&self, severity: u8, time: &str, action: &str) -> String {
        let priority = self.facility * 8 + severity;
        // MSGID is at most 32 printable ASCII characters.
        let id: String = action.chars().filter(char::is_ascii_graphic).take(32).collect();
        let id = if id.is_empty() { "-" } else { &id };
        format!("<{priority}>1 {time} {} {} - {id} ", self.hostname, self.app_name)
    }

    /// The structured data, each value cut to at most `most` bytes.
    fn data(&self, pairs: &[(&str, &str)], most: usize) -> String {
        let mut data = format!("[audit@{}", self.enterprise);
        for (name, value) in pairs {
            let end = value.floor_char_boundary(most);
            // Writing to a string does not fail.
            let _ = write!(data, " {name}=\"");
            for letter in value[..end].chars() {
                if matches!(letter, '"' | '\\' | ']') {
                    data.push('\\');
                }
                // Receivers that frame by lines would see two messages.
                data.push(if letter.is_control() { ' ' } else { letter });
            }
            data.push('"');
        }
        data.push(']');
        data
    }
}

/// ` text`, with the mark that RFC 5424 wants before UTF-8 that is not ASCII.
fn with_text(text: &str) -> String {
    if text.is_ascii() { format!(" {text}") } else { format!(" \u{feff}{text}") }
}

/// A message with its length before it: octet counting (RFC 5425, section 4.3).
#[must_use]
pub fn frame(message: &str) -> String {
    format!("{} {message}", message.len())
}

fn refused(setting: &str, message: String) -> Error {
    Error::invalid_input("audit.syslog", message)
        .with_detail(Detail::Field { path: setting.to_owned(), nearest: None })
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        audit::{Entry, Seal, StoredEntry, entry::sha256},
        clock::Timestamp,
    };

    fn sealed(detail: Option<String>, actor: &str) -> SealedEntry {
        let entry = Entry {
            id: Uuid::nil(),
            time: Timestamp::from_micros(1_800_000_000_123_456),
            actor: actor.to_owned(),
            action: "auth.denied".into(),
            resource: "request".into(),
            outcome: "denied".into(),
            request_id: "r1".into(),
            detail_digest: sha256(detail.as_deref().unwrap_or_default()),
            detail,
        };
        let seal = Seal { seq: 3, record_id: Uuid::nil(), record_seq: 7, prev_hash: [1; 32], hash: [2; 32] };
        SealedEntry { seal, record: Some(StoredEntry { record_seq: 7, entry }) }
    }

    #[test]
    fn a_message_has_every_part_in_its_place() {
        let format = SyslogFormat::new("host.example");
        let message = format.link(&Chain::Platform, &sealed(Some("{\"a\":1}".into()), r#"u"1]\"#)).unwrap();
        let (head, rest) = message.split_once(" [").unwrap();
        assert_eq!(head, "<108>1 2027-01-15T08:00:00.123456Z host.example mcp-platform - auth.denied");
        let (data, text) = rest.split_once("\"] ").unwrap();
        assert!(data.starts_with(r#"audit@32473 chain="platform" seq="3" hash="AgIC"#), "{data}");
        assert!(data.contains(r#" actor="u\"1\]\\" action="auth.denied" "#), "{data}");
        let line: serde_json::Value = serde_json::from_str(text).unwrap();
        assert_eq!((&line["record"]["detail"]["a"], &line["seq"]), (&1.into(), &3.into()));
        assert_eq!(frame("<13>1 é"), "8 <13>1 é", "octets are counted, not characters");
    }

    #[test]
    fn what_is_not_ascii_is_marked_as_utf_8_and_control_characters_do_not_pass() {
        let message =
            SyslogFormat::new("h").link(&Chain::Platform, &sealed(None, "zoë\n<13>1 forged")).unwrap();
        assert!(message.contains("] \u{feff}{"), "{message}");
        assert!(!message.contains('\n'), "{message}");
    }

    #[test]
    fn a_message_is_never_longer_than_the_receiver_takes() {
        let format = SyslogFormat { max_message: 2048, ..SyslogFormat::new("h".repeat(255)) };
        format.check().unwrap();
        let big = format!("{{\"a\":\"{}\"}}", "x".repeat(4000));
        let message = format.link(&Chain::Platform, &sealed(Some(big), "u1")).unwrap();
        assert!(message.len() <= 2048 && message.contains("\"detail\":null"), "{message}");
        let message = format.link(&Chain::Platform, &sealed(None, &"é\"]".repeat(400))).unwrap();
        assert!(message.len() <= 2048 && !message.contains('{'), "{message}");
    }

    #[test]
    fn senseless_settings_are_refused_by_name() {
        let good = SyslogFormat::new("h");
        for (format, setting) in [
            (SyslogFormat { hostname: "a b".into(), ..good.clone() }, "hostname"),
            (SyslogFormat { app_name: "x".repeat(49), ..good.clone() }, "app_name"),
            (SyslogFormat { facility: 24, ..good.clone() }, "facility"),
            (SyslogFormat { max_message: 1000, ..good.clone() }, "max_message"),
        ] {
            assert!(format.check().unwrap_err().message().contains(setting));
        }
    }
}
