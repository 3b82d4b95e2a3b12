//! One file that is read: where it is read next, and whether it is still what it was.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use bytes::Bytes;
use playhouse_engine::Attributes;
use rustix::buffer::spare_capacity;
use rustix::io::{Errno, pread};

use super::position::{HEAD, Position};

/// How much is read at a time.
pub(super) const BLOCK: usize = 128 << 10;

/// How much of a line that is too long is shown with its error.
const SHOWN: usize = 1024;

#[derive(Debug)]
pub(super) struct Watched {
    pub(super) path: PathBuf,
    /// What its events carry as attributes.
    pub(super) attributes: Attributes,
    pub(super) file: File,
    pub(super) device: u64,
    pub(super) inode: u64,
    /// Its number in the window.
    pub(super) number: usize,
    /// Up to where it was read.
    pub(super) offset: u64,
    /// Its first bytes, as far as they were read.
    pub(super) head: Vec<u8>,
    /// What was read of a line whose end was not.
    carry: Vec<u8>,
    /// Whether that line is too long, so that no more of it is kept.
    overlong: bool,
    /// Whether a path still leads to it.
    pub(super) is_at_path: bool,
    /// Since when nothing has come.
    pub(super) quiet: Option<Instant>,
    /// Whether it was read to its end.
    pub(super) is_over: bool,
    /// How long it was when it was opened, and the number of its next part, where it is read in parts.
    pub(super) size: u64,
    pub(super) part: u64,
}

/// What there was when lines were read.
#[derive(Debug)]
pub(super) enum Reading {
    Lines(Lines),
    Nothing,
    /// The file was begun anew.
    Cut,
}

/// Lines of a file.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) bytes: Bytes,
    pub(super) lines: Vec<Line>,
}

/// Where a line is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// Where it begins and ends in the bytes that were read, without its line break.
    pub(super) begin: usize,
    pub(super) end: usize,
    /// Up to where the file is handled with it.
    pub(super) until: u64,
    /// Whether it was too long, so that this is only its beginning.
    pub(super) overlong: bool,
}

impl Watched {
    /// Opens the file to which the path leads now.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::OpenOptionsExt;
        // Without a wait: a pipe that nobody writes would make one.
        let flags = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
        let file = File::options().read(true).custom_flags(flags).open(path)?;
        let about = file.metadata()?;
        if !about.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "expected an ordinary file"));
        }
        let mut attributes = Attributes::default();
        attributes.set("file.path", path.display().to_string());
        Ok(Self {
            path: path.to_owned(),
            attributes,
            file,
            device: about.dev(),
            inode: about.ino(),
            number: 0,
            offset: 0,
            head: Vec::new(),
            carry: Vec::new(),
            overlong: false,
            is_at_path: true,
            quiet: None,
            is_over: false,
            size: about.len(),
            part: 0,
        })
    }

    pub(super) fn key(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// Goes on where the position says, if it is this file's, and the file still is what it was.
    pub(super) fn resume(&mut self, position: &Position) -> io::Result<bool> {
        if (position.device, position.inode) != self.key() || position.head_length > HEAD {
            return Ok(false);
        }
        let head = self.read_head(position.head_length)?;
        if !position.knows(&head) || self.file.metadata()?.len() < position.offset {
            return Ok(false);
        }
        (self.head, self.offset) = (head, position.offset);
        Ok(true)
    }

    /// Returns the position from which it is read next.
    pub(super) fn position(&self) -> Position {
        let path = self.path.display().to_string();
        let (device, inode, offset) = (self.device, self.inode, self.offset);
        let mut position = Position { path, device, inode, offset, head_length: 0, head: 0 };
        position.set_head(&self.head);
        position
    }

    /// Says whether the file has become another one under the same number: cut, or cut and written again.
    pub(super) fn was_cut(&self) -> io::Result<bool> {
        Ok(self.file.metadata()?.len() < self.offset || self.read_head(self.head.len())? != self.head)
    }

    /// Begins again at its first byte.
    pub(super) fn start_over(&mut self) {
        self.offset = 0;
        self.head.clear();
        self.carry.clear();
        self.overlong = false;
    }

    /// Reads up to `size` bytes behind `already`, and goes on behind them; returns how many there were.
    pub(super) fn read(&mut self, buffer: &mut Vec<u8>, size: usize) -> io::Result<usize> {
        if size == 0 {
            return Ok(0);
        }
        buffer.reserve(size);
        let before = buffer.len();
        loop {
            match pread(&self.file, spare_capacity(buffer), self.offset) {
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
                Ok(_) => break,
            }
        }
        // The room may be more than was asked for.
        buffer.truncate(before + size);
        let read = &buffer[before..];
        if self.offset == self.head.len() as u64 {
            self.head.extend(read.iter().take(HEAD - self.head.len()));
        }
        self.offset += read.len() as u64;
        Ok(read.len())
    }

    /// Reads some lines. `line_size` is the longest that there may be, and `may_be_cut` says whether others may begin the file
    /// anew meanwhile.
    pub(super) fn read_lines(&mut self, line_size: usize, may_be_cut: bool) -> io::Result<Reading> {
        let (start, carried) = (self.offset, self.carry.len());
        let mut buffer = Vec::with_capacity(carried + BLOCK);
        buffer.append(&mut self.carry);
        let count = self.read(&mut buffer, BLOCK)?;
        // Looked at only now: what was read from a file that was cut before may be of both.
        if may_be_cut && self.was_cut()? {
            return Ok(Reading::Cut);
        }
        if count == 0 {
            self.carry = buffer;
            return Ok(Reading::Nothing);
        }
        let mut lines = Vec::new();
        let mut begin = 0;
        for at in memchr::memchr_iter(b'\n', &buffer[carried..]) {
            let until = start + at as u64 + 1;
            lines.push(self.line(&buffer, begin, carried + at, until, line_size));
            self.overlong = false;
            begin = carried + at + 1;
        }
        self.keep(&buffer[begin..], line_size);
        Ok(Reading::Lines(Lines { bytes: Bytes::from(buffer), lines }))
    }

    /// Returns what was read of a last line without a line break, as a line.
    pub(super) fn last_line(&mut self, line_size: usize) -> Option<Lines> {
        if self.carry.is_empty() {
            return None;
        }
        let bytes = std::mem::take(&mut self.carry);
        let overlong = self.overlong || bytes.len() > line_size;
        let end = if overlong { bytes.len().min(SHOWN) } else { bytes.len() };
        let line = Line { begin: 0, end, until: self.offset, overlong };
        self.overlong = false;
        Some(Lines { bytes: Bytes::from(bytes), lines: vec![line] })
    }

    fn line(&self, buffer: &[u8], begin: usize, at: usize, until: u64, line_size: usize) -> Line {
        let end = if at > begin && buffer[at - 1] == b'\r' { at - 1 } else { at };
        let overlong = self.overlong || end - begin > line_size;
        let end = if overlong { end.min(begin + SHOWN) } else { end };
        Line { begin, end, until, overlong }
    }

    /// Keeps the beginning of a line until the rest comes.
    fn keep(&mut self, rest: &[u8], line_size: usize) {
        // One more for a `\r` that may belong to the line break.
        self.overlong |= rest.len() > line_size + 1;
        let kept = if self.overlong { &rest[..rest.len().min(SHOWN)] } else { rest };
        self.carry.extend_from_slice(kept);
    }

    fn read_head(&self, length: usize) -> io::Result<Vec<u8>> {
        let mut head = Vec::with_capacity(length);
        if length > 0 {
            pread(&self.file, spare_capacity(&mut head), 0)?;
            head.truncate(length);
        }
        Ok(head)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    /// Reads all lines of a file to which the pieces are added one after the other, each as its text and where it ended.
    fn lines_of(pieces: &[&[u8]], line_size: usize) -> Vec<(Vec<u8>, u64, bool)> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut watched = Watched::open(file.path()).unwrap();
        let mut found = Vec::new();
        let mut take = |lines: Lines| {
            for line in lines.lines {
                found.push((lines.bytes[line.begin..line.end].to_vec(), line.until, line.overlong));
            }
        };
        for piece in pieces {
            file.write_all(piece).unwrap();
            while let Reading::Lines(lines) = watched.read_lines(line_size, true).unwrap() {
                take(lines);
            }
        }
        watched.last_line(line_size).into_iter().for_each(&mut take);
        found
    }

    #[test]
    fn a_line_ends_where_its_line_break_does_however_it_comes() {
        let expected = [(b"a".to_vec(), 2, false), (b"".to_vec(), 4, false), (b"bc".to_vec(), 6, false)];
        assert_eq!(lines_of(&[b"a\n\r\nbc"], 10), expected);
        assert_eq!(lines_of(&[b"a", b"\n\r", b"\nb", b"c"], 10), expected);
    }

    #[test]
    fn of_a_line_that_is_too_long_the_beginning_is_kept_and_the_next_is_whole() {
        let long = vec![b'x'; 400_000];
        let found = lines_of(&[b"a\n", &long, b"\nb\n"], 100);
        assert_eq!(found.len(), 3);
        assert_eq!(found[0], (b"a".to_vec(), 2, false));
        assert_eq!((found[1].0.len(), found[1].1, found[1].2), (SHOWN, 400_003, true));
        assert_eq!(found[2], (b"b".to_vec(), 400_005, false));
        assert!(lines_of(&[&long], 100)[0].2);
        assert_eq!(lines_of(&[b"abcd\r\nabcde\n"], 4).iter().map(|line| line.2).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn a_file_that_was_cut_or_written_anew_is_noticed() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"old line\n").unwrap();
        let mut watched = Watched::open(file.path()).unwrap();
        assert!(matches!(watched.read_lines(100, true).unwrap(), Reading::Lines(_)));
        assert!(!watched.was_cut().unwrap());
        file.as_file().set_len(0).unwrap();
        assert!(watched.was_cut().unwrap());
        std::fs::write(file.path(), b"new line that is longer\n").unwrap();
        assert!(watched.was_cut().unwrap());
        watched.start_over();
        let Reading::Lines(lines) = watched.read_lines(100, true).unwrap() else { panic!("nothing was read") };
        assert_eq!(&lines.bytes[..], b"new line that is longer\n");
    }

    proptest! {
        #[test]
        fn whatever_the_pieces_every_line_is_there_once(
            pieces in prop::collection::vec("[a\r\n]{0,8}", 0..12),
            line_size in 1_usize..6,
        ) {
            let bytes: Vec<&[u8]> = pieces.iter().map(|piece| piece.as_bytes()).collect();
            let text = pieces.concat();
            let mut expected = Vec::new();
            let mut until = 0;
            for line in text.split_inclusive('\n') {
                until += line.len() as u64;
                let shown = match line.strip_suffix('\n') {
                    Some(line) => line.strip_suffix('\r').unwrap_or(line),
                    // A `\r` at the end of the file is one of the line.
                    None => line,
                };
                expected.push((shown.as_bytes().to_vec(), until));
            }
            let found = lines_of(&bytes, line_size);
            prop_assert_eq!(found.len(), expected.len());
            for ((text, until, overlong), (line, end)) in found.into_iter().zip(expected) {
                prop_assert_eq!((text, until), (line.clone(), end));
                prop_assert_eq!(overlong, line.len() > line_size);
            }
        }
    }
}
