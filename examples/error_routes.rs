//! What an actor fails on goes along its error route, with the error attached, to an actor that mends it or tells of it.
//!
//! Run: `cargo run --example error_routes`
//! Output:
//!     half of 8 is 4
//!     not halved: 7 (`7` is odd)
//!     not halved: seven (`seven` is not a number: invalid digit found in string)

use std::sync::Arc;
use std::time::Duration;

use playhouse::actors::Stdout;
use playhouse::{Director, Emitter, Error, Event, Result, map, source};
use tokio::sync::Notify;

fn half(event: &Event) -> Result<Event> {
    let text = event.payload().as_text()?;
    let number: u64 =
        text.parse().map_err(|error| Error::malformed(format!("`{text}` is not a number")).caused_by(error))?;
    match number % 2 {
        0 => Ok(event.derive(format!("half of {number} is {}", number / 2))),
        _ => Err(Error::unprocessable(format!("`{number}` is odd"))),
    }
}

fn tell(event: &Event) -> Event {
    let reason = event.error().map(Error::to_string).unwrap_or_default();
    event.derive(format!("not halved: {} ({reason})", event.payload())).without_error()
}

#[tokio::main]
async fn main() -> Result<()> {
    let done = Arc::new(Notify::new());
    let sent = done.clone();
    let texts = source(move |emitter: Emitter| {
        let sent = sent.clone();
        async move {
            emitter.send_all(["8", "7", "seven"].map(Event::new)).await?;
            sent.notify_one();
            Ok(())
        }
    });

    let mut director = Director::new("halves");
    let texts = director.register("texts", texts);
    let halve = director.register("halve", map(half));
    let tell = director.register("tell", map(tell));
    let print = director.register("print", Stdout::default());
    director.connect(texts, halve);
    director.connect(halve, print);
    director.connect_error(halve, tell);
    director.connect(tell, print);
    director.build()?.run_until(done.notified(), Duration::from_secs(5)).await?;
    Ok(())
}
