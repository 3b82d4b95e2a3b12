//! A folder that files are written in. Every name below it is opened by itself, relative to the folder before it, and no symbolic
//! link is followed, so that neither a path nor somebody who changes the folder meanwhile leads elsewhere.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
use rustix::io::Errno;

use super::file_path::FilePath;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The folder's path. It is opened anew each time, so that one that was deleted is made again.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Opens the folder itself, and makes it where it is missing.
    pub(crate) fn open(&self) -> io::Result<OwnedFd> {
        match openat(CWD, &self.0, FOLDER, Mode::empty()) {
            Err(Errno::NOENT) => {
                fs::create_dir_all(&self.0)?;
                Ok(openat(CWD, &self.0, FOLDER, Mode::empty())?)
            }
            opened => Ok(opened?),
        }
    }

    /// Opens the folder in which the file at `path` is, and makes those on the way that are missing.
    pub(crate) fn enter(&self, path: &FilePath) -> io::Result<OwnedFd> {
        path.folders().try_fold(self.open()?, |folder, name| enter(&folder, name))
    }
}

fn enter(within: &OwnedFd, name: &str) -> io::Result<OwnedFd> {
    let flags = FOLDER | OFlags::NOFOLLOW;
    match openat(within.as_fd(), name, flags, Mode::empty()) {
        Err(Errno::NOENT) => match mkdirat(within.as_fd(), name, Mode::from_raw_mode(0o777)) {
            // Somebody else made it just now.
            Ok(()) | Err(Errno::EXIST) => Ok(openat(within.as_fd(), name, flags, Mode::empty())?),
            Err(error) => Err(error.into()),
        },
        opened => Ok(opened?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_on_the_way_are_made_and_links_are_not_followed() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = Folder::new(temporary.path().join("new/one"));
        folder.enter(&FilePath::new("a/b/c").unwrap()).unwrap();
        assert!(folder.path().join("a/b").is_dir());
        std::os::unix::fs::symlink(temporary.path(), folder.path().join("out")).unwrap();
        let error = folder.enter(&FilePath::new("out/c").unwrap()).unwrap_err();
        assert_eq!(Errno::from_io_error(&error), Some(Errno::NOTDIR));
        fs::remove_dir_all(temporary.path().join("new")).unwrap();
        folder.enter(&FilePath::new("a/c").unwrap()).unwrap();
        assert!(folder.path().join("a").is_dir());
    }
}
