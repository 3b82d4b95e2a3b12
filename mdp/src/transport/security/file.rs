//! Reads and writes files with secrets in them: TOML that nobody else can read.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

use playhouse_engine::{Error, Result};
use toml::Table;

/// Longer than any such file: 1 MiB holds 20,000 keys.
const LONGEST: u64 = 1024 * 1024;

/// Reads a file with secrets.
///
/// # Errors
/// `Forbidden` where others can read it too: a secret that others can read is none, and whoever sees only a warning goes
/// on with it.
pub(super) fn read(path: &Path) -> Result<Table> {
    let shown = path.display();
    let failed = |cause: std::io::Error| Error::unavailable(format!("`{shown}` cannot be read")).caused_by(cause);
    let file = File::open(path).map_err(failed)?;
    check_mode(path, &file)?;
    let mut text = String::new();
    file.take(LONGEST).read_to_string(&mut text).map_err(failed)?;
    // The library's own message shows the line, which may hold the secret.
    text.parse().map_err(|cause: toml::de::Error| {
        let line = text[..cause.span().map_or(0, |span| span.start).min(text.len())].lines().count().max(1);
        Error::malformed(format!("`{shown}` is not TOML: line {line}: {}", cause.message()))
    })
}

/// Writes a new file that nobody else can read.
pub(super) fn write(path: &Path, text: &str) -> Result<()> {
    let failed =
        |cause: std::io::Error| Error::unavailable(format!("`{}` cannot be written", path.display())).caused_by(cause);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed)
}

/// Makes one error of all that is wrong with a file.
pub(super) fn refuse_if_any(path: &Path, problems: &[String]) -> Result<()> {
    if problems.is_empty() {
        return Ok(());
    }
    Err(Error::malformed(format!("`{}`: {}", path.display(), problems.join("; "))))
}

#[cfg(unix)]
fn check_mode(path: &Path, file: &File) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = file.metadata().map_or(0, |metadata| metadata.permissions().mode()) & 0o777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let shown = path.display();
    let message = format!(
        "`{shown}` holds secrets, and others can read it: expected mode 600, found {mode:o}; `chmod 600 {shown}`"
    );
    Err(Error::forbidden(message))
}

#[cfg(not(unix))]
fn check_mode(_: &Path, _: &File) -> Result<()> {
    Ok(())
}
