//! Audit records as events of the Open Cybersecurity Schema Framework.
//!
//! What happened at the door is Authentication (3002), what was changed or refused to an administrator Entity
//! Management (3004), everything else API Activity (6003).

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use crate::audit::{Chain, Entry, Outcome, SealedEntry};

/// The version of the schema.
pub const OCSF_VERSION: &str = "1.9.0";

/// Areas of actions that administer a thing.
const ADMINISTRATION: [&str; 12] = [
    "audit",
    "fleet",
    "issuer",
    "key",
    "operator_key",
    "permission",
    "policy",
    "release",
    "role",
    "secret",
    "server",
    "tenant",
];

/// What writes the log, as events name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// Default `mcp-platform`.
    pub name: String,
    /// Who makes it. Default `mcp-platform`.
    pub vendor_name: String,
    /// Default this crate's version.
    pub version: String,
}

impl Default for Product {
    fn default() -> Self {
        let name = "mcp-platform".to_owned();
        Self { vendor_name: name.clone(), name, version: env!("CARGO_PKG_VERSION").to_owned() }
    }
}

/// The three classes, each with its category and its activities: numbers and names.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Authentication,
    EntityManagement,
    ApiActivity,
}

impl Class {
    fn of(area: &str, verb: &str) -> Self {
        match area {
            "auth" | "session" | "login" => Self::Authentication,
            _ if ADMINISTRATION.contains(&area) && verb != "denied" => Self::EntityManagement,
            _ => Self::ApiActivity,
        }
    }

    const fn uid(self) -> u32 {
        match self {
            Self::Authentication => 3002,
            Self::EntityManagement => 3004,
            Self::ApiActivity => 6003,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Authentication => "Authentication",
            Self::EntityManagement => "Entity Management",
            Self::ApiActivity => "API Activity",
        }
    }

    /// The activity that a verb stands for.
    fn activity(self, verb: &str) -> (u32, &'static str) {
        match (self, verb) {
            (Self::Authentication, "logout" | "logoff" | "end" | "revoke") => (2, "Logoff"),
            (Self::Authentication, _) => (1, "Logon"),
            (Self::EntityManagement, "activate") => (10, "Activate"),
            (Self::EntityManagement, "suspend") => (12, "Suspend"),
            (Self::EntityManagement, "resume") => (13, "Resume"),
            (_, "create" | "add" | "issue" | "install" | "place" | "load") => (1, "Create"),
            (_, "read" | "list" | "get" | "verify" | "export" | "unseal" | "open") => (2, "Read"),
            (_, "delete" | "remove" | "revoke" | "erase" | "shred") => (4, "Delete"),
            (_, "update" | "set" | "rotate" | "switch" | "restart") => (3, "Update"),
            _ => (99, "Other"),
        }
    }
}

/// The event for one link of a chain; `None` where its record is gone.
///
/// `metadata.uid` is the record's id and `metadata.sequence` the link's number; both hashes and the detail are
/// under `unmapped`. A record does not say where a call came from: `src_endpoint` names the service that
/// recorded it.
#[must_use]
pub fn ocsf(chain: &Chain, sealed: &SealedEntry, product: &Product) -> Option<Value> {
    let entry = &sealed.record.as_ref()?.entry;
    let (area, verb) = entry.action.split_once('.').unwrap_or((entry.action.as_str(), ""));
    let class = Class::of(area, verb);
    let (activity, activity_name) = class.activity(verb);
    let done = entry.outcome == Outcome::Done.as_str();
    let user = json!({ "uid": entry.actor, "name": entry.actor });
    let mut event = json!({
        "activity_id": activity,
        "activity_name": activity_name,
        "actor": { "user": user },
        "category_uid": class.uid() / 1000,
        "category_name": match class {
            Class::ApiActivity => "Application Activity",
            _ => "Identity & Access Management",
        },
        "class_uid": class.uid(),
        "class_name": class.name(),
        "message": format!("{} {} {}", entry.actor, entry.action, entry.resource),
        "metadata": metadata(chain, sealed, entry, product),
        "severity": if done { "Informational" } else { "Low" },
        "severity_id": if done { 1 } else { 2 },
        "status": if done { "Success" } else { "Failure" },
        "status_id": if done { 1 } else { 2 },
        "status_detail": entry.outcome,
        "time": entry.time.as_micros().div_euclid(1000),
        "type_uid": class.uid() * 100 + activity,
        "type_name": format!("{}: {activity_name}", class.name()),
        "unmapped": unmapped(sealed, entry),
    });
    let fields = event.as_object_mut()?;
    match class {
        Class::Authentication => {
            fields.insert("user".into(), user);
            fields.insert("service".into(), json!({ "name": product.name }));
            fields.insert("is_remote".into(), true.into());
        }
        Class::EntityManagement => {
            let (kind, id) = entry.resource.split_once('/').unwrap_or(("", entry.resource.as_str()));
            let kind = if kind.is_empty() { area } else { kind };
            fields.insert("entity".into(), json!({ "uid": id, "name": entry.resource, "type": kind }));
        }
        Class::ApiActivity => {
            let service = json!({ "name": product.name });
            let request = json!({ "uid": entry.request_id });
            let api = json!({ "operation": entry.action, "service": service, "request": request });
            fields.insert("api".into(), api);
            fields.insert("resources".into(), json!([{ "name": entry.resource, "uid": entry.resource }]));
            fields.insert("src_endpoint".into(), json!({ "svc_name": product.name }));
        }
    }
    Some(event)
}

fn metadata(chain: &Chain, sealed: &SealedEntry, entry: &Entry, product: &Product) -> Value {
    let mut metadata = json!({
        "version": OCSF_VERSION,
        "product": {
            "name": product.name, "vendor_name": product.vendor_name, "version": product.version,
        },
        "uid": entry.id,
        "event_code": entry.action,
        "sequence": sealed.seal.seq,
        "log_name": "audit",
        "original_time": entry.time,
    });
    if let Some(fields) = metadata.as_object_mut() {
        if !entry.request_id.is_empty() {
            fields.insert("correlation_uid".into(), entry.request_id.as_str().into());
        }
        if let Chain::Tenant(tenant) = chain {
            fields.insert("tenant_uid".into(), tenant.as_str().into());
        }
    }
    metadata
}

fn unmapped(sealed: &SealedEntry, entry: &Entry) -> Value {
    let mut unmapped = Map::new();
    unmapped.insert("hash".into(), STANDARD.encode(sealed.seal.hash).into());
    unmapped.insert("prev_hash".into(), STANDARD.encode(sealed.seal.prev_hash).into());
    if let Some(detail) = &entry.detail {
        let value = serde_json::from_str(detail).unwrap_or_else(|_| Value::String(detail.clone()));
        unmapped.insert("detail".into(), value);
    }
    unmapped.into()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        audit::{Seal, StoredEntry, entry::sha256},
        clock::Timestamp,
        scope::TenantId,
    };

    /// What the schema requires of each class, its objects included.
    const REQUIRED: &str = include_str!("../../../tests/data/ocsf-1.9.0-required.json");

    fn sealed(action: &str, outcome: &str) -> SealedEntry {
        let entry = Entry {
            id: Uuid::nil(),
            time: Timestamp::from_micros(1_800_000_000_123_456),
            actor: "u1".into(),
            action: action.into(),
            resource: "tenant/acme".into(),
            outcome: outcome.into(),
            request_id: "r1".into(),
            detail: Some(r#"{"reason":"unpaid"}"#.into()),
            detail_digest: sha256(r#"{"reason":"unpaid"}"#),
        };
        let seal = Seal { seq: 3, record_id: Uuid::nil(), record_seq: 7, prev_hash: [1; 32], hash: [2; 32] };
        SealedEntry { seal, record: Some(StoredEntry { record_seq: 7, entry }) }
    }

    /// Whether `value` has the type that the schema's data type asks for.
    fn is(value: &Value, kind: &str) -> bool {
        match kind {
            "integer" => value.is_i64() || value.is_u64(),
            "string" => value.as_str().is_some_and(|text| !text.is_empty()),
            "object" => value.is_object(),
            _ => panic!("{kind} is no type"),
        }
    }

    fn assert_valid(event: &Value) {
        let schema: Value = serde_json::from_str(REQUIRED).unwrap();
        assert_eq!(schema["version"], OCSF_VERSION);
        let class = &schema["classes"][event["class_uid"].to_string()];
        for rules in [&schema["every_event"], class] {
            for (path, kind) in rules["required"].as_object().unwrap() {
                let value = event.pointer(path).unwrap_or_else(|| panic!("{path} is missing in {event}"));
                assert!(is(value, kind.as_str().unwrap()), "{path} is {value}");
            }
            for any in rules["at_least_one"].as_array().unwrap() {
                let mut paths = any.as_array().unwrap().iter();
                assert!(
                    paths.any(|path| event.pointer(path.as_str().unwrap()).is_some()),
                    "{any} in {event}"
                );
            }
        }
        let activities = class["activity_id"].as_array().unwrap();
        assert!(activities.contains(&event["activity_id"]), "{event}");
        let (class, activity) =
            (event["class_uid"].as_u64().unwrap(), event["activity_id"].as_u64().unwrap());
        assert_eq!(event["type_uid"].as_u64().unwrap(), class * 100 + activity);
        assert_eq!(event["category_uid"].as_u64().unwrap(), class / 1000);
    }

    #[test]
    fn events_of_every_class_have_what_the_schema_requires() {
        let chain = Chain::Tenant(TenantId::parse("acme").unwrap());
        for (action, outcome, class, activity) in [
            ("auth.denied", "denied", 3002, 1),
            ("session.revoke", "done", 3002, 2),
            ("tenant.create", "done", 3004, 1),
            ("tenant.suspend", "done", 3004, 12),
            ("key.revoke", "denied", 3004, 4),
            ("secret.unseal", "done", 3004, 2),
            ("audit.dropped", "denied", 3004, 99),
            ("tenant.denied", "denied", 6003, 99),
            ("rate.limited", "denied", 6003, 99),
            ("context.delete", "done", 6003, 4),
            ("odd", "done", 6003, 99),
        ] {
            let event = ocsf(&chain, &sealed(action, outcome), &Product::default()).unwrap();
            assert_valid(&event);
            assert_eq!(
                (&event["class_uid"], &event["activity_id"]),
                (&class.into(), &activity.into()),
                "{action}"
            );
            assert_eq!(event["status_id"], if outcome == "done" { 1 } else { 2 });
            assert_eq!(
                (&event["metadata"]["tenant_uid"], &event["time"]),
                (&"acme".into(), &1_800_000_000_123_i64.into())
            );
            assert_eq!(event["unmapped"]["detail"]["reason"], "unpaid");
        }
    }

    #[test]
    fn what_is_gone_is_no_event() {
        let gone = SealedEntry { record: None, ..sealed("a.b", "done") };
        assert!(ocsf(&Chain::Platform, &gone, &Product::default()).is_none());
    }
}
