//! ZeroMQ sockets. The rest of the crate sees [`Socket`] alone: what library does the work is known here and nowhere else.

mod dealer;
mod endpoint;
mod lanes;
mod omq;
mod router;
mod security;
mod settings;
mod socket;
mod stream;
mod wire;
#[cfg(feature = "zeromq")]
mod zeromq;

pub use endpoint::Endpoint;
pub use security::{Allow, Keys, KeysFile, Password, PlainUsers, PublicKey, Security, check_exposure};
pub use settings::{Backend, SocketSettings};
pub use socket::{Change, Changes, Kind, Refused, Socket};
