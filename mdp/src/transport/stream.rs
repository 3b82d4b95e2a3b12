//! A byte stream to a peer, over tcp or ipc.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

use bytes::BytesMut;
use playhouse_engine::{Error, Result};
use tokio::io::Interest;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::endpoint::Place;

/// A connection that is read and written without a buffer of its own.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Ipc(UnixStream),
}

/// Calls the same method of either.
macro_rules! each {
    ($stream:expr, $inner:ident => $call:expr) => {
        match $stream {
            Stream::Tcp($inner) => $call,
            Stream::Ipc($inner) => $call,
        }
    };
}

impl Stream {
    /// Connects to a place of tcp or ipc; a name is looked up anew each time.
    pub(super) async fn connect(place: &Place) -> io::Result<Self> {
        match place {
            Place::Tcp { host, port } => {
                let name = host.trim_start_matches('[').trim_end_matches(']');
                let stream = TcpStream::connect((name, *port)).await?;
                stream.set_nodelay(true)?;
                Ok(Self::Tcp(stream))
            }
            Place::Ipc(path) => UnixStream::connect(path).await.map(Self::Ipc),
            Place::Inproc(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    pub(super) async fn readable(&self) -> io::Result<()> {
        each!(self, stream => stream.readable().await)
    }

    pub(super) async fn writable(&self) -> io::Result<()> {
        each!(self, stream => stream.writable().await)
    }

    /// Reads as much as `buffer` has room for. Where there was less, the stream is taken for empty, which saves the system call
    /// that would say so.
    pub(super) fn try_read(&self, buffer: &mut BytesMut) -> io::Result<usize> {
        let mut read = None;
        let tried = each!(self, stream => stream.try_io(Interest::READABLE, || {
            let room = buffer.capacity() - buffer.len();
            let count = stream.try_read_buf(buffer)?;
            read = Some(count);
            if count == room { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
        }));
        match read {
            Some(count) => Ok(count),
            None => Err(tried.err().unwrap_or_else(|| io::ErrorKind::WouldBlock.into())),
        }
    }

    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        each!(self, stream => stream.try_write(bytes))
    }

    /// Returns where the peer is, unless it is on this machine.
    pub(super) fn host(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(stream) => {
                stream.peer_addr().ok().map(|peer| peer.ip().to_canonical()).filter(|ip| !ip.is_loopback())
            }
            Self::Ipc(_) => None,
        }
    }

    pub(super) fn peer_address(&self) -> Option<String> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().ok().map(|address| address.to_string()),
            Self::Ipc(_) => None,
        }
    }
}

/// What takes connections in.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    /// The file goes when the listener does.
    Ipc(UnixListener, PathBuf),
}

impl Listener {
    /// Opens a listener at a place of tcp or ipc.
    pub(super) async fn open(place: &Place) -> io::Result<(Self, Place)> {
        match place {
            Place::Tcp { host, port } => {
                let name = host.trim_start_matches('[').trim_end_matches(']');
                let listener = TcpListener::bind((if name == "*" { "0.0.0.0" } else { name }, *port)).await?;
                let bound = listener.local_addr()?;
                let host = match bound {
                    std::net::SocketAddr::V4(address) => address.ip().to_string(),
                    std::net::SocketAddr::V6(address) => format!("[{}]", address.ip()),
                };
                Ok((Self::Tcp(listener), Place::Tcp { host, port: bound.port() }))
            }
            Place::Ipc(path) => {
                let listener = match UnixListener::bind(path) {
                    // A file that nobody listens at was left behind.
                    Err(error)
                        if error.kind() == io::ErrorKind::AddrInUse && UnixStream::connect(path).await.is_err() =>
                    {
                        std::fs::remove_file(path)?;
                        UnixListener::bind(path)?
                    }
                    listener => listener?,
                };
                Ok((Self::Ipc(listener, path.clone()), place.clone()))
            }
            Place::Inproc(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    pub(super) async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                // It fails where the peer is gone already, which is no fault of the listener's.
                let _ = stream.set_nodelay(true);
                Ok(Stream::Tcp(stream))
            }
            Self::Ipc(listener, _) => listener.accept().await.map(|(stream, _)| Stream::Ipc(stream)),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Ipc(_, path) = self {
            // Whoever removed it before did the same.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Says why an address cannot be bound.
pub(super) fn not_bound(place: &impl std::fmt::Display, cause: io::Error) -> Error {
    Error::unavailable(format!("`{place}` cannot be bound")).caused_by(cause)
}

/// Makes the result's type short where it is used.
pub(super) type Io<T> = Result<T, io::Error>;
