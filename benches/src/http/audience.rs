//! Clients of an event stream that count what they get, and one that posts the events.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use crate::process;

/// Stands once in each event, and nowhere else.
const MARK: u8 = b'~';

/// The longest that anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Clients that all listen to one server.
pub struct Audience {
    runtime: Runtime,
    poster: TcpStream,
    clients: u64,
    heard: Arc<Heard>,
    expected: u64,
}

#[derive(Default)]
struct Heard {
    events: AtomicU64,
    wanted: AtomicU64,
    is_complete: Notify,
}

impl Audience {
    /// Connects that many clients, and waits until all listen.
    ///
    /// # Errors
    /// Where the server does not let all in.
    pub fn gather(address: SocketAddr, clients: usize) -> io::Result<Self> {
        process::open_many_files()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let heard = Arc::new(Heard::default());
        heard.wanted.store(u64::MAX, Ordering::Relaxed);
        let poster = runtime.block_on(async {
            for _ in 0..clients {
                let mut socket = TcpStream::connect(address).await?;
                socket.write_all(b"GET /prices HTTP/1.1\r\nhost: bench\r\n\r\n").await?;
                let mut space = [0; 1024];
                let count = socket.read(&mut space).await?;
                if !space[..count].starts_with(b"HTTP/1.1 200") {
                    return Err(io::Error::other("a client was not let in"));
                }
                tokio::spawn(listen(socket, heard.clone()));
            }
            let socket = TcpStream::connect(address).await?;
            socket.set_nodelay(true)?;
            Ok(socket)
        })?;
        Ok(Self { runtime, poster, clients: clients as u64, heard, expected: 0 })
    }

    /// Posts `count` events of about 100 bytes, and returns how long it took until the last client had the last one.
    ///
    /// # Errors
    /// Where the server does not take one, or a client gets fewer.
    pub fn publish(&mut self, count: u64) -> io::Result<Duration> {
        self.expected += count * self.clients;
        self.heard.wanted.store(self.expected, Ordering::Relaxed);
        let (heard, poster, expected) = (&self.heard, &mut self.poster, self.expected);
        self.runtime.block_on(async {
            let began = Instant::now();
            for number in 0..count {
                let event = format!("{{\"number\": {number:08}, \"price\": \"{:0>68}\"}}~", number % 1000);
                let request =
                    format!("POST /prices HTTP/1.1\r\nhost: bench\r\ncontent-length: {}\r\n\r\n{event}", event.len());
                poster.write_all(request.as_bytes()).await?;
                let mut space = [0; 1024];
                let read = poster.read(&mut space).await?;
                if !space[..read].starts_with(b"HTTP/1.1 202") {
                    return Err(io::Error::other("an event was not taken"));
                }
                // Clients that are in one process with the server's only source must be let read.
                if number % 32 == 31 {
                    let reached = expected - (count - number - 1) * self.clients;
                    wait(heard, reached.saturating_sub(64 * self.clients)).await?;
                }
            }
            wait(heard, expected).await?;
            Ok(began.elapsed())
        })
    }
}

async fn wait(heard: &Heard, events: u64) -> io::Result<()> {
    heard.wanted.store(events, Ordering::Relaxed);
    let all = async {
        while heard.events.load(Ordering::Relaxed) < events {
            heard.is_complete.notified().await;
        }
    };
    let outcome = tokio::time::timeout(PATIENCE, all).await;
    outcome.map_err(|_| {
        let heard = heard.events.load(Ordering::Relaxed);
        io::Error::other(format!("only {heard} of {events} events arrived"))
    })
}

async fn listen(mut socket: TcpStream, heard: Arc<Heard>) {
    let mut space = vec![0; 4096];
    while let Ok(count) = socket.read(&mut space).await {
        if count == 0 {
            return;
        }
        let events = space[..count].iter().filter(|byte| **byte == MARK).count() as u64;
        let before = heard.events.fetch_add(events, Ordering::Relaxed);
        if before + events >= heard.wanted.load(Ordering::Relaxed) {
            heard.is_complete.notify_one();
        }
    }
}

impl std::fmt::Debug for Audience {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Audience").field("clients", &self.clients).finish_non_exhaustive()
    }
}
