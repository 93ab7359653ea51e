//! The CloudEvents 1.0 envelope in its JSON form.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    clock::Timestamp,
    error::{Detail, Error, ErrorKind, Result},
};

/// The largest event that is taken, in bytes of its JSON form.
pub const MAX_EVENT_BYTES: usize = 256 * 1024;

/// One event. Its JSON form is a CloudEvent in structured mode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub struct Event {
    #[serde(rename = "specversion")]
    spec_version: SpecVersion,
    #[cfg_attr(feature = "http-api", schema(value_type = String))]
    id: Uuid,
    #[serde(rename = "type")]
    kind: String,
    source: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<Timestamp>,
    #[serde(rename = "datacontenttype")]
    content_type: JsonContent,
    data: serde_json::Value,
}

/// The one version of the specification there is; another is refused when an event is read.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
enum SpecVersion {
    #[serde(rename = "1.0")]
    V1,
}

/// The one content type that is written.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
enum JsonContent {
    #[serde(rename = "application/json")]
    Json,
}

impl Event {
    /// An event with a fresh id (UUIDv7).
    ///
    /// `kind` says what happened and carries the version of `data`'s shape (`context.created.v1`); `source`
    /// says where, as a URI reference (`/contexts`); `data` never holds a secret. The time is set when the
    /// event is emitted.
    #[must_use]
    pub fn new(kind: impl Into<String>, source: impl Into<String>, data: serde_json::Value) -> Self {
        Self {
            spec_version: SpecVersion::V1,
            id: Uuid::now_v7(),
            kind: kind.into(),
            source: source.into(),
            subject: None,
            time: None,
            content_type: JsonContent::Json,
            data,
        }
    }

    /// The same event about `subject`, a thing within the source (the context's id).
    #[must_use]
    pub fn with_subject(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// The same event at `time`; one that is already set stays.
    #[must_use]
    pub fn at(mut self, time: Timestamp) -> Self {
        self.time.get_or_insert(time);
        self
    }

    /// Unique together with the source; consumers recognise a repeated delivery by it.
    #[must_use]
    pub const fn id(&self) -> Uuid {
        self.id
    }

    /// What happened.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Where it happened.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// What it is about, within the source.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// When it was emitted.
    #[must_use]
    pub const fn time(&self) -> Option<Timestamp> {
        self.time
    }

    /// The payload.
    #[must_use]
    pub const fn data(&self) -> &serde_json::Value {
        &self.data
    }

    /// The event as a CloudEvent in JSON.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) if type or source are empty, as the specification forbids;
    /// [`TooLarge`](ErrorKind::TooLarge) above [`MAX_EVENT_BYTES`].
    pub fn to_json(&self) -> Result<String> {
        for (path, text) in [("type", &self.kind), ("source", &self.source)] {
            if text.is_empty() {
                return Err(Error::invalid_input("event.encode", format!("an event's `{path}` is empty"))
                    .with_detail(Detail::Field { path: path.to_owned(), nearest: None }));
            }
        }
        let text = serde_json::to_string(self).map_err(|error| {
            Error::internal("event.encode", "the event has no JSON form").with_source(error)
        })?;
        if text.len() > MAX_EVENT_BYTES {
            let limit = Detail::Limit { bytes: MAX_EVENT_BYTES as u64 };
            let message =
                format!("an event may have {MAX_EVENT_BYTES} bytes; put the payload elsewhere and name it");
            return Err(Error::new(ErrorKind::TooLarge, "event.encode", message).with_detail(limit));
        }
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_json_form_is_a_cloud_event() {
        let event = Event::new("context.created.v1", "/contexts", json!({"title": "t"}))
            .with_subject("c-1")
            .at(Timestamp::from_micros(1_704_110_400_000_000));
        let text = event.to_json().unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let id = event.id().to_string();
        assert_eq!(
            value,
            json!({
                "specversion": "1.0", "id": id, "type": "context.created.v1", "source": "/contexts",
                "subject": "c-1", "time": "2024-01-01T12:00:00Z", "datacontenttype": "application/json",
                "data": {"title": "t"},
            })
        );
        assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
    }

    #[test]
    fn another_version_of_the_specification_is_refused() {
        let text = Event::new("a", "/b", json!(1)).to_json().unwrap().replace("\"1.0\"", "\"0.3\"");
        assert!(serde_json::from_str::<Event>(&text).is_err());
    }

    #[test]
    fn an_empty_type_and_a_huge_payload_are_refused() {
        let empty = Event::new("", "/b", json!(1)).to_json().unwrap_err();
        assert_eq!(empty.kind(), ErrorKind::InvalidInput);
        let huge = Event::new("a", "/b", json!("x".repeat(MAX_EVENT_BYTES))).to_json().unwrap_err();
        assert_eq!(huge.kind(), ErrorKind::TooLarge);
    }
}
