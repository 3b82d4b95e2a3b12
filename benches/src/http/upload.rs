//! Ours: a flow that takes bodies in parts and writes each into a file.

use std::collections::HashMap;
use std::io;
use std::net::TcpListener;
use std::time::Duration;

use playhouse::actors::http::{HttpLimits, HttpReply, Route};
use playhouse::actors::{HttpServer, Part, PartEnd};
use playhouse::{Actor, Director, Error, Event, EventId, Outbox, Result};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use tokio::sync::Mutex;

use crate::Flavor;

/// Serves until the process ends.
///
/// # Errors
/// Where the flow does not start.
pub fn serve(listener: TcpListener) -> io::Result<()> {
    let limits = HttpLimits { streamed_size: 2 << 30, ..HttpLimits::default() };
    let server = HttpServer::on(listener).with_limits(limits).route(Route::post("/{name}").streamed());
    let mut director = Director::new("upload");
    let http = director.register("http", server);
    let store = director.register("store", Store { folder: tempfile::tempdir()?, open: Mutex::default() });
    director.connect(http, store);
    director.connect(store, http);
    director.connect_error(store, http);
    Flavor::MultiThread.runtime().block_on(async {
        let flow = director.build().map_err(io::Error::other)?;
        let never = std::future::pending::<()>();
        flow.run_until(never, Duration::ZERO).await.map(drop).map_err(io::Error::other)
    })
}

/// Writes the parts of each body into a file, and answers with its length.
struct Store {
    folder: tempfile::TempDir,
    open: Mutex<HashMap<EventId, File>>,
}

impl Actor for Store {
    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        let Some(part) = Part::of(event)? else { return Err(Error::unsupported("expected a part")) };
        let failed = |error| Error::unavailable("the file cannot be written").caused_by(error);
        let path = self.folder.path().join(event.id().to_string());
        let mut open = self.open.lock().await;
        let mut file = match open.remove(&event.id()) {
            Some(file) => file,
            None => File::create(&path).await.map_err(failed)?,
        };
        file.write_all(&event.payload().to_bytes()).await.map_err(failed)?;
        if part.end == PartEnd::More {
            open.insert(event.id(), file);
            return Ok(());
        }
        file.flush().await.map_err(failed)?;
        let length = file.metadata().await.map_err(failed)?.len();
        tokio::fs::remove_file(&path).await.map_err(failed)?;
        out.push(Part::unmark(event.derive(length.to_string())).with_status(201));
        Ok(())
    }
}
