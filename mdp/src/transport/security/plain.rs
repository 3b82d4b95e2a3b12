//! Names and passwords for PLAIN.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use playhouse_engine::{Error, Result};
use subtle::{Choice, ConstantTimeEq};

use super::file;

/// How long a name or a password may be on the wire, in bytes.
const LONGEST: usize = 255;

/// A password. It never shows itself.
#[derive(Clone)]
pub struct Password(String);

impl Password {
    /// Takes a password of up to 255 printable ASCII characters without spaces, which is what PLAIN can carry.
    ///
    /// # Errors
    /// `Malformed` where it is not that.
    pub fn new(text: impl Into<String>) -> Result<Self> {
        let text = text.into();
        match is_sound(&text) {
            true => Ok(Self(text)),
            false => Err(Error::malformed(format!("expected a password of 1 to {LONGEST} printable ASCII characters"))),
        }
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Password")
    }
}

/// The names and passwords that a PLAIN server takes. A clone is one reference count.
#[derive(Clone)]
pub struct PlainUsers(Arc<[User]>);

struct User {
    name: Padded,
    password: Padded,
}

impl PlainUsers {
    /// Takes names and passwords.
    ///
    /// # Errors
    /// `Malformed` where PLAIN cannot carry one of them.
    pub fn new<'a>(users: impl IntoIterator<Item = (&'a str, Password)>) -> Result<Self> {
        let user = |(name, password): (&str, Password)| match is_sound(name) {
            true => Ok(User { name: Padded::new(name), password: Padded::new(&password.0) }),
            false => Err(Error::malformed(unsound(name))),
        };
        users.into_iter().map(user).collect::<Result<_>>().map(Self)
    }

    /// Reads the file at `path`: TOML with a line `name = "password"` for each user.
    ///
    /// # Errors
    /// `Unavailable` where it cannot be read, `Forbidden` where others can read it too, `Malformed` with all that is wrong
    /// with what it says.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let table = file::read(path)?;
        let mut problems = Vec::new();
        if table.is_empty() {
            problems.push("expected a line `name = \"password\"` for each user, found none".to_owned());
        }
        let mut users = Vec::new();
        for (name, value) in &table {
            match value.as_str().map(Password::new) {
                Some(Ok(password)) => users.push((name.as_str(), password)),
                Some(Err(error)) => problems.push(format!("`{name}`: {error}")),
                None => problems.push(format!("`{name}`: expected a text, found a value of type {}", value.type_str())),
            }
            if !is_sound(name) {
                problems.push(unsound(name));
            }
        }
        file::refuse_if_any(path, &problems)?;
        Self::new(users)
    }

    /// Says whether the password is that of the name. It takes as long for any name and any password.
    #[must_use]
    pub fn knows(&self, name: &str, password: &str) -> bool {
        if name.len() > LONGEST || password.len() > LONGEST {
            return false;
        }
        let (name, password) = (Padded::new(name), Padded::new(password));
        let is_known = |known, user: &User| known | (user.name.is(&name) & user.password.is(&password));
        self.0.iter().fold(Choice::from(0), is_known).into()
    }
}

impl fmt::Debug for PlainUsers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PlainUsers({})", self.0.len())
    }
}

/// A text of up to 255 bytes as a field of one length, its own length last, so that a comparison does not tell how long it is.
struct Padded(Box<[u8; LONGEST + 1]>);

impl Padded {
    fn new(text: &str) -> Self {
        let mut bytes = Box::new([0; LONGEST + 1]);
        let length = text.len().min(LONGEST);
        bytes[..length].copy_from_slice(&text.as_bytes()[..length]);
        bytes[LONGEST] = u8::try_from(length).unwrap_or(u8::MAX);
        Self(bytes)
    }

    fn is(&self, other: &Self) -> Choice {
        self.0.as_slice().ct_eq(other.0.as_slice())
    }
}

fn is_sound(text: &str) -> bool {
    !text.is_empty() && text.len() <= LONGEST && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn unsound(name: &str) -> String {
    format!("expected a name of 1 to {LONGEST} printable ASCII characters, found `{}`", name.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_password_of_the_name_is_right() {
        let password = |text: &str| Password::new(text).unwrap();
        let users = PlainUsers::new([("ada", password("one")), ("bob", password("two"))]).unwrap();
        assert!(users.knows("ada", "one") && users.knows("bob", "two"));
        for (name, wrong) in [("ada", "two"), ("ada", "on"), ("ada", "one\0"), ("ada", ""), ("", ""), ("eve", "one")] {
            assert!(!users.knows(name, wrong), "{name} {wrong}");
        }
        assert!(!users.knows("ada", &"x".repeat(256)));
    }

    #[test]
    fn no_password_shows() {
        let password = Password::new("secret").unwrap();
        let users = PlainUsers::new([("ada", password.clone())]).unwrap();
        assert_eq!(format!("{password:?} {users:?}"), "Password PlainUsers(1)");
    }

    #[test]
    fn a_file_of_users_reads_and_tells_all_that_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("users.toml");
        file::write(&path, "ada = \"one\"\n").unwrap();
        assert!(PlainUsers::load(&path).unwrap().knows("ada", "one"));
        let path = folder.path().join("wrong.toml");
        file::write(&path, "ada = 1\nbob = \"with space\"\n\"c d\" = \"x\"\n").unwrap();
        let error = PlainUsers::load(&path).unwrap_err().to_string();
        for part in
            ["`ada`: expected a text, found a value of type integer", "`bob`: expected a password", "found `c d`"]
        {
            assert!(error.contains(part), "{error}");
        }
        assert!(!error.contains("with space"), "{error}");
    }
}
