//! The HTTP client against a server that says word for word what a test wants to hear.

#![cfg(feature = "http-client")]
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use playhouse_actors::{HttpClient, HttpClientSettings};
use playhouse_engine::{Event, Kind, Payload, Result, Xml, testing};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// What the server does after its answer.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    ReadOn,
    Close,
    Stall,
}

struct Server {
    port: u16,
    requests: mpsc::UnboundedReceiver<String>,
    connections: Arc<AtomicUsize>,
}

impl Server {
    /// Starts a server that gives `answer` to every request.
    async fn start(answer: &'static str, then: Then) -> Self {
        Self::start_with(answer, then, async |stream| stream).await
    }

    async fn start_with<S, F>(answer: &'static str, then: Then, wrap: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        F: Future<Output = S> + Send,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, requests) = mpsc::unbounded_channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = connections.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                let stream = wrap(stream).await;
                tokio::spawn(serve(stream, answer, then, sender.clone()));
            }
        });
        Self { port, requests, connections }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Calls the server, and returns what the event became.
    async fn call(&self, event: Event) -> Result<Event> {
        feed(&HttpClient::to(&self.url("/"))?, event).await
    }
}

async fn serve<S>(mut stream: S, answer: &str, then: Then, requests: mpsc::UnboundedSender<String>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(request) = read_request(&mut stream).await {
        if requests.send(request).is_err() || stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
        stream.flush().await.unwrap();
        match then {
            Then::ReadOn => {}
            Then::Close => return,
            Then::Stall => std::future::pending().await,
        }
    }
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut read = Vec::new();
    loop {
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..end]).to_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse::<usize>().unwrap());
            if read.len() == end + 4 + length {
                return Some(String::from_utf8(read).unwrap());
            }
        }
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    }
}

async fn feed(client: &HttpClient, event: Event) -> Result<Event> {
    let mut outputs = testing::feed(client, event).await?;
    assert_eq!(outputs.len(), 1);
    Ok(outputs.remove(0).event)
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

#[tokio::test]
async fn the_answer_is_the_payload_by_its_content_type() {
    for (content_type, body, format) in
        [("application/xml", "<a/>", "xml"), ("text/plain", "a", "text"), ("image/png", "a", "bytes")]
    {
        let answer = format!(
            "HTTP/1.1 201 Created\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let server = Server::start(answer.leak(), Then::ReadOn).await;
        let event = Event::new("order").with_attribute("colour", "red");
        let id = event.id();
        let answer = server.call(event).await.unwrap();
        assert_eq!(answer.payload().format().to_string(), format);
        assert_eq!(answer.payload().to_string(), body);
        assert_eq!(answer.attributes().integer("http.status"), Some(201));
        assert_eq!(answer.attributes().text("http.reply.header.content-type").as_deref(), Some(content_type));
        assert_eq!(answer.attributes().text("colour").as_deref(), Some("red"));
        assert_eq!(answer.id(), id);
    }
}

#[tokio::test]
async fn an_empty_answer_is_an_empty_payload() {
    let server = Server::start("HTTP/1.1 204 No Content\r\n\r\n", Then::ReadOn).await;
    let answer = server.call(Event::new(())).await.unwrap();
    assert!(matches!(answer.payload(), Payload::Empty));
}

#[tokio::test]
async fn a_request_has_the_method_and_the_content_type_of_its_payload() {
    let mut server = Server::start(OK, Then::ReadOn).await;
    for (payload, line, content_type) in [
        (Payload::Empty, "GET / HTTP/1.1", None),
        (Payload::from("a"), "POST / HTTP/1.1", Some("text/plain; charset=utf-8")),
        (Payload::from(serde_json::json!({})), "POST / HTTP/1.1", Some("application/json")),
        (Payload::from(Xml::new("<a/>")), "POST / HTTP/1.1", Some("application/xml")),
        (Payload::from(vec![b'x']), "POST / HTTP/1.1", Some("application/octet-stream")),
    ] {
        let body = payload.to_string();
        server.call(Event::new(payload)).await.unwrap();
        let request = server.requests.recv().await.unwrap();
        assert_eq!(request.lines().next(), Some(line));
        let sent = request.lines().find_map(|line| line.strip_prefix("content-type: "));
        assert_eq!(sent, content_type);
        assert!(request.ends_with(&format!("\r\n\r\n{body}")), "{request}");
    }
}

#[tokio::test]
async fn a_request_carries_what_the_settings_and_the_event_say() {
    let mut server = Server::start(OK, Then::ReadOn).await;
    let settings = HttpClientSettings {
        headers: [("X-Api-Key".into(), "secret".into()), ("user-agent".into(), "shop".into())].into(),
        forward: vec!["Accept-Language".into(), "x-missing".into()],
        ..HttpClientSettings::default()
    };
    let client = HttpClient::new(&server.url("/items/{sku}"), settings).unwrap();
    let event = Event::new("body")
        .with_attribute("sku", "a/b")
        .with_attribute("http.method", "PUT")
        .with_attribute("http.header.accept-language", "de")
        .with_attribute("http.header.authorization", "Basic never");
    feed(&client, event).await.unwrap();
    let request = server.requests.recv().await.unwrap();
    let mut lines: Vec<_> = request.lines().collect();
    lines[1..8].sort_unstable();
    let host = format!("host: 127.0.0.1:{}", server.port);
    let expected = [
        "PUT /items/a%2Fb HTTP/1.1",
        "",
        "accept-language: de",
        "content-length: 4",
        "content-type: text/plain; charset=utf-8",
        host.as_str(),
        "user-agent: shop",
        "x-api-key: secret",
        "body",
    ];
    assert_eq!(lines, expected);
}

#[tokio::test]
async fn an_answer_that_is_no_success_is_an_error_of_its_kind() {
    for (answer, kind, text) in [
        ("404 Not Found\r\ncontent-length: 3\r\n\r\nwho", Kind::NotFound, "got 404: who"),
        ("401 Unauthorized\r\ncontent-length: 0\r\n\r\n", Kind::Unauthorized, "got 401"),
        ("503 Busy\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n", Kind::Unavailable, "got 503"),
        ("500 Oh\r\ncontent-length: 0\r\n\r\n", Kind::Internal, "got 500"),
        (
            "302 Found\r\nlocation: /b\r\ncontent-length: 0\r\n\r\n",
            Kind::Internal,
            "got 302, to `/b`; redirects are not followed",
        ),
        (
            "200 OK\r\ncontent-type: text/plain; charset=ebcdic\r\ncontent-length: 1\r\n\r\na",
            Kind::Internal,
            "got a body that is not what its content type says: the character set `ebcdic` is not taken here; expected \
             `utf-8`",
        ),
    ] {
        let server = Server::start(format!("HTTP/1.1 {answer}").leak(), Then::ReadOn).await;
        let error = server.call(Event::new(())).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{answer}");
        assert_eq!(error.to_string(), format!("`GET {}` {text}", server.url("/")));
        assert_eq!(error.wait(), answer.contains("retry-after").then_some(Duration::from_secs(7)));
    }
}

#[tokio::test]
async fn the_query_is_in_no_error() {
    let server = Server::start("HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n", Then::ReadOn).await;
    let client = HttpClient::to(&server.url("/a?token=secret")).unwrap();
    let error = feed(&client, Event::new(())).await.unwrap_err();
    assert_eq!(error.to_string(), format!("`GET {}` got 404", server.url("/a")));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    // The port is free again, and nobody else's for now.
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let client = HttpClient::to(&format!("http://127.0.0.1:{port}/")).unwrap();
    let error = feed(&client, Event::new(())).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert_eq!(error.message(), format!("`GET http://127.0.0.1:{port}/` could not connect"));
}

#[tokio::test]
async fn an_answer_that_breaks_off_or_is_none_is_unavailable() {
    for (answer, text) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", "got an answer that broke off"),
        ("HTTP/1.1 200 OK\r\n", "got no answer"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "got no answer"),
    ] {
        let server = Server::start(answer, Then::Close).await;
        let error = server.call(Event::new("a")).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Unavailable, "{answer}");
        assert_eq!(error.message(), format!("`POST {}` {text}", server.url("/")));
    }
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_not_read() {
    for answer in [
        // Announced, and not sent at all.
        "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nb\r\n01234567890\r\n",
        "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n01234567890",
    ] {
        let server = Server::start(answer, Then::Stall).await;
        let settings = HttpClientSettings { largest_body: 10, ..HttpClientSettings::default() };
        let error = feed(&HttpClient::new(&server.url("/"), settings).unwrap(), Event::new(())).await.unwrap_err();
        assert_eq!(error.kind(), Kind::TooLarge, "{answer}");
        assert_eq!(error.message(), format!("`GET {}` got a body of more than 10 bytes", server.url("/")));
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_a_timeout() {
    for (answer, own, seconds) in
        [("", None, 30), ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", None, 30), ("", Some(2), 2)]
    {
        let mut server = Server::start(answer, Then::Stall).await;
        let client = HttpClient::to(&server.url("/")).unwrap();
        let event = match own {
            None => Event::new(()),
            Some(seconds) => Event::new(()).expires_in(Duration::from_secs(seconds)),
        };
        let begin = Instant::now();
        let asking = tokio::spawn(async move { feed(&client, event).await });
        // From here on, nothing but time can pass.
        server.requests.recv().await.unwrap();
        tokio::time::pause();
        let error = asking.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), Kind::Timeout);
        assert_eq!(error.message(), format!("`GET {}` got no answer in time", server.url("/")));
        assert_eq!(begin.elapsed().as_secs(), seconds);
        tokio::time::resume();
    }
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let server = Server::start("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na", Then::ReadOn).await;
    let client = HttpClient::to(&server.url("/")).unwrap();
    for _ in 0..5 {
        feed(&client, Event::new(())).await.unwrap();
    }
    assert_eq!(server.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_connection_that_was_closed_is_replaced() {
    let server = Server::start("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\na", Then::Close).await;
    let client = HttpClient::to(&server.url("/")).unwrap();
    for _ in 0..3 {
        feed(&client, Event::new("a")).await.unwrap();
    }
    assert_eq!(server.connections.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_server_is_trusted_by_the_authorities_of_the_settings_only() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(tls));
    let folder = tempfile::tempdir().unwrap();
    let trusted = folder.path().join("authorities.pem");
    std::fs::write(&trusted, certified.cert.pem()).unwrap();
    let other = folder.path().join("other.pem");
    std::fs::write(&other, rcgen::generate_simple_self_signed(["other".to_owned()]).unwrap().cert.pem()).unwrap();

    let (sender, mut refusals) = mpsc::unbounded_channel();
    let server = Server::start_with(OK, Then::ReadOn, move |stream| {
        let (acceptor, sender) = (acceptor.clone(), sender.clone());
        async move {
            match acceptor.accept(stream).await {
                Ok(stream) => Box::new(stream) as Box<dyn Stream>,
                Err(error) => {
                    sender.send(error).unwrap();
                    Box::new(tokio::io::empty())
                }
            }
        }
    })
    .await;
    let client = |authorities: &std::path::Path| {
        let settings = HttpClientSettings { authorities: Some(authorities.into()), ..HttpClientSettings::default() };
        HttpClient::new(&format!("https://localhost:{}/", server.port), settings).unwrap()
    };
    feed(&client(&trusted), Event::new(())).await.unwrap();
    let error = feed(&client(&other), Event::new(())).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().contains("certificate"), "{error}");
    assert!(refusals.recv().await.is_some());
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

#[test]
fn all_that_is_wrong_with_the_settings_is_said_at_once() {
    let settings = HttpClientSettings {
        method: Some("G T".into()),
        headers: [("bad name".into(), "x".into()), ("x-bad".into(), "a\nb".into())].into(),
        forward: vec!["Transfer-Encoding".into()],
        ..HttpClientSettings::default()
    };
    let error = HttpClient::new("ftp://host/", settings).unwrap_err();
    assert_eq!(error.kind(), Kind::Malformed);
    assert_eq!(
        error.message(),
        "no HTTP client for `ftp://host/`: the scheme is `ftp`; expected `http` or `https`; `G T` is not a method; \
         `bad name` is not the name of a header; the value of the header `x-bad` is not one that HTTP allows; the header \
         `transfer-encoding` is the client's own"
    );
}

#[test]
fn the_settings_read_from_a_file_and_hide_their_secrets() {
    let settings: HttpClientSettings =
        toml::from_str("method = 'PUT'\ndeadline = '2s'\nheaders = { authorization = 'Bearer secret' }").unwrap();
    assert_eq!(settings.deadline, Duration::from_secs(2));
    assert_eq!(settings.largest_body, 1 << 20);
    assert!(!format!("{settings:?}").contains("secret"));
    assert!(toml::from_str::<HttpClientSettings>("metod = 'PUT'").is_err());
}
