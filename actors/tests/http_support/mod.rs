//! What the tests of the HTTP server share: a server in a flow, and clients that write what they like.

#![allow(dead_code, clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use playhouse_actors::http::{HttpLimits, HttpServer, HttpStatistics};
use playhouse_engine::{ActorRef, Director, Emitter, Event, Ledger, Result, Running, map, source};

/// How long a test waits for what should come at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A server in a running flow.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) statistics: HttpStatistics,
    running: Option<Running>,
}

impl Server {
    /// Starts a flow around the server that `make` sets up, wired by `wire`.
    pub(crate) async fn start(
        make: impl FnOnce(HttpServer) -> HttpServer,
        wire: impl FnOnce(&mut Director, ActorRef),
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = make(HttpServer::on(listener));
        let statistics = server.statistics();
        let mut director = Director::new("test");
        let http = director.register("http", server);
        wire(&mut director, http);
        let running = director.build().unwrap().start().await.unwrap();
        Self { address, statistics, running: Some(running) }
    }

    /// Starts a flow that answers each request with its own body.
    pub(crate) async fn echo(limits: HttpLimits) -> Self {
        Self::start(|server| server.with_limits(limits), |director, http| answer(director, http, Event::clone)).await
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    pub(crate) async fn stop(mut self) -> Result<Ledger> {
        self.running.take().unwrap().stop(PATIENCE).await
    }

    /// Begins to stop the flow in a task of its own.
    pub(crate) fn begin_stop(mut self) -> tokio::task::JoinHandle<Result<Ledger>> {
        let running = self.running.take().unwrap();
        tokio::spawn(async move { running.stop(PATIENCE).await })
    }
}

/// Wires the server's outbox to an actor that answers by `reply`.
pub(crate) fn answer(director: &mut Director, http: ActorRef, reply: impl Fn(&Event) -> Event + Send + Sync + 'static) {
    let actor = director.register("answer", map(reply));
    director.connect(http, actor);
    director.connect(actor, http);
    director.connect_error(actor, http);
}

/// Registers a source that does nothing but hand out the way into the flow, once this runs.
pub(crate) fn feeder(director: &mut Director, name: &str) -> (ActorRef, Receiver<Emitter>) {
    let (sender, receiver) = channel();
    let feeder = director.register(
        name.to_owned(),
        source(move |emitter: Emitter| {
            let sender = sender.clone();
            async move {
                // The test may have what it needs.
                let _ = sender.send(emitter);
                Ok(())
            }
        }),
    );
    (feeder, receiver)
}

/// Waits until what is counted is what is expected.
#[track_caller]
pub(crate) fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what} does not happen");
        std::thread::yield_now();
    }
}

/// A client that writes bytes and reads answers.
pub(crate) struct Client {
    pub(crate) socket: TcpStream,
    read: Vec<u8>,
}

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        Self { socket, read: Vec::new() }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.socket.write_all(bytes.as_ref()).unwrap();
        self
    }

    pub(crate) fn end_sending(&mut self) -> &mut Self {
        self.socket.shutdown(Shutdown::Write).unwrap();
        self
    }

    /// Sends a request and reads its answer.
    pub(crate) fn ask(&mut self, request: impl AsRef<[u8]>) -> Answer {
        self.send(request);
        self.answer()
    }

    /// Reads one answer that has a body of known length.
    #[track_caller]
    pub(crate) fn answer(&mut self) -> Answer {
        self.answer_to("GET")
    }

    /// Reads the answer to a request with `method`.
    #[track_caller]
    pub(crate) fn answer_to(&mut self, method: &str) -> Answer {
        let end = loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            assert!(
                self.read_more() > 0,
                "the connection ended within a head: {:?}",
                String::from_utf8_lossy(&self.read)
            );
        };
        let head = String::from_utf8(self.read.drain(..end).collect()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer { status, head, body: String::new() };
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        if method != "HEAD" && status != 304 {
            while self.read.len() < length {
                assert!(self.read_more() > 0, "the connection ended within a body");
            }
            answer.body = String::from_utf8(self.read.drain(..length).collect()).unwrap();
        }
        answer
    }

    /// Reads until `end` has come, and returns all up to there.
    #[track_caller]
    pub(crate) fn until(&mut self, end: &str) -> String {
        loop {
            if let Some(found) = self.read.windows(end.len()).position(|bytes| bytes == end.as_bytes()) {
                return String::from_utf8(self.read.drain(..found + end.len()).collect()).unwrap();
            }
            let so_far = String::from_utf8_lossy(&self.read).into_owned();
            assert!(self.read_more() > 0, "the connection ended before `{end}`: {so_far}");
        }
    }

    /// Reads that many bytes.
    #[track_caller]
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.read.len() < count {
            assert!(self.read_more() > 0, "the connection ended after {:?}", self.read);
        }
        self.read.drain(..count).collect()
    }

    /// Waits until the server has closed, and returns what came before.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> String {
        loop {
            let mut space = [0; 4096];
            match self.socket.read(&mut space) {
                Ok(0) => break,
                Ok(count) => self.read.extend_from_slice(&space[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
                Err(error) => panic!("the server does not close: {error}"),
            }
        }
        String::from_utf8(std::mem::take(&mut self.read)).unwrap()
    }

    /// Says whether the server has sent something or closed by now.
    pub(crate) fn has_word(&mut self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let mut space = [0; 1];
        let heard = self.socket.peek(&mut space).is_ok();
        self.socket.set_nonblocking(false).unwrap();
        heard || !self.read.is_empty()
    }

    /// Waits for the server to say something, and tells whether it closed instead.
    pub(crate) fn is_closed(&mut self) -> bool {
        matches!(self.socket.peek(&mut [0]), Ok(0) | Err(_)) && self.read.is_empty()
    }

    #[track_caller]
    fn read_more(&mut self) -> usize {
        let mut space = [0; 4096];
        let count = self.socket.read(&mut space).unwrap();
        self.read.extend_from_slice(&space[..count]);
        count
    }
}

/// A `GET` of `path`.
pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")
}

/// A request with a body of `content_type`.
pub(crate) fn with_body(method: &str, path: &str, content_type: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "{method} {path} HTTP/1.1\r\nHost: test\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{body}"
    )
}
