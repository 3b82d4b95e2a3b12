//! Reads the log after a start, whatever the last stop was like.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::Path;

use bytes::Bytes;
use playhouse_engine::{Error, Result};
use tracing::{error, warn};

use super::files::{File, Files};
use super::log::{Log, Place, Sizes};
use super::record::{Kind, Raw};
use super::segment::{self, Found, HEADER, Header, Scan, Segment};
use crate::protocol::{Service, Ticket};

/// What a log held when it was opened.
#[derive(Debug, Default)]
pub struct Recovered {
    /// When it was opened, in microseconds since 1970.
    pub(crate) now: u64,
    /// The services for which requests wait.
    pub(crate) services: Vec<Service>,
    /// What is stored, the oldest first.
    pub(crate) requests: Vec<RecoveredRequest>,
    /// How many bytes the log has.
    pub(crate) disk_size: u64,
    /// At how many places the log was damaged.
    pub(crate) damages: usize,
}

impl Recovered {
    /// Returns how many requests are stored, done or not.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.requests.len()
    }

    /// Returns at how many places records were found that can no longer be read, other than at the very end, where a
    /// kill leaves them. Each was logged with its file and offset.
    #[must_use]
    pub fn damages(&self) -> usize {
        self.damages
    }
}

/// A request that was found in the log.
#[derive(Debug)]
pub(crate) struct RecoveredRequest {
    pub(crate) ticket: Ticket,
    /// When the request was stored, or its reply, in microseconds since 1970.
    pub(crate) time: u64,
    /// How many bytes the record has.
    pub(crate) size: u32,
    pub(crate) state: RecoveredState,
}

/// How far a request had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecoveredState {
    /// It is to be run; the number says which of the services is to do it.
    Waiting(u32),
    /// It has a reply.
    Replied,
    /// It failed for good.
    Failed,
}

/// What is known of a ticket while the log is read.
struct Known {
    place: Place,
    time: u64,
    state: RecoveredState,
}

/// What has been read so far.
#[derive(Default)]
struct Reading {
    known: BTreeMap<Ticket, Known>,
    services: Vec<Service>,
    numbers: HashMap<Bytes, u32>,
    damages: usize,
}

impl<F: Files> Log<F> {
    /// Reads all that is in the folder; `now` is in microseconds since 1970.
    ///
    /// # Errors
    /// `Unavailable` where a file cannot be read or mended, `Unsupported` where one was written by a later version.
    pub(crate) fn open(files: F, sizes: Sizes, now: u64) -> Result<(Self, Recovered)> {
        let mut log = Self {
            files,
            sizes,
            segments: BTreeMap::new(),
            next_number: 1,
            index: BTreeMap::new(),
            moving: None,
            has_unsynced_removal: false,
            last_time: 0,
            buffer: Vec::new(),
            changes: Vec::new(),
        };
        let names = log.files.names().map_err(|error| log.failed("", "cannot list the folder", error))?;
        let mut numbers = Vec::new();
        for (number, is_damaged) in names.iter().filter_map(|name| segment::number_of(name)) {
            log.next_number = log.next_number.max(number.saturating_add(1));
            if !is_damaged {
                numbers.push(number);
            }
        }
        numbers.sort_unstable();
        let mut reading = Reading::default();
        for &number in &numbers {
            let is_last = Some(&number) == numbers.last();
            if let Some(segment) = log.open_segment(number, is_last, &mut reading)? {
                log.segments.insert(number, segment);
            }
        }
        let recovered = log.take(reading, now);
        Ok((log, recovered))
    }

    /// Opens one segment and reads it. Where the last one was never finished, there is none.
    fn open_segment(&self, number: u32, is_last: bool, reading: &mut Reading) -> Result<Option<Segment<F::File>>> {
        let name = segment::name(number);
        let failed = |error| self.failed(&name, "cannot read the file", error);
        let file = self.files.open(&name).map_err(failed)?;
        let length = file.length().map_err(failed)?.min(u32::MAX.into()) as u32;
        let mut header = [0; HEADER as usize];
        if length >= HEADER {
            file.read_at(0, &mut header).map_err(failed)?;
        }
        let mut segment = Segment { number, file, length, live: 0, is_sealed: !is_last, is_damaged: false };
        match segment::read_header(&header, number) {
            Header::Good => {}
            Header::Version(found) => {
                let path = self.files.path(&name);
                let message = format!("`{}`: expected version 1 of the log's format, found {found}", path.display());
                return Err(Error::unsupported(message));
            }
            Header::Bad if is_last && length <= HEADER => {
                // It was being made. Nothing was ever written to it.
                self.files.remove(&name).map_err(failed)?;
                return Ok(None);
            }
            Header::Bad => {
                reading.damage(&self.files.path(&name), 0, "the header is damaged, the whole file is passed over");
                (segment.is_sealed, segment.is_damaged) = (true, true);
                return Ok(Some(segment));
            }
        }
        self.read(&mut segment, is_last, reading).map_err(failed)?;
        Ok(Some(segment))
    }

    /// Reads the records of a segment.
    fn read(&self, segment: &mut Segment<F::File>, is_last: bool, reading: &mut Reading) -> io::Result<()> {
        let path = self.files.path(&segment::name(segment.number));
        let mut scan = Scan::new(segment.number, segment.length);
        loop {
            let (offset, what) = match scan.next(&segment.file)? {
                Found::Record(raw, bytes, offset) => {
                    let place = Place { segment: segment.number, offset, length: bytes.len() as u32 };
                    if reading.note(&raw, place) {
                        continue;
                    }
                    (offset, "a record makes no sense and is passed over")
                }
                Found::Damage { offset } => (offset, "records are damaged and are passed over"),
                Found::Rest { offset } if is_last => {
                    let bytes = segment.length - offset;
                    warn!(file = %path.display(), offset, bytes, "what was never finished is cut off");
                    segment.file.truncate(offset.into())?;
                    segment.length = offset;
                    continue;
                }
                Found::Rest { offset } => (offset, "the rest of the file is damaged and is passed over"),
                Found::End => break,
            };
            segment.is_damaged = true;
            reading.damage(&path, offset, what);
        }
        segment.is_sealed |= segment.is_damaged;
        if is_last {
            // What was written but not synced before a kill is told of from now on: it must stay true.
            segment.file.sync()?;
            self.files.sync()?;
        }
        Ok(())
    }

    /// Makes the index of what was read.
    fn take(&mut self, reading: Reading, now: u64) -> Recovered {
        let mut requests = Vec::with_capacity(reading.known.len());
        let index = reading.known.into_iter().map(|(ticket, known)| {
            self.last_time = self.last_time.max(known.time);
            if let Some(segment) = self.segments.get_mut(&known.place.segment) {
                segment.live += u64::from(known.place.length);
            }
            requests.push(RecoveredRequest { ticket, time: known.time, size: known.place.length, state: known.state });
            (ticket, known.place)
        });
        self.index = index.collect();
        requests.sort_unstable_by_key(|request| request.time);
        let disk_size = self.disk_size();
        Recovered { now, services: reading.services, requests, disk_size, damages: reading.damages }
    }
}

impl Reading {
    fn damage(&mut self, path: &Path, offset: u32, what: &str) {
        error!(file = %path.display(), offset, "{what}");
        self.damages += 1;
    }

    /// Notes what a record says. Returns whether it makes sense.
    fn note(&mut self, raw: &Raw<'_>, place: Place) -> bool {
        let state = match raw.kind {
            Kind::Request => match self.number_of(raw.service()) {
                Some(number) => RecoveredState::Waiting(number),
                None => return false,
            },
            Kind::Reply => RecoveredState::Replied,
            Kind::Failed => RecoveredState::Failed,
            Kind::Close => {
                self.known.remove(&raw.ticket);
                return true;
            }
        };
        self.known.insert(raw.ticket, Known { place, time: raw.time, state });
        true
    }

    fn number_of(&mut self, name: Option<&[u8]>) -> Option<u32> {
        let name = name?;
        if let Some(number) = self.numbers.get(name) {
            return Some(*number);
        }
        let service = Service::new(Bytes::copy_from_slice(name)).ok()?;
        let number = self.services.len() as u32;
        self.numbers.insert(service.as_bytes().clone(), number);
        self.services.push(service);
        Some(number)
    }
}
