//! Days and months, in UTC.

use std::fmt;

use serde::{Deserialize, Serialize};
use time::{Date, OffsetDateTime, Time, UtcOffset};

use crate::{
    clock::Timestamp,
    error::{Error, Result},
};

const DAY_MICROS: i64 = 86_400_000_000;

/// The span over which a quota counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// From midnight to midnight, in UTC.
    Day,
    /// From the first of a month to the first of the next, in UTC.
    Month,
}

impl Period {
    /// Every period.
    pub const ALL: [Self; 2] = [Self::Day, Self::Month];

    /// The name on the wire and in the database.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Month => "month",
        }
    }

    /// Parses [`as_str`](Self::as_str).
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for any other text.
    pub fn parse(text: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|period| period.as_str() == text)
            .ok_or_else(|| Error::invalid_input("quota.period", "a period is `day` or `month`"))
    }

    /// The day or month in which `at` lies.
    ///
    /// Before the year -9999 and after 9999, which no clock shows, it is one of 24 hours.
    #[must_use]
    pub fn window(self, at: Timestamp) -> Window {
        let day = || {
            let start = at.as_micros().div_euclid(DAY_MICROS).saturating_mul(DAY_MICROS);
            (start, start.saturating_add(DAY_MICROS))
        };
        let (start, end) = match self {
            Self::Day => day(),
            Self::Month => month(at).unwrap_or_else(day),
        };
        Window { period: self, start: Timestamp::from_micros(start), end: Timestamp::from_micros(end) }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One day or month: from `start`, up to and without `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "http-api", derive(utoipa::ToSchema))]
pub struct Window {
    /// Day or month.
    pub period: Period,
    /// Its first moment.
    pub start: Timestamp,
    /// The first moment of the next.
    pub end: Timestamp,
}

fn month(at: Timestamp) -> Option<(i64, i64)> {
    let date = OffsetDateTime::from_unix_timestamp(at.as_secs()).ok()?.to_offset(UtcOffset::UTC).date();
    let start = date.replace_day(1).ok()?;
    let (year, next) = match start.month() {
        time::Month::December => (start.year() + 1, time::Month::January),
        other => (start.year(), other.next()),
    };
    Some((micros(start)?, micros(Date::from_calendar_date(year, next, 1).ok()?)?))
}

fn micros(date: Date) -> Option<i64> {
    OffsetDateTime::new_utc(date, Time::MIDNIGHT).unix_timestamp().checked_mul(1_000_000)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        serde_json::from_value(text.into()).unwrap()
    }

    fn window(period: Period, text: &str) -> (String, String) {
        let window = period.window(at(text));
        (window.start.to_string(), window.end.to_string())
    }

    fn pair(start: &str, end: &str) -> (String, String) {
        (format!("{start}T00:00:00Z"), format!("{end}T00:00:00Z"))
    }

    #[test]
    fn windows_are_those_of_the_calendar() {
        let month = |text| window(Period::Month, text);
        assert_eq!(month("2024-02-29T23:59:59.999999Z"), pair("2024-02-01", "2024-03-01"));
        assert_eq!(month("2023-02-28T12:00:00Z"), pair("2023-02-01", "2023-03-01"));
        assert_eq!(month("1999-12-31T23:59:59Z"), pair("1999-12-01", "2000-01-01"));
        assert_eq!(month("1969-12-31T23:59:59.5Z"), pair("1969-12-01", "1970-01-01"));
        assert_eq!(window(Period::Day, "2024-02-29T23:59:59.999999Z"), pair("2024-02-29", "2024-03-01"));
        // Wherever the caller's clock hangs, the day is the one in UTC.
        assert_eq!(window(Period::Day, "2024-03-01T00:30:00+01:00"), pair("2024-02-29", "2024-03-01"));
    }

    #[test]
    fn extremes_do_not_overflow() {
        for micros in [i64::MIN, i64::MIN + 1, 0, i64::MAX - 1, i64::MAX] {
            for period in Period::ALL {
                let _ = period.window(Timestamp::from_micros(micros));
            }
        }
    }

    /// Days since the epoch to year, month and day, by Hinnant's algorithm: another way than the one tested.
    fn civil(days: i64) -> (i64, i64, i64) {
        let z = days + 719_468;
        let era = z.div_euclid(146_097);
        let doe = z.rem_euclid(146_097);
        let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        (yoe + era * 400 + i64::from(month <= 2), month, doy - (153 * mp + 2) / 5 + 1)
    }

    proptest! {
        /// Windows tile the line of time: each moment is in one, which begins where the last one ends; and
        /// a month is one month of the calendar, from its first day.
        #[test]
        fn every_moment_is_in_one_window(micros in -60_000_000_000_000_000_i64..200_000_000_000_000_000) {
            let now = Timestamp::from_micros(micros);
            for period in Period::ALL {
                let window = period.window(now);
                prop_assert!(window.start <= now && now < window.end);
                prop_assert_eq!(window.start.as_micros().rem_euclid(DAY_MICROS), 0);
                prop_assert_eq!(period.window(window.start), window);
                prop_assert_eq!(period.window(Timestamp::from_micros(window.end.as_micros() - 1)), window);
                prop_assert_eq!(period.window(window.end).start, window.end);
            }
            let month = Period::Month.window(now);
            let date = |at: Timestamp| civil(at.as_micros().div_euclid(DAY_MICROS));
            let ((year, of_year, _), start) = (date(now), date(month.start));
            prop_assert_eq!(start, (year, of_year, 1));
            let next = if of_year == 12 { (year + 1, 1, 1) } else { (year, of_year + 1, 1) };
            prop_assert_eq!(date(month.end), next);
        }
    }
}
