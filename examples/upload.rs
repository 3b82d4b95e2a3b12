//! Files into a folder over HTTP, however large: no more of one is in memory than its window. Put one there:
//!
//! ```text
//! curl -T film.mkv http://127.0.0.1:8081/files/film.mkv
//! ```
//!
//! Run: `cargo run --example upload -- --into uploads --bind 127.0.0.1:8081`

use std::net::TcpListener;
use std::time::Duration;

use playhouse::actors::http::{HttpReply, Route};
use playhouse::actors::{Existing, FileSink, FileSinkForm, FileSinkSettings, HttpServer};
use playhouse::{Director, Event, map, shutdown_signal};

fn setting(name: &str, otherwise: &str) -> String {
    std::env::args().skip_while(|argument| argument != name).nth(1).unwrap_or_else(|| otherwise.to_owned())
}

fn created(event: &Event) -> Event {
    let size = event.attribute("file.size").map(|size| size.to_string()).unwrap_or_default();
    event.derive(format!("{size} bytes\n")).with_status(201)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::WARN).init();
    let folder = setting("--into", "uploads");
    std::fs::create_dir_all(&folder)?;
    let listener = TcpListener::bind(setting("--bind", "127.0.0.1:8081"))?;
    println!("listening on http://{}", listener.local_addr()?);

    // Nobody's file is replaced by somebody else's, and a name cannot lead out of the folder.
    let settings =
        FileSinkSettings { form: FileSinkForm::Wholes, existing: Existing::Refuse, ..FileSinkSettings::default() };
    let mut director = Director::new("upload");
    let http = director.register("http", HttpServer::on(listener).route(Route::put("/files/{name}").streamed()));
    let files = director.register("files", FileSink::new(folder, "{http.path.name}", settings)?);
    let created = director.register("created", map(created));
    director.connect(http, files);
    director.connect(files, created);
    director.connect(created, http);
    director.connect_default_error(http); // 409 where the file is there, 503 where the disk is full, ...

    director.build()?.run_until(shutdown_signal(), Duration::from_secs(30)).await?;
    Ok(())
}
