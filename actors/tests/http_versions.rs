//! HTTP/2 and TLS.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used)]

mod http_support;

use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use http::{Method, Request, Response, StatusCode};
use http_support::{PATIENCE, Server};
use playhouse_actors::http::{HttpLimits, HttpRequest};
use playhouse_engine::Event;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

type Connection = JoinHandle<Result<(), h2::Error>>;

async fn connect(server: &Server) -> (SendRequest<Bytes>, Connection) {
    let socket = TcpStream::connect(server.address).await.unwrap();
    let (client, connection) = h2::client::handshake(socket).await.unwrap();
    (client.ready().await.unwrap(), tokio::spawn(connection))
}

fn request(method: Method, path: &str) -> Request<()> {
    Request::builder().method(method).uri(format!("http://test{path}")).body(()).unwrap()
}

async fn text(mut body: RecvStream) -> String {
    let mut all = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.unwrap();
        body.flow_control().release_capacity(data.len()).unwrap();
        all.extend_from_slice(&data);
    }
    String::from_utf8(all).unwrap()
}

async fn post(client: &mut SendRequest<Bytes>, body: &str) -> Response<RecvStream> {
    let mut request = request(Method::POST, "/");
    request.headers_mut().insert("content-type", "text/plain".parse().unwrap());
    let (response, mut stream) = client.send_request(request, false).unwrap();
    stream.send_data(Bytes::from(body.to_owned()), true).unwrap();
    timeout(PATIENCE, response).await.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_of_one_http2_connection_are_answered_at_once() {
    let server = Server::echo(HttpLimits::default()).await;
    let (client, connection) = connect(&server).await;
    let asked: Vec<_> = (0..500)
        .map(|number| {
            let client = client.clone();
            tokio::spawn(async move {
                let mut client = client.ready().await.unwrap();
                let body = number.to_string();
                let response = post(&mut client, &body).await;
                assert_eq!(response.status(), StatusCode::OK);
                assert_eq!(text(response.into_body()).await, body);
            })
        })
        .collect();
    for one in asked {
        one.await.unwrap();
    }
    drop(client);
    connection.await.unwrap().unwrap();
    assert_eq!(server.stop().await.unwrap().in_flight, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http2_request_shows_its_attributes() {
    let reply = |event: &Event| {
        let request = HttpRequest::of(event).unwrap();
        let version = event.attributes().text("http.version").unwrap();
        event.derive(format!("{version} {} {} {}", request.method(), request.uri(), request.header("host").unwrap()))
    };
    let server = Server::start(|server| server, |director, http| http_support::answer(director, http, reply)).await;
    let (mut client, _connection) = connect(&server).await;
    let (response, _) = client.send_request(request(Method::GET, "/a?b=c"), true).unwrap();
    assert_eq!(text(response.await.unwrap().into_body()).await, "HTTP/2 GET /a?b=c test");
    let (response, _) = client.send_request(request(Method::HEAD, "/a"), true).unwrap();
    let response = response.await.unwrap();
    assert_eq!(response.headers()["content-length"], "19");
    assert_eq!(text(response.into_body()).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_limits_hold_for_http2_too() {
    let short = Duration::from_millis(300);
    let server = Server::echo(HttpLimits { rate_window: short, ..HttpLimits::default() }).await;
    let (mut client, _connection) = connect(&server).await;
    let mut large = request(Method::POST, "/");
    large.headers_mut().insert("content-length", "1048577".parse().unwrap());
    let (response, _stream) = client.send_request(large, false).unwrap();
    assert_eq!(response.await.unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
    let (response, _) = client.send_request(request(Method::GET, &format!("/{}", "x".repeat(9000))), true).unwrap();
    assert_eq!(response.await.unwrap().status(), StatusCode::URI_TOO_LONG);
    let mut many = request(Method::GET, "/");
    many.headers_mut().extend((0..101).map(|number| {
        (http::HeaderName::try_from(format!("x-{number}")).unwrap(), http::HeaderValue::from_static("a"))
    }));
    let (response, _) = client.send_request(many, true).unwrap();
    assert_eq!(response.await.unwrap().status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    let (response, _stream) = client.send_request(request(Method::POST, "/"), false).unwrap();
    assert_eq!(response.await.unwrap().status(), StatusCode::REQUEST_TIMEOUT);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_resets_rapidly_is_sent_away() {
    let server = Server::echo(HttpLimits::default()).await;
    let (mut client, connection) = connect(&server).await;
    let began = Instant::now();
    let error = loop {
        assert!(began.elapsed() < PATIENCE, "it is not sent away");
        match client.clone().ready().await {
            Ok(ready) => client = ready,
            Err(error) => break error,
        }
        if let Ok((response, mut stream)) = client.send_request(request(Method::GET, "/"), false) {
            stream.send_reset(Reason::CANCEL);
            drop(response);
        }
        tokio::task::yield_now().await;
    };
    assert!(error.is_remote() || error.is_io(), "{error:?}");
    let _ = connection.await;
    let (mut client, _connection) = connect(&server).await;
    assert_eq!(post(&mut client, "good").await.status(), StatusCode::OK);
    assert_eq!(server.stop().await.unwrap().in_flight, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_answers_what_is_under_way_and_sends_goaway() {
    let server = Server::echo(HttpLimits::default()).await;
    let (mut client, connection) = connect(&server).await;
    let (mut idle, idle_connection) = connect(&server).await;
    // Answered once, it is surely accepted: the system resets what a listener that closes has not accepted.
    assert_eq!(post(&mut idle, "a").await.status(), StatusCode::OK);
    let mut begun = request(Method::POST, "/");
    begun.headers_mut().insert("content-type", "text/plain".parse().unwrap());
    let (response, mut stream) = client.send_request(begun, false).unwrap();
    stream.send_data(Bytes::from_static(b"under "), false).unwrap();
    // An answer to a later request shows that the server has the earlier one.
    assert_eq!(post(&mut client, "later").await.status(), StatusCode::OK);
    let stopping = server.begin_stop();
    timeout(PATIENCE, idle_connection).await.unwrap().unwrap().unwrap();
    drop(idle);
    stream.send_data(Bytes::from_static(b"way"), true).unwrap();
    assert_eq!(text(response.await.unwrap().into_body()).await, "under way");
    timeout(PATIENCE, connection).await.unwrap().unwrap().unwrap();
    assert_eq!(stopping.await.unwrap().unwrap().in_flight, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http2_connection_without_a_request_is_closed_after_a_while() {
    let server = Server::echo(HttpLimits { idle_time: Duration::from_millis(300), ..HttpLimits::default() }).await;
    let (mut client, connection) = connect(&server).await;
    assert_eq!(post(&mut client, "a").await.status(), StatusCode::OK);
    let answered = Instant::now();
    timeout(PATIENCE, connection).await.unwrap().unwrap().unwrap();
    assert!(answered.elapsed() < Duration::from_secs(5), "{:?}", answered.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_speaks_http2_at_once() {
    let server = Server::echo(HttpLimits::default()).await;
    let url = format!("http://{}/", server.address);
    let curl = Command::new("curl")
        .args(["-sS", "--http2-prior-knowledge", "-H", "Content-Type: text/plain", "-d", "hello"])
        .args(["-w", " %{http_version} %{http_code}", &url])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(curl.stdout).unwrap(), "hello 2 200");
}

#[cfg(feature = "tls")]
mod tls {
    use std::path::PathBuf;

    use http_support::Client;
    use playhouse_actors::http::Tls;

    use super::*;

    /// A certificate for 127.0.0.1 and its key, in files that go with it.
    struct Certificate(PathBuf);

    impl Certificate {
        fn new(name: &str) -> Self {
            let folder = std::env::temp_dir().join(format!("playhouse-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&folder).unwrap();
            let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
            std::fs::write(folder.join("certificate.pem"), certified.cert.pem()).unwrap();
            std::fs::write(folder.join("key.pem"), certified.signing_key.serialize_pem()).unwrap();
            Self(folder)
        }

        fn path(&self) -> PathBuf {
            self.0.join("certificate.pem")
        }

        fn tls(&self) -> Tls {
            Tls::from_pem_files(self.path(), self.0.join("key.pem")).unwrap()
        }
    }

    impl Drop for Certificate {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    async fn serve(certificate: &Certificate, limits: HttpLimits) -> Server {
        let tls = certificate.tls();
        Server::start(
            |server| server.with_limits(limits).with_tls(tls),
            |director, http| http_support::answer(director, http, Event::clone),
        )
        .await
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn curl_speaks_both_versions_over_tls() {
        let certificate = Certificate::new("both");
        let server = serve(&certificate, HttpLimits::default()).await;
        for (flag, version) in [("--http2", "2"), ("--http1.1", "1.1")] {
            let curl = Command::new("curl")
                .args(["-sS", flag, "-H", "Content-Type: text/plain", "-d", "hello", "--cacert"])
                .arg(certificate.path())
                .args(["-w", " %{http_version} %{http_code}", &format!("https://{}/", server.address)])
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&curl.stderr).into_owned();
            assert_eq!(String::from_utf8(curl.stdout).unwrap(), format!("hello {version} 200"), "{said}");
        }
        assert_eq!(server.stop().await.unwrap().in_flight, 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_stop_does_not_wait_for_handshakes() {
        let certificate = Certificate::new("stop");
        let server = serve(&certificate, HttpLimits::default()).await;
        let mut silent = Client::connect(server.address);
        let began = Instant::now();
        while server.statistics.open_connections() == 0 {
            assert!(began.elapsed() < PATIENCE);
            tokio::task::yield_now().await;
        }
        server.stop().await.unwrap();
        assert_eq!(silent.rest(), "");
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_handshake_that_does_not_come_or_is_none_is_closed() {
        let certificate = Certificate::new("handshake");
        let handshake_time = Duration::from_millis(300);
        let server = serve(&certificate, HttpLimits { handshake_time, ..HttpLimits::default() }).await;
        let began = Instant::now();
        Client::connect(server.address).rest();
        assert!((handshake_time..PATIENCE).contains(&began.elapsed()), "{:?}", began.elapsed());
        // Who does not speak TLS gets an alert, and nothing that looks like HTTP.
        let mut plain = Client::connect(server.address);
        plain.send(http_support::get("/")).end_sending();
        let mut alert = Vec::new();
        let _ = std::io::Read::read_to_end(&mut plain.socket, &mut alert);
        assert!(!alert.starts_with(b"HTTP"), "{alert:?}");
    }
}
