//! When a log file has become old, and what becomes of it then.

use std::io;
use std::os::fd::AsFd;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, renameat, unlinkat};
use rustix::io::Errno;

use super::settings::LogPeriod;
use crate::files::append_file::AppendFile;
use crate::files::file_path::FilePath;
use crate::files::folder::Folder;

/// Says whether the file was last written in a period before the present one.
pub(super) fn is_past(file: &AppendFile, period: LogPeriod, now: SystemTime) -> bool {
    file.size() > 0 && period_of(file.modified(), period) < period_of(now, period)
}

fn period_of(time: SystemTime, period: LogPeriod) -> u64 {
    const HOUR: u64 = 60 * 60;
    let seconds = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    match period {
        LogPeriod::Hourly => seconds / HOUR,
        LogPeriod::Daily => seconds / (24 * HOUR),
        LogPeriod::Never => 0,
    }
}

/// Renames the file at `path` to `name.1`, what had that name to `name.2`, and so on; what would come after `keep` is gone.
pub(super) fn rotate(folder: &Folder, path: &FilePath, keep: usize) -> io::Result<()> {
    let within = folder.enter(path)?;
    let within = within.as_fd();
    let name = path.name();
    let numbered = |number: usize| if number == 0 { name.to_owned() } else { format!("{name}.{number}") };
    if keep == 0 {
        return present(unlinkat(within, name, AtFlags::empty()));
    }
    // The oldest first, each onto the one before; where one cannot move, those that are younger must not take its place.
    (0..keep).rev().try_for_each(|number| present(renameat(within, numbered(number), within, numbered(number + 1))))
}

/// What is not there need not move.
fn present(moved: rustix::io::Result<()>) -> io::Result<()> {
    match moved {
        Err(Errno::NOENT) => Ok(()),
        moved => Ok(moved?),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;

    #[test]
    fn old_files_move_on_until_they_are_gone() {
        let temporary = tempfile::tempdir().unwrap();
        let (folder, path) = (Folder::new(temporary.path()), FilePath::new("a/log").unwrap());
        let read = |name: &str| fs::read_to_string(temporary.path().join("a").join(name)).ok();
        for number in 0..5 {
            folder.enter(&path).unwrap();
            fs::write(temporary.path().join("a/log"), number.to_string()).unwrap();
            rotate(&folder, &path, 3).unwrap();
        }
        let names = ["log", "log.1", "log.2", "log.3", "log.4"];
        assert_eq!(names.map(read), [None, Some("4".into()), Some("3".into()), Some("2".into()), None]);
        fs::write(temporary.path().join("a/log"), "5").unwrap();
        rotate(&folder, &path, 0).unwrap();
        assert_eq!((read("log"), read("log.1")), (None, Some("4".into())));
    }

    #[test]
    fn a_period_begins_at_its_hour_or_at_midnight() {
        let at = |text: &str| humantime::parse_rfc3339(text).unwrap();
        let (evening, night) = (at("2026-02-13T23:59:59.999Z"), at("2026-02-14T00:00:00Z"));
        for (period, parted) in [(LogPeriod::Daily, true), (LogPeriod::Hourly, true), (LogPeriod::Never, false)] {
            assert_eq!(period_of(evening, period) < period_of(night, period), parted);
        }
        assert_eq!(
            period_of(night, LogPeriod::Daily),
            period_of(night + Duration::from_secs(80_000), LogPeriod::Daily)
        );
    }
}
