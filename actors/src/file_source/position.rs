//! How far a file was read and handled, and the file that keeps this over the end of a process.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use playhouse_engine::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::files::refused;

/// How many of the first bytes of a file tell it from others.
pub(super) const HEAD: usize = 256;

/// How far a file was read and handled. The file is known by its device, its number there and its first bytes, for its path may
/// lead to another one by now, and its number may be given again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Position {
    /// For people: where the file was.
    pub(super) path: String,
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) offset: u64,
    /// How many of the first bytes were known, and what they hash to.
    pub(super) head_length: usize,
    pub(super) head: u64,
}

impl Position {
    /// Notes the first bytes of the file.
    pub(super) fn set_head(&mut self, head: &[u8]) {
        (self.head_length, self.head) = (head.len(), hash(head));
    }

    /// Says whether a file with these first bytes, [`Position::head_length`] of them, is the same.
    pub(super) fn knows(&self, head: &[u8]) -> bool {
        head.len() == self.head_length && hash(head) == self.head
    }
}

/// FNV-1a: the same in every version of this program, and nobody gains by two files that look the same.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    files: Vec<Position>,
}

/// Reads positions that were kept; none where there is no such file.
///
/// # Errors
/// `Malformed` where the file says no positions: nobody but its reader can know whether all is to be read again.
pub(super) fn read(path: &Path) -> Result<Vec<Position>> {
    let text = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        text => text.map_err(|error| refused("read", path.display(), error))?,
    };
    let kept: Kept = serde_json::from_slice(&text).map_err(|error| {
        Error::malformed(format!("`{}` keeps no positions; delete it to read all files again", path.display()))
            .caused_by(error)
    })?;
    Ok(kept.files)
}

/// Keeps positions, in place of those that were kept: there are always the old ones or the new ones.
pub(super) fn write(path: &Path, files: Vec<Position>, sync: bool) -> Result<()> {
    let write = || -> io::Result<()> {
        // Hidden, so that a source that reads the same folder does not take it for one of its files.
        let mut name = OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(".new");
        let new = path.with_file_name(name);
        let mut file = File::create(&new)?;
        file.write_all(&serde_json::to_vec(&Kept { files })?)?;
        if sync {
            file.sync_all()?;
        }
        fs::rename(&new, path)?;
        if sync && let Some(folder) = path.parent().filter(|folder| *folder != Path::new("")) {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    };
    write().map_err(|error| refused("write", path.display(), error))
}

#[cfg(test)]
mod tests {
    use playhouse_engine::Kind;

    use super::*;

    #[test]
    fn positions_are_kept_and_what_is_none_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        assert!(read(&path).unwrap().is_empty());
        let mut position =
            Position { path: "log".into(), device: 1, inode: 2, offset: 3, head_length: 0, head: hash(&[]) };
        position.set_head(b"abc");
        assert!(position.knows(b"abc") && !position.knows(b"abd") && !position.knows(b"abcd"));
        for sync in [false, true] {
            write(&path, vec![position.clone()], sync).unwrap();
            assert_eq!(read(&path).unwrap(), [position.clone()]);
        }
        fs::write(&path, "{}").unwrap();
        assert_eq!(read(&path).unwrap_err().kind(), Kind::Malformed);
    }
}
