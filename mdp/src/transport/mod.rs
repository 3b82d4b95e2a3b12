//! ZeroMQ sockets. The rest of the crate sees [`Socket`] alone: what library does the work is known here and nowhere else.

mod endpoint;
mod omq;
mod security;
mod settings;
mod socket;

pub use endpoint::Endpoint;
pub use security::{Allow, Keys, PublicKey, Security};
pub use settings::{Backend, SocketSettings};
pub use socket::{Change, Changes, Kind, Refused, Socket};

/// TEMPORARY
pub fn check_exposure(endpoint: &Endpoint, _: &Security, insecure: bool) -> playhouse_engine::Result<()> {
    if insecure || endpoint.is_local() { Ok(()) } else { Err(playhouse_engine::Error::forbidden("--insecure")) }
}
