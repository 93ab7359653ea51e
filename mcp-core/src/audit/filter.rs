//! Which records of a chain are asked for.

use serde::Deserialize;

use super::{Entry, Outcome};
use crate::{
    clock::Timestamp,
    error::{Detail, Error, Result},
};

/// A longer value names nothing that a record can hold.
const MAX_VALUE_BYTES: usize = 1024;

/// What a record must be like; a part that is left out matches everything. These parts and no others can be
/// asked for, and each is bound as a value, never written into a statement.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::IntoParams))]
#[cfg_attr(feature = "http-api", into_params(parameter_in = Query))]
#[serde(deny_unknown_fields, default)]
pub struct AuditFilter {
    /// Written at this time or later.
    #[cfg_attr(feature = "http-api", param(value_type = Option<String>, format = DateTime))]
    pub from: Option<Timestamp>,
    /// Written before this time.
    #[cfg_attr(feature = "http-api", param(value_type = Option<String>, format = DateTime))]
    pub until: Option<Timestamp>,
    /// The action, `tenant.suspend`, or a whole area of actions, `tenant.*`.
    pub action: Option<String>,
    /// Who did it, or was denied.
    pub actor: Option<String>,
    /// How it ended.
    #[cfg_attr(feature = "http-api", param(value_type = Option<String>))]
    pub outcome: Option<Outcome>,
}

impl AuditFilter {
    /// Refuses what can match nothing.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) that names the part: an empty or overlong value, a `*`
    /// elsewhere than at the end of an area, and a time range that ends before it begins.
    pub fn check(&self) -> Result<()> {
        for (part, value) in [("action", &self.action), ("actor", &self.actor)] {
            if value.as_ref().is_some_and(|text| text.is_empty() || text.len() > MAX_VALUE_BYTES) {
                return Err(refused(part, format!("`{part}` must have 1 to {MAX_VALUE_BYTES} bytes")));
            }
        }
        let stars = self.action.as_deref().map_or(0, |action| action.matches('*').count());
        if stars > 1 || (stars == 1 && self.area().is_none_or(|area| area.len() < 2)) {
            return Err(refused("action", "`action` is one action, or an area as in `tenant.*`"));
        }
        match (self.from, self.until) {
            (Some(from), Some(until)) if from >= until => {
                Err(refused("until", "`until` must be after `from`"))
            }
            _ => Ok(()),
        }
    }

    /// What the action must begin with, if a whole area is asked for: `tenant.`.
    pub(crate) fn area(&self) -> Option<&str> {
        self.action.as_deref()?.strip_suffix('*').filter(|area| area.ends_with('.'))
    }

    /// The one action that is asked for.
    pub(crate) fn one_action(&self) -> Option<&str> {
        self.action.as_deref().filter(|_| self.area().is_none())
    }

    /// Whether a record is like this.
    #[must_use]
    pub fn matches(&self, entry: &Entry) -> bool {
        self.from.is_none_or(|from| entry.time >= from)
            && self.until.is_none_or(|until| entry.time < until)
            && self.area().is_none_or(|area| entry.action.starts_with(area))
            && self.one_action().is_none_or(|action| entry.action == action)
            && self.actor.as_ref().is_none_or(|actor| entry.actor == *actor)
            && self.outcome.is_none_or(|outcome| entry.outcome == outcome.as_str())
    }
}

fn refused(part: &str, message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::invalid_input("audit.read", message)
        .with_detail(Detail::Field { path: part.to_owned(), nearest: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn action(text: &str) -> AuditFilter {
        AuditFilter { action: Some(text.to_owned()), ..AuditFilter::default() }
    }

    #[test]
    fn what_can_match_nothing_is_refused() {
        for text in ["", "*", ".*", "ten*", "tenant.*.x", "tenant.**", "*.tenant"] {
            assert!(action(text).check().is_err(), "{text:?}");
        }
        for text in ["tenant.*", "tenant.suspend"] {
            assert!(action(text).check().is_ok(), "{text:?}");
        }
        assert!(action(&"x".repeat(1025)).check().is_err());
        let (one, two) = (Some(Timestamp::from_micros(1)), Some(Timestamp::from_micros(2)));
        assert!(AuditFilter { from: one, until: one, ..AuditFilter::default() }.check().is_err());
        assert!(AuditFilter { from: one, until: two, ..AuditFilter::default() }.check().is_ok());
    }

    #[test]
    fn only_the_listed_parts_can_be_asked_for() {
        assert!(serde_json::from_str::<AuditFilter>(r#"{"tenant_id":"beta"}"#).is_err());
        assert!(serde_json::from_str::<AuditFilter>(r#"{"outcome":"maybe"}"#).is_err());
        let read: AuditFilter =
            serde_json::from_str(r#"{"actor":"u1","from":"2026-01-01T00:00:00Z","outcome":"denied"}"#)
                .unwrap();
        assert_eq!((read.actor.as_deref(), read.outcome), (Some("u1"), Some(Outcome::Denied)));
    }
}
