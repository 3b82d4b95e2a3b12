//! Ours: a source connected to light sinks.

use std::time::{Duration, Instant};

use bytes::Bytes;
use playhouse::{Director, Emitter, Event, Settings, source};

use crate::fan::maker;
use crate::finish::Finish;
use crate::take::Take;
use crate::{Flavor, Item};

/// Runs the fan.
///
/// # Panics
/// Where the fan breaks.
#[must_use]
pub fn run<T: Item + Into<Bytes>>(flavor: Flavor, fusion: bool, width: usize, events: usize) -> Duration {
    let settings = Settings { fusion, ..Settings::default() };
    let mut director = Director::with_settings("fan", settings);
    let source = director.register(
        "source",
        source(move |emitter: Emitter| async move {
            let mut make = maker::<T>();
            let items = std::iter::repeat_with(move || Event::new(make()));
            emitter.send_all(items.take(events)).await
        }),
    );
    let mut all_finished = Vec::new();
    for number in 0..width {
        let (finish, finished) = Finish::after(events);
        let sink = director.register(format!("sink-{number}"), Take(finish));
        director.connect(source, sink);
        all_finished.push(finished);
    }
    flavor.runtime().block_on(async {
        let flow = director.build().expect("the fan is right");
        let began = Instant::now();
        let running = flow.start().await.expect("the fan starts");
        for finished in all_finished {
            finished.await.expect("the fan stands");
        }
        let time = began.elapsed();
        let ledger = running.stop(Duration::from_secs(10)).await;
        ledger.expect("the fan stops well");
        time
    })
}
