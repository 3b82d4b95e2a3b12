//! Converts documents, one on each line of standard input, from JSON to XML or back, and prints what came of each, or why
//! nothing did, on a line of its own.
//!
//! Run: `echo '{"order": {"@id": 7, "line": ["pen", "ink"]}}' | cargo run --example convert -- json-to-xml`
//! Output:
//!     <order id="7"><line>pen</line><line>ink</line></order>

use std::sync::Arc;
use std::time::Duration;

use playhouse::actors::{JsonToXml, Stdout, XmlToJson};
use playhouse::{Director, Emitter, Error, Event, Receipt, Result, map, source};
use tokio::io::{AsyncBufReadExt, BufReader, stdin};
use tokio::sync::Notify;

/// Sends each line, once what came of the line before it is printed, so that answers and errors keep their order.
async fn lines(emitter: Emitter, done: Arc<Notify>) -> Result<()> {
    let mut lines = BufReader::new(stdin()).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        let (receipt, printed) = Receipt::awaited();
        emitter.send(Event::new(line).with_receipt(receipt)).await?;
        if printed.await.is_err() {
            break;
        }
    }
    done.notify_one();
    Ok(())
}

fn tell(event: &Event) -> Event {
    let reason = event.error().map(Error::to_string).unwrap_or_default();
    event.derive(format!("error: {}", reason.replace(['\r', '\n'], " "))).without_error()
}

#[tokio::main]
async fn main() -> Result<()> {
    let done = Arc::new(Notify::new());
    let read = done.clone();

    let mut director = Director::new("convert");
    let documents = director.register("documents", source(move |emitter| lines(emitter, read.clone())));
    let convert = match std::env::args().nth(1).as_deref() {
        Some("json-to-xml") => director.register("convert", JsonToXml::default()),
        Some("xml-to-json") => director.register("convert", XmlToJson::default()),
        _ => return Err(Error::malformed("expected the word `json-to-xml` or `xml-to-json`")),
    };
    let tell = director.register("tell", map(tell));
    let print = director.register("print", Stdout::default());
    director.connect(documents, convert);
    director.connect(convert, print);
    director.connect_error(convert, tell);
    director.connect(tell, print);
    director.build()?.run_until(done.notified(), Duration::from_secs(5)).await?;
    Ok(())
}
