//! A connection, with TLS or without, and how it begins and ends.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use playhouse_engine::{Error, Result};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::wire::{Greeting, Side};

/// How long the other side has to read what was said last.
const LINGER: Duration = Duration::from_secs(2);

/// How long a flow that stops waits for somebody who takes little of what is written, or nothing.
const WHILE_STOPPING: Duration = Duration::from_secs(5);

/// What bytes come from and go to.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection: its kind matters once for many events.
pub(super) type Stream = Box<dyn Duplex>;

pub(super) type Reader = ReadHalf<Stream>;
pub(super) type Writer = WriteHalf<Stream>;

/// Greets the other side, and waits for its greeting.
pub(super) async fn greet(
    reader: &mut Reader,
    writer: &mut Writer,
    input: &mut BytesMut,
    ours: &Greeting,
    expected: Side,
) -> Result<Greeting> {
    let broken = |error| Error::unavailable("the connection broke before the other side greeted").caused_by(error);
    writer.write_all(&ours.to_bytes()).await.map_err(broken)?;
    writer.flush().await.map_err(broken)?;
    loop {
        if let Some(theirs) = Greeting::take(input, expected)? {
            return Ok(theirs);
        }
        if reader.read_buf(input).await.map_err(broken)? == 0 {
            return Err(Error::unavailable("the other side closed the connection before it greeted"));
        }
    }
}

/// Writes all of `bytes`, and fails where the other side takes nothing for `time`.
pub(super) async fn write(writer: &mut Writer, bytes: &mut BytesMut, time: Duration) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = timeout(time, writer.write_buf(bytes)).await.map_err(|_| io::ErrorKind::TimedOut)??;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
    }
    timeout(time, writer.flush()).await.map_err(|_| io::ErrorKind::TimedOut)?
}

/// Waits until a flow that stops has waited long enough for somebody who takes little of what is written.
pub(super) async fn too_long_at_stop(stopping: &CancellationToken, time: Duration) {
    stopping.cancelled().await;
    sleep(time.min(WHILE_STOPPING)).await;
}

/// Closes a connection whose other side may still be sending: what it sends is thrown away for a while, because a reset could
/// take from it what was said last.
pub(super) async fn linger(mut reader: Reader, mut writer: Writer) {
    let thrown_away = async {
        writer.shutdown().await?;
        let mut space = vec![0; 16 * 1024];
        while reader.read(&mut space).await? > 0 {}
        io::Result::Ok(())
    };
    // Whatever happens, the connection is over.
    let _ = timeout(LINGER, thrown_away).await;
}
