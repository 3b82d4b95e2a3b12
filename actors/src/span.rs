//! The times that settings name.

use std::time::Duration;

/// The longest that makes sense: a clock can be asked for a point in time so far away.
const LONGEST: Duration = Duration::from_secs(60 * 60 * 24 * 366);

/// Says what is wrong with the time of the setting `name`: that it is none, or more than a year.
pub(crate) fn problem(name: &str, time: Duration) -> Option<String> {
    (time.is_zero() || time > LONGEST).then(|| format!("`{name}`: expected more than nothing, and a year at most"))
}
