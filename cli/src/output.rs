//! What a command prints on standard output.

use std::io::{ErrorKind, Write, stdout};

use playhouse::{Error, Result};

/// Writes to standard output, at once. Where its reader has gone, as `head` does, he has seen enough: that is no error.
///
/// # Errors
/// `Unavailable` where it takes nothing, such as a file on a full disk.
pub(crate) fn print(text: impl AsRef<[u8]>) -> Result<()> {
    let mut out = stdout().lock();
    match out.write_all(text.as_ref()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::unavailable("standard output cannot be written").caused_by(error))
        }
        _ => Ok(()),
    }
}
