//! Bodies that are compressed, as other programs read and write them.

#![cfg(feature = "compression")]
#![allow(clippy::unwrap_used)]

mod http_support;
#[path = "oracles/python.rs"]
mod python;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use http_support::{Answer, Server, get};
use playhouse_actors::http::{Compression, HttpLimits, HttpReply, HttpRequest, HttpServer, Route};
use playhouse_actors::{Part, PartEnd};
use playhouse_engine::{Director, Emitter, Event, Payload, map, source};
use python::python;
use tokio::sync::mpsc;

const CODINGS: [&str; 3] = ["gzip", "br", "zstd"];

const VERSIONS: &[&str] = &["--http1.1", "--http1.0", "--http2-prior-knowledge"];

/// The libraries that others use.
static PYTHON: LazyLock<PathBuf> = LazyLock::new(|| python(&["brotli==1.1.0", "zstandard==0.23.0"]));

fn oracle(arguments: &[&str]) -> Command {
    let mut command = Command::new(&*PYTHON);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracles/packed.py")).args(arguments);
    command
}

/// Lets Python compress or unpack.
fn by_python(what: &str, coding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut python = oracle(&[what, coding]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut stdin, bytes) = (python.stdin.take().unwrap(), bytes.to_vec());
    let writing = std::thread::spawn(move || stdin.write_all(&bytes).unwrap());
    let output = python.wait_with_output().unwrap();
    writing.join().unwrap();
    assert!(output.status.success());
    output.stdout
}

/// Text of about so many bytes.
fn text(length: usize) -> String {
    (0_u64..)
        .map(|number| format!("{} ", number * number))
        .scan(0, |sum, word| {
            *sum += word.len();
            (*sum <= length).then_some(word)
        })
        .collect()
}

/// Answers with text of the length in the path, and headers that the query asks for.
async fn texts(compression: Compression) -> Server {
    Server::start(
        |server| server.with_compression(compression).route(Route::get("/{length}")).route(Route::post("/{length}")),
        |director, http| {
            http_support::answer(director, http, |event| {
                let request = HttpRequest::of(event).unwrap();
                let length = request.variable("length").unwrap().parse().unwrap();
                let mut reply = event.derive(text(length)).with_reply_header("etag", "\"1\"");
                for name in ["content-type", "content-encoding", "cache-control", "etag", "vary"] {
                    if let Some(value) = request.query(name) {
                        reply = reply.with_reply_header(name, value.into_owned());
                    }
                }
                reply
            });
        },
    )
    .await
}

fn head(server: &Server, path: &str, accept: &str) -> Answer {
    let mut client = server.connect();
    client.send(format!("HEAD {path} HTTP/1.1\r\nHost: test\r\nAccept-Encoding: {accept}\r\n\r\n"));
    client.answer_to("HEAD")
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_what_other_programs_unpack() {
    let server = texts(Compression::default()).await;
    let knows = Command::new("curl").arg("--version").output().unwrap().stdout;
    let knows = String::from_utf8(knows).unwrap();
    for length in [1024, 30_000, 200_000] {
        for (coding, library) in CODINGS.into_iter().zip(["libz", "brotli", "zstd"]) {
            // Not every curl is built with all of them; Python is asked for all below.
            let versions = if knows.contains(library) { VERSIONS } else { &[] };
            for version in versions {
                let accept = format!("Accept-Encoding: {coding}");
                let url = format!("http://{}/{}", server.address, length + 10);
                let arguments = ["-sS", version, "--compressed", "-H", &accept, "-w", "\n%{size_download}", &url];
                let output = Command::new("curl").args(arguments).output().unwrap();
                assert!(output.status.success());
                let output = String::from_utf8(output.stdout).unwrap();
                let (body, size) = output.rsplit_once('\n').unwrap();
                assert!(body == text(length + 10), "{coding} {length}");
                assert!(size.parse::<usize>().unwrap() < length * 3 / 4, "{coding} {length}: {size}");
            }
            if length > 100_000 {
                continue;
            }
            let url = format!("http://{}/{length}0", server.address);
            let packed =
                Command::new("curl").args(["-sS", "-H", &format!("Accept-Encoding: {coding}"), &url]).output().unwrap();
            assert!(by_python("unpack", coding, &packed.stdout) == text(length * 10).as_bytes());
        }
    }
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_compressed_says_so_and_what_is_not_does_not() {
    let server = texts(Compression::default()).await;
    let all = "gzip, br, zstd";
    for (path, accept, coding, vary, etag) in [
        ("/5000", all, Some("zstd"), Some("accept-encoding"), "W/\"1\""),
        ("/5000", "br;q=0.5, gzip", Some("gzip"), Some("accept-encoding"), "W/\"1\""),
        ("/5000?etag=W/%22a%22", all, Some("zstd"), Some("accept-encoding"), "W/\"a\""),
        ("/5000", "identity", None, Some("accept-encoding"), "\"1\""),
        ("/5000?vary=Accept-Encoding", "identity", None, Some("Accept-Encoding"), "\"1\""),
        ("/5000?content-type=image/png", all, None, None, "\"1\""),
        ("/5000?content-type=application/atom%2Bxml", all, Some("zstd"), Some("accept-encoding"), "W/\"1\""),
        ("/5000?content-encoding=compress", all, Some("compress"), None, "\"1\""),
        ("/5000?cache-control=private,%20No-Transform", all, None, None, "\"1\""),
        ("/900", all, None, None, "\"1\""),
        ("/900", "identity;q=0, gzip", Some("gzip"), Some("accept-encoding"), "W/\"1\""),
    ] {
        let answer = head(&server, path, accept);
        assert_eq!(answer.status, 200, "{path} {accept}");
        assert_eq!(answer.header("content-encoding"), coding, "{path} {accept}");
        assert_eq!(answer.header("vary"), vary, "{path} {accept}");
        assert_eq!(answer.header("etag"), Some(etag), "{path} {accept}");
        let is_packed = coding.is_some_and(|coding| coding != "compress");
        assert_eq!(answer.header("content-length").is_none(), is_packed, "{path} {accept}");
        let mut client = server.connect();
        client.send(format!("GET {path} HTTP/1.0\r\nAccept-Encoding: {accept}\r\n\r\n"));
        let whole = client.socket.try_clone().unwrap();
        let mut first = String::new();
        BufReader::new(whole).read_line(&mut first).unwrap();
        assert!(first.contains(" 200 "), "{first}");
    }
    let answer = head(&server, "/5000", "*;q=0");
    assert_eq!(answer.status, 406);
    assert_eq!(server.connect().ask(get("/5000")).header("content-encoding"), None);
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_setting_nothing_is_compressed_or_unpacked() {
    let server = Server::echo(HttpLimits::default()).await;
    let body = text(5000);
    let length = body.len();
    let request = format!(
        "POST / HTTP/1.1\r\nHost: test\r\nContent-Encoding: x\r\nAccept-Encoding: gzip\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    let answer = server.connect().ask(request);
    assert_eq!((answer.header("content-encoding"), &*answer.body), (None, &*body));
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pieces_of_an_answer_are_readable_as_they_come() {
    for coding in CODINGS {
        let (sender, mut events) = mpsc::channel::<Event>(1);
        let (emitters, mut emitter) = mpsc::channel::<Emitter>(1);
        let server = Server::start(
            |server| server.with_compression(Compression::default()),
            |director, http| {
                let first = move |event: &Event| {
                    sender.try_send(event.clone()).unwrap();
                    Part { number: 0, end: PartEnd::More }.mark(event.derive("the first piece\n"))
                };
                let first = director.register("first", map(first));
                let last = director.register(
                    "last",
                    source(move |emitter: Emitter| {
                        let emitters = emitters.clone();
                        async move {
                            let _ = emitters.send(emitter).await;
                            Ok(())
                        }
                    }),
                );
                director.connect(http, first);
                director.connect(first, http);
                director.connect(last, http);
            },
        )
        .await;
        let (host, port) = (server.address.ip().to_string(), server.address.port().to_string());
        let mut python = oracle(&["first", &host, &port, coding]).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(python.stdout.take().unwrap());
        let id = events.recv().await.unwrap().id();
        let (read, mut output) = tokio::task::spawn_blocking(move || {
            let mut line = String::new();
            output.read_line(&mut line).unwrap();
            (line, output)
        })
        .await
        .unwrap();
        assert_eq!(read, "the first piece\n", "{coding}");
        let last = Event::with_id(id, text(300_000) + "\n");
        let emitter = emitter.recv().await.unwrap();
        emitter.send(Part { number: 1, end: PartEnd::Last }.mark(last)).await.unwrap();
        let mut rest = String::new();
        output.read_line(&mut rest).unwrap();
        assert!(rest == text(300_000) + "\n", "{coding}");
        assert!(python.wait().unwrap().success());
        drop(emitter);
        server.stop().await.unwrap();
    }
}

/// Answers with what came, and says what its attributes say of it.
fn wire(director: &mut Director, http: playhouse_engine::ActorRef) {
    http_support::answer(director, http, |event| {
        let request = HttpRequest::of(event).unwrap();
        let said = format!("{:?} {:?}", request.header("content-encoding"), request.header("content-length"));
        let format = event.payload().format();
        event.clone().with_reply_header("x-said", said).with_reply_header("x-format", format.to_string())
    });
}

fn packing(server: HttpServer) -> HttpServer {
    server.with_compression(Compression::default())
}

fn post(path: &str, coding: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Encoding: {coding}\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_other_programs_compress_is_unpacked() {
    let server = Server::start(packing, wire).await;
    for coding in CODINGS {
        for length in [10, 300_000] {
            let packed = by_python("pack", coding, text(length).as_bytes());
            let answer = server.connect().ask(post("/", coding, &packed));
            assert_eq!((answer.status, answer.header("x-said")), (200, Some("None None")), "{coding}");
            assert_eq!(answer.header("x-format"), Some("text"), "as if it had come so");
            assert!(answer.body == text(length), "{coding} {length}");
        }
    }
    let answer = server.connect().ask(post("/", "identity", b"plain"));
    assert_eq!((answer.status, &*answer.body), (200, "plain"));
    assert_eq!(server.connect().ask(post("/", "gzip", b"")).status, 200);
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_unpacked_is_refused() {
    let server = Server::start(packing, wire).await;
    for coding in ["compress", "gzip, br", "\u{1}", "aes128gcm"] {
        let answer = server.connect().ask(post("/", coding, b"body"));
        if coding == "\u{1}" {
            assert_eq!(answer.status, 400);
            continue;
        }
        assert_eq!((answer.status, answer.header("accept-encoding")), (415, Some("zstd, br, gzip")), "{coding}");
    }
    for coding in CODINGS {
        let packed = by_python("pack", coding, text(10_000).as_bytes());
        assert_eq!(server.connect().ask(post("/", coding, &packed[..packed.len() / 2])).status, 400, "{coding}");
        assert_eq!(server.connect().ask(post("/", coding, b"not what it says, at all")).status, 400, "{coding}");
        // 16 MiB of nothing, which stays small on its way.
        let bomb = by_python("pack", coding, &vec![0; 16 << 20]);
        let answer = server.connect().ask(post("/", coding, &bomb));
        assert_eq!(answer.status, 413, "{coding}");
        assert!(answer.body.contains("at most 1048576 bytes"), "{answer:?}");
    }
    let ledger = server.stop().await.unwrap();
    assert_eq!(ledger.entered, 0, "none of it has come into the flow");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_in_parts_is_unpacked_as_it_comes() {
    let limits = HttpLimits { streamed_size: 2 << 20, ..HttpLimits::default() };
    let (sender, mut seen) = mpsc::unbounded_channel();
    let server = Server::start(
        |server| packing(server).with_limits(limits).route(Route::post("/").streamed()),
        |director, http| {
            let gather = director.register(
                "gather",
                map(move |event: &Event| {
                    let part = Part::of(event).unwrap().unwrap();
                    sender.send((part, event.payload().to_bytes())).unwrap();
                    (part.end == PartEnd::Last).then(|| event.derive(Payload::Empty).with_status(201))
                }),
            );
            director.connect(http, gather);
            director.connect(gather, http);
        },
    )
    .await;
    let whole = text(1_000_000);
    for coding in CODINGS {
        let packed = by_python("pack", coding, whole.as_bytes());
        assert_eq!(server.connect().ask(post("/", coding, &packed)).status, 201);
        let mut got = Vec::new();
        loop {
            let (part, bytes) = seen.recv().await.unwrap();
            assert!(bytes.len() <= 64 * 1024);
            got.extend_from_slice(&bytes);
            if part.end == PartEnd::Last {
                break;
            }
        }
        assert!(got == whole.as_bytes(), "{coding}");
        let bomb = by_python("pack", coding, &vec![0; 16 << 20]);
        assert_eq!(server.connect().ask(post("/", coding, &bomb)).status, 413);
        let mut came = 0;
        loop {
            let (part, bytes) = seen.recv().await.unwrap();
            came += bytes.len();
            if part.end != PartEnd::More {
                break assert_eq!(part.end, PartEnd::Broken);
            }
        }
        assert!(came <= 2 << 20);
    }
    server.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_is_too_slow_however_much_becomes_of_what_it_sends() {
    let limits = HttpLimits {
        rate_window: Duration::from_millis(200),
        slowest_rate: 100_000,
        streamed_size: 1 << 30,
        ..HttpLimits::default()
    };
    let server = Server::start(
        |server| packing(server).with_limits(limits).route(Route::post("/").streamed()),
        |director, http| {
            let gather = director.register(
                "gather",
                map(|event: &Event| {
                    let part = Part::of(event).unwrap().unwrap();
                    (part.end == PartEnd::Last).then(|| event.derive(Payload::Empty).with_status(201))
                }),
            );
            director.connect(http, gather);
            director.connect(gather, http);
        },
    )
    .await;
    // Each of its bytes becomes a thousand.
    let packed = by_python("pack", "gzip", &vec![0; 16 << 20]);
    let mut client = server.connect();
    let request = post("/", "gzip", &packed);
    let (head, body) = request.split_at(request.len() - packed.len());
    client.send(head);
    for bytes in body.chunks(40) {
        if client.has_word() || client.socket.write_all(bytes).is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(client.answer().status, 408);
    server.stop().await.unwrap();
}

#[tokio::test]
async fn a_level_that_is_none_stops_the_start() {
    let compression = Compression { brotli: 12, ..Compression::default() };
    let mut director = Director::new("test");
    let http = director.register("http", HttpServer::bind("127.0.0.1:0").with_compression(compression));
    http_support::answer(&mut director, http, Event::clone);
    let error = director.build().unwrap().start().await.unwrap_err();
    assert!(error.to_string().contains("`brotli` is 12; expected 0 to 11"), "{error}");
}
