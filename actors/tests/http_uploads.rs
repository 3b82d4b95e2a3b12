//! Bodies that leave in parts: their order, their ends, and what is in the flow at a time.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used)]

mod http_support;

use std::collections::HashMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http_support::{Client, PATIENCE, Server, get};
use playhouse_actors::http::{HttpLimits, HttpReply, HttpRequest, Route};
use playhouse_actors::{Part, PartEnd};
use playhouse_engine::{Actor, Error, Event, EventId, Format, Outbox, Overflow, Payload, Policy, Ports, Result};
use tokio::sync::{Semaphore, mpsc};

/// What a receiver saw of one part.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    number: u64,
    end: PartEnd,
    length: usize,
    error: Option<String>,
}

/// Gathers the parts of each body, and answers its last one with how much there was and a sum over it.
struct Gather {
    seen: mpsc::UnboundedSender<(EventId, Seen)>,
    bodies: Mutex<HashMap<EventId, (u64, u64, u64)>>,
    /// Each part needs a permit.
    gate: Option<Arc<Semaphore>>,
    /// From which part on nothing can be written.
    fails_at: Option<u64>,
    broken: Arc<AtomicUsize>,
}

fn sum(sum: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(sum, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)))
}

impl Actor for Gather {
    fn ports(&self) -> Ports {
        Ports::pipe(Format::BYTES | Format::EMPTY, Format::TEXT)
    }

    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        if let Some(gate) = &self.gate {
            gate.acquire().await.unwrap().forget();
        }
        let part = Part::of(event)?.ok_or_else(|| Error::malformed("a whole body came"))?;
        assert_eq!(HttpRequest::of(event).unwrap().variable("name").as_deref(), Some("a"));
        assert!(event.deadline().unwrap() > tokio::time::Instant::now());
        let bytes = event.payload().to_bytes();
        let error = event.error().map(|error| error.kind().to_string());
        let seen = Seen { number: part.number, end: part.end, length: bytes.len(), error };
        // The test may have ended.
        let _ = self.seen.send((event.id(), seen));
        let mut bodies = self.bodies.lock().unwrap();
        if self.fails_at.is_some_and(|number| part.number >= number && part.end != PartEnd::Broken) {
            return Err(Error::unavailable("the disk is full"));
        }
        let body = bodies.entry(event.id()).or_default();
        assert!(part.end == PartEnd::Broken || part.number == body.0, "part {} came, not {}", part.number, body.0);
        *body = (body.0 + 1, body.1 + bytes.len() as u64, sum(body.2, &bytes));
        match part.end {
            PartEnd::More => {}
            PartEnd::Broken => {
                bodies.remove(&event.id());
                self.broken.fetch_add(1, Ordering::SeqCst);
            }
            PartEnd::Last => {
                let (_, length, sum) = bodies.remove(&event.id()).unwrap();
                out.push(event.derive(format!("{length} {sum}")).with_status(201));
            }
        }
        Ok(())
    }
}

struct Uploads {
    server: Server,
    seen: mpsc::UnboundedReceiver<(EventId, Seen)>,
    broken: Arc<AtomicUsize>,
}

async fn uploads(limits: HttpLimits, policy: Policy, make: impl FnOnce(Gather) -> Gather) -> Uploads {
    let (sender, seen) = mpsc::unbounded_channel();
    let broken = Arc::new(AtomicUsize::new(0));
    let (bodies, gate) = (Mutex::default(), None);
    let gather = make(Gather { seen: sender, bodies, gate, fails_at: None, broken: broken.clone() });
    let server = Server::start(
        |server| server.with_limits(limits).route(Route::post("/files/{name}").streamed()),
        |director, http| {
            let gather = director.register_with("gather", gather, policy);
            director.connect(http, gather);
            director.connect(gather, http);
            director.connect_error(gather, http);
        },
    )
    .await;
    Uploads { server, seen, broken }
}

impl Uploads {
    async fn new(limits: HttpLimits) -> Self {
        uploads(limits, Policy::default(), |gather| gather).await
    }

    /// Waits for parts until one ends the body.
    async fn parts(&mut self) -> Vec<Seen> {
        let mut parts: Vec<Seen> = Vec::new();
        while parts.last().is_none_or(|part| part.end == PartEnd::More) {
            let next = tokio::time::timeout(PATIENCE, self.seen.recv()).await.expect("another part comes");
            parts.push(next.unwrap().1);
        }
        parts
    }

    fn url(&self) -> String {
        format!("http://{}/files/a", self.server.address)
    }

    /// Stops the flow, whose accounts must balance.
    async fn end(self) {
        let ledger = self.server.stop().await.unwrap();
        assert_eq!(ledger.in_flight, 0);
        assert_eq!(ledger.entered, ledger.delivered + ledger.failed + ledger.dropped);
    }
}

fn head(rest: &str) -> String {
    format!("POST /files/a HTTP/1.1\r\nHost: test\r\n{rest}\r\n")
}

/// Bytes that are not all alike.
fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|number| (number * 7 + number / 251) as u8).collect()
}

/// Sends until the server reads no more and the kernel's buffers are full; returns how much was sent.
async fn send_until_stuck(client: &mut Client, body: &[u8]) -> usize {
    client.socket.set_nonblocking(true).unwrap();
    let (mut sent, mut stuck_since) = (0, Instant::now());
    while sent < body.len() && stuck_since.elapsed() < Duration::from_millis(500) {
        match client.socket.write(&body[sent..]) {
            Ok(count) => (sent, stuck_since) = (sent + count, Instant::now()),
            Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
    client.socket.set_nonblocking(false).unwrap();
    sent
}

fn curl(arguments: &[&str], body: &[u8]) -> (String, Option<i32>) {
    let mut curl = Command::new("curl")
        .args(["-sS", "-X", "POST", "-H", "Content-Type: application/octet-stream", "-w", " %{http_code}"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = curl.stdin.take().unwrap();
    let body = body.to_vec();
    // It may end before it has read all.
    let writing = std::thread::spawn(move || stdin.write_all(&body).is_ok());
    let output = curl.wait_with_output().unwrap();
    let _ = writing.join();
    (String::from_utf8(output.stdout).unwrap(), output.status.code())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_arrives_whole_and_in_order_whatever_its_length_is_told_by() {
    let mut uploads = Uploads::new(HttpLimits::default()).await;
    let body = bytes(5_000_000);
    let expected = format!("{} {} 201", body.len(), sum(0, &body));
    let url = uploads.url();
    let chunked = ["-H", "Transfer-Encoding: chunked", "-T", "-", &*url];
    let sized = ["--data-binary", "@-", &*url];
    let http2 = ["--http2-prior-knowledge", "--data-binary", "@-", &*url];
    for arguments in [&sized[..], &chunked, &http2] {
        assert_eq!(curl(arguments, &body).0, expected, "{arguments:?}");
        let parts = uploads.parts().await;
        assert!(parts.len() > 10 && parts.iter().map(|part| part.length).max() <= Some(64 * 1024), "{}", parts.len());
        assert!(parts.iter().enumerate().all(|(number, part)| part.number == number as u64));
        assert_eq!(parts.last().unwrap().end, PartEnd::Last);
    }
    uploads.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_body_is_one_last_part() {
    let mut uploads = Uploads::new(HttpLimits::default()).await;
    for request in [head("Content-Length: 0\r\n"), head(""), head("Transfer-Encoding: chunked\r\n") + "0\r\n\r\n"] {
        let answer = uploads.server.connect().ask(request);
        assert_eq!((answer.status, &*answer.body), (201, "0 0"));
        let parts = uploads.parts().await;
        assert_eq!(parts, [Seen { number: 0, end: PartEnd::Last, length: 0, error: None }]);
    }
    uploads.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_goes_on_after_an_upload() {
    let uploads = Uploads::new(HttpLimits::default()).await;
    let mut client = uploads.server.connect();
    for _ in 0..3 {
        assert_eq!(client.ask(head("Content-Length: 4\r\n") + "body").body, format!("4 {}", sum(0, b"body")));
        assert_eq!(client.ask(get("/nowhere")).status, 404);
    }
    uploads.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_is_read_than_the_window_while_the_receiver_is_busy() {
    let gate = Arc::new(Semaphore::new(0));
    let limits = HttpLimits { window: 256 * 1024, ..HttpLimits::default() };
    let mut uploads = uploads(limits, Policy::default(), |gather| Gather { gate: Some(gate.clone()), ..gather }).await;
    let body = bytes(16_000_000);
    let mut client = uploads.server.connect();
    client.send(head("Content-Length: 16000000\r\n"));
    let sent = send_until_stuck(&mut client, &body).await;
    assert!(sent < body.len(), "all {sent} bytes were read");
    gate.add_permits(10_000);
    client.send(&body[sent..]);
    assert_eq!(client.answer().body, format!("{} {}", body.len(), sum(0, &body)));
    assert_eq!(uploads.parts().await.last().unwrap().end, PartEnd::Last);
    uploads.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_in_the_middle_breaks_the_body() {
    let mut uploads = Uploads::new(HttpLimits::default()).await;
    let mut client = uploads.server.connect();
    client.send(head("Content-Length: 10000\r\n") + "the beginning");
    let first = uploads.seen.recv().await.unwrap().1;
    assert_eq!((first.number, first.length), (0, 13));
    drop(client);
    let parts = uploads.parts().await;
    let last = parts.last().unwrap();
    assert_eq!((last.end, last.number, last.length), (PartEnd::Broken, 1, 0));
    assert!(last.error.is_some());
    // As another program is killed.
    let url = uploads.url();
    let mut curl = Command::new("curl")
        .args(["-sS", "--limit-rate", "100k", "-T", "/dev/zero", "-X", "POST", &*url])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    assert_eq!(uploads.seen.recv().await.unwrap().1.number, 0);
    curl.kill().unwrap();
    curl.wait().unwrap();
    assert_eq!(uploads.parts().await.last().unwrap().end, PartEnd::Broken);
    let broken = uploads.broken.clone();
    uploads.end().await;
    assert_eq!(broken.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_comes_too_slowly_is_408_and_broken() {
    let rate_window = Duration::from_millis(200);
    let mut uploads = Uploads::new(HttpLimits { rate_window, ..HttpLimits::default() }).await;
    let mut client = uploads.server.connect();
    let answer = client.ask(head("Content-Length: 100\r\n") + "slow");
    assert_eq!((answer.status, answer.header("connection")), (408, Some("close")));
    let last = uploads.parts().await.pop().unwrap();
    assert_eq!((last.end, last.error.as_deref()), (PartEnd::Broken, Some("timeout")));
    uploads.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_413_and_broken_where_it_began() {
    let limits = HttpLimits { streamed_size: 1_000_000, body_size: 10, ..HttpLimits::default() };
    let mut uploads = Uploads::new(limits).await;
    let answer = uploads.server.connect().ask(head("Content-Length: 1000001\r\nExpect: 100-continue\r\n"));
    assert_eq!(answer.status, 413, "before it is read");
    let url = uploads.url();
    let (answer, _) = curl(&["-H", "Transfer-Encoding: chunked", "-T", "-", &url], &bytes(3_000_000));
    assert!(answer.ends_with("413") && answer.contains("at most 1000000 bytes"), "{answer}");
    let last = uploads.parts().await.pop().unwrap();
    assert_eq!((last.end, last.error.as_deref()), (PartEnd::Broken, Some("too-large")));
    assert!(curl(&["--data-binary", "@-", &url], &bytes(1_000_000)).0.ends_with(" 201"));
    uploads.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_fails_in_the_middle_ends_the_request_at_once() {
    let mut uploads =
        uploads(HttpLimits::default(), Policy::default(), |gather| Gather { fails_at: Some(3), ..gather }).await;
    let mut client = uploads.server.connect();
    client.send(head("Content-Length: 100000000\r\n"));
    // The rest is never sent: the answer does not wait for it.
    client.send(bytes(1_000_000));
    let answer = client.answer();
    assert_eq!((answer.status, answer.header("connection")), (503, Some("close")));
    assert!(answer.body.contains("the disk is full"), "{answer:?}");
    loop {
        // Parts that were on their way before it was known.
        let (_, part) = uploads.seen.recv().await.unwrap();
        if part.end == PartEnd::Broken {
            break assert!(part.number > 3);
        }
    }
    uploads.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_first_part_is_shed_where_an_inbox_is_full() {
    let gate = Arc::new(Semaphore::new(0));
    let policy = Policy { capacity: 1, overflow: Overflow::Shed, ..Policy::default() };
    let uploads = uploads(HttpLimits::default(), policy, |gather| Gather { gate: Some(gate.clone()), ..gather }).await;
    let body = bytes(16_000_000);
    let mut client = uploads.server.connect();
    client.send(head("Content-Length: 16000000\r\n"));
    let sent = send_until_stuck(&mut client, &body).await;
    assert_eq!(uploads.server.connect().ask(head("Content-Length: 4\r\n") + "body").status, 503);
    gate.add_permits(10_000);
    client.send(&body[sent..]);
    assert_eq!(client.answer().body, format!("{} {}", body.len(), sum(0, &body)));
    uploads.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_that_takes_no_more_is_504_and_the_body_broken() {
    let gate = Arc::new(Semaphore::new(1));
    let limits = HttpLimits { deadline: Duration::from_millis(300), window: 1, ..HttpLimits::default() };
    let mut uploads = uploads(limits, Policy::default(), |gather| Gather { gate: Some(gate.clone()), ..gather }).await;
    let mut client = uploads.server.connect();
    client.send(head("Content-Length: 200000\r\n")).send(bytes(150_000));
    assert_eq!(client.answer().status, 504);
    gate.add_permits(100);
    assert_eq!(uploads.parts().await.pop().unwrap().end, PartEnd::Broken);
    uploads.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_under_way_when_the_stop_begins_is_taken_in_and_answered() {
    let mut uploads = Uploads::new(HttpLimits::default()).await;
    let mut client = uploads.server.connect();
    client.send(head("Content-Length: 8\r\n") + "the ");
    assert_eq!(uploads.seen.recv().await.unwrap().1.length, 4);
    let (address, stopping) = (uploads.server.address, uploads.server.begin_stop());
    while std::net::TcpStream::connect(address).is_ok() {
        tokio::task::yield_now().await;
    }
    client.send("body");
    assert_eq!(client.answer().body, format!("8 {}", sum(0, b"the body")));
    assert_eq!(stopping.await.unwrap().unwrap().in_flight, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_clients_upload_at_once() {
    let limits = HttpLimits { rate_window: Duration::from_secs(60), ..HttpLimits::default() };
    let policy = Policy { capacity: 16_384, ..Policy::default() };
    let uploads = uploads(limits, policy, |gather| gather).await;
    let address = uploads.server.address;
    let body = bytes(4000);
    let expected = format!("4000 {}", sum(0, &body));
    let clients = tokio::task::spawn_blocking(move || {
        let mut clients: Vec<_> = (0..1000).map(|_| Client::connect(address)).collect();
        for client in &mut clients {
            client.send(head("Transfer-Encoding: chunked\r\n"));
        }
        for quarter in body.chunks(1000) {
            for client in &mut clients {
                client.send(b"3e8\r\n").send(quarter).send(b"\r\n");
            }
        }
        for client in &mut clients {
            client.send(b"0\r\n\r\n");
        }
        for client in &mut clients {
            let answer = client.answer();
            assert_eq!((answer.status, &answer.body), (201, &expected));
        }
    });
    clients.await.unwrap();
    uploads.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_that_comes_before_the_body_is_sent_and_the_rest_refused() {
    let server = Server::start(
        |server| server.route(Route::post("/files/{name}").streamed()),
        |director, http| {
            http_support::answer(director, http, |event| Part::unmark(event.derive("enough")));
        },
    )
    .await;
    let mut client = server.connect();
    let answer = client.ask(head("Content-Length: 100000000\r\n") + "begin");
    assert_eq!((answer.status, &*answer.body, answer.header("connection")), (200, "enough", Some("close")));
    assert_eq!(client.rest(), "");
    assert_eq!(server.stop().await.unwrap().in_flight, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_takes_parts_takes_only_the_types_that_it_says() {
    let server = Server::start(
        |server| server.route(Route::post("/files/{name}").streamed().takes(["text/csv"])),
        |director, http| http_support::answer(director, http, |event| Part::unmark(event.derive(Payload::Empty))),
    )
    .await;
    let png = head("Content-Type: image/png\r\nContent-Length: 4\r\n") + "body";
    assert_eq!(server.connect().ask(png).status, 415);
    let csv = head("Content-Type: text/csv\r\nContent-Length: 4\r\n") + "body";
    assert_eq!(server.connect().ask(csv).status, 200);
    server.stop().await.unwrap();
}
