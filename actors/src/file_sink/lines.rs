//! Lines: those of one file that have come are written in one go.

use playhouse_engine::{Error, Event, Held, Payload, Result};
use std::collections::HashMap;

use super::settings::{FileSinkSettings, LineBreaks};
use crate::files::file_path::FilePath;
use crate::files::folder::Folder;
use crate::files::lane::Writer;
use crate::files::open_files::OpenFiles;

#[derive(Debug)]
pub(super) struct Lines {
    files: OpenFiles,
    line_breaks: LineBreaks,
    sync: bool,
    text: Vec<u8>,
    ends: Vec<usize>,
}

/// How much room for text is kept from one time to the next.
const KEPT: usize = 1 << 20;

/// Checks that an event can be a line.
pub(super) fn check(event: &Event, line_breaks: LineBreaks) -> Result<()> {
    // JSON is written without any.
    let is_json = matches!(event.payload(), Payload::Json(_));
    if line_breaks == LineBreaks::Refuse && !is_json && event.payload().to_bytes().contains(&b'\n') {
        return Err(Error::unprocessable("expected one line, found a line break in it"));
    }
    Ok(())
}

impl Lines {
    pub(super) fn new(folder: Folder, settings: &FileSinkSettings) -> Self {
        let files = OpenFiles::new(folder, (settings.open / settings.writers).max(1));
        let (line_breaks, sync) = (settings.line_breaks, settings.sync);
        Self { files, line_breaks, sync, text: Vec::new(), ends: Vec::new() }
    }

    /// Appends what lies in `text`, and says how many lines are there and why not all.
    fn append(&mut self, path: &FilePath) -> (usize, Option<Error>) {
        let (text, ends) = (std::mem::take(&mut self.text), std::mem::take(&mut self.ends));
        let sync = self.sync;
        let written = match self.files.get(path) {
            Err(error) => (0, Some(error)),
            Ok(file) => {
                let (whole, error) = match file.append(&text, &ends) {
                    Ok(()) => (ends.len(), None),
                    Err(cut) => (cut.whole, Some(cut.error)),
                };
                match sync.then(|| file.sync()).transpose() {
                    Ok(_) => (whole, error),
                    // What a disk says that it could not keep may be there or not.
                    Err(error) => (0, Some(error)),
                }
            }
        };
        (self.text, self.ends) = (text, ends);
        self.text.clear();
        self.text.shrink_to(KEPT);
        self.ends.clear();
        written
    }
}

impl Writer for Lines {
    type Job = FilePath;

    fn write(&mut self, events: &[(Held, FilePath)]) -> Vec<Result<Option<Event>>> {
        let mut by_file: HashMap<&FilePath, Vec<usize>> = HashMap::new();
        for (index, (_, path)) in events.iter().enumerate() {
            by_file.entry(path).or_default().push(index);
        }
        let mut outcomes: Vec<_> = events.iter().map(|(held, _)| Ok(Some(held.event().clone()))).collect();
        for (path, indices) in by_file {
            for &index in &indices {
                put_line(&events[index].0.event().payload().to_bytes(), self.line_breaks, &mut self.text);
                self.ends.push(self.text.len());
            }
            if let (whole, Some(error)) = self.append(path) {
                for &index in &indices[whole..] {
                    outcomes[index] = Err(error.clone());
                }
            }
        }
        outcomes
    }
}

fn put_line(line: &[u8], line_breaks: LineBreaks, text: &mut Vec<u8>) {
    match line_breaks {
        LineBreaks::Refuse => text.extend_from_slice(line),
        LineBreaks::Escape => {
            for &byte in line {
                match byte {
                    b'\n' => text.extend_from_slice(b"\\n"),
                    b'\r' => text.extend_from_slice(b"\\r"),
                    b'\\' => text.extend_from_slice(b"\\\\"),
                    other => text.push(other),
                }
            }
        }
    }
    text.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_breaks_are_refused_or_escaped() {
        let event = Event::new("a\r\nb\\");
        assert!(check(&event, LineBreaks::Refuse).is_err());
        check(&event, LineBreaks::Escape).unwrap();
        let mut text = Vec::new();
        put_line(&event.payload().to_bytes(), LineBreaks::Escape, &mut text);
        assert_eq!(text, b"a\\r\\nb\\\\\n");
    }
}
