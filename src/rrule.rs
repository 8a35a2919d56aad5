//! Recurrence rules (RFC 5545, 3.3.10) as calendars exchange them: `FREQ=WEEKLY;BYDAY=MO,TH`. Checked in form. Pure.

use crate::text::Checked;

const LONGEST: usize = 500;
const PROBLEM: &str = "not a recurrence rule like FREQ=WEEKLY;BYDAY=MO,TH";

const FREQUENCIES: [&str; 7] = ["SECONDLY", "MINUTELY", "HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY"];
const WEEKDAYS: [&str; 7] = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];

/// Parts that are lists of numbers: from, to, and whether they also count from the end (-1 is the last).
const NUMBERS: [(&str, u32, u32, bool); 8] = [
    ("BYSECOND", 0, 60, false),
    ("BYMINUTE", 0, 59, false),
    ("BYHOUR", 0, 23, false),
    ("BYMONTHDAY", 1, 31, true),
    ("BYYEARDAY", 1, 366, true),
    ("BYWEEKNO", 1, 53, true),
    ("BYMONTH", 1, 12, false),
    ("BYSETPOS", 1, 366, true),
];

/// Frequencies with which a part has no meaning.
const EXCLUDED: [(&str, &[&str]); 3] = [
    ("BYMONTHDAY", &["WEEKLY"]),
    ("BYYEARDAY", &["DAILY", "WEEKLY", "MONTHLY"]),
    ("BYWEEKNO", &["SECONDLY", "MINUTELY", "HOURLY", "DAILY", "WEEKLY", "MONTHLY"]),
];

/// In upper case, without the name of the property.
pub fn rrule(value: &str) -> Checked<String> {
    let value = value.trim().to_ascii_uppercase();
    let value = value.strip_prefix("RRULE:").unwrap_or(&value);
    let parts = (value.len() <= LONGEST).then(|| parts(value)).flatten();
    match parts {
        Some(parts) if is_rule(&parts) => Ok(value.to_owned()),
        _ => Err(PROBLEM.into()),
    }
}

/// The parts by name, of which each may be there once.
fn parts(value: &str) -> Option<Vec<(&str, &str)>> {
    let mut parts: Vec<(&str, &str)> = vec![];
    for part in value.split(';') {
        let (name, value) = part.split_once('=')?;
        if parts.iter().any(|(known, _)| *known == name) || !is_part(name, value) {
            return None;
        }
        parts.push((name, value));
    }
    Some(parts)
}

fn is_rule(parts: &[(&str, &str)]) -> bool {
    let find = |name: &str| parts.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    let Some(frequency) = find("FREQ") else { return false };
    let excluded = EXCLUDED.iter().any(|(name, frequencies)| find(name).is_some() && frequencies.contains(&frequency));
    let counts_weekdays = find("BYDAY").is_some_and(|days| days.contains(|c: char| c.is_ascii_digit()));
    let may_count_weekdays = frequency == "MONTHLY" || (frequency == "YEARLY" && find("BYWEEKNO").is_none());
    let chooses = find("BYSETPOS").is_some();
    let has_choice = parts.iter().any(|(name, _)| name.starts_with("BY") && *name != "BYSETPOS");
    !excluded
        && (may_count_weekdays || !counts_weekdays)
        && (has_choice || !chooses)
        && (find("UNTIL").is_none() || find("COUNT").is_none())
}

fn is_part(name: &str, value: &str) -> bool {
    let listed = |is_one: &dyn Fn(&str) -> bool| value.split(',').all(is_one);
    match name {
        "FREQ" => FREQUENCIES.contains(&value),
        "UNTIL" => is_moment(value),
        "COUNT" | "INTERVAL" => number(value).is_some_and(|number| number > 0),
        "WKST" => WEEKDAYS.contains(&value),
        "BYDAY" => listed(&is_weekday),
        _ => NUMBERS.iter().find(|(known, ..)| *known == name).is_some_and(|&(_, from, to, signed)| {
            listed(&|one| number(if signed { unsigned(one) } else { one }).is_some_and(|n| (from..=to).contains(&n)))
        }),
    }
}

fn unsigned(value: &str) -> &str {
    value.strip_prefix(['+', '-']).unwrap_or(value)
}

/// `parse` alone would take a sign.
fn number(value: &str) -> Option<u32> {
    (value.len() <= 6 && value.bytes().all(|byte| byte.is_ascii_digit())).then(|| value.parse().ok()).flatten()
}

/// `MO`, `2TU` (the second Tuesday), `-1FR` (the last Friday).
fn is_weekday(value: &str) -> bool {
    WEEKDAYS
        .iter()
        .filter_map(|day| value.strip_suffix(day))
        .any(|nth| nth.is_empty() || number(unsigned(nth)).is_some_and(|nth| (1..=53).contains(&nth)))
}

/// `20261231` or `20261231T235959Z`.
fn is_moment(value: &str) -> bool {
    let (day, time) = match value.split_once('T') {
        Some((day, time)) => (day, time.strip_suffix('Z').unwrap_or(time)),
        None => (value, "000000"),
    };
    let digits = |value: &str, length: usize| value.len() == length && value.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(day, 8) || !digits(time, 6) {
        return false;
    }
    let within = |text: &str, from: u32, to: u32| number(text).is_some_and(|number| (from..=to).contains(&number));
    within(&day[4..6], 1, 12)
        && within(&day[6..], 1, 31)
        && within(&time[..2], 0, 23)
        && within(&time[2..4], 0, 59)
        && within(&time[4..], 0, 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc_are_rules() {
        for rule in [
            "FREQ=DAILY;COUNT=10",
            "FREQ=DAILY;UNTIL=19971224T000000Z",
            "FREQ=DAILY;INTERVAL=2",
            "FREQ=YEARLY;UNTIL=20000131T140000Z;BYMONTH=1;BYDAY=SU,MO,TU,WE,TH,FR,SA",
            "FREQ=WEEKLY;INTERVAL=2;COUNT=8;WKST=SU;BYDAY=TU,TH",
            "FREQ=MONTHLY;COUNT=10;BYDAY=1FR",
            "FREQ=MONTHLY;INTERVAL=2;COUNT=10;BYDAY=1SU,-1SU",
            "FREQ=MONTHLY;BYMONTHDAY=-3",
            "FREQ=MONTHLY;BYMONTHDAY=2,15",
            "FREQ=YEARLY;INTERVAL=3;COUNT=10;BYYEARDAY=1,100,200",
            "FREQ=YEARLY;BYDAY=20MO",
            "FREQ=YEARLY;BYWEEKNO=20;BYDAY=MO",
            "FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13",
            "FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8",
            "FREQ=MONTHLY;COUNT=3;BYDAY=TU,WE,TH;BYSETPOS=3",
            "FREQ=HOURLY;INTERVAL=3;UNTIL=19970902T170000Z",
            "FREQ=DAILY;BYHOUR=9,10,11,12,13,14,15,16;BYMINUTE=0,20,40",
            "INTERVAL=2;FREQ=WEEKLY;UNTIL=20261231",
        ] {
            assert_eq!(rrule(rule).as_deref(), Ok(rule));
        }
    }

    #[test]
    fn a_rule_is_stored_in_upper_case_without_the_property() {
        assert_eq!(rrule(" rrule:freq=weekly;byday=mo ").as_deref(), Ok("FREQ=WEEKLY;BYDAY=MO"));
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for bad in [
            "",
            "WEEKLY",
            "BYDAY=MO",
            "FREQ=FORTNIGHTLY",
            "FREQ=DAILY;",
            "FREQ=DAILY;FREQ=DAILY",
            "FREQ=DAILY;COUNT=0",
            "FREQ=DAILY;COUNT=+1",
            "FREQ=DAILY;COUNT=1;UNTIL=20261231",
            "FREQ=DAILY;UNTIL=tomorrow",
            "FREQ=DAILY;UNTIL=20261331",
            "FREQ=DAILY;UNTIL=20261231T250000",
            "FREQ=DAILY;UNTIL=2026é231",
            "FREQ=WEEKLY;BYDAY=XX",
            "FREQ=WEEKLY;BYDAY=",
            "FREQ=WEEKLY;BYDAY=1MO",
            "FREQ=MONTHLY;BYDAY=0MO",
            "FREQ=MONTHLY;BYDAY=54MO",
            "FREQ=YEARLY;BYWEEKNO=1;BYDAY=1MO",
            "FREQ=WEEKLY;BYMONTHDAY=1",
            "FREQ=MONTHLY;BYYEARDAY=1",
            "FREQ=MONTHLY;BYWEEKNO=1",
            "FREQ=MONTHLY;BYMONTHDAY=32",
            "FREQ=MONTHLY;BYMONTH=-1",
            "FREQ=MONTHLY;BYSETPOS=1",
            "FREQ=MONTHLY;BYDAY=--1MO",
            "FREQ=DAILY;X-NAME=1",
            "FREQ=DAILY\nDTSTART:20260101",
        ] {
            assert!(rrule(bad).is_err(), "{bad:?}");
        }
        assert!(rrule(&format!("FREQ=DAILY;BYHOUR={}", "1,".repeat(300) + "1")).is_err());
    }
}
