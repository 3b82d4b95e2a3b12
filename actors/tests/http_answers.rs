//! Answers that come in parts: whole, broken off, and for clients that take their time.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used)]

mod http_support;

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_support::{PATIENCE, Server, get};
use playhouse_actors::http::{HttpLimits, HttpReply, HttpRequest, Route};
use playhouse_actors::{Part, PartEnd};
use playhouse_engine::{
    Actor, Context, Emitter, Error, Event, Format, Kind, Outbox, Ports, Receipt, Result, map, testing,
};
use tokio::sync::mpsc;

const SHORT: Duration = Duration::from_millis(300);

/// The text that a whole answer is.
fn text(parts: u64) -> String {
    (0..parts).map(|number| format!("part {number}\n")).collect()
}

fn part(event: &Event, number: u64, end: PartEnd) -> Event {
    Part { number, end }.mark(event.derive(format!("part {number}\n")))
}

/// Answers by what the path names.
struct Parts;

impl Actor for Parts {
    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        let request = HttpRequest::of(event).unwrap();
        let kind = request.variable("kind").unwrap_or_default().into_owned();
        let first = part(event, 0, PartEnd::More).with_status(203).with_reply_header("X-Answer", "in parts");
        let parts: Vec<Event> = match &*kind {
            "whole" => (1..100).map(|number| part(event, number, PartEnd::More)).collect(),
            "two" => vec![],
            "broken" => vec![part(event, 1, PartEnd::More), part(event, 2, PartEnd::Broken)],
            "failed" => vec![event.derive(()).with_error(Error::unavailable("the source is gone"))],
            "missing" => vec![part(event, 2, PartEnd::More)],
            "endless" => vec![part(event, 1, PartEnd::More)],
            "unpaced" => {
                let large = Bytes::from(vec![b'x'; 1 << 20]);
                (1..64).map(|number| Part { number, end: PartEnd::More }.mark(event.derive(large.clone()))).collect()
            }
            "crumbs" => {
                let large = Bytes::from(vec![b'x'; 16 << 20]);
                let large = Part { number: 1, end: PartEnd::More }.mark(event.derive(large));
                let crumb = |number| Part { number, end: PartEnd::More }.mark(event.derive(()));
                std::iter::once(large).chain((2..24_000).map(crumb)).collect()
            }
            "only" => {
                out.push(part(event, 7, PartEnd::Last));
                return Ok(());
            }
            "wrong" => {
                out.push(part(event, 0, PartEnd::More).with_status(99));
                out.push(part(event, 1, PartEnd::Last));
                return Ok(());
            }
            _ => {
                out.push(part(event, 3, PartEnd::More));
                return Ok(());
            }
        };
        out.push(first);
        let ends = matches!(&*kind, "whole" | "two" | "unpaced" | "crumbs");
        let count = parts.len() as u64;
        parts.into_iter().for_each(|part| out.push(part));
        if ends {
            out.push(part(event, count + 1, PartEnd::Last));
        }
        Ok(())
    }
}

async fn parts(limits: HttpLimits) -> Server {
    Server::start(
        |server| server.with_limits(limits).route(Route::get("/{kind}")),
        |director, http| {
            let parts = director.register("parts", Parts);
            director.connect(http, parts);
            director.connect(parts, http);
        },
    )
    .await
}

/// Returns curl's code and what it got.
fn curl(server: &Server, path: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let url = format!("http://{}{path}", server.address);
    let output = Command::new("curl").args(["-sS", "--max-time", "20"]).args(arguments).arg(&url).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

const VERSIONS: [&str; 3] = ["--http1.1", "--http1.0", "--http2-prior-knowledge"];

async fn stop(server: Server) {
    let ledger = server.stop().await.unwrap();
    assert!(ledger.balances() && ledger.in_flight == 0, "{ledger:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_become_one_answer_in_every_version() {
    let server = parts(HttpLimits::default()).await;
    for version in VERSIONS {
        assert_eq!(curl(&server, "/whole", &[version]), (Some(0), text(101)), "{version}");
        let (code, head) = curl(&server, "/two", &[version, "-i"]);
        assert_eq!(code, Some(0));
        assert!(head.contains(" 203") && head.to_lowercase().contains("x-answer: in parts"), "{head}");
        assert!(head.to_lowercase().contains("content-type: text/plain"), "{head}");
        assert!(head.ends_with(&text(2)), "{head}");
        assert_eq!(head.to_lowercase().contains("transfer-encoding: chunked"), version == "--http1.1", "{head}");
        let (code, head) = curl(&server, "/two", &[version, "--head"]);
        assert_eq!(code, Some(0));
        assert!(head.contains(" 203") && !head.to_lowercase().contains("content-length"), "{head}");
    }
    assert_eq!(curl(&server, "/only", &[]), (Some(0), "part 7\n".to_owned()), "a last part alone is a whole answer");
    stop(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_goes_on_after_an_answer_in_parts() {
    let server = parts(HttpLimits::default()).await;
    let mut client = server.connect();
    for _ in 0..3 {
        client.send(get("/two"));
        let mut got = Vec::new();
        while !got.ends_with(b"\r\n0\r\n\r\n") {
            let mut byte = [0];
            client.socket.read_exact(&mut byte).unwrap();
            got.extend_from_slice(&byte);
        }
        assert!(got.ends_with(b"\r\n\r\n7\r\npart 0\n\r\n7\r\npart 1\n\r\n0\r\n\r\n"));
        assert_eq!(client.ask(get("/only")).body, "part 7\n");
    }
    stop(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_client_takes_a_broken_answer_for_a_whole_one() {
    let server = parts(HttpLimits { answer_idle: SHORT, ..HttpLimits::default() }).await;
    for kind in ["/broken", "/failed", "/missing", "/endless"] {
        for version in VERSIONS {
            let (code, got) = curl(&server, kind, &[version]);
            assert!(code.is_some_and(|code| code != 0 && code != 28), "{kind} {version}: {code:?} {got}");
        }
    }
    stop(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_cannot_begin_is_an_error() {
    let server = parts(HttpLimits { deadline: SHORT, ..HttpLimits::default() }).await;
    assert_eq!(curl(&server, "/wrong", &["-o", "/dev/null", "-w", "%{http_code}"]).1, "500");
    // Its first part is not there: the event that makes it fails, and the request with it.
    assert_eq!(curl(&server, "/late", &["-o", "/dev/null", "-w", "%{http_code}"]).1, "400");
    stop(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_slow_client_leaves_waiting_is_bounded() {
    let server = parts(HttpLimits { answer_window: 1 << 20, ..HttpLimits::default() }).await;
    let mut client = server.connect();
    client.send("GET /unpaced HTTP/1.1\r\nHost: test\r\n\r\n");
    let mut got = Vec::new();
    client.socket.read_to_end(&mut got).unwrap();
    assert!(!got.ends_with(b"0\r\n\r\n") && got.len() < 64 << 20);
    stop(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_without_a_byte_are_bounded_too() {
    let server = parts(HttpLimits { answer_window: 20 << 20, ..HttpLimits::default() }).await;
    let mut client = server.connect();
    client.send("GET /crumbs HTTP/1.1\r\nHost: test\r\n\r\n");
    // What comes first is more than the system takes for a client that does not read; it begins to when all has been sent.
    tokio::time::sleep(SHORT * 3).await;
    let mut got = Vec::new();
    // The connection may be reset, and then the rest is not there.
    let _ = client.socket.read_to_end(&mut got);
    assert!(!got.ends_with(b"0\r\n\r\n"));
    stop(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_the_end_of_the_connection_ends_is_reset_where_it_is_cut_off() {
    let limits = HttpLimits { answer_window: 128 << 20, idle_time: SHORT, ..HttpLimits::default() };
    let server = parts(limits).await;
    let mut client = server.connect();
    client.send("GET /unpaced HTTP/1.0\r\n\r\n");
    assert!(!client.is_closed());
    http_support::eventually("the client is given up", || server.statistics.open_connections() == 0);
    let error = client.socket.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    stop(server).await;
}

/// Sends a long answer, as much at a time as is on its way, and tells of each part how it ended.
struct Paced {
    emitter: Option<Emitter>,
    count: u64,
    sent: Arc<AtomicUsize>,
    failed: mpsc::Sender<Error>,
}

impl Actor for Paced {
    fn ports(&self) -> Ports {
        Ports::pipe(Format::ANY, Format::ANY).emitting()
    }

    async fn start(&mut self, context: Context) -> Result<()> {
        self.emitter = Some(context.emitter()?);
        Ok(())
    }

    async fn handle(&self, event: &Event, _: &mut Outbox) -> Result<()> {
        let held = self.emitter.as_ref().unwrap().hold(event);
        let (count, sent, failed) = (self.count, self.sent.clone(), self.failed.clone());
        tokio::spawn(async move {
            let piece = Bytes::from(vec![b'x'; 100_000]);
            let mut under_way = VecDeque::new();
            for number in 0..count {
                let end = if number + 1 == count { PartEnd::Last } else { PartEnd::More };
                let (receipt, settled) = Receipt::awaited();
                let part = Event::with_id(held.event().id(), piece.clone()).with_receipt(receipt);
                held.send_from(0, Part { number, end }.mark(part)).await.unwrap();
                sent.fetch_add(1, Ordering::SeqCst);
                under_way.push_back(settled);
                if under_way.len() < 8 {
                    continue;
                }
                if let Err(error) = under_way.pop_front().unwrap().await {
                    failed.send(error).await.unwrap();
                    break;
                }
            }
            held.done();
        });
        Ok(())
    }
}

async fn paced(limits: HttpLimits, count: u64) -> (Server, Arc<AtomicUsize>, mpsc::Receiver<Error>) {
    let (sender, failed) = mpsc::channel(16);
    let sent = Arc::new(AtomicUsize::new(0));
    let actor = Paced { emitter: None, count, sent: sent.clone(), failed: sender };
    let server = Server::start(
        |server| server.with_limits(limits),
        |director, http| {
            let paced = director.register("paced", actor);
            director.connect(http, paced);
            director.connect(paced, http);
        },
    )
    .await;
    (server, sent, failed)
}

/// Waits until no more is sent.
async fn at_a_stand(sent: &AtomicUsize) -> usize {
    let (mut known, mut since) = (0, Instant::now());
    while since.elapsed() < Duration::from_millis(400) {
        let now = sent.load(Ordering::SeqCst);
        if now != known {
            (known, since) = (now, Instant::now());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    known
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_watches_receipts_goes_as_fast_as_the_client() {
    let (server, sent, _failed) = paced(HttpLimits::default(), 1000).await;
    let mut client = server.connect();
    client.send("GET / HTTP/1.0\r\n\r\n");
    let stood = at_a_stand(&sent).await;
    assert!(stood < 500, "{stood} parts were taken though the client took none");
    let got = tokio::task::spawn_blocking(move || {
        let mut got = Vec::new();
        client.socket.read_to_end(&mut got).unwrap();
        got.len()
    });
    let got = got.await.unwrap();
    assert!((100_000_000..100_001_000).contains(&got), "{got}");
    stop(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_learns_that_the_client_has_gone() {
    for version in VERSIONS {
        let (server, _, mut failed) = paced(HttpLimits::default(), 100_000).await;
        let url = format!("http://{}/", server.address);
        let mut curl = Command::new("curl")
            .args(["-sS", version, &url])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        curl.stdout.take().unwrap().read_exact(&mut [0; 1000]).unwrap();
        curl.kill().unwrap();
        curl.wait().unwrap();
        let error = tokio::time::timeout(PATIENCE, failed.recv()).await.unwrap().unwrap();
        assert!(matches!(error.kind(), Kind::Gone | Kind::Cancelled), "{version}: {error:?}");
        stop(server).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_nothing_is_given_up() {
    for version in VERSIONS {
        let limits = HttpLimits { idle_time: SHORT, ..HttpLimits::default() };
        let (server, _, mut failed) = paced(limits, 100_000).await;
        let url = format!("http://{}/", server.address);
        let mut curl = Command::new("curl")
            .args(["-sS", version, "--limit-rate", "1", &url])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let error = tokio::time::timeout(PATIENCE, failed.recv()).await.unwrap().unwrap();
        assert!(matches!(error.kind(), Kind::Timeout | Kind::Gone), "{version}: {error:?}");
        curl.kill().unwrap();
        curl.wait().unwrap();
        stop(server).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_may_last_longer_than_a_quiet_connection() {
    for version in VERSIONS {
        let limits = HttpLimits { idle_time: SHORT, deadline: SHORT, ..HttpLimits::default() };
        let (sender, mut events) = mpsc::channel::<Event>(1);
        let (emitters, mut emitter) = mpsc::channel::<Emitter>(1);
        let server = Server::start(
            |server| server.with_limits(limits),
            |director, http| {
                let requests = director.register(
                    "requests",
                    map(move |event: &Event| {
                        sender.try_send(event.clone()).unwrap();
                        part(event, 0, PartEnd::More)
                    }),
                );
                let source = director.register(
                    "source",
                    playhouse_engine::source(move |emitter: Emitter| {
                        let emitters = emitters.clone();
                        async move {
                            let _ = emitters.send(emitter).await;
                            Ok(())
                        }
                    }),
                );
                director.connect(http, requests);
                director.connect(requests, http);
                director.connect(source, http);
            },
        )
        .await;
        let emitter = emitter.recv().await.unwrap();
        let url = format!("http://{}/", server.address);
        let curl = Command::new("curl").args(["-sS", "-N", version, &url]).stdout(Stdio::piped()).spawn().unwrap();
        let id = events.recv().await.unwrap().id();
        // Longer than the connection may be idle and than the request had time.
        tokio::time::sleep(SHORT * 4).await;
        emitter.send(part(&Event::with_id(id, ()), 1, PartEnd::Last)).await.unwrap();
        let output = tokio::task::spawn_blocking(move || curl.wait_with_output()).await.unwrap().unwrap();
        assert_eq!((output.status.code(), &*output.stdout), (Some(0), text(2).as_bytes()), "{version}");
        drop(emitter);
        stop(server).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_comes_back_while_it_goes_in() {
    let server = Server::start(
        |server| server.route(Route::post("/").streamed()),
        |director, http| http_support::answer(director, http, Event::clone),
    )
    .await;
    let body: Vec<u8> = (0..20_000_000_u32).map(|number| (number * 7 + number / 251) as u8).collect();
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let url = format!("http://{}/", server.address);
        let mut curl = Command::new("curl")
            .args(["-sS", version, "-X", "POST", "-T", "-", &url])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut stdin, sent) = (curl.stdin.take().unwrap(), body.clone());
        let sending = std::thread::spawn(move || stdin.write_all(&sent).unwrap());
        let output = curl.wait_with_output().unwrap();
        sending.join().unwrap();
        assert_eq!(output.status.code(), Some(0), "{version}");
        assert!(output.stdout == body, "{version}: {} bytes came back", output.stdout.len());
    }
    stop(server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_under_way_when_the_stop_begins_is_completed() {
    let (server, sent, _failed) = paced(HttpLimits::default(), 300).await;
    let mut client = server.connect();
    client.send("GET / HTTP/1.0\r\n\r\n");
    at_a_stand(&sent).await;
    let stopping = server.begin_stop();
    let got = tokio::task::spawn_blocking(move || {
        let mut got = Vec::new();
        client.socket.read_to_end(&mut got).unwrap();
        got.len()
    });
    assert!(got.await.unwrap() >= 30_000_000);
    let ledger = stopping.await.unwrap().unwrap();
    assert_eq!((ledger.in_flight, ledger.failed, ledger.dropped), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_long_for_an_answer_without_an_end() {
    let server = parts(HttpLimits::default()).await;
    let mut client = server.connect();
    assert_eq!(client.ask(get("/endless")).status, 203);
    let began = Instant::now();
    stop(server).await;
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    let rest = client.rest();
    assert!(!rest.ends_with("0\r\n\r\n"), "{rest}");
}

#[tokio::test]
async fn parts_for_nobody_fail_so_that_their_source_stops() {
    let server = playhouse_actors::HttpServer::on(std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let mut probe = testing::Probe::new(server).await.unwrap();
    probe.send(part(&Event::new(()), 1, PartEnd::More)).await.unwrap();
    assert_eq!(probe.error().await.unwrap().error().unwrap().kind(), Kind::Gone);
    probe.send(part(&Event::new(()), 1, PartEnd::Broken)).await.unwrap();
    assert_eq!(probe.stop().await.unwrap().failed, 1);
}
