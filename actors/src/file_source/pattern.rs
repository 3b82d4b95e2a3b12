//! Which files are read: one, those of a folder, or those whose names match.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A path whose last name may have `*` and `?` in it.
#[derive(Clone, Debug)]
pub(super) struct Pattern(PathBuf);

impl Pattern {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    fn wildcards(&self) -> Option<&OsStr> {
        self.0.file_name().filter(|name| name.as_bytes().iter().any(|byte| matches!(byte, b'*' | b'?')))
    }

    /// Says whether it means one file, which is not there perhaps.
    pub(super) fn is_one(&self) -> bool {
        self.wildcards().is_none() && !self.0.is_dir()
    }

    /// Returns the folder in which the files are, or were before they got other names.
    pub(super) fn folder(&self) -> &Path {
        if self.0.is_dir() {
            return &self.0;
        }
        match self.0.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        }
    }

    /// Returns the files that there are, those that were changed first before the others.
    pub(super) fn list(&self) -> io::Result<Vec<(PathBuf, Metadata)>> {
        let wildcards = self.wildcards();
        if wildcards.is_none() {
            match fs::metadata(&self.0) {
                Ok(about) if about.is_dir() => {}
                Ok(about) => return Ok(vec![(self.0.clone(), about)]),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                Err(error) => return Err(error),
            }
        }
        let wildcards = wildcards.unwrap_or(OsStr::new("*")).as_bytes();
        let mut found = files_in(self.folder())?;
        found.retain(|(path, _)| {
            let name = path.file_name().unwrap_or_default().as_bytes();
            // As in a shell, what is hidden is not meant.
            let is_hidden = name.first() == Some(&b'.') && wildcards.first() != Some(&b'.');
            !is_hidden && matches(wildcards, name)
        });
        found.sort_by_cached_key(|(path, about)| (about.modified().unwrap_or(SystemTime::UNIX_EPOCH), path.clone()));
        Ok(found)
    }
}

/// Returns the ordinary files right in a folder; none where it is not there.
pub(super) fn files_in(folder: &Path) -> io::Result<Vec<(PathBuf, Metadata)>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        // Gone since it was listed, or a link to nowhere: then it is not there.
        if let Ok(about) = fs::metadata(&path)
            && about.is_file()
        {
            found.push((path, about));
        }
    }
    Ok(found)
}

/// Says whether a name is what the pattern says: `*` stands for any bytes, `?` for one.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut in_name) = (0, 0);
    // Where the last `*` stood, and where in the name what comes after it was tried.
    let mut star: Option<(usize, usize)> = None;
    while in_name < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at + 1, in_name));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[in_name] => {
                at += 1;
                in_name += 1;
            }
            _ => match &mut star {
                Some((behind, tried)) => {
                    *tried += 1;
                    (at, in_name) = (*behind, *tried);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_match_as_in_a_shell() {
        for (pattern, name, is_match) in [
            ("*", "", true),
            ("*.log", "a.log", true),
            ("*.log", "a.log.1", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-b-b-", false),
            ("?", "ab", false),
            ("a?c*", "abc", true),
            ("****a", "bbba", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), is_match, "{pattern} {name}");
        }
    }

    #[test]
    fn a_path_is_a_file_or_those_of_a_folder_or_those_that_match() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.log", "a.log", ".hidden.log", "c.txt"] {
            fs::write(folder.path().join(name), name).unwrap();
        }
        fs::create_dir(folder.path().join("d.log")).unwrap();
        let list = |path: &str| {
            let found = Pattern::new(folder.path().join(path)).list().unwrap();
            let mut names: Vec<_> =
                found.iter().map(|(path, _)| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
            names.sort();
            names
        };
        assert_eq!(list("*.log"), ["a.log", "b.log"]);
        assert_eq!(list(""), ["a.log", "b.log", "c.txt"]);
        assert_eq!(list("c.txt"), ["c.txt"]);
        assert!(list("none").is_empty() && list("none/*").is_empty());
    }
}
