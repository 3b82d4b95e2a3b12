//! Who may talk to a socket: CURVE keys, PLAIN passwords, and the rule that a socket open to the network has one of them.

mod file;
mod keys;
mod keys_file;
mod plain;

use playhouse_engine::{Error, Result};

use super::Endpoint;
pub use keys::{Keys, PublicKey};
pub use keys_file::KeysFile;
pub use plain::{Password, PlainUsers};

/// Who the peers of a socket must be, and who it says that it is.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub enum Security {
    /// Anybody; nothing is encrypted.
    #[default]
    None,
    /// Whoever knows the server's public key and has one of the allowed keys; encrypted (CURVE).
    CurveServer {
        /// The server's own keys.
        keys: Keys,
        /// Whose keys are allowed.
        allow: Allow,
    },
    /// A server that has the secret of this public key; encrypted (CURVE).
    CurveClient {
        /// The client's own keys.
        keys: Keys,
        /// The server's public key.
        server: PublicKey,
    },
    /// Whoever knows a name and its password; not encrypted (PLAIN).
    PlainServer {
        /// The names and passwords.
        users: PlainUsers,
    },
    /// A server that asks for a name and a password; not encrypted (PLAIN).
    PlainClient {
        /// The name.
        name: String,
        /// The password.
        password: Password,
    },
}

/// Whose keys a CURVE server takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allow {
    /// Every client that knows the server's public key.
    Any,
    /// The clients with these keys.
    Only(Vec<PublicKey>),
}

impl Allow {
    /// Says whether a client with this key may connect.
    #[must_use]
    pub fn allows(&self, key: &PublicKey) -> bool {
        match self {
            Self::Any => true,
            Self::Only(keys) => keys.contains(key),
        }
    }
}

/// Refuses to open a socket to the network to anybody who comes, unless `insecure` says that it is meant.
///
/// # Errors
/// `Forbidden` where `endpoint` can be reached from outside this machine, and `security` asks nobody who they are.
pub fn check_exposure(endpoint: &Endpoint, security: &Security, insecure: bool) -> Result<()> {
    if insecure || endpoint.is_local() || !matches!(security, Security::None) {
        return Ok(());
    }
    let remedy = "give it CURVE keys or PLAIN users, bind a loopback address, or say `--insecure`";
    Err(Error::forbidden(format!("`{endpoint}` is open to the network and asks nobody who they are: {remedy}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_open_to_the_network_needs_security() {
        let open = "tcp://0.0.0.0:5555".parse().unwrap();
        let error = check_exposure(&open, &Security::None, false).unwrap_err();
        let expected = "`tcp://0.0.0.0:5555` is open to the network and asks nobody who they are: give it CURVE keys or PLAIN \
                        users, bind a loopback address, or say `--insecure`";
        assert_eq!(error.to_string(), expected);
        check_exposure(&open, &Security::None, true).unwrap();
        check_exposure(&open, &Security::CurveServer { keys: Keys::generate(), allow: Allow::Any }, false).unwrap();
        check_exposure(&"tcp://127.0.0.1:5555".parse().unwrap(), &Security::None, false).unwrap();
        check_exposure(&"ipc:///run/broker".parse().unwrap(), &Security::None, false).unwrap();
    }
}
