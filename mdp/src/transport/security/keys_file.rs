//! A file of CURVE keys.

use std::fmt::Write;
use std::path::Path;

use playhouse_engine::Result;
use toml::{Table, Value};

use super::{Allow, Keys, PublicKey, Security, file};

/// A file of CURVE keys: TOML with `public` and `secret`, and with `allow` for a server (`"any"` or a list of the clients'
/// public keys), or with `server` for a client (the server's public key).
#[derive(Clone, Debug)]
pub enum KeysFile {
    /// The keys of a server.
    Server {
        /// The server's own keys.
        keys: Keys,
        /// Whose keys are allowed.
        allow: Allow,
    },
    /// The keys of a client.
    Client {
        /// The client's own keys.
        keys: Keys,
        /// The server's public key.
        server: PublicKey,
    },
}

impl KeysFile {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// `Unavailable` where it cannot be read, `Forbidden` where others can read it too, `Malformed` with all that is wrong
    /// with what it says.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let table = file::read(path)?;
        let mut problems = Vec::new();
        let keys = keys(&table, &mut problems);
        let unknown = table.keys().filter(|name| !["public", "secret", "allow", "server"].contains(&name.as_str()));
        problems.extend(
            unknown.map(|name| format!("unknown field `{name}`: expected `public`, `secret`, `allow` or `server`")),
        );
        let read = match (table.get("allow"), table.get("server")) {
            (Some(allow), None) => {
                keys.zip(allowed(allow, &mut problems)).map(|(keys, allow)| Self::Server { keys, allow })
            }
            (None, Some(server)) => {
                keys.zip(public("server", server, &mut problems)).map(|(keys, server)| Self::Client { keys, server })
            }
            (both, _) => {
                let found = if both.is_some() { "both" } else { "neither" };
                problems.push(format!("expected `allow` for a server or `server` for a client, found {found}"));
                None
            }
        };
        file::refuse_if_any(path, &problems)?;
        // Whatever is missing is among the problems.
        read.ok_or_else(|| playhouse_engine::Error::internal("a keys file without keys and without a problem"))
    }

    /// Writes a new file at `path` that nobody else can read.
    ///
    /// # Errors
    /// `Unavailable` where there is a file already, or it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        file::write(path.as_ref(), &self.to_text())
    }

    /// Returns what the file says, secret and all.
    #[must_use]
    pub fn to_text(&self) -> String {
        let (Self::Server { keys, .. } | Self::Client { keys, .. }) = self;
        let mut text = format!("public = \"{}\"\nsecret = \"{}\"\n", keys.public(), keys.secret_text());
        // Writing to a text cannot fail.
        let _ = match self {
            Self::Server { allow: Allow::Any, .. } => writeln!(text, "allow = \"any\""),
            Self::Server { allow: Allow::Only(keys), .. } => {
                let list: Vec<_> = keys.iter().map(|key| format!("\"{key}\"")).collect();
                writeln!(text, "allow = [{}]", list.join(", "))
            }
            Self::Client { server, .. } => writeln!(text, "server = \"{server}\""),
        };
        text
    }
}

impl From<KeysFile> for Security {
    fn from(file: KeysFile) -> Self {
        match file {
            KeysFile::Server { keys, allow } => Self::CurveServer { keys, allow },
            KeysFile::Client { keys, server } => Self::CurveClient { keys, server },
        }
    }
}

fn keys(table: &Table, problems: &mut Vec<String>) -> Option<Keys> {
    let public = match table.get("public") {
        Some(value) => public("public", value, problems),
        None => {
            problems.push("expected `public`, found nothing of that name".to_owned());
            None
        }
    };
    let secret = table.get("secret").and_then(Value::as_str);
    if secret.is_none() {
        problems.push("expected `secret`, a text of 40 characters of Z85".to_owned());
    }
    match Keys::from_text(&public?.to_string(), secret?) {
        Ok(keys) => Some(keys),
        Err(error) => {
            problems.push(format!("`secret`: {error}"));
            None
        }
    }
}

fn public(name: &str, value: &Value, problems: &mut Vec<String>) -> Option<PublicKey> {
    match value.as_str().map(str::parse) {
        Some(Ok(key)) => return Some(key),
        Some(Err(error)) => problems.push(format!("`{name}`: {error}")),
        None => problems.push(format!("`{name}`: expected a text, found a value of type {}", value.type_str())),
    }
    None
}

fn allowed(value: &Value, problems: &mut Vec<String>) -> Option<Allow> {
    match value {
        Value::String(word) if word == "any" => Some(Allow::Any),
        Value::Array(keys) => {
            let keys: Vec<_> = keys.iter().map(|key| public("allow", key, problems)).collect();
            keys.into_iter().collect::<Option<_>>().map(Allow::Only)
        }
        _ => {
            problems.push("`allow`: expected `\"any\"` or a list of public keys".to_owned());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use playhouse_engine::Kind;
    use tempfile::TempDir;

    use super::*;

    fn written(text: &str, mode: u32) -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    #[test]
    fn what_was_saved_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let (keys, client) = (Keys::generate(), Keys::generate());
        let path = folder.path().join("server.toml");
        let server = KeysFile::Server { keys: keys.clone(), allow: Allow::Only(vec![client.public()]) };
        server.save(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let KeysFile::Server { keys: read, allow } = KeysFile::load(&path).unwrap() else { panic!("no server") };
        assert_eq!((read.secret_text(), allow), (keys.secret_text(), Allow::Only(vec![client.public()])));
        assert_eq!(server.save(&path).unwrap_err().kind(), Kind::Unavailable, "a file is never overwritten");

        let path = folder.path().join("client.toml");
        KeysFile::Client { keys: client, server: keys.public() }.save(&path).unwrap();
        assert!(matches!(KeysFile::load(&path).unwrap(), KeysFile::Client { server, .. } if server == keys.public()));
    }

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let (_folder, path) = written("public = 'abc'\nsecrt = 'x'\nallow = ['abc', 3]", 0o600);
        let error = KeysFile::load(&path).unwrap_err();
        let expected = format!(
            "`{}`: `public`: expected a public key of 40 characters of Z85, found `abc`; expected `secret`, a text of 40 \
             characters of Z85; unknown field `secrt`: expected `public`, `secret`, `allow` or `server`; `allow`: expected a \
             public key of 40 characters of Z85, found `abc`; `allow`: expected a text, found a value of type integer",
            path.display()
        );
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let (_folder, path) = written("", 0o640);
        let error = KeysFile::load(&path).unwrap_err();
        assert_eq!(error.kind(), Kind::Forbidden);
        assert!(error.to_string().contains("expected mode 600, found 640"), "{error}");
    }

    #[test]
    fn no_error_shows_a_secret() {
        let (keys, other) = (Keys::generate(), Keys::generate());
        let secret = keys.secret_text();
        for text in [
            format!("secret = \"{secret}\n"),
            format!("public = \"{}\"\nsecret = \"{secret}\"\nallow = \"any\"", other.public()),
            format!("public = \"{}\"\nsecret = \"{secret}x\"\nallow = \"any\"", keys.public()),
        ] {
            let (_folder, path) = written(&text, 0o600);
            let error = KeysFile::load(&path).unwrap_err();
            assert!(!error.to_string().contains(&secret), "{error}");
        }
        assert!(!format!("{:?}", Security::from(KeysFile::Server { keys, allow: Allow::Any })).contains(&secret));
    }
}
