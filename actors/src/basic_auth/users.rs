//! A file of users: its lines, and all that is wrong with them at once.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::fmt::Display;
use std::fs::File;
use std::hash::BuildHasher;
use std::io::{ErrorKind, Read};
use std::path::Path;

use playhouse_engine::{Error, Kind, Result};

use super::password_hash::PasswordHash;

const LARGEST_FILE: u64 = 4 << 20;
const MOST_PROBLEMS_SHOWN: usize = 50;

/// Users and the hashes of their passwords.
pub(super) struct Users {
    hashes: Vec<PasswordHash>,
    by_name: HashMap<String, usize>,
    stand_ins: RandomState,
}

impl Users {
    pub(super) fn from_file(path: &Path) -> Result<Self> {
        let name = path.display();
        let unreadable = |error: std::io::Error| {
            let kind = if error.kind() == ErrorKind::NotFound { Kind::NotFound } else { Kind::Unavailable };
            Error::new(kind, format!("the users file `{name}` cannot be read")).caused_by(error)
        };
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(unreadable)?;
        file.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > LARGEST_FILE {
            return Err(Error::too_large(format!("the users file `{name}` has more than 4 MiB")));
        }
        let text = String::from_utf8(bytes)
            .map_err(|error| Error::malformed(format!("the users file `{name}` is not UTF-8 text")).caused_by(error))?;
        Self::parse(&text, &format!("the users file `{name}`"), &|line| format!("{name}:{line}"))
    }

    pub(super) fn from_text(text: &str) -> Result<Self> {
        Self::parse(text, "the list of users", &|line| format!("line {line}"))
    }

    pub(super) fn count(&self) -> usize {
        self.hashes.len()
    }

    /// Says whether `user` is known and `password` is theirs. It takes as long for a user that is not known.
    pub(super) fn verify(&self, user: &str, password: &str) -> bool {
        let known = self.by_name.get(user).copied();
        // Whoever is not known is checked against the hash of somebody else, always the same one, so that the cost of the
        // check says nothing either where the hashes of the file differ in cost.
        #[expect(clippy::cast_possible_truncation, reason = "any number does")]
        let stand_in = self.stand_ins.hash_one(user) as usize % self.hashes.len();
        let right = self.hashes[known.unwrap_or(stand_in)].verify(password);
        right & known.is_some()
    }

    fn parse(text: &str, whole: &str, place: &dyn Fn(usize) -> String) -> Result<Self> {
        let mut users = Self { hashes: Vec::new(), by_name: HashMap::new(), stand_ins: RandomState::new() };
        let mut problems = Vec::new();
        for (index, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
            if line.trim().is_empty() || line.trim_start().starts_with('#') {
                continue;
            }
            if let Err(problem) = users.add(line) {
                problems.push(format!("{}: {problem}", place(index + 1)));
            }
        }
        match problems.len() {
            0 if users.hashes.is_empty() => {
                Err(Error::malformed(format!("{whole} names no user; expected lines `name:hash`")))
            }
            0 => Ok(users),
            count => Err(Error::malformed(report(whole, count, &problems))),
        }
    }

    fn add(&mut self, line: &str) -> Result<(), String> {
        let Some((name, hash)) = line.split_once(':') else {
            return Err("expected `name:hash`, found no `:`".to_owned());
        };
        check_name(name)?;
        if self.by_name.contains_key(name) {
            return Err(format!("the user `{name}` is named twice"));
        }
        let hash = PasswordHash::parse(hash.trim()).map_err(|problem| format!("the user `{name}`: {problem}"))?;
        self.by_name.insert(name.to_owned(), self.hashes.len());
        self.hashes.push(hash);
        Ok(())
    }
}

/// Says what is wrong with the name of a user, where something is.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("the name of a user is empty".to_owned());
    }
    let is_kept_out = |character: char| character == ':' || character.is_control();
    if name.trim() != name || name.starts_with('#') || name.contains(is_kept_out) {
        let name = name.escape_debug();
        return Err(format!("the user name `{name}` has a space at an end, a `#` first, a `:` or a control character"));
    }
    Ok(())
}

fn report(whole: &str, count: usize, problems: &[impl Display]) -> String {
    let mut report = format!("{whole} has {count} problem{}", if count == 1 { "" } else { "s" });
    for problem in problems.iter().take(MOST_PROBLEMS_SHOWN) {
        report.push_str(&format!("\n  {problem}"));
    }
    if count > MOST_PROBLEMS_SHOWN {
        report.push_str(&format!("\n  and {} more", count - MOST_PROBLEMS_SHOWN));
    }
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: &str = "ada:$2y$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe";

    #[track_caller]
    fn refused(text: &str) -> String {
        Users::from_text(text).err().expect("the text should be refused").to_string()
    }

    #[test]
    fn empty_lines_and_comments_are_passed_over() {
        let users = Users::from_text(&format!("\u{feff}# users\r\n\r\n  # more\r\n{ADA} \r\n")).unwrap();
        assert_eq!(users.count(), 1);
        assert!(users.verify("ada", "password"));
        assert!(!users.verify("ada", "Password"));
    }

    #[test]
    fn an_unknown_user_is_refused_even_with_the_password_of_another() {
        let users = Users::from_text(ADA).unwrap();
        assert!(!users.verify("bob", "password"));
        assert!(!users.verify("", "password"));
    }

    #[test]
    fn an_unknown_user_costs_as_much_as_a_wrong_password() {
        let users = Users::from_text(&format!("ada:{}", PasswordHash::of("lovelace").unwrap())).unwrap();
        let fastest = |user| {
            let runs = (0..5).map(|_| {
                let begin = std::time::Instant::now();
                assert!(!users.verify(user, "wrong"));
                begin.elapsed()
            });
            runs.min().unwrap()
        };
        // Without a stand-in it would be a thousandth.
        let (known, unknown) = (fastest("ada"), fastest("bob"));
        assert!(unknown * 3 > known && known * 3 > unknown, "{known:?} and {unknown:?}");
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let text = format!("{ADA}\nbob\n:x\nada:$apr1$x$y\ncarol:$apr1$x$y\n");
        assert_eq!(
            refused(&text),
            "the list of users has 4 problems\n  \
             line 2: expected `name:hash`, found no `:`\n  \
             line 3: the name of a user is empty\n  \
             line 4: the user `ada` is named twice\n  \
             line 5: the user `carol`: an MD5 hash (apr1) is weak; make the line anew with `htpasswd -B -C 12`"
        );
    }

    #[test]
    fn a_password_in_plain_text_is_never_shown() {
        let report = refused("ada:hunter2\nbob hunter2");
        assert!(!report.contains("hunter2"), "{report}");
    }

    #[test]
    fn a_long_report_is_cut() {
        assert!(refused(&"x\n".repeat(1000)).ends_with("\n  and 950 more"));
    }

    #[test]
    fn a_list_without_users_is_refused() {
        assert_eq!(refused("# nobody\n"), "the list of users names no user; expected lines `name:hash`");
    }

    #[test]
    fn a_file_is_named_in_what_is_wrong_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.htpasswd");
        let refused = |path: &Path| Users::from_file(path).err().expect("the file should be refused");

        let missing = refused(&path);
        assert_eq!(missing.kind(), Kind::NotFound);
        assert_eq!(missing.message(), format!("the users file `{}` cannot be read", path.display()));

        std::fs::write(&path, "ada:hunter2\n").unwrap();
        assert!(refused(&path).message().contains(&format!("\n  {}:1: the user `ada`: a password", path.display())));

        std::fs::write(&path, b"ada:\xff\n").unwrap();
        assert!(refused(&path).message().ends_with("is not UTF-8 text"));

        std::fs::write(&path, vec![b'#'; usize::try_from(LARGEST_FILE).unwrap() + 1]).unwrap();
        assert_eq!(refused(&path).kind(), Kind::TooLarge);

        std::fs::write(&path, ADA).unwrap();
        assert!(Users::from_file(&path).unwrap().verify("ada", "password"));
    }
}
