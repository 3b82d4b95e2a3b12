//! Ours: a flow whose posted bodies become server-sent events.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use playhouse::actors::HttpServer;
use playhouse::actors::http::{HttpLimits, Route};
use playhouse::{Director, Event, map};

use crate::Flavor;

/// Serves until the process ends.
///
/// # Errors
/// Where the flow does not start.
pub fn serve(listener: TcpListener) -> io::Result<()> {
    let limits = HttpLimits { connections: 16_384, ..HttpLimits::default() };
    let server = HttpServer::on(listener)
        .with_limits(limits)
        .route(Route::get("/prices").events("prices"))
        .route(Route::post("/prices").outbox("posted").accepted());
    let mut director = Director::new("events");
    let http = director.register("http", server);
    let publish = director.register("publish", map(Event::clone));
    director.connect(http.port("posted"), publish);
    director.connect(publish, http.port("prices"));
    director.connect_error(publish, http);
    Flavor::MultiThread.runtime().block_on(async {
        let flow = director.build().map_err(io::Error::other)?;
        let never = std::future::pending::<()>();
        flow.run_until(never, Duration::ZERO).await.map(drop).map_err(io::Error::other)
    })
}
