//! Which files a stylesheet is made of, and which ones it may read: local files only, and in a run only those beneath
//! the folders that were allowed.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::report::{Failure, FailureKind};

/// The name of a stylesheet that was given as text.
pub(crate) const TEXT_NAME: &str = "stylesheet";

/// The name of a schema that was given as text.
pub(crate) const SCHEMA_NAME: &str = "schema";

/// What stands for itself in a path within a URL.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The modules of a stylesheet by URL, kept so that nothing of it is read again in a run, and the folders allowed.
#[derive(Clone, Default)]
pub(crate) struct Sources {
    modules: BTreeMap<String, Arc<[u8]>>,
    folders: Vec<PathBuf>,
    /// Whether documents may have a `DOCTYPE`.
    pub(crate) doctype: bool,
    /// Whether a run goes on without what `document()` cannot read.
    pub(crate) lenient: bool,
}

impl fmt::Debug for Sources {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let modules: Vec<_> = self.modules.keys().collect();
        formatter.debug_struct("Sources").field("modules", &modules).field("folders", &self.folders).finish()
    }
}

impl Sources {
    /// Returns a module's text.
    pub(crate) fn get(&self, url: &str) -> Option<Arc<[u8]>> {
        self.modules.get(url).cloned()
    }

    /// Adds a module.
    pub(crate) fn add(&mut self, url: String, text: Arc<[u8]>) {
        self.modules.insert(url, text);
    }

    /// Reads the main module and returns its URL.
    pub(crate) fn read(&mut self, path: &Path) -> Result<String, Failure> {
        let url = url(path)?;
        let text = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
        self.add(url.clone(), text.into());
        Ok(url)
    }

    /// Reads a module that another one imports or includes.
    pub(crate) fn module(&mut self, url: &str) -> Result<Arc<[u8]>, Failure> {
        if let Some(text) = self.get(url) {
            return Ok(text);
        }
        let Some(path) = local_path(url) else {
            let message =
                format!("`{url}` is no absolute path of a local file, which is all that can be imported here");
            return Err(Failure::new(FailureKind::Stylesheet, message));
        };
        let text: Arc<[u8]> = std::fs::read(&path).map_err(|error| unreadable(&path, &error))?.into();
        self.add(url.to_owned(), text.clone());
        Ok(text)
    }

    /// Allows reading beneath a folder.
    pub(crate) fn allow(&mut self, folder: &Path) -> Result<(), Failure> {
        let canonical = folder.canonicalize().map_err(|error| unreadable(folder, &error))?;
        if !canonical.is_dir() {
            let message = format!("`{}` is no folder", folder.display());
            return Err(Failure::new(FailureKind::Stylesheet, message));
        }
        self.folders.push(canonical);
        Ok(())
    }

    /// Says whether any folder is allowed.
    pub(crate) fn has_folders(&self) -> bool {
        !self.folders.is_empty()
    }

    /// Reads what `document()` names, if it lies beneath a folder that was allowed.
    pub(crate) fn document(&self, url: &str, most: usize) -> Result<Vec<u8>, Failure> {
        let refused = || {
            let message = format!("`document('{url}')` may not be read: it lies in no folder that was allowed");
            Failure::new(FailureKind::Forbidden, message)
        };
        let path = local_path(url).ok_or_else(refused)?;
        if self.folders.is_empty() {
            return Err(refused());
        }
        // Beneath a folder once links and `..` are followed. What cannot be followed is refused in the same words, so
        // that they tell nothing of what exists elsewhere.
        let path = path.canonicalize().map_err(|_| refused())?;
        if !self.folders.iter().any(|folder| path.starts_with(folder)) {
            return Err(refused());
        }
        if !path.is_file() {
            return Err(refused());
        }
        let failed = |error| Failure { kind: FailureKind::Transform, ..unreadable(&path, &error) };
        let file = File::open(&path).map_err(failed)?;
        let mut bytes = Vec::new();
        file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
        Ok(bytes)
    }
}

/// Returns a path as a URL.
pub(crate) fn url(path: &Path) -> Result<String, Failure> {
    let absolute = std::path::absolute(path).map_err(|error| unreadable(path, &error))?;
    let Some(name) = absolute.to_str() else {
        let message = format!("the path `{}` is not UTF-8", path.display());
        return Err(Failure::new(FailureKind::Stylesheet, message));
    };
    Ok(utf8_percent_encode(name, PATH).to_string())
}

/// Returns a name as people write it: a local file's path, decoded.
pub(crate) fn decode(url: &str) -> String {
    percent_decode_str(url).decode_utf8_lossy().into_owned()
}

/// Returns the absolute path that a URL names, if it names a local file.
fn local_path(url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix("file://").map_or(url, |rest| rest.strip_prefix("localhost").unwrap_or(rest));
    let path = PathBuf::from(percent_decode_str(path).decode_utf8().ok()?.into_owned());
    (path.has_root() && !path.as_os_str().as_encoded_bytes().contains(&0)).then_some(path)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(FailureKind::Stylesheet, format!("`{}` cannot be read: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_local_paths_name_a_file() {
        assert_eq!(local_path("/a/b%20c.xsl"), Some("/a/b c.xsl".into()));
        assert_eq!(local_path("file:///etc/passwd"), Some("/etc/passwd".into()));
        assert_eq!(local_path("file://localhost/a"), Some("/a".into()));
        for other in ["a.xsl", "http://localhost/a.xsl", "file:a.xsl", "file://host/a", "/a%00b", "ftp://a/b", ""] {
            assert_eq!(local_path(other), None, "{other}");
        }
    }
}
