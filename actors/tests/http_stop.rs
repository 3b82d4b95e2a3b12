//! The stop of a flow with an HTTP server in it: what is under way is answered, what is idle is closed at once.

#![cfg(feature = "http")]
#![allow(clippy::unwrap_used)]

mod http_support;

use std::io::Write;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use http_support::{PATIENCE, Server, get, with_body};
use playhouse_actors::http::{HttpLimits, HttpServer};
use playhouse_engine::{Actor, Director, Error, Event, Outbox, Result};
use tokio::sync::Semaphore;

/// An actor that tells when an event has come, and answers when it is let.
struct Gate {
    arrived: std::sync::mpsc::Sender<()>,
    open: Arc<Semaphore>,
}

impl Actor for Gate {
    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        self.arrived.send(()).unwrap();
        let permit = self.open.acquire().await.map_err(|error| Error::internal("closed").caused_by(error))?;
        permit.forget();
        out.push(event);
        Ok(())
    }
}

async fn gated() -> (Server, Arc<Semaphore>, Receiver<()>) {
    let (open, (sender, arrived)) = (Arc::new(Semaphore::new(0)), channel());
    let gate = Gate { arrived: sender, open: open.clone() };
    let server = Server::start(
        |server| server,
        |director, http| {
            let gate = director.register("gate", gate);
            director.connect(http, gate);
            director.connect(gate, http);
        },
    )
    .await;
    (server, open, arrived)
}

/// Waits until nobody accepts at the server's address any more.
async fn closed(server: std::net::SocketAddr) {
    let began = Instant::now();
    while TcpStream::connect(server).is_ok() {
        assert!(began.elapsed() < PATIENCE);
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_under_way_is_answered_and_idle_connections_are_closed_at_once() {
    let (server, open, arrived) = gated().await;
    let (mut busy, mut idle, mut fresh) = (server.connect(), server.connect(), server.connect());
    open.add_permits(1);
    assert_eq!(idle.ask(get("/")).status, 200);
    arrived.recv_timeout(PATIENCE).unwrap();
    busy.send(with_body("POST", "/", "text/plain", "under way"));
    arrived.recv_timeout(PATIENCE).unwrap();
    let address = server.address;
    let stopping = server.begin_stop();
    assert_eq!((idle.rest(), fresh.rest()), (String::new(), String::new()));
    closed(address).await;
    assert!(!busy.has_word() && !stopping.is_finished());
    open.add_permits(1);
    let answer = busy.answer();
    assert_eq!((answer.status, answer.body.as_str()), (200, "under way"));
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(busy.rest(), "");
    let ledger = stopping.await.unwrap().unwrap();
    assert_eq!((ledger.in_flight, ledger.failed, ledger.dropped), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_body_is_on_its_way_when_the_stop_begins_is_answered() {
    let (server, open, arrived) = gated().await;
    open.add_permits(1);
    let mut client = server.connect();
    let head = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 8\r\nExpect: 100-continue\r\n\r\n";
    assert_eq!(client.ask(head).status, 100);
    let (address, stopping) = (server.address, server.begin_stop());
    closed(address).await;
    client.send("the ");
    client.send("body");
    arrived.recv_timeout(PATIENCE).unwrap();
    assert_eq!(client.answer().body, "the body");
    assert_eq!(stopping.await.unwrap().unwrap().in_flight, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_is_not_held_up_by_connections_without_a_request() {
    let server = Server::echo(HttpLimits::default()).await;
    let mut idle: Vec<_> = (0..100).map(|_| server.connect()).collect();
    for client in &mut idle[..50] {
        assert_eq!(client.ask(get("/")).status, 200);
    }
    let began = Instant::now();
    server.stop().await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

/// Asks again and again until the server closes, and returns how often it was answered.
fn ask_until_closed(address: std::net::SocketAddr, began: &std::sync::mpsc::Sender<()>) -> u64 {
    let mut client = http_support::Client::connect(address);
    for answered in 0.. {
        if answered == 10 {
            began.send(()).unwrap();
        }
        let request = with_body("POST", "/", "text/plain", "body");
        // Where the stop falls between two requests, the connection is closed before the next is taken in.
        if client.socket.write_all(request.as_bytes()).is_err() || client.is_closed() {
            return answered;
        }
        let answer = client.answer();
        match answer.status {
            200 => assert_eq!(answer.body, "body"),
            503 => return answered,
            status => panic!("{status}"),
        }
    }
    0
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_a_stop_loses_no_answer() {
    for _ in 0..5 {
        let server = Server::echo(HttpLimits::default()).await;
        let address = server.address;
        let (sender, began) = channel();
        let clients: Vec<_> = (0..8)
            .map(|_| {
                let sender = sender.clone();
                std::thread::spawn(move || ask_until_closed(address, &sender))
            })
            .collect();
        for _ in 0..8 {
            began.recv_timeout(PATIENCE).unwrap();
        }
        let ledger = server.stop().await.unwrap();
        let answered: u64 = clients.into_iter().map(|client| client.join().unwrap()).sum();
        // Each request is delivered twice: to the actor that answers, and back.
        assert_eq!((ledger.delivered, ledger.failed, ledger.dropped, ledger.in_flight), (2 * answered, 0, 0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_is_taken_stops_the_start_with_its_name() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let mut director = Director::new("test");
    let http = director.register("http", HttpServer::bind(address.to_string()));
    http_support::answer(&mut director, http, Event::clone);
    let error = director.build().unwrap().start().await.unwrap_err();
    assert!(error.to_string().starts_with(&format!("`http` did not start: cannot listen on `{address}`: ")), "{error}");
}
