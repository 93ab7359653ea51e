//! What goes wrong, for people and in exit codes.

use std::{fmt, process::ExitCode};

use crate::problem::Problem;

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

/// Why a command did not do what it was told.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line or the environment is at fault.
    Usage(String),
    /// Something on this machine is.
    Local(String),
    /// What was named is not there.
    Missing(String),
    /// The platform did not answer.
    Unreachable(String),
    /// It answered what is no answer of its API.
    Unexpected(String),
    /// It refused.
    Refused(Box<Problem>),
}

impl Failure {
    /// The code the process ends with; the table is in the documentation of the crate.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Local(_) | Self::Unexpected(_) => 1,
            Self::Usage(_) => 2,
            Self::Missing(_) => 4,
            Self::Unreachable(_) => 6,
            Self::Refused(problem) => match problem.status {
                400 | 405 | 413 | 415 | 422 => 2,
                401 | 403 => 3,
                404 => 4,
                409 | 412 => 5,
                429 | 502..=504 => 6,
                _ => 1,
            },
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text)
            | Self::Local(text)
            | Self::Missing(text)
            | Self::Unreachable(text)
            | Self::Unexpected(text) => f.write_str(text),
            Self::Refused(problem) => problem.fmt(f),
        }
    }
}
