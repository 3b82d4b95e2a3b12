//! When a cron pattern matches in a time zone. Knows nothing of the present: it is asked what comes after a second.

use croner::parser::CronParser;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone};
use jiff::{SignedDuration, Timestamp};

/// The longest pattern that is looked at.
const LONGEST: usize = 256;

const FIELDS: [&str; 7] = ["second", "minute", "hour", "day of month", "month", "day of week", "year"];
const MONTHS: &str = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC";
const WEEKDAYS: &str = "SUN MON TUE WED THU FRI SAT";
const NICKNAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// No change of a clock is longer than this.
const DAY: i64 = 24 * 60 * 60;

/// The seconds at which a pattern matches in a zone. Seconds are counted since 1970, in UTC.
#[derive(Debug)]
pub(super) struct Calendar {
    pattern: croner::Cron,
    zone: TimeZone,
    /// Whether the pattern names hours and minutes: then it is late in an hour that is skipped, and passes over the second of
    /// two that are the same. Otherwise it follows the clock.
    is_fixed: bool,
}

impl Calendar {
    /// Compiles a pattern, or says all that is wrong with it and with the zone.
    pub(super) fn new(pattern: &str, zone: &str) -> Result<Self, Vec<String>> {
        let mut problems = Vec::new();
        let parsed = parse(pattern).map_err(|found| problems.extend(found));
        let zone = TimeZone::get(zone).map_err(|_| {
            problems.push(format!("`zone`: there is no `{zone}`; expected a name such as `Europe/Berlin` or `UTC`"));
        });
        let (Ok((pattern, is_fixed)), Ok(zone)) = (parsed, zone) else { return Err(problems) };
        let calendar = Self { pattern, zone, is_fixed };
        match calendar.after(0) {
            Some(_) => Ok(calendar),
            None => Err(vec!["`pattern`: it matches no day; expected one that comes".to_owned()]),
        }
    }

    /// Returns the first tick after a second.
    pub(super) fn after(&self, second: i64) -> Option<i64> {
        if self.is_fixed { self.fixed_after(second) } else { self.following_after(second) }
    }

    /// Returns the last tick after `after` and not after `until`.
    pub(super) fn latest(&self, after: i64, until: i64) -> Option<i64> {
        let comes_after = |second: i64| self.after(second).filter(|tick| *tick <= until);
        let mut latest = comes_after(after)?;
        // Between these two the answer turns from a tick to none.
        let (mut with, mut without) = (latest, until);
        while with < without {
            let middle = with + (without - with) / 2;
            match comes_after(middle) {
                Some(tick) => (latest, with) = (tick, tick),
                None => without = middle,
            }
        }
        Some(latest)
    }

    fn fixed_after(&self, second: i64) -> Option<i64> {
        let mut civil = self.civil(second)?;
        loop {
            // Later times of the calendar are never earlier instants here, so the first that is late enough is the one.
            civil = self.pattern.find_next_occurrence(&civil, false).ok()?;
            let tick = self.instant(civil)?;
            if tick > second {
                return Some(tick);
            }
        }
    }

    fn following_after(&self, second: i64) -> Option<i64> {
        let (mut from, mut inclusive) = (second, false);
        loop {
            let stamp = Timestamp::from_second(from).ok()?;
            let offset = self.zone.to_offset(stamp);
            let civil = offset.to_datetime(stamp);
            // As if the offset never changed.
            let tick = self.pattern.find_next_occurrence(&civil, inclusive).ok().and_then(|next| at(next, offset));
            let change = self.zone.following(stamp).next().map(|change| change.timestamp().as_second());
            let Some(change) = change.filter(|change| tick.is_none_or(|tick| tick >= *change)) else { return tick };
            // A clock that goes back shows times again of which none matched, but for those before `from`.
            from = match tick {
                Some(tick) if change - from > DAY => change.max(tick - 2 * DAY),
                None if change - from > DAY => return None,
                _ => change,
            };
            inclusive = true;
        }
    }

    /// Returns what the clock shows.
    fn civil(&self, second: i64) -> Option<DateTime> {
        Timestamp::from_second(second).ok().map(|stamp| self.zone.to_datetime(stamp))
    }

    /// Returns when the clock shows this for the first time, or when it first shows something later.
    fn instant(&self, civil: DateTime) -> Option<i64> {
        match self.zone.to_ambiguous_timestamp(civil).offset() {
            AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => at(civil, offset),
            AmbiguousOffset::Gap { after, .. } => {
                // By the offset after the gap, a time in it lies before the change, and by less than a day.
                let before = Timestamp::from_second(at(civil, after)?).ok()?;
                self.zone.following(before).next().map(|change| change.timestamp().as_second())
            }
        }
    }
}

fn at(civil: DateTime, offset: Offset) -> Option<i64> {
    offset.to_timestamp(civil).ok().map(Timestamp::as_second)
}

/// Returns the pattern and whether it names hours and minutes.
fn parse(pattern: &str) -> Result<(croner::Cron, bool), Vec<String>> {
    if pattern.len() > LONGEST {
        return Err(vec![format!("`pattern`: expected {LONGEST} bytes at most, found {}", pattern.len())]);
    }
    let pattern = pattern.trim();
    let nickname = NICKNAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(pattern));
    let pattern = nickname.map_or(pattern, |(_, pattern)| *pattern).to_ascii_uppercase();
    let mut fields: Vec<&str> = pattern.split_whitespace().collect();
    if fields.len() == 5 {
        fields.insert(0, "0");
    }
    if fields.len() == 6 {
        fields.push("*");
    }
    let Ok::<[&str; 7], _>(fields) = fields.try_into() else {
        let expected =
            "expected five fields (minute, hour, day of month, month, day of week), a second before them or not";
        return Err(vec![format!("`pattern`: {expected}, a year behind six or not")]);
    };
    // As in Debian's cron: days of the month and of the week must both be right where one of them begins with a star.
    let both = [fields[3], fields[5]].iter().any(|field| field.starts_with(['*', '?']));
    let parser = CronParser::builder().dom_and_dow(both).build();
    let problems: Vec<_> = (0..fields.len()).filter_map(|number| problem(&fields, number, &parser)).collect();
    if !problems.is_empty() {
        return Err(problems);
    }
    let parsed = parser.parse(&fields.join(" ")).map_err(|error| vec![format!("`pattern`: {error}")])?;
    let is_fixed = ![fields[1], fields[2]].iter().any(|field| field.starts_with('*'));
    Ok((parsed, is_fixed))
}

/// Says what is wrong with one field. The parser does not tell which one it is, so each is shown to it alone.
fn problem(fields: &[&str; 7], number: usize, parser: &CronParser) -> Option<String> {
    let (name, field) = (FIELDS[number], fields[number]);
    let mut alone = ["*"; 7];
    alone[number] = field;
    let error = if field.split(',').any(str::is_empty) {
        "expected something between commas".to_owned()
    } else if let Some(word) = unknown_word(number, field) {
        format!("`{word}` means nothing here")
    } else {
        let error = parser.parse(&alone.join(" ")).err()?.to_string();
        error.trim_end_matches('.').to_owned()
    };
    Some(format!("`pattern`: the {name} is `{field}`: {error}"))
}

/// The parser replaces names wherever they stand, so that `MON` would be a month.
fn unknown_word(number: usize, field: &str) -> Option<&str> {
    let known = |list: &str, word: &str| word.len() == 3 && list.split(' ').any(|name| name == word);
    let is_known = |word: &str| match number {
        3 => matches!(word, "L" | "W" | "LW"),
        4 => known(MONTHS, word),
        5 => word == "L" || known(WEEKDAYS, word) || word.strip_suffix('L').is_some_and(|name| known(WEEKDAYS, name)),
        _ => false,
    };
    field.split(|letter: char| !letter.is_alphabetic()).find(|word| !word.is_empty() && !is_known(word))
}

/// Returns a second as RFC 3339 has it.
pub(super) fn written(second: i64) -> String {
    Timestamp::UNIX_EPOCH
        .saturating_add(SignedDuration::from_secs(second))
        .map_or_else(|_| String::new(), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn second(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_second()
    }

    #[track_caller]
    fn ticks(pattern: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let calendar = Calendar::new(pattern, zone).unwrap();
        let mut last = second(after);
        let next = || {
            last = calendar.after(last)?;
            Some(written(last))
        };
        std::iter::from_fn(next).take(count).collect()
    }

    #[test]
    fn a_fixed_time_that_is_skipped_comes_once_right_after() {
        let expected = ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"];
        assert_eq!(ticks("30 2 * * *", "Europe/Berlin", "2026-03-27T12:00:00Z", 3), expected);
        let several = ticks("10,40 2,3 * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", 3);
        assert_eq!(several, ["2026-03-29T01:00:00Z", "2026-03-29T01:10:00Z", "2026-03-29T01:40:00Z"]);
    }

    #[test]
    fn a_fixed_time_that_comes_twice_ticks_in_the_first_pass() {
        let expected = ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"];
        assert_eq!(ticks("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2), expected);
        assert_eq!(ticks("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", 1), expected[1..]);
    }

    #[test]
    fn what_follows_the_clock_ticks_in_both_passes_and_in_no_hour_that_is_skipped() {
        let expected = ["2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z", "2026-10-25T01:30:00Z"];
        assert_eq!(ticks("*/30 2 * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", 3), expected);
        assert_eq!(ticks("0 */30 2 25 10 * 2026", "Europe/Berlin", "2026-10-25T00:00:00Z", 9), expected);
        let expected = ["2026-03-28T01:30:00Z", "2026-03-30T00:00:00Z"];
        assert_eq!(ticks("*/30 2 * * *", "Europe/Berlin", "2026-03-28T01:00:00Z", 2), expected);
    }

    #[test]
    fn the_last_tick_of_a_time_is_found_however_long_that_is() {
        let calendar = Calendar::new("* * * 2 *", "UTC").unwrap();
        let until = second("2049-12-24T00:00:00Z");
        assert_eq!(calendar.latest(0, until).map(written).unwrap(), "2049-02-28T23:59:00Z");
        assert_eq!(calendar.latest(second("2049-03-01T00:00:00Z"), until), None);
        let hours = Calendar::new("@hourly", "UTC").unwrap();
        assert_eq!((hours.latest(0, 3599), hours.latest(0, 3600), hours.latest(3600, 7199)), (None, Some(3600), None));
    }

    #[test]
    fn a_pattern_that_is_wrong_is_refused_with_the_name_of_the_field() {
        for (pattern, expected) in [
            ("60 * * * *", "the minute is `60`"),
            ("* 24 * * *", "the hour is `24`"),
            ("0 0 0 32 * *", "the day of month is `32`"),
            ("* * * MON *", "the month is `MON`: `MON` means nothing here"),
            ("* * * * 8", "the day of week is `8`"),
            ("* * * * FRIDAY", "`FRIDAY` means nothing here"),
            ("x * * * * *", "the second is `X`"),
            ("* * * * * * 1-x", "the year is `1-X`"),
            ("*,, * * * *", "the minute is `*,,`: expected something between commas"),
            ("5/10 * * * *", "the minute is `5/10`"),
            ("* * * *", "expected five fields"),
            ("@reboot", "expected five fields"),
            ("0 0 30 2 *", "it matches no day"),
        ] {
            let problems = Calendar::new(pattern, "UTC").unwrap_err();
            assert!(problems.len() == 1 && problems[0].contains(expected), "{pattern}: {problems:?}");
        }
        let problems = Calendar::new("60 24 * * *", "Europe/Atlantis").unwrap_err();
        assert_eq!(problems.len(), 3, "{problems:?}");
        assert!(problems[2].starts_with("`zone`: there is no `Europe/Atlantis`"), "{problems:?}");
    }

    #[test]
    fn days_of_the_month_and_of_the_week_are_joined_as_debian_joins_them() {
        let either = ticks("0 0 13 * FRI", "UTC", "2026-02-01T00:00:00Z", 3);
        assert_eq!(either, ["2026-02-06T00:00:00Z", "2026-02-13T00:00:00Z", "2026-02-20T00:00:00Z"]);
        let both = ["2026-02-13T00:00:00Z", "2026-03-13T00:00:00Z", "2026-11-13T00:00:00Z"];
        assert_eq!(ticks("0 0 13 * +FRI", "UTC", "2026-02-01T00:00:00Z", 3), both);
        let odd_fridays = ticks("0 0 */2 * FRI", "UTC", "2026-02-01T00:00:00Z", 3);
        assert_eq!(odd_fridays, ["2026-02-13T00:00:00Z", "2026-02-27T00:00:00Z", "2026-03-13T00:00:00Z"]);
        assert_eq!(ticks("@yearly", "UTC", "2026-02-01T00:00:00Z", 1), ["2027-01-01T00:00:00Z"]);
        assert_eq!(ticks("0 12 L * *", "UTC", "2026-02-01T00:00:00Z", 1), ["2026-02-28T12:00:00Z"]);
    }

    proptest! {
        #[test]
        fn no_pattern_makes_it_panic(pattern in "[-*/,?#+LWMONFRIJA@0-9 ]{0,30}|\\PC{0,40}") {
            if let Ok(calendar) = Calendar::new(&pattern, "Europe/Berlin") {
                let first = calendar.after(1_700_000_000);
                prop_assert!(first.is_none_or(|first| first > 1_700_000_000));
            }
        }

        #[test]
        fn the_last_tick_is_the_one_that_is_found_by_walking(
            from in 1_770_000_000..1_800_000_000_i64, length in 0..20_000_i64, pattern in 0..4_usize
        ) {
            let pattern = ["*/7 * * * *", "3,9 1-4 * * *", "0 30 * * * *", "30 2 * * 0"][pattern];
            let calendar = Calendar::new(pattern, "Europe/Berlin").unwrap();
            let mut walked = None;
            let mut at = from;
            while let Some(next) = calendar.after(at).filter(|next| *next <= from + length) {
                (walked, at) = (Some(next), next);
            }
            prop_assert_eq!(calendar.latest(from, from + length), walked);
        }
    }
}
