//! Time as this product keeps it: milliseconds since 1970, wide enough for certificates that never expire.
//!
//! Nothing here reads a clock; the shells do, and pass the value down.

use alloc::{format, string::String};
use core::fmt;

/// A moment in milliseconds since 1970-01-01T00:00:00Z. It holds 9999-12-31T23:59:59Z, which X.509 uses for "no expiry".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// 9999-12-31T23:59:59Z, "no well-defined expiration date" (RFC 5280 4.1.2.5).
    pub const NO_EXPIRY: Self = Self::from_seconds(253_402_300_799);
    /// Milliseconds of one day.
    pub const DAY: i64 = 86_400_000;

    /// The moment that lies `seconds` after 1970 began.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000))
    }

    /// Whole seconds since 1970, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// This moment and `days` more; it stays at the end of the range instead of wrapping.
    pub const fn plus_days(self, days: i64) -> Self {
        Self(self.0.saturating_add(days.saturating_mul(Self::DAY)))
    }

    /// The same date and time of day `years` later; 29 February becomes the 28th where there is none.
    pub fn plus_years(self, years: i32) -> Self {
        let civil = self.civil();
        let year = civil.year.saturating_add(years);
        let day = civil.day.min(days_of_month(year, civil.month));
        let moved = Self::from_civil(Civil { year, day, ..civil });
        moved.map_or(self, |moved| moved.plus_millis(self.0.rem_euclid(1_000)))
    }

    /// This moment and `millis` more; it stays at the end of the range instead of wrapping.
    pub const fn plus_millis(self, millis: i64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// Milliseconds from `earlier` to this moment; negative when `earlier` is later.
    pub const fn since(self, earlier: Self) -> i64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The moment of a civil date and time in UTC, or `None` for one that no calendar has (leap seconds included).
    pub fn from_civil(civil: Civil) -> Option<Self> {
        let Civil {
            year,
            month,
            day,
            hour,
            minute,
            second,
        } = civil;
        if !(1..=12).contains(&month) || day < 1 || day > days_of_month(year, month) {
            return None;
        }
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let days = days_from_civil(i64::from(year), i64::from(month), i64::from(day));
        let seconds = days * 86_400 + i64::from(hour) * 3_600 + i64::from(minute) * 60 + i64::from(second);
        Some(Self::from_seconds(seconds))
    }

    /// The civil date and time in UTC, without the milliseconds.
    pub fn civil(self) -> Civil {
        let seconds = self.seconds();
        let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
        let of_day = seconds.rem_euclid(86_400);
        let part = |value: i64| u8::try_from(value).unwrap_or_default();
        Civil {
            year: i32::try_from(year).unwrap_or(i32::MAX),
            month: part(month),
            day: part(day),
            hour: part(of_day / 3_600),
            minute: part(of_day / 60 % 60),
            second: part(of_day % 60),
        }
    }

    /// RFC 3339 in UTC with milliseconds: `2026-11-22T09:30:00.000Z`.
    pub fn to_rfc3339(self) -> String {
        let Civil {
            year,
            month,
            day,
            hour,
            minute,
            second,
        } = self.civil();
        let millis = self.0.rem_euclid(1_000);
        format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
    }
}

impl fmt::Display for UnixMillis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339())
    }
}

/// A date and a time of day in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the six fields of a calendar say what they are")]
pub struct Civil {
    pub year: i32,
    pub month: u8,
    pub day: u8,
    pub hour: u8,
    pub minute: u8,
    pub second: u8,
}

fn is_leap(year: i32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_of_month(year: i32, month: u8) -> u8 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date in the proleptic Gregorian calendar; March is the first month of the computation's year.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_print_as_rfc3339() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_353_296_789, "2026-11-22T13:14:56.789Z"),
            (2_524_607_999_000, "2049-12-31T23:59:59.000Z"),
            (UnixMillis::NO_EXPIRY.0, "9999-12-31T23:59:59.000Z"),
        ] {
            assert_eq!(UnixMillis(millis).to_rfc3339(), text);
        }
    }

    #[test]
    fn every_day_of_four_centuries_survives_the_round_trip() {
        for day in -80_000..160_000 {
            let moment = UnixMillis::from_seconds(day * 86_400 + 86_399);
            assert_eq!(UnixMillis::from_civil(moment.civil()), Some(moment));
        }
    }

    #[test]
    fn years_are_added_by_the_calendar() {
        for (from, years, to) in [
            ("2026-11-22", 20, "2046-11-22"),
            ("2028-02-29", 20, "2048-02-29"),
            ("2028-02-29", 1, "2029-02-28"),
        ] {
            let days = (0..80_000).map(|day| UnixMillis::from_seconds(day * 86_400).plus_millis(7));
            let start = days
                .clone()
                .find(|day| day.to_rfc3339().starts_with(from))
                .unwrap();
            assert_eq!(
                start.plus_years(years).to_rfc3339(),
                alloc::format!("{to}T00:00:00.007Z")
            );
        }
    }

    #[test]
    fn dates_that_no_calendar_has_are_refused() {
        let good = Civil {
            year: 2026,
            month: 2,
            day: 28,
            hour: 23,
            minute: 59,
            second: 59,
        };
        assert!(UnixMillis::from_civil(good).is_some());
        for bad in [
            Civil { day: 29, ..good },
            Civil { day: 0, ..good },
            Civil { month: 0, ..good },
            Civil { month: 13, ..good },
            Civil { hour: 24, ..good },
            Civil { minute: 60, ..good },
            Civil { second: 60, ..good },
            Civil {
                year: 2100,
                day: 29,
                ..good
            },
        ] {
            assert_eq!(UnixMillis::from_civil(bad), None, "{bad:?}");
        }
    }
}
