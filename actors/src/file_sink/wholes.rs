//! Wholes: a file for each, complete or not there.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use playhouse_engine::{Error, Event, EventId, Held, Payload, Result};
use rustix::fs::{AtFlags, Mode, OFlags, fsync, linkat, openat, renameat, statat, unlinkat};
use std::collections::HashMap;
use tokio::time::{Duration, Instant};
use tracing::warn;

use super::settings::{Existing, FileSinkSettings};
use crate::files::file_path::FilePath;
use crate::files::folder::Folder;
use crate::files::lane::Writer;
use crate::files::refused;
use crate::part::{Part, PartEnd};

/// What is known of an event that is a whole or a part of one.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) part: Option<Part>,
    /// Where the whole goes, with its first part.
    pub(super) path: Option<FilePath>,
}

/// The wholes of one writer.
#[derive(Debug)]
pub(super) struct Wholes {
    folder: Folder,
    open: HashMap<EventId, Open>,
    /// How many are open at all writers.
    count: Arc<AtomicUsize>,
    most: usize,
    existing: Existing,
    sync: bool,
    time_out: Duration,
}

/// A whole in parts.
#[derive(Debug)]
struct Open {
    whole: Whole,
    /// The number of the part that comes next.
    next: u64,
    /// When the last one came.
    came: Instant,
    _counted: Counted,
}

/// One of the wholes that are counted.
#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A file that is written under another name until it is complete. Dropped before, it is deleted.
#[derive(Debug)]
struct Whole {
    file: File,
    within: OwnedFd,
    temporary: String,
    path: FilePath,
    size: u64,
    is_complete: bool,
}

impl Whole {
    fn begin(folder: &Folder, path: FilePath, existing: Existing) -> Result<Self> {
        let within = folder.enter(&path).map_err(|error| refused("open the folder of", &path, error))?;
        if existing == Existing::Refuse && statat(&within, path.name(), AtFlags::SYMLINK_NOFOLLOW).is_ok() {
            // Better now than after all of it has come.
            return Err(exists(&path));
        }
        // Not the event's own id: it may be on its way into several files.
        let temporary = format!(".playhouse-{}.part", EventId::unique());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(within.as_fd(), &temporary, flags, Mode::from_raw_mode(0o666))
            .map_err(|error| refused("make", &path, error.into()))?;
        Ok(Self { file: File::from(file), within, temporary, path, size: 0, is_complete: false })
    }

    fn append(&mut self, payload: &Payload) -> Result<()> {
        let bytes = payload.to_bytes();
        self.file.write_all(&bytes).map_err(|error| refused("write to", &self.path, error))?;
        self.size += bytes.len() as u64;
        Ok(())
    }

    /// Gives the file its name.
    fn complete(mut self, existing: Existing, sync: bool) -> Result<(FilePath, u64)> {
        if sync {
            self.file.sync_all().map_err(|error| refused("sync", &self.path, error))?;
        }
        let (within, name) = (&self.within, self.path.name());
        match existing {
            Existing::Replace => {
                renameat(within, &self.temporary, within, name)
                    .map_err(|error| refused("make", &self.path, error.into()))?;
                self.is_complete = true;
            }
            // A link never takes the place of another file. The temporary name goes with `self`.
            Existing::Refuse => linkat(within, &self.temporary, within, name, AtFlags::empty()).map_err(|error| {
                if error == rustix::io::Errno::EXIST {
                    exists(&self.path)
                } else {
                    refused("make", &self.path, error.into())
                }
            })?,
        }
        if sync {
            fsync(within).map_err(|error| refused("sync the folder of", &self.path, error.into()))?;
        }
        Ok((self.path.clone(), self.size))
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        if !self.is_complete {
            // Gone already, perhaps with its folder: then it is as it should be.
            let _ = unlinkat(&self.within, &self.temporary, AtFlags::empty());
        }
    }
}

fn exists(path: &FilePath) -> Error {
    Error::conflict(format!("`{path}` is there already"))
}

impl Wholes {
    pub(super) fn new(folder: Folder, settings: &FileSinkSettings, count: Arc<AtomicUsize>) -> Self {
        Self {
            folder,
            open: HashMap::new(),
            count,
            most: settings.open,
            existing: settings.existing,
            sync: settings.sync,
            time_out: settings.part_time_out,
        }
    }

    /// Deletes what has waited too long for its next part, and returns when to look again.
    pub(super) fn sweep(&mut self, now: Instant) -> Option<Instant> {
        let time_out = self.time_out;
        self.open.retain(|id, open| {
            let stays = open.came + time_out > now;
            if !stays {
                let path = &open.whole.path;
                warn!(event = %id, %path, "no part came within {time_out:?}: the file is deleted");
            }
            stays
        });
        self.open.values().map(|open| open.came + time_out).min()
    }

    fn take(&mut self, event: &Event, job: &Job) -> Result<Option<Event>> {
        match job.part {
            None => {
                let mut whole = self.begin(job)?;
                whole.append(event.payload())?;
                self.complete(event.derive(()), whole).map(Some)
            }
            Some(part) => {
                // Out of the map until it is known that it stays whole.
                let known = self.open.remove(&event.id());
                let ends = part.end == PartEnd::Broken;
                let mut open = match known {
                    _ if ends => return Ok(None),
                    Some(open) if open.next == part.number => open,
                    Some(open) => {
                        let message = format!("expected part {} of its whole, found {}", open.next, part.number);
                        return Err(Error::conflict(message));
                    }
                    None if part.number == 0 => {
                        let counted = self.counted()?;
                        let whole = self.begin(job)?;
                        Open { whole, next: 0, came: Instant::now(), _counted: counted }
                    }
                    None => {
                        let message = format!("part {} is of a whole that is not open", part.number);
                        return Err(Error::gone(message));
                    }
                };
                open.whole.append(event.payload())?;
                if part.end == PartEnd::Last {
                    return self.complete(Part::unmark(event.derive(())), open.whole).map(Some);
                }
                open.next += 1;
                open.came = Instant::now();
                self.open.insert(event.id(), open);
                Ok(None)
            }
        }
    }

    fn begin(&self, job: &Job) -> Result<Whole> {
        let path = job.path.clone().ok_or_else(|| Error::internal("a whole begins without its path"))?;
        Whole::begin(&self.folder, path, self.existing)
    }

    fn complete(&self, event: Event, whole: Whole) -> Result<Event> {
        let (path, size) = whole.complete(self.existing, self.sync)?;
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        Ok(event.with_attribute("file.path", path.as_str().to_owned()).with_attribute("file.size", size))
    }

    fn counted(&self) -> Result<Counted> {
        let counted = Counted(self.count.clone());
        if self.count.fetch_add(1, Ordering::AcqRel) >= self.most {
            return Err(Error::overloaded(format!("{} wholes are open, and no more may be", self.most)));
        }
        Ok(counted)
    }
}

impl Writer for Wholes {
    type Job = Job;

    fn write(&mut self, events: &[(Held, Job)]) -> Vec<Result<Option<Event>>> {
        events.iter().map(|(held, job)| self.take(held.event(), job)).collect()
    }
}
