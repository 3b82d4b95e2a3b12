//! Ours: a flow that takes bodies in parts and writes each into a file.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use playhouse::actors::http::{HttpLimits, HttpReply, Route};
use playhouse::actors::{FileSink, FileSinkForm, FileSinkSettings, HttpServer};
use playhouse::{Director, Error, Event, Result, map};

use crate::Flavor;

/// Serves until the process ends.
///
/// # Errors
/// Where the flow does not start.
pub fn serve(listener: TcpListener) -> io::Result<()> {
    let limits = HttpLimits { streamed_size: 2 << 30, ..HttpLimits::default() };
    let server = HttpServer::on(listener).with_limits(limits).route(Route::post("/{name}").streamed());
    let folder = tempfile::tempdir()?;
    let settings = FileSinkSettings { form: FileSinkForm::Wholes, ..FileSinkSettings::default() };
    let store = FileSink::new(folder.path(), "{event.id}", settings).map_err(io::Error::other)?;
    let mut director = Director::new("upload");
    let http = director.register("http", server);
    let store = director.register("store", store);
    let tell = director.register("tell", map(move |event: &Event| tell(&folder, event)));
    director.connect(http, store);
    director.connect(store, tell);
    director.connect(tell, http);
    director.connect_default_error(http);
    Flavor::MultiThread.runtime().block_on(async {
        let flow = director.build().map_err(io::Error::other)?;
        let never = std::future::pending::<()>();
        flow.run_until(never, Duration::ZERO).await.map(drop).map_err(io::Error::other)
    })
}

/// Answers with the length of the file, and makes room for the next one.
fn tell(folder: &tempfile::TempDir, event: &Event) -> Result<Event> {
    let told = |name: &str| event.attribute(name).map(|value| value.to_string()).unwrap_or_default();
    std::fs::remove_file(folder.path().join(told("file.path")))
        .map_err(|error| Error::unavailable("the file cannot be taken away").caused_by(error))?;
    Ok(event.derive(told("file.size")).with_status(201))
}
