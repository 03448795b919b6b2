//! Moments of the `Date…` operators: W3C's ISO 8601 profile (`2026-11-22`, `2026-11-22T09:30Z`, `2026-11-22T09:30:00.5+01:00`) or
//! seconds since 1970.

use identity::{Civil, UnixMillis};

/// `None` for what is no moment.
pub(crate) fn parse(text: &str) -> Option<UnixMillis> {
    if let Ok(seconds) = text.parse::<i64>() {
        return Some(UnixMillis::from_seconds(seconds));
    }
    let (date, time) = match text.split_once('T') {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut civil = parse_date(date)?;
    let mut offset_minutes = 0;
    if let Some(time) = time {
        let (clock, offset) = split_zone(time)?;
        offset_minutes = offset;
        (civil.hour, civil.minute, civil.second) = parse_clock(clock)?;
    }
    let moment = UnixMillis::from_civil(civil)?;
    Some(UnixMillis(moment.0.checked_sub(offset_minutes * 60_000)?))
}

fn parse_date(text: &str) -> Option<Civil> {
    let [year, month, day] = fields(text, '-')?;
    if year.len() != 4 {
        return None;
    }
    Some(Civil {
        year: i32::try_from(number(year)?).ok()?,
        month: two_digits(month)?,
        day: two_digits(day)?,
        hour: 0,
        minute: 0,
        second: 0,
    })
}

/// `hh:mm` or `hh:mm:ss`, with a fraction of a second that is not kept.
fn parse_clock(text: &str) -> Option<(u8, u8, u8)> {
    if let Some([hour, minute]) = fields(text, ':') {
        return Some((two_digits(hour)?, two_digits(minute)?, 0));
    }
    let [hour, minute, second] = fields(text, ':')?;
    let second = match second.split_once('.') {
        Some((second, fraction)) => number(fraction).and(Some(second))?,
        None => second,
    };
    Some((two_digits(hour)?, two_digits(minute)?, two_digits(second)?))
}

/// The clock and the minutes by which its zone is ahead of UTC; a zone must be there.
fn split_zone(text: &str) -> Option<(&str, i64)> {
    if let Some(clock) = text.strip_suffix('Z') {
        return Some((clock, 0));
    }
    let at = text.rfind(['+', '-'])?;
    let (clock, zone) = text.split_at(at);
    let [hours, minutes] = fields(zone.get(1..)?, ':')?;
    let ahead = i64::from(two_digits(hours)?) * 60 + i64::from(two_digits(minutes)?);
    Some((clock, if zone.starts_with('-') { -ahead } else { ahead }))
}

fn fields<const N: usize>(text: &str, separator: char) -> Option<[&str; N]> {
    let fields: Vec<&str> = text.split(separator).collect();
    fields.try_into().ok()
}

fn two_digits(text: &str) -> Option<u8> {
    if text.len() == 2 {
        u8::try_from(number(text)?).ok()
    } else {
        None
    }
}

fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read() {
        let check = |text: &str, expected: i64| {
            assert_eq!(parse(text).map(UnixMillis::seconds), Some(expected), "{text}")
        };
        check("0", 0);
        check("1795353296", 1_795_353_296);
        check("1970-01-02", 86_400);
        check("1970-01-01T00:01Z", 60);
        check("1970-01-01T00:00:07Z", 7);
        check("1970-01-01T00:00:07.250Z", 7);
        check("1970-01-01T01:00:00+01:00", 0);
        check("1969-12-31T22:30:00-01:30", 0);
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "",
            "now",
            "2026-13-01",
            "2026-02-29",
            "26-01-01",
            "2026-1-1",
            "2026-01-01T",
            "2026-01-01T10:00",
            "2026-01-01T25:00Z",
            "2026-01-01T10:00:00+1:00",
            "2026-01-01T10:00:00.Z",
            "+2026-01-01",
            "99999999999999999999",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
