//! What the actors that write files share: paths that cannot leave their folder, files that lines are appended to, and the
//! queue between handlers and blocking threads.

pub(crate) mod append_file;
pub(crate) mod file_path;
pub(crate) mod folder;
pub(crate) mod lane;
pub(crate) mod open_files;

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use playhouse_engine::{Error, Kind};
use rustix::io::Errno;

/// Locks what is whole between any two changes, so that a panic left nothing half-changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes an error of what the file system said when it was asked to do something with `path`, such as to open it.
pub(crate) fn refused(action: &str, path: impl std::fmt::Display, error: io::Error) -> Error {
    let kind = match Errno::from_io_error(&error) {
        Some(Errno::LOOP) => Kind::Forbidden,
        Some(Errno::NOTDIR | Errno::ISDIR | Errno::EXIST) => Kind::Conflict,
        Some(Errno::NAMETOOLONG) => Kind::Unprocessable,
        // A full disk, a folder that is read-only or gone: it may be mended, and it is nothing that the event did.
        _ => Kind::Unavailable,
    };
    Error::new(kind, format!("cannot {action} `{path}`")).caused_by(error)
}
