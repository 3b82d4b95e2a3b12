//! What writes log files: the lines of one file that have come in one go, and a rotation where one is due.

use std::collections::HashMap;
use std::time::SystemTime;

use playhouse_engine::{Error, Event, Held, Result};

use super::entry::Entry;
use super::rotation::{is_past, rotate};
use super::settings::{LogFileSettings, LogPeriod};
use crate::files::append_file::Cut;
use crate::files::file_path::FilePath;
use crate::files::folder::Folder;
use crate::files::lane::Writer;
use crate::files::open_files::OpenFiles;
use crate::files::refused;
use crate::log_level::LogLevel;

/// How much room for text is kept from one time to the next.
const KEPT: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct Logs {
    files: OpenFiles,
    entry: Entry,
    size: u64,
    period: LogPeriod,
    keep: usize,
    sync: bool,
    text: String,
}

impl Logs {
    pub(super) fn new(folder: Folder, settings: &LogFileSettings, entry: Entry) -> Self {
        let LogFileSettings { size, period, keep, sync, open, .. } = *settings;
        Self { files: OpenFiles::new(folder, open), entry, size, period, keep, sync, text: String::new() }
    }

    /// Opens a file before anything is written to it.
    pub(super) fn open(&mut self, path: &FilePath) -> Result<()> {
        self.files.get(path).map(|_| ())
    }

    /// Appends lines, and says how many are there and why not all.
    fn append(&mut self, path: &FilePath, lines: &[u8], ends: &[usize]) -> (usize, Option<Error>) {
        let (mut written, mut begin) = (0, 0);
        while written < ends.len() {
            match self.append_some(path, &lines[begin..], &ends[written..], begin) {
                Ok(count) => written += count,
                Err(cut) => return (written + cut.whole, Some(cut.error)),
            }
            begin = if written == 0 { 0 } else { ends[written - 1] };
        }
        (written, None)
    }

    /// Appends as many lines as the file has room for, and returns how many; none where the file was rotated. The first one
    /// begins at `begin` of what the ends are counted from.
    fn append_some(&mut self, path: &FilePath, lines: &[u8], ends: &[usize], begin: usize) -> Result<usize, Cut> {
        let none = |error| Cut { whole: 0, error };
        let file = self.files.get(path).map_err(none)?;
        let room = self.size.saturating_sub(file.size());
        let fit = match ends.partition_point(|end| (end - begin) as u64 <= room) {
            // One that is larger than a file may be has a file of its own.
            0 if file.size() == 0 => 1,
            fit => fit,
        };
        if fit == 0 || is_past(file, self.period, SystemTime::now()) {
            self.rotate(path).map_err(none)?;
            return Ok(0);
        }
        let own_ends: Vec<usize> = ends[..fit].iter().map(|end| end - begin).collect();
        file.append(&lines[..own_ends[fit - 1]], &own_ends)?;
        if self.sync {
            // What a disk says that it could not keep may be there or not.
            file.sync().map_err(none)?;
        }
        Ok(fit)
    }

    fn rotate(&mut self, path: &FilePath) -> Result<()> {
        let rotated = rotate(self.files.folder(), path, self.keep);
        // Closed only now: until it had another name, nobody else could take it.
        self.files.close(path);
        rotated.map_err(|error| refused("rotate", path, error))
    }
}

impl Writer for Logs {
    type Job = (FilePath, LogLevel);

    fn write(&mut self, events: &[(Held, Self::Job)]) -> Vec<Result<Option<Event>>> {
        let mut by_file: HashMap<&FilePath, Vec<usize>> = HashMap::new();
        for (index, (_, (path, _))) in events.iter().enumerate() {
            by_file.entry(path).or_default().push(index);
        }
        let mut outcomes: Vec<_> = events.iter().map(|(held, _)| Ok(Some(held.event().clone()))).collect();
        let mut text = std::mem::take(&mut self.text);
        for (path, indices) in by_file {
            text.clear();
            let mut ends = Vec::with_capacity(indices.len());
            for &index in &indices {
                let (held, (_, level)) = &events[index];
                self.entry.put(held.event(), *level, &mut text);
                ends.push(text.len());
            }
            if let (written, Some(error)) = self.append(path, text.as_bytes(), &ends) {
                for &index in &indices[written..] {
                    outcomes[index] = Err(error.clone());
                }
            }
        }
        text.clear();
        text.shrink_to(KEPT);
        self.text = text;
        outcomes
    }
}
