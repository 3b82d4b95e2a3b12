//! A graph of very many actors, for the time that it takes to start it.

use std::time::{Duration, Instant};

use playhouse::{Director, Event, Settings, filter, sink, source};

use crate::Flavor;

/// How many actors stand one behind the other.
const LENGTH: usize = 100;

/// Returns the time from the first registration to the moment when all of `actors` run: lines of a hundred, each from a
/// source to a sink.
///
/// # Panics
/// Where the graph does not start.
#[must_use]
pub fn start(actors: usize, fusion: bool) -> Duration {
    Flavor::MultiThread.runtime().block_on(async {
        let began = Instant::now();
        let mut director = Director::with_settings("many", Settings { fusion, ..Settings::default() });
        for line in 0..actors / LENGTH {
            let mut last = director.register(format!("source-{line}"), source(|_| async { Ok(()) }));
            for place in 2..LENGTH {
                let next = director.register(format!("pass-{line}-{place}"), filter(|_: &Event| true));
                director.connect(last, next);
                last = next;
            }
            let sink = director.register(format!("sink-{line}"), sink(|_: &Event| Ok(())));
            director.connect(last, sink);
        }
        let flow = director.build().expect("the graph is right");
        let running = flow.start().await.expect("the graph starts");
        let time = began.elapsed();
        running.stop(Duration::from_secs(10)).await.expect("the graph stops");
        time
    })
}
