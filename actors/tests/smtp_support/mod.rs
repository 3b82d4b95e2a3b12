//! What the tests of mail share: a source in a flow, a client that writes what it likes, and a Python.

#![allow(dead_code, clippy::unwrap_used, reason = "each test uses some of it")]

#[path = "../oracles/python.rs"]
mod python;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use playhouse_actors::SmtpSource;
use playhouse_engine::{Attributes, Director, Event, IntoNode, Ledger, Payload, Result, Running, assert_ledger, sink};
use python::python;
use serde_json::Value;

/// How long a test waits for what should come at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What came of a mail, without what would keep it from being answered for.
#[derive(Debug)]
pub(crate) struct Came {
    pub(crate) payload: Payload,
    pub(crate) attributes: Attributes,
}

impl Came {
    pub(crate) fn json(&self) -> Value {
        (*self.payload.as_json().unwrap()).clone()
    }

    #[track_caller]
    pub(crate) fn text(&self, name: &str) -> String {
        self.attributes.get(name).unwrap_or_else(|| panic!("there is no `{name}`")).to_string()
    }
}

/// A source of mail in a running flow.
pub(crate) struct Source {
    pub(crate) address: SocketAddr,
    pub(crate) came: Receiver<Came>,
    running: Option<Running>,
}

impl Source {
    /// Starts a flow of the source that `make` sets up, and `handle`.
    pub(crate) async fn start(
        make: impl FnOnce(SmtpSource) -> SmtpSource,
        handle: impl Fn(&Event) -> Result<()> + Send + Sync + 'static,
    ) -> Self {
        let (sender, came) = channel();
        let handler = sink(move |event: &Event| {
            handle(event)?;
            sender.send(Came { payload: event.payload().clone(), attributes: event.attributes().clone() }).unwrap();
            Ok(())
        });
        Self { came, ..Self::before(make, handler).await }
    }

    /// Starts a flow of the source that `make` sets up, and `actor`.
    pub(crate) async fn before<A: IntoNode<M>, M>(make: impl FnOnce(SmtpSource) -> SmtpSource, actor: A) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut director = Director::new("test");
        let mail = director.register("mail", make(SmtpSource::on(listener)));
        let handler = director.register("handler", actor);
        director.connect(mail, handler);
        let running = director.build().unwrap().start().await.unwrap();
        Self { address, came: channel().1, running: Some(running) }
    }

    /// A flow that a test has made itself.
    pub(crate) fn of(address: SocketAddr, came: Receiver<Came>, running: Running) -> Self {
        Self { address, came, running: Some(running) }
    }

    /// Connects, and reads the greeting.
    #[track_caller]
    pub(crate) fn connect(&self) -> Client {
        let mut client = Client::connect(self.address);
        assert_eq!(client.reply(), "220 localhost ESMTP\r\n");
        client
    }

    /// Connects, and begins a session.
    #[track_caller]
    pub(crate) fn greeted(&self) -> Client {
        let mut client = self.connect();
        assert!(client.ask("EHLO test\r\n").starts_with("250-localhost\r\n"));
        client
    }

    #[track_caller]
    pub(crate) fn next(&self) -> Came {
        self.came.recv_timeout(PATIENCE).expect("a mail should have come")
    }

    /// Stops the flow, whose accounts must be right, with nothing left that a test did not look at.
    pub(crate) async fn stop(mut self) -> Ledger {
        let ledger = self.running.take().unwrap().stop(PATIENCE).await.unwrap();
        assert_ledger!(ledger, dropped = 0);
        assert!(self.came.try_recv().is_err(), "a mail came that nobody expected");
        ledger
    }

    /// Stops a flow that may have lost what nobody was told was taken.
    pub(crate) async fn stop_with_losses(mut self) -> Ledger {
        self.running.take().unwrap().stop(PATIENCE).await.unwrap()
    }

    /// Begins to stop the flow in a task of its own.
    pub(crate) fn begin_stop(&mut self) -> tokio::task::JoinHandle<Result<Ledger>> {
        let running = self.running.take().unwrap();
        tokio::spawn(async move { running.stop(PATIENCE).await })
    }
}

/// A client that writes bytes and reads replies.
pub(crate) struct Client {
    pub(crate) socket: TcpStream,
    read: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_nodelay(true).unwrap();
        let read = BufReader::new(socket.try_clone().unwrap());
        Self { socket, read }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.socket.write_all(bytes.as_ref()).unwrap();
        self
    }

    /// Reads one reply, all its lines.
    #[track_caller]
    pub(crate) fn reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let begin = reply.len();
            let read = self.read.read_line(&mut reply);
            assert!(read.is_ok_and(|count| count > 0), "the connection ended after {reply:?}");
            if reply.as_bytes().get(begin + 3) != Some(&b'-') {
                return reply;
            }
        }
    }

    /// Sends a command and reads its reply.
    #[track_caller]
    pub(crate) fn ask(&mut self, command: impl AsRef<[u8]>) -> String {
        self.send(command);
        self.reply()
    }

    /// Sends a command and checks the beginning of its reply.
    #[track_caller]
    pub(crate) fn expect(&mut self, command: impl AsRef<[u8]>, reply: &str) -> &mut Self {
        let command = command.as_ref();
        let found = self.ask(command);
        assert!(found.starts_with(reply), "{:?} got {found:?}", command.escape_ascii().to_string());
        self
    }

    /// Sends what comes before a mail.
    #[track_caller]
    pub(crate) fn begin(&mut self) -> &mut Self {
        self.expect("MAIL FROM:<a@x.test>\r\n", "250 ")
            .expect("RCPT TO:<b@x.test>\r\n", "250 ")
            .expect("DATA\r\n", "354 ")
    }

    /// Sends a mail whole.
    #[track_caller]
    pub(crate) fn mail(&mut self, mail: &str) -> String {
        self.begin().ask(format!("{mail}\r\n.\r\n"))
    }

    /// Reads until the server has closed, and returns what came.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        if let Err(error) = self.read.read_to_end(&mut rest) {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "the server does not close: {error}");
        }
        String::from_utf8(rest).unwrap()
    }
}

/// A Python program of `tests/oracles` that answers until it is dropped.
pub(crate) struct Python {
    process: Child,
    input: Option<ChildStdin>,
    /// What it wrote, read by a thread of its own: it must not wait for a test that waits for it.
    lines: Receiver<String>,
}

impl Python {
    /// Starts a program that needs the standard library alone.
    pub(crate) fn start(program: &str, arguments: &[&str]) -> Self {
        Self::with(Path::new("python3"), program, arguments)
    }

    /// Starts a program that needs aiosmtpd.
    pub(crate) fn with_aiosmtpd(program: &str, arguments: &[&str]) -> Self {
        Self::with(&python(&["aiosmtpd==1.4.6"]), program, arguments)
    }

    fn with(python: &Path, program: &str, arguments: &[&str]) -> Self {
        let mut process = Command::new(python)
            .arg(folder().join("tests/oracles").join(program))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let output = BufReader::new(process.stdout.take().unwrap());
        std::thread::spawn(move || {
            output.lines().map_while(std::result::Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { input: process.stdin.take(), process, lines }
    }

    /// Returns the next line that it writes, as JSON; nothing at its end.
    #[track_caller]
    pub(crate) fn line(&mut self) -> Option<Value> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Some(serde_json::from_str(&line).unwrap()),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("Python says nothing"),
        }
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        // It ends with its input.
        self.input = None;
        let _ = self.process.wait();
    }
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A certificate for `localhost` and its key, as PEM files in a folder.
pub(crate) struct Certificate {
    folder: tempfile::TempDir,
}

impl Certificate {
    pub(crate) fn new() -> Self {
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certified = rcgen::generate_simple_self_signed(names).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("cert.pem"), certified.cert.pem()).unwrap();
        std::fs::write(folder.path().join("key.pem"), certified.signing_key.serialize_pem()).unwrap();
        Self { folder }
    }

    pub(crate) fn cert(&self) -> String {
        self.folder.path().join("cert.pem").display().to_string()
    }

    pub(crate) fn key(&self) -> String {
        self.folder.path().join("key.pem").display().to_string()
    }
}
