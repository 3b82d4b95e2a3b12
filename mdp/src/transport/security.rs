//! Who may talk to a socket: CURVE keys, PLAIN passwords, and the rule that a socket open to the network has one of them.

mod keys;

pub use keys::{Keys, PublicKey};

/// Who the peers of a socket must be, and who it says that it is.
#[derive(Clone, Debug, Default)]
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
