//! The peer: a pair of tokio-util's `LengthDelimitedCodec`, which sends bytes and counts them, and acknowledges nothing.

use std::time::{Duration, Instant};

use ::tokio::net::{TcpListener, TcpStream};
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};

use crate::Flavor;
use crate::tcp::payload;

/// Carries `count` payloads of `size` bytes, and returns how long that took to the last one's arrival. Each is written at once
/// where it `flushes`; else when 8 KiB have gathered, which is good for nobody who waits for the last.
///
/// # Panics
/// Where the loopback fails.
#[must_use]
pub fn run(count: usize, size: usize, flushes: bool) -> Duration {
    Flavor::MultiThread.runtime().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("the loopback has ports");
        let address = listener.local_addr().expect("it is bound");
        let payload = payload(size);
        let began = Instant::now();
        let taking = tokio::spawn(async move {
            let (socket, _) = listener.accept().await.expect("it connects");
            let mut frames = FramedRead::new(socket, LengthDelimitedCodec::new());
            let mut counted = 0;
            while let Some(frame) = frames.next().await {
                counted += usize::from(frame.expect("the frame is whole").len() == size);
            }
            counted
        });
        let giving = tokio::spawn(async move {
            let socket = TcpStream::connect(address).await.expect("it listens");
            socket.set_nodelay(true).expect("it can be set");
            let mut frames = FramedWrite::new(socket, LengthDelimitedCodec::new());
            for _ in 0..count {
                match flushes {
                    true => frames.send(payload.clone()).await,
                    false => frames.feed(payload.clone()).await,
                }
                .expect("the other side reads");
            }
            SinkExt::<Bytes>::close(&mut frames).await.expect("the other side reads");
        });
        giving.await.expect("it does not panic");
        assert_eq!(taking.await.expect("it does not panic"), count);
        began.elapsed()
    })
}
