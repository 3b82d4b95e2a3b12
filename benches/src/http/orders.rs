//! Ours: the flow of the example `orders`, with its stylesheets, its users and its executor.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use playhouse::actors::http::Route;
use playhouse::actors::{BasicAuth, HttpServer, Xslt};
use playhouse::{Director, Policy, Result, Workers};

use crate::Flavor;
use crate::http::PATH;

#[path = "../../../examples/orders/executor.rs"]
pub mod executor;

/// From what a customer sends to what the executor takes.
pub const SUBMIT: &str = include_str!("../../../examples/orders/submit.xsl");
/// From what the executor gives to what a customer gets.
pub const ACKNOWLEDGE: &str = include_str!("../../../examples/orders/acknowledge.xsl");
/// Who may order.
pub const USERS: &str = include_str!("../../../examples/orders/users.htpasswd");

/// Serves until the process ends.
///
/// # Errors
/// Where the flow does not start.
pub fn serve(listener: TcpListener) -> io::Result<()> {
    let director = describe(listener).map_err(io::Error::other)?;
    Flavor::MultiThread.runtime().block_on(async {
        let flow = director.build().map_err(io::Error::other)?;
        let never = std::future::pending::<()>();
        flow.run_until(never, Duration::ZERO).await.map(drop).map_err(io::Error::other)
    })
}

fn describe(listener: TcpListener) -> Result<Director> {
    let parallel = || Policy { workers: Workers::PER_CORE, ..Policy::default() };
    let route = Route::post(PATH).takes(["application/xml", "text/xml"]);
    let mut director = Director::new("orders");
    let http = director.register("http", HttpServer::on(listener).route(route));
    let auth = director.register("auth", BasicAuth::from_text(USERS)?);
    let submit = director.register_with("submit", Xslt::from_text(SUBMIT)?, parallel());
    let executor = director.register("executor", executor::Executor);
    let acknowledge = director.register_with("acknowledge", Xslt::from_text(ACKNOWLEDGE)?, parallel());
    director.connect(http, auth);
    director.connect(auth, submit);
    director.connect(submit, executor);
    director.connect(executor, acknowledge);
    director.connect(acknowledge, http);
    director.connect_default_error(http);
    Ok(director)
}
