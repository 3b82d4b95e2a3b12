//! Ours: a flow that answers each request with its own body.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use playhouse::actors::HttpServer;
use playhouse::actors::http::HttpLimits;
use playhouse::{Director, Event, map};

use crate::Flavor;

/// Serves, with the default limits, until the process ends.
///
/// # Errors
/// Where the flow does not start.
pub fn serve(listener: TcpListener) -> io::Result<()> {
    run(HttpServer::on(listener))
}

/// Serves as [`serve`] does, but lets very many connections stay open for long.
///
/// # Errors
/// Where the flow does not start.
pub fn serve_many(listener: TcpListener) -> io::Result<()> {
    let limits = HttpLimits { connections: 16_384, idle_time: Duration::from_secs(600), ..HttpLimits::default() };
    run(HttpServer::on(listener).with_limits(limits))
}

fn run(server: HttpServer) -> io::Result<()> {
    let mut director = Director::new("echo");
    let http = director.register("http", server);
    let echo = director.register("echo", map(Event::clone));
    director.connect(http, echo);
    director.connect(echo, http);
    director.connect_error(echo, http);
    Flavor::MultiThread.runtime().block_on(async {
        let flow = director.build().map_err(io::Error::other)?;
        let never = std::future::pending::<()>();
        flow.run_until(never, Duration::ZERO).await.map(drop).map_err(io::Error::other)
    })
}
