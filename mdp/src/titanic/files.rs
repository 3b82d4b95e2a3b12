//! The folder of the log: the only part of the store that touches the file system. Tests put one in its place that
//! loses what was not synced.

use std::fs::{self, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use playhouse_engine::{Error, Result};

/// The files of one folder. What is created, renamed or removed is so after a crash only once the folder was synced.
pub(crate) trait Files: Send + 'static {
    /// An open file.
    type File: File;

    /// Lists what is there, in any order.
    fn names(&self) -> io::Result<Vec<String>>;
    fn open(&self, name: &str) -> io::Result<Self::File>;
    /// Makes an empty file, also where there was one.
    fn create(&self, name: &str) -> io::Result<Self::File>;
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    fn sync(&self) -> io::Result<()>;
    /// Returns what to call a file in a message.
    fn path(&self, name: &str) -> PathBuf;
}

/// An open file. What is written is there after a crash only once it was synced.
pub(crate) trait File: Send + 'static {
    fn length(&self) -> io::Result<u64>;
    /// Fills the buffer, or fails.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    fn truncate(&self, length: u64) -> io::Result<()>;
    fn sync(&self) -> io::Result<()>;
}

/// A folder of the file system, locked against a second broker for as long as this lives.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    lock: fs::File,
}

impl Drop for Folder {
    /// Closing the file is not enough: a process that another thread starts just now has it open for a moment too.
    fn drop(&mut self) {
        let _ = self.lock.unlock();
    }
}

impl Folder {
    const LOCK: &str = "lock";

    /// Opens the folder, which is made where it is not there.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let failed = |what: &str, error| {
            let message = format!("`{}`: {what}, expected a folder that can be written to", path.display());
            Error::unavailable(message).caused_by(error)
        };
        if !path.is_dir() {
            fs::create_dir_all(path).map_err(|error| failed("cannot make the folder of durable requests", error))?;
            // The new folder itself must be there after a crash.
            if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                sync_folder(parent).map_err(|error| failed("cannot sync the folder above", error))?;
            }
        }
        let lock =
            options().open(path.join(Self::LOCK)).map_err(|error| failed("cannot open the file `lock`", error))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_path_buf(), lock }),
            Err(TryLockError::WouldBlock) => {
                let message = format!("`{}`: in use by another broker, expected a folder of its own", path.display());
                Err(Error::conflict(message))
            }
            Err(TryLockError::Error(error)) => Err(failed("cannot lock the file `lock`", error)),
        }
    }
}

impl Files for Folder {
    type File = fs::File;

    fn names(&self) -> io::Result<Vec<String>> {
        let names = fs::read_dir(&self.path)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
        names.filter_map(Result::transpose).collect()
    }

    fn open(&self, name: &str) -> io::Result<fs::File> {
        OpenOptions::new().read(true).write(true).open(self.path(name))
    }

    fn create(&self, name: &str) -> io::Result<fs::File> {
        options().truncate(true).open(self.path(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn sync(&self) -> io::Result<()> {
        sync_folder(&self.path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl File for fs::File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut file = self;
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(buffer)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut file = self;
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(bytes)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Requests may hold secrets: what is made can be read by its owner alone.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(unix)]
fn sync_folder(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

/// Elsewhere a folder cannot be opened, and its entries are written through.
#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_free_at_once_whoever_has_its_files_open() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::open(place.path()).unwrap();
        // As a process has it that is being started.
        let _inherited = folder.lock.try_clone().unwrap();
        assert!(Folder::open(place.path()).is_err());
        drop(folder);
        assert!(Folder::open(place.path()).is_ok());
    }
}
