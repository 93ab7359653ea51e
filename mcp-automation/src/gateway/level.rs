//! Levels of log messages.

use serde::Deserialize;
use serde_json::value::RawValue;

/// A level of RFC 5424, lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    Debug,
    Info,
    Notice,
    Warning,
    Error,
    Critical,
    Alert,
    Emergency,
}

impl Level {
    /// The rank of the lowest level.
    pub(super) const LOWEST: u8 = Self::Debug as u8;

    pub(super) const fn rank(self) -> u8 {
        self as u8
    }

    /// The `level` of a log message or of `logging/setLevel`; `None` where it has none that is known.
    pub(super) fn of_params(params: Option<&RawValue>) -> Option<Self> {
        #[derive(Deserialize)]
        struct Levelled {
            level: Level,
        }
        serde_json::from_str::<Levelled>(params?.get()).ok().map(|params| params.level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_from_parameters() {
        let level = |text: &str| Level::of_params(Some(&RawValue::from_string(text.to_owned()).unwrap()));
        assert_eq!(level(r#"{"level":"warning","data":[1]}"#), Some(Level::Warning));
        assert_eq!(level(r#"{"level":"loud"}"#), None);
        assert_eq!(Level::of_params(None), None);
        assert!(Level::Emergency.rank() > Level::Info.rank());
    }
}
