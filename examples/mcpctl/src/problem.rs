//! The problem documents (RFC 9457) of the API.

use std::fmt;

use mcp_core::ErrorKind;
use serde::Deserialize;

/// What the platform says of a request it refused.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Problem {
    pub(crate) title: String,
    pub(crate) status: u16,
    pub(crate) detail: String,
    pub(crate) request_id: Option<String>,
    field: Option<String>,
    nearest: Option<String>,
    missing_scope: Option<String>,
    current_version: Option<i64>,
    retry_after: Option<u64>,
}

impl Problem {
    /// What an operation failed with, which has a kind where an answer has a status.
    pub(crate) fn of_operation(kind: &str, message: &str) -> Self {
        let known = ErrorKind::ALL.into_iter().find(|known| known.as_str() == kind);
        let status = known.unwrap_or(ErrorKind::Internal).status();
        Self {
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            status: status.as_u16(),
            detail: message.to_owned(),
            ..Self::default()
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.title, self.detail)?;
        if let (Some(field), Some(nearest)) = (&self.field, &self.nearest)
            && !self.detail.contains(nearest.as_str())
        {
            write!(f, " (`{field}`: did you mean `{nearest}`?)")?;
        }
        if let Some(scope) = self.missing_scope.as_ref().filter(|scope| !self.detail.contains(scope.as_str()))
        {
            write!(f, " (the key lacks the permission `{scope}`)")?;
        }
        if let Some(version) = self.current_version {
            write!(f, " (the current version is {version})")?;
        }
        if let Some(seconds) = self.retry_after {
            write!(f, " (try again in {seconds} s)")?;
        }
        match &self.request_id {
            Some(id) => write!(f, " [request {id}]"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_is_told_in_one_line() {
        let text = r#"{"title":"Conflict","status":409,"detail":"the context was changed","code":"conflict",
            "current_version":7,"request_id":"r1","type":"urn:x"}"#;
        let problem: Problem = serde_json::from_str(text).unwrap();
        let told = "Conflict: the context was changed (the current version is 7) [request r1]";
        assert_eq!(problem.to_string(), told);
    }
}
