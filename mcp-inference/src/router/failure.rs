//! Errors on the way: whose fault they are, and what is said when no deployment is left.

use std::time::Duration;

use mcp_core::{
    Error, ErrorKind,
    error::{Detail, Retry},
};

use super::target::Target;

/// Whether the request is at fault, so that every other deployment would refuse it too.
pub(super) fn blames_request(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::TooLarge | ErrorKind::NotFound)
}

/// What became of the deployments that gave no answer.
#[derive(Debug, Default)]
pub(super) struct Left {
    reasons: Vec<(String, String)>,
    /// The shortest time after which a deployment may be asked again.
    wait: Option<Duration>,
    /// A deployment failed, other than by being busy.
    broken: bool,
    busy: bool,
    last: Option<Error>,
    /// The retry budget was used up.
    pub(super) exhausted: bool,
}

impl Left {
    pub(super) fn any(&self) -> bool {
        !self.reasons.is_empty()
    }

    /// A deployment that was not asked.
    pub(super) fn skipped(&mut self, target: &Target, why: String, wait: Duration) {
        self.wait_for(wait);
        self.reason(target, why);
    }

    pub(super) fn failed(&mut self, target: &Target, error: Error) {
        if error.kind() == ErrorKind::RateLimited {
            self.busy = true;
        } else {
            self.broken = true;
        }
        if let Some(wait) = error.retry_after() {
            self.wait_for(wait);
        }
        self.reason(target, error.message().to_owned());
        self.last = Some(error);
    }

    fn wait_for(&mut self, wait: Duration) {
        self.wait = Some(self.wait.map_or(wait, |shortest| shortest.min(wait)));
    }

    /// The latest word on each deployment.
    fn reason(&mut self, target: &Target, why: String) {
        let label = target.label();
        match self.reasons.iter_mut().find(|(known, _)| *known == label) {
            Some((_, known)) => *known = why,
            None => self.reasons.push((label, why)),
        }
    }

    /// The error that names every deployment and why it gave no answer.
    pub(super) fn into_error(self, model: &str, tries: u32, late: bool) -> Error {
        let kind = match self {
            _ if late => ErrorKind::DeadlineExceeded,
            Self { broken: true, .. } => ErrorKind::Upstream,
            Self { busy: true, .. } => ErrorKind::RateLimited,
            _ => ErrorKind::Unavailable,
        };
        let mut why = format!("no provider answered for the model `{model}`");
        for (index, (label, reason)) in self.reasons.iter().enumerate() {
            why.push_str(if index == 0 { ": " } else { "; " });
            why.push_str(&format!("{label}: {reason}"));
        }
        if late {
            why.push_str("; the deadline has passed");
        } else if self.exhausted {
            why.push_str("; the budget for further attempts is used up");
        }
        let mut error = Error::new(kind, "router.chat", why).with_context("attempts", tries);
        if self.exhausted {
            error = error.with_retry(Retry::Exhausted);
        }
        if let Some(wait) = self.wait.filter(|_| kind != ErrorKind::DeadlineExceeded) {
            error = error.with_detail(Detail::RetryAfter(wait));
        }
        match self.last {
            Some(last) => error.with_source(last),
            None => error,
        }
    }
}
