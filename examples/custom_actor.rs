//! An actor of one's own, and its test: it counts the words of a text.
//!
//! Run: `cargo run --example custom_actor`, and its test: `cargo test --example custom_actor`
//! Output:
//!     to be or not to be: 6 words
//!     : 0 words

use std::sync::Arc;
use std::time::Duration;

use playhouse::actors::Stdout;
use playhouse::{Director, Emitter, Event, Light, Outbox, Result, source};
use tokio::sync::Notify;

struct CountWords;

impl Light for CountWords {
    fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        let text = event.payload().as_text()?;
        let count = text.split_whitespace().count();
        out.push(event.derive(format!("{text}: {count} words")));
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let done = Arc::new(Notify::new());
    let sent = done.clone();
    let texts = source(move |emitter: Emitter| {
        let sent = sent.clone();
        async move {
            emitter.send_all(["to be or not to be", ""].map(Event::new)).await?;
            sent.notify_one();
            Ok(())
        }
    });

    let mut director = Director::new("words");
    let texts = director.register("texts", texts);
    let count = director.register("count", CountWords);
    let print = director.register("print", Stdout::default());
    director.connect(texts, count);
    director.connect(count, print);
    director.build()?.run_until(done.notified(), Duration::from_secs(5)).await?;
    Ok(())
}

#[tokio::test]
async fn words_are_counted() {
    let outputs = playhouse::testing::feed(&CountWords, Event::new(" to  be ")).await.unwrap();
    assert_eq!(outputs[0].event.payload().to_string(), " to  be : 2 words");
}
