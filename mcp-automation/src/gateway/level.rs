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
    const ALL: [Self; 8] = [
        Self::Debug,
        Self::Info,
        Self::Notice,
        Self::Warning,
        Self::Error,
        Self::Critical,
        Self::Alert,
        Self::Emergency,
    ];

    pub(super) const fn rank(self) -> u8 {
        self as u8
    }

    /// The level of a rank; the lowest, which hides nothing, for what is none.
    pub(super) fn of_rank(rank: u8) -> Self {
        Self::ALL.get(usize::from(rank)).copied().unwrap_or(Self::Debug)
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Critical => "critical",
            Self::Alert => "alert",
            Self::Emergency => "emergency",
        }
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
    }

    #[test]
    fn levels_are_ordered_and_read_back() {
        assert!(Level::ALL.is_sorted());
        for level in Level::ALL {
            assert_eq!(Level::of_rank(level.rank()), level);
            let params = serde_json::json!({ "level": level.as_str() }).to_string();
            let params = RawValue::from_string(params).unwrap();
            assert_eq!(Level::of_params(Some(&params)), Some(level));
        }
        assert_eq!(Level::of_rank(200), Level::Debug);
    }
}
