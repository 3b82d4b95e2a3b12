//! The accept loop of a source: it owns the task of every connection.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use playhouse_engine::{Emitter, Error, Result};
use tokio::io::split;
use tokio::net::TcpStream;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::events::{self, greeting, largest};
use super::framing::Framing;
use super::outgoing::Connections;
use super::plain;
use super::source::TcpSourceSettings;
use super::stream::{Stream, linger, write};
use super::wire::{Output, Side};
use crate::listen::{Listener, PAUSE, is_of_the_client};
use crate::tally::Tally;
#[cfg(feature = "tls")]
use crate::tls::Acceptor;

/// How many that are one too many are told so at a time; beyond, they are closed without a word.
const REFUSED_AT_ONCE: usize = 64;

/// What all connections of a source share.
#[derive(Debug)]
pub(super) struct Reception {
    pub(super) name: String,
    pub(super) settings: TcpSourceSettings,
    pub(super) emitter: Emitter,
    pub(super) stopping: CancellationToken,
    pub(super) connections: Arc<Connections>,
    pub(super) refused: Tally,
    #[cfg(feature = "tls")]
    pub(super) tls: Option<Acceptor>,
}

/// Accepts connections until the flow stops, and then waits until they have ended.
pub(super) async fn accept(listener: Listener, reception: Arc<Reception>) -> Result<()> {
    let Some(socket) = listener.get() else { return Ok(()) };
    let (mut guests, mut strangers) = (JoinSet::new(), JoinSet::new());
    loop {
        tokio::select! {
            biased;
            () = reception.stopping.cancelled() => break,
            Some(ended) = guests.join_next() => note(&reception, ended),
            Some(ended) = strangers.join_next() => note(&reception, ended),
            accepted = socket.accept() => match accepted {
                Ok((socket, _)) if guests.len() >= reception.settings.connections => {
                    reception.refused.add_one();
                    if strangers.len() < REFUSED_AT_ONCE && reception.settings.framing == Framing::Events {
                        strangers.spawn(refuse(reception.clone(), socket));
                    }
                }
                Ok((socket, peer)) => {
                    guests.spawn(serve(reception.clone(), socket, peer));
                }
                Err(error) if is_of_the_client(&error) => {}
                Err(error) => {
                    tracing::warn!(actor = reception.name, %error, "no connection can be accepted for a while");
                    sleep(PAUSE).await;
                }
            },
        }
    }
    // Both: from here on a connection is refused by the system.
    listener.close();
    drop(socket);
    while let Some(ended) = guests.join_next().await {
        note(&reception, ended);
    }
    Ok(())
}

fn note(reception: &Reception, ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(actor = reception.name, %error, "the task of a connection died");
    }
}

/// Tells a sink that it is one too many.
async fn refuse(reception: Arc<Reception>, socket: TcpStream) {
    let settings = &reception.settings;
    let Ok(stream) = secured(&reception, socket).await else { return };
    let (reader, mut writer) = split(stream);
    let ours = greeting(Side::Source, settings.heartbeat, largest(&settings.envelope));
    let mut output = BytesMut::from(&ours.to_bytes()[..]);
    output.goodbye(&Error::overloaded(format!("{} connections are open already", settings.connections)));
    if write(&mut writer, &mut output, settings.handshake_time).await.is_ok() {
        linger(reader, writer).await;
    }
}

async fn serve(reception: Arc<Reception>, socket: TcpStream, peer: SocketAddr) {
    // An answer that waits for more to send is late; where it cannot be set, it is slow and right.
    let _ = socket.set_nodelay(true);
    let served = async {
        let stream = secured(&reception, socket).await?;
        match reception.settings.framing {
            Framing::Events => events::serve(&reception, stream).await.inspect_err(|_| reception.refused.add_one()),
            Framing::Lines | Framing::LengthPrefixed => plain::serve(&reception, stream, peer).await,
        }
    };
    if let Err(error) = served.await {
        tracing::warn!(actor = reception.name, %peer, %error, "a connection was closed");
    }
}

/// Shakes hands where the source speaks TLS.
async fn secured(reception: &Reception, socket: TcpStream) -> Result<Stream> {
    #[cfg(feature = "tls")]
    if let Some(tls) = &reception.tls {
        let shaken = timeout(reception.settings.handshake_time, tls.accept(socket));
        let shaken = tokio::select! {
            shaken = shaken => shaken.map_err(|_| Error::timeout("a TLS handshake took too long")),
            () = reception.stopping.cancelled() => Err(Error::cancelled("the source stops")),
        };
        let stream = shaken
            .and_then(|shaken| shaken.map_err(|error| Error::unauthorized("a TLS handshake failed").caused_by(error)));
        return stream.map(|stream| Box::new(stream) as Stream).inspect_err(|_| reception.refused.add_one());
    }
    #[cfg(not(feature = "tls"))]
    let _ = (reception, timeout::<std::future::Ready<()>>);
    Ok(Box::new(socket))
}
