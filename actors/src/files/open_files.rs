//! The files for lines that are open, those used last at the end.

use playhouse_engine::Result;

use super::append_file::AppendFile;
use super::file_path::FilePath;
use super::folder::Folder;

#[derive(Debug)]
pub(crate) struct OpenFiles {
    folder: Folder,
    files: Vec<(FilePath, AppendFile)>,
    most: usize,
}

impl OpenFiles {
    pub(crate) fn new(folder: Folder, most: usize) -> Self {
        Self { folder, files: Vec::new(), most }
    }

    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Returns the file to which the path leads now, and closes the one that was not used for longest where there are too many.
    pub(crate) fn get(&mut self, path: &FilePath) -> Result<&mut AppendFile> {
        let kept = self.take(path).filter(|file| file.is_current(&self.folder));
        let file = match kept {
            Some(file) => file,
            None => {
                if self.files.len() >= self.most {
                    self.files.remove(0);
                }
                AppendFile::open(&self.folder, path)?
            }
        };
        self.files.push((path.clone(), file));
        Ok(&mut self.files.last_mut().expect("it was pushed just now").1)
    }

    /// Closes the file, where it is open.
    pub(crate) fn close(&mut self, path: &FilePath) {
        drop(self.take(path));
    }

    fn take(&mut self, path: &FilePath) -> Option<AppendFile> {
        let index = self.files.iter().position(|(known, _)| known == path)?;
        Some(self.files.remove(index).1)
    }
}
