//! The arguments that say who may talk to whom.

use std::path::{Path, PathBuf};

use clap::Args;
use playhouse::mdp::transport::{KeysFile, Password, PlainUsers, Security};
use playhouse::{Error, Result};

/// Who a server lets in.
#[derive(Debug, Args)]
pub(crate) struct ServerAccess {
    /// Encrypt, and let in the clients whose keys this file allows (see `playhouse keys new --help`)
    #[arg(long, value_name = "FILE", conflicts_with = "plain_users")]
    curve_keys: Option<PathBuf>,
    /// Let in the users of this file, a line `name = "password"` for each; nothing is encrypted
    #[arg(long, value_name = "FILE")]
    plain_users: Option<PathBuf>,
    /// Be open to the network without keys or passwords
    #[arg(long)]
    pub(crate) insecure: bool,
}

impl ServerAccess {
    pub(crate) fn security(&self) -> Result<Security> {
        match (&self.curve_keys, &self.plain_users) {
            (Some(path), _) => match KeysFile::load(path)? {
                file @ KeysFile::Server { .. } => Ok(file.into()),
                KeysFile::Client { .. } => Err(wrong_file(path, "`allow`, for a server", "`server`, for a client")),
            },
            (None, Some(path)) => Ok(Security::PlainServer { users: PlainUsers::load(path)? }),
            (None, None) => Ok(Security::None),
        }
    }
}

/// Who we are, for a server that asks.
#[derive(Debug, Args)]
pub(crate) struct ClientAccess {
    /// Encrypt, with the keys of this file (see `playhouse keys new --help`)
    #[arg(long, value_name = "FILE", conflicts_with = "plain_user")]
    curve_keys: Option<PathBuf>,
    /// Log in as this user, with the password in the environment variable PLAYHOUSE_PASSWORD
    #[arg(long, value_name = "NAME")]
    plain_user: Option<String>,
}

impl ClientAccess {
    /// Means these keys, or none.
    pub(crate) fn with_keys(curve_keys: Option<PathBuf>) -> Self {
        Self { curve_keys, plain_user: None }
    }

    pub(crate) fn security(&self) -> Result<Security> {
        match (&self.curve_keys, &self.plain_user) {
            (Some(path), _) => match KeysFile::load(path)? {
                file @ KeysFile::Client { .. } => Ok(file.into()),
                KeysFile::Server { .. } => Err(wrong_file(path, "`server`, for a client", "`allow`, for a server")),
            },
            (None, Some(user)) => {
                let password = std::env::var("PLAYHOUSE_PASSWORD").map_err(|_| {
                    Error::unauthorized("expected the password in the environment variable `PLAYHOUSE_PASSWORD`")
                })?;
                let password = Password::new(password)
                    .map_err(|error| Error::malformed("`PLAYHOUSE_PASSWORD`").caused_by(error))?;
                // What a server could not have in its file cannot be sent either.
                PlainUsers::new([(user.as_str(), password.clone())])
                    .map_err(|error| Error::malformed("`--plain-user`").caused_by(error))?;
                Ok(Security::PlainClient { name: user.clone(), password })
            }
            (None, None) => Ok(Security::None),
        }
    }
}

fn wrong_file(path: &Path, expected: &str, found: &str) -> Error {
    Error::malformed(format!("`{}`: expected {expected}, found {found}", path.display()))
}
