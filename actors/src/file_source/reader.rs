//! What reads the files, on blocking threads: which there are, whose turn it is, and what is read next.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use playhouse_engine::{Attributes, Error, Result};
use rustix::io::Errno;

use super::pattern::{Pattern, files_in};
use super::position::Position;
use super::settings::{FileSourceForm, FileSourceSettings};
use super::watched::{BLOCK, Lines, Reading, Watched};
use super::window::Window;
use crate::files::refused;
use crate::part::{Part, PartEnd};

/// How many blocks of a followed file are read before others have their turn.
const TURN: usize = 64;

/// What was read. Of a file that is let go of everything comes before that, and is sent by then.
#[derive(Debug)]
pub(super) enum Next {
    Lines {
        file: usize,
        attributes: Attributes,
        lines: Lines,
    },
    /// A whole file, or why it is none, and how long it is.
    Whole {
        file: usize,
        attributes: Attributes,
        whole: Result<Bytes>,
        end: u64,
    },
    /// A part of a file, and how long it is where this is the last.
    Part {
        file: usize,
        attributes: Attributes,
        part: Part,
        bytes: Bytes,
        end: Option<u64>,
    },
    /// A file of which nothing more comes.
    Over {
        file: usize,
    },
    /// A file that was begun anew, and goes on under another number.
    Cut {
        file: usize,
    },
    /// A file that cannot be opened.
    Refused {
        attributes: Attributes,
        error: Error,
    },
    /// Nothing for now.
    Nothing,
    /// Nothing, for ever.
    End,
}

#[derive(Debug)]
pub(super) struct Reader {
    pattern: Pattern,
    settings: Arc<FileSourceSettings>,
    window: Arc<Window>,
    files: Vec<Watched>,
    /// Files that were read to their end, by device and number.
    done: HashMap<(u64, u64), Done>,
    /// Positions from before whose files have not been found.
    positions: Vec<Position>,
    looked: Option<Instant>,
    /// Whether there were more files than may be open.
    more: bool,
    refused: HashSet<PathBuf>,
    /// What is to be told before more is read.
    told: VecDeque<Next>,
    /// Which file is read first, and how many blocks in a row were read of it.
    turn: usize,
    blocks: usize,
}

/// What is known of a file that was read to its end.
#[derive(Debug)]
struct Done {
    file: usize,
    size: u64,
    modified: Option<SystemTime>,
}

impl Reader {
    pub(super) fn new(
        pattern: Pattern,
        settings: Arc<FileSourceSettings>,
        window: Arc<Window>,
        positions: Vec<Position>,
    ) -> Self {
        Self {
            pattern,
            settings,
            window,
            files: Vec::new(),
            done: HashMap::new(),
            positions,
            looked: None,
            more: false,
            refused: HashSet::new(),
            told: VecDeque::new(),
            turn: 0,
            blocks: 0,
        }
    }

    /// Reads what comes next.
    pub(super) fn next(&mut self) -> Result<Next> {
        loop {
            let is_due = match self.looked {
                None => true,
                Some(looked) => self.settings.follow && looked.elapsed() >= self.settings.interval,
            };
            if is_due {
                self.look()?;
            }
            if let Some(told) = self.told.pop_front() {
                return Ok(told);
            }
            let next = match self.settings.form {
                FileSourceForm::Lines => self.next_lines()?,
                FileSourceForm::Wholes => self.next_whole()?,
                FileSourceForm::Parts => self.next_part()?,
            };
            return match next {
                Some(next) => Ok(next),
                None if self.more => {
                    // Some were read to their end, or nothing makes room for the others but the next look.
                    if self.settings.follow {
                        return Ok(Next::Nothing);
                    }
                    self.looked = None;
                    continue;
                }
                None if self.settings.follow => Ok(Next::Nothing),
                None => Ok(Next::End),
            };
        }
    }

    /// Looks which files there are.
    fn look(&mut self) -> Result<()> {
        let shown = self.pattern.path().display();
        let found = self.pattern.list().map_err(|error| refused("list", shown, error))?;
        self.looked = Some(Instant::now());
        self.more = false;
        let there: HashMap<_, _> = found.iter().map(|(_, about)| (key(about), about)).collect();
        self.done.retain(|key, done| {
            // A number may be given again as soon as its file is gone.
            let stays =
                there.get(key).is_some_and(|about| (about.len(), about.modified().ok()) == (done.size, done.modified));
            if !stays {
                self.told.push_back(Next::Over { file: done.file });
            }
            stays
        });
        for file in &mut self.files {
            file.is_at_path = there.contains_key(&file.key());
            if file.is_at_path {
                file.quiet = None;
            }
        }
        self.refused.retain(|path| found.iter().any(|(known, _)| known == path));
        let mut open: HashSet<_> = self.files.iter().map(Watched::key).collect();
        for (path, about) in &found {
            let key = key(about);
            if open.contains(&key) || self.done.contains_key(&key) || Some(path) == self.settings.resume.as_ref() {
                continue;
            }
            if self.files.len() >= self.settings.files {
                self.more = true;
                break;
            }
            match Watched::open(path) {
                // Another one than was listed, perhaps, or one that was listed twice, as it was renamed just now.
                Ok(file) if !open.insert(file.key()) || self.done.contains_key(&file.key()) => {}
                Ok(file) => self.admit(file).map_err(|error| refused("read", path.display(), error))?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) if is_out_of_files(&error) => {
                    if self.files.is_empty() {
                        return Err(refused("open", path.display(), error));
                    }
                    // When some of those that are open have been read.
                    self.more = true;
                    break;
                }
                Err(error) => self.refuse(path.clone(), error),
            }
        }
        if !self.more && !self.positions.is_empty() {
            self.find_renamed().map_err(|error| refused("list", self.pattern.folder().display(), error))?;
        }
        Ok(())
    }

    /// Begins to read a file where it was read to.
    fn admit(&mut self, mut file: Watched) -> io::Result<()> {
        let position = self.resume(&mut file)?;
        let size = file.file.metadata()?.len();
        let is_whole = self.settings.form != FileSourceForm::Lines;
        if is_whole && file.offset != size {
            // A whole that has become another one is sent as a whole.
            file.start_over();
        }
        file.number = self.window.add(file.position());
        position.inspect(|position| self.window.claimed(position));
        if is_whole && file.offset == size && size > 0 {
            self.finish(&file, &file.file.metadata()?);
        } else {
            self.files.push(file);
        }
        Ok(())
    }

    /// Finds the file's position from before, and goes on there.
    fn resume(&mut self, file: &mut Watched) -> io::Result<Option<Position>> {
        for index in 0..self.positions.len() {
            if file.resume(&self.positions[index])? {
                return Ok(Some(self.positions.swap_remove(index)));
            }
        }
        Ok(None)
    }

    /// Finds files that had another name when they were read the last time, and reads the rest of them before all else.
    fn find_renamed(&mut self) -> io::Result<()> {
        let mut unreadable = HashSet::new();
        if self.settings.form == FileSourceForm::Lines {
            for (path, about) in files_in(self.pattern.folder())? {
                let is_wanted = |position: &Position| (position.device, position.inode) == key(&about);
                if self.positions.iter().any(is_wanted) && !self.files.iter().any(|file| file.key() == key(&about)) {
                    let mut file = match Watched::open(&path) {
                        Ok(file) => file,
                        Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                        Err(_) => {
                            // Its position is kept: it may be readable at the next look.
                            unreadable.insert(key(&about));
                            continue;
                        }
                    };
                    if let Some(position) = self.resume(&mut file)? {
                        file.is_at_path = false;
                        file.number = self.window.add(file.position());
                        self.window.claimed(&position);
                        self.files.insert(0, file);
                    }
                }
            }
        }
        // The others are gone for good.
        let is_kept = |position: &Position| unreadable.contains(&(position.device, position.inode));
        let (kept, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.positions).into_iter().partition(is_kept);
        self.positions = kept;
        gone.iter().for_each(|position| self.window.claimed(position));
        Ok(())
    }

    fn refuse(&mut self, path: PathBuf, error: io::Error) {
        let mut attributes = Attributes::default();
        attributes.set("file.path", path.display().to_string());
        let error = refused("open", path.display(), error);
        // Told once, and not at each look.
        if self.refused.insert(path) {
            self.told.push_back(Next::Refused { attributes, error });
        }
    }

    fn next_lines(&mut self) -> Result<Option<Next>> {
        for index in self.order() {
            loop {
                let file = &mut self.files[index];
                let known = file.head.len();
                let reading = file.read_lines(self.settings.line_size, self.settings.follow);
                match reading.map_err(|error| refused("read", file.path.display(), error))? {
                    Reading::Lines(lines) => {
                        if file.head.len() > known {
                            self.window.set_head(file.number, &file.head);
                        }
                        file.quiet = None;
                        let next = Next::Lines { file: file.number, attributes: file.attributes.clone(), lines };
                        self.took_a_turn(index);
                        return Ok(Some(next));
                    }
                    Reading::Cut => {
                        self.told.push_back(Next::Cut { file: file.number });
                        file.start_over();
                        file.number = self.window.add(file.position());
                    }
                    Reading::Nothing => break,
                }
            }
            if let Some(next) = self.end_of(index) {
                return Ok(Some(next));
            }
        }
        let over: Vec<_> = self.files.extract_if(.., |file| file.is_over).collect();
        for file in over {
            if self.settings.follow {
                self.told.push_back(Next::Over { file: file.number });
            } else {
                let about = file.file.metadata().map_err(|error| refused("read", file.path.display(), error))?;
                self.finish(&file, &about);
            }
        }
        Ok(None)
    }

    /// Returns whose turn it is: what has lost its path goes before what took its place, and the rest go round.
    fn order(&self) -> Vec<usize> {
        let all = 0..self.files.len();
        let (here, gone): (Vec<_>, Vec<_>) = all.partition(|index| self.files[*index].is_at_path);
        let begin = here.iter().position(|index| *index >= self.turn).unwrap_or_default();
        gone.into_iter().chain(here[begin..].iter().copied()).chain(here[..begin].iter().copied()).collect()
    }

    fn took_a_turn(&mut self, index: usize) {
        // What is read once is read file by file.
        if !self.settings.follow || !self.files[index].is_at_path {
            return;
        }
        self.blocks = if self.turn == index { self.blocks + 1 } else { 1 };
        self.turn = index;
        if self.blocks >= TURN {
            (self.turn, self.blocks) = (index + 1, 0);
        }
    }

    /// Ends a file of which nothing more comes: what is left is its last line.
    fn end_of(&mut self, index: usize) -> Option<Next> {
        let FileSourceSettings { follow, linger, .. } = *self.settings;
        let file = &mut self.files[index];
        let ends = !follow || (!file.is_at_path && file.quiet.get_or_insert_with(Instant::now).elapsed() >= linger);
        if !ends {
            return None;
        }
        let lines = file.last_line(self.settings.line_size);
        file.is_over = lines.is_none();
        Some(Next::Lines { file: file.number, attributes: file.attributes.clone(), lines: lines? })
    }

    fn next_whole(&mut self) -> Result<Option<Next>> {
        if self.files.is_empty() {
            return Ok(None);
        }
        let mut file = self.files.remove(0);
        let unreadable = |error| refused("read", file.path.display(), error);
        // Before it is read: what comes later makes it another one.
        let about = file.file.metadata().map_err(unreadable)?;
        let most = self.settings.whole_size;
        let mut bytes = Vec::new();
        let read = (|| -> io::Result<u64> {
            // One byte more tells that it is too large.
            while bytes.len() <= most {
                let wanted = (most + 1 - bytes.len()).min(BLOCK);
                if file.read(&mut bytes, wanted)? == 0 {
                    break;
                }
            }
            Ok(if bytes.len() <= most { file.offset } else { file.file.metadata()?.len() })
        })();
        let end = read.map_err(|error| refused("read", file.path.display(), error))?;
        self.window.set_head(file.number, &file.head);
        self.finish(&file, &about);
        let whole = if bytes.len() > most {
            let message = format!("`{}` is larger than the {most} bytes of `whole-size`", file.path.display());
            Err(Error::too_large(message))
        } else {
            Ok(Bytes::from(bytes))
        };
        Ok(Some(Next::Whole { file: file.number, attributes: file.attributes, whole, end }))
    }

    fn next_part(&mut self) -> Result<Option<Next>> {
        let Some(file) = self.files.first_mut() else { return Ok(None) };
        let wanted = (file.size - file.offset).min(self.settings.part_size as u64);
        let wanted = usize::try_from(wanted).unwrap_or(self.settings.part_size);
        let mut bytes = Vec::new();
        let count = file.read(&mut bytes, wanted).map_err(|error| refused("read", file.path.display(), error))?;
        let number = file.part;
        file.part += 1;
        let end = match file.offset {
            // It was cut meanwhile.
            offset if offset < file.size && count < wanted => PartEnd::Broken,
            offset if offset < file.size => PartEnd::More,
            _ => PartEnd::Last,
        };
        let until = (end == PartEnd::Last).then_some(file.offset);
        self.window.set_head(file.number, &file.head);
        let (number_of_file, attributes) = (file.number, file.attributes.clone());
        if end != PartEnd::More {
            let file = self.files.remove(0);
            let about = file.file.metadata().map_err(|error| refused("read", file.path.display(), error))?;
            self.finish(&file, &about);
        }
        let bytes = if end == PartEnd::Broken { Bytes::new() } else { Bytes::from(bytes) };
        let part = Part { number, end };
        Ok(Some(Next::Part { file: number_of_file, attributes, part, bytes, end: until }))
    }

    /// Notes that a file was read to its end, so that it is not read again while it stays as it is.
    fn finish(&mut self, file: &Watched, about: &Metadata) {
        let size = if self.settings.form == FileSourceForm::Parts { file.size } else { about.len() };
        self.done.insert(file.key(), Done { file: file.number, size, modified: about.modified().ok() });
    }
}

/// Says whether the process, or the system, has no room for another open file.
fn is_out_of_files(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

fn key(about: &Metadata) -> (u64, u64) {
    (about.dev(), about.ino())
}
