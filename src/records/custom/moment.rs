//! Dates and moments, in the one form whose text order is the order of time. Pure.

use crate::text::Checked;

/// `YYYY-MM-DD`: a day that there is, of the years 1 to 9999.
pub fn date(value: &str) -> Checked<String> {
    match day(value.trim()) {
        Some(day) => Ok(day.to_text()),
        None => Err("must be a date like 2026-07-31".into()),
    }
}

/// RFC 3339, whatever the offset: in UTC, with milliseconds. What is finer is cut off.
pub fn datetime(value: &str) -> Checked<String> {
    utc(value.trim())
        .ok_or_else(|| "must be a time with its offset, like 2026-07-31T14:30:00Z or 2026-07-31T14:30:00+02:00".into())
}

#[derive(Clone, Copy)]
struct Day {
    year: i64,
    month: i64,
    day: i64,
}

impl Day {
    fn to_text(self) -> String {
        format!("{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }

    /// Days since 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    fn number(self) -> i64 {
        let year = if self.month <= 2 { self.year - 1 } else { self.year };
        let era = year.div_euclid(400);
        let of_era = year.rem_euclid(400);
        let of_year = (153 * ((self.month + 9) % 12) + 2) / 5 + self.day - 1;
        era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
    }

    fn of(number: i64) -> Self {
        let shifted = number + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        Self { year: year + era * 400 + i64::from(month <= 2), month, day }
    }
}

fn day(text: &str) -> Option<Day> {
    let bytes = text.as_bytes();
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let (year, month, day) = (number(&text[..4])?, number(&text[5..7])?, number(&text[8..])?);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    (year >= 1 && (1..=12).contains(&month) && (1..=days).contains(&day)).then_some(Day { year, month, day })
}

fn number(digits: &str) -> Option<i64> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

fn utc(text: &str) -> Option<String> {
    if !text.is_ascii() || text.len() < 20 || !matches!(text.as_bytes()[10], b'T' | b't' | b' ') {
        return None;
    }
    let day = day(&text[..10])?;
    let (clock, rest) = text[11..].split_at_checked(8)?;
    let parts: Vec<i64> =
        clock.split(':').map(|part| number(part).filter(|_| part.len() == 2)).collect::<Option<_>>()?;
    let [hour, minute, second] = parts[..] else { return None };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (fraction, offset) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?),
        None => ("0", rest),
    };
    let milliseconds =
        number(&format!("{fraction:0<3}")[..3]).filter(|_| !fraction.is_empty() && fraction.len() <= 9)?;
    let seconds = day.number() * 86_400 + hour * 3_600 + minute * 60 + second - self::offset(offset)?;
    let day = Day::of(seconds.div_euclid(86_400));
    let second = seconds.rem_euclid(86_400);
    (1..=9999).contains(&day.year).then(|| {
        format!("{}T{:02}:{:02}:{:02}.{milliseconds:03}Z", day.to_text(), second / 3_600, second / 60 % 60, second % 60)
    })
}

/// In seconds.
fn offset(text: &str) -> Option<i64> {
    if matches!(text, "Z" | "z") {
        return Some(0);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let (hours, minutes) =
        text[1..].split_once(':').filter(|(hours, minutes)| hours.len() == 2 && minutes.len() == 2)?;
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 3_600 + minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_that_there_is_is_a_date() {
        for good in ["2026-07-31", "2024-02-29", "2000-02-29", "0001-01-01", "9999-12-31"] {
            assert_eq!(date(&format!(" {good} ")).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "2026-7-31",
            "2026-02-29",
            "1900-02-29",
            "2026-13-01",
            "2026-00-10",
            "2026-04-31",
            "2026-04-00",
            "0000-01-01",
            "31.07.2026",
            "2026/07/31",
            "2026-07-31T00:00:00Z",
            "20260731",
            "+026-07-31",
            "２026-07-3",
            "infinity",
            "today",
        ] {
            assert!(date(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_moment_is_stored_in_utc() {
        // Examples of RFC 3339, section 5.8.
        for (given, stored) in [
            ("1985-04-12T23:20:50.52Z", "1985-04-12T23:20:50.520Z"),
            ("1996-12-19T16:39:57-08:00", "1996-12-20T00:39:57.000Z"),
            ("1937-01-01T12:00:27.87+00:20", "1937-01-01T11:40:27.870Z"),
            ("2024-03-01t00:30:00+01:00", "2024-02-29T23:30:00.000Z"),
            ("2025-12-31 23:59:59.999999-00:01", "2026-01-01T00:00:59.999Z"),
            ("2026-07-31T14:30:00z", "2026-07-31T14:30:00.000Z"),
        ] {
            assert_eq!(datetime(given).as_deref(), Ok(stored), "{given}");
            assert_eq!(datetime(stored).as_deref(), Ok(stored));
        }
    }

    #[test]
    fn a_moment_without_its_offset_is_none() {
        for bad in [
            "",
            "2026-07-31",
            "2026-07-31T14:30",
            "2026-07-31T14:30:00",
            "2026-07-31T14:30:00+0200",
            "2026-07-31T14:30:00+2:00",
            "2026-07-31T24:00:00Z",
            "2026-07-31T14:60:00Z",
            "2026-07-31T14:30:60Z",
            "2026-07-31T14:30:00.Z",
            "2026-02-30T14:30:00Z",
            "2026-07-31T14:30:00+24:00",
            "0001-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-01:00",
            "2026-07-31T14:30:00Z ago",
            "2026-07-31T14:30:00.1234567890Z",
            "2026-07-31T1é:30:00Z",
            "now",
        ] {
            assert!(datetime(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn every_day_is_followed_by_the_next() {
        for number in -719_162..2_932_896 {
            assert_eq!(Day::of(number).number(), number);
        }
        assert_eq!(Day::of(0).to_text(), "1970-01-01");
    }
}
