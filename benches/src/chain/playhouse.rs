//! Ours: light actors, each connected to the next.

use std::time::{Duration, Instant};

use playhouse::{Director, Emitter, Event, Light, Outbox, Result, Settings, source};

use crate::chain::ACTORS;
use crate::finish::Finish;
use crate::take::Take;
use crate::{Flavor, Item};

/// Runs the chain.
///
/// # Panics
/// Where the chain breaks.
#[must_use]
pub fn run<T: Item>(flavor: Flavor, fusion: bool, events: usize) -> Duration {
    let settings = Settings { fusion, ..Settings::default() };
    let mut director = Director::with_settings("chain", settings);
    let mut last = director.register(
        "source",
        source(move |emitter: Emitter| async move {
            let mut make = T::maker();
            let items = std::iter::repeat_with(move || Event::new(make()));
            emitter.send_all(items.take(events)).await
        }),
    );
    for number in 0..ACTORS {
        let pass = director.register(format!("pass-{number}"), Pass);
        director.connect(last, pass);
        last = pass;
    }
    let (finish, finished) = Finish::after(events);
    let sink = director.register("sink", Take(finish));
    director.connect(last, sink);
    flavor.runtime().block_on(async {
        let flow = director.build().expect("the chain is right");
        let began = Instant::now();
        let running = flow.start().await.expect("the chain starts");
        finished.await.expect("the chain stands");
        let time = began.elapsed();
        let ledger = running.stop(Duration::from_secs(10)).await;
        ledger.expect("the chain stops well");
        time
    })
}

struct Pass;

impl Light for Pass {
    fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        out.push(event);
        Ok(())
    }
}
