//! A file that whole lines are appended to.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::SystemTime;

use playhouse_engine::{Error, Result};
use rustix::fs::{AtFlags, Mode, OFlags, openat, statat};

use super::file_path::FilePath;
use super::folder::Folder;
use super::refused;

/// A file that nobody else appends to in this way: it is locked, for other actors and other processes of ours.
#[derive(Debug)]
pub(crate) struct AppendFile {
    file: File,
    path: FilePath,
    identity: (u64, u64),
    size: u64,
    modified: SystemTime,
    /// Whether the file ends within a line, so that the next one needs a line break before it.
    torn: bool,
}

impl Drop for AppendFile {
    /// Closing the file is not enough: a process that another thread starts just now has it open for a moment too.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}

/// How far a write got that failed.
#[derive(Debug)]
pub(crate) struct Cut {
    /// How many lines were written whole.
    pub(crate) whole: usize,
    pub(crate) error: Error,
}

impl AppendFile {
    /// Opens the file at `path`, and makes it where it is missing.
    ///
    /// # Errors
    /// `Conflict` where it is locked or no file; else what the file system said.
    pub(crate) fn open(folder: &Folder, path: &FilePath) -> Result<Self> {
        let opened = (|| -> io::Result<_> {
            let within = folder.enter(path)?;
            // Without a wait: a pipe that nobody reads would make one.
            let flags = OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW;
            let flags = flags | OFlags::CLOEXEC | OFlags::NONBLOCK;
            let file = File::from(openat(within.as_fd(), path.name(), flags, Mode::from_raw_mode(0o666))?);
            let about = file.metadata()?;
            Ok((file, about))
        })();
        let (file, about) = opened.map_err(|error| refused("open", path, error))?;
        if !about.is_file() {
            return Err(Error::conflict(format!("`{path}` is there, and no ordinary file")));
        }
        if let Err(std::fs::TryLockError::WouldBlock) = file.try_lock() {
            return Err(Error::conflict(format!("`{path}` is written by another actor or process")));
        }
        let mut last = [b'\n'];
        if about.len() > 0 {
            file.read_exact_at(&mut last, about.len() - 1).map_err(|error| refused("read", path, error))?;
        }
        let modified = about.modified().unwrap_or_else(|_| SystemTime::now());
        let identity = (about.dev(), about.ino());
        Ok(Self { file, path: path.clone(), identity, size: about.len(), modified, torn: last != [b'\n'] })
    }

    /// Says whether the path still leads to this file: it may have been renamed or deleted, as by logrotate.
    pub(crate) fn is_current(&self, folder: &Folder) -> bool {
        let found = folder
            .enter(&self.path)
            .and_then(|within| Ok(statat(within.as_fd(), self.path.name(), AtFlags::SYMLINK_NOFOLLOW)?));
        #[allow(clippy::unnecessary_cast, reason = "the fields differ between systems")]
        found.is_ok_and(|found| (found.st_dev as u64, found.st_ino as u64) == self.identity)
    }

    /// Returns how long the file was when it was last written.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Returns when the file was last written.
    pub(crate) fn modified(&self) -> SystemTime {
        self.modified
    }

    /// Appends lines, each with its line break at its end; `ends` tells where they end in `lines`. Where that fails in the
    /// middle of a line, what there is of it is taken away again.
    pub(crate) fn append(&mut self, lines: &[u8], ends: &[usize]) -> Result<(), Cut> {
        let path = self.path.clone();
        let cut = |whole, error| Cut { whole, error: refused("write to", &path, error) };
        if self.torn {
            self.file.write_all(b"\n").map_err(|error| cut(0, error))?;
            self.torn = false;
        }
        // Asked anew: somebody else may have cut the file.
        let start = self.file.metadata().map_err(|error| cut(0, error))?.len();
        let mut written = 0;
        let error = loop {
            if written == lines.len() {
                self.size = start + written as u64;
                self.modified = SystemTime::now();
                return Ok(());
            }
            match self.file.write(&lines[written..]) {
                Ok(0) => break io::ErrorKind::WriteZero.into(),
                Ok(count) => written += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => break error,
            }
        };
        let whole = ends.partition_point(|end| *end <= written);
        let kept = if whole == 0 { 0 } else { ends[whole - 1] };
        self.size = start + kept as u64;
        if kept < written {
            // What somebody else has appended meanwhile is not cut off.
            let is_last = self.file.metadata().is_ok_and(|about| about.len() == start + written as u64);
            self.torn = !(is_last && self.file.set_len(self.size).is_ok());
        }
        Err(cut(whole, error))
    }

    /// Waits until all that was written is on the disk.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(|error| refused("sync", &self.path, error))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use playhouse_engine::Kind;

    use super::*;

    fn lines(lines: &[&str]) -> (Vec<u8>, Vec<usize>) {
        let mut ends = Vec::new();
        let mut text = Vec::new();
        for line in lines {
            text.extend_from_slice(line.as_bytes());
            text.push(b'\n');
            ends.push(text.len());
        }
        (text, ends)
    }

    #[test]
    fn lines_stay_whole_behind_one_that_was_cut() {
        let temporary = tempfile::tempdir().unwrap();
        fs::write(temporary.path().join("log"), "cut").unwrap();
        let folder = Folder::new(temporary.path());
        let mut file = AppendFile::open(&folder, &FilePath::new("log").unwrap()).unwrap();
        let (text, ends) = lines(&["a", "b"]);
        file.append(&text, &ends).unwrap();
        assert_eq!(fs::read_to_string(temporary.path().join("log")).unwrap(), "cut\na\nb\n");
        assert_eq!(file.size(), 8);
    }

    #[test]
    fn a_file_is_written_by_one_only_and_known_by_more_than_its_name() {
        let temporary = tempfile::tempdir().unwrap();
        let (folder, path) = (Folder::new(temporary.path()), FilePath::new("log").unwrap());
        let file = AppendFile::open(&folder, &path).unwrap();
        assert!(file.is_current(&folder));
        assert_eq!(AppendFile::open(&folder, &path).unwrap_err().kind(), Kind::Conflict);
        fs::rename(temporary.path().join("log"), temporary.path().join("log.1")).unwrap();
        assert!(!file.is_current(&folder));
        let other = AppendFile::open(&folder, &path).unwrap();
        assert!(other.is_current(&folder) && !file.is_current(&folder));
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::new(temporary.path());
        fs::create_dir(temporary.path().join("folder")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", temporary.path().join("link")).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(temporary.path().join("pipe")).status().unwrap().success());
        for (name, kind) in [("folder", Kind::Conflict), ("link", Kind::Forbidden), ("pipe", Kind::Conflict)] {
            let error = AppendFile::open(&folder, &FilePath::new(name).unwrap()).unwrap_err();
            assert_eq!(error.kind(), kind, "{name}: {error}");
        }
    }
}
