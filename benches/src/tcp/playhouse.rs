//! Ours: whole events from a `TcpSink` to a `TcpSource`, each acknowledged when the flow behind it has handled it.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use ::playhouse::actors::{TcpSink, TcpSinkSettings, TcpSource, TcpSourceSettings};
use ::playhouse::{Director, Emitter, Event, source};

use crate::Flavor;
use crate::finish::Finish;
use crate::take::Take;
use crate::tcp::payload;

/// Carries `count` payloads of `size` bytes, and returns how long that took to the last acknowledgement.
///
/// # Panics
/// Where a flow does not run or does not stop.
#[must_use]
pub fn run(count: usize, size: usize) -> Duration {
    Flavor::MultiThread.runtime().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has ports");
        let address = listener.local_addr().expect("it is bound").to_string();

        let mut director = Director::new("taking");
        let tcp = TcpSource::on(listener, TcpSourceSettings::default()).expect("the settings are the default ones");
        let tcp = director.register("tcp", tcp);
        let (finish, finished) = Finish::after(count);
        let end = director.register("end", Take(finish));
        director.connect(tcp, end);
        let taking = director.build().expect("the flow is right").start().await.expect("the flow starts");

        let payload = payload(size);
        let mut director = Director::new("giving");
        let made = director.register(
            "made",
            source(move |emitter: Emitter| {
                let payload = payload.clone();
                async move { emitter.send_all((0..count).map(|_| Event::new(payload.clone()))).await }
            }),
        );
        let sink = TcpSink::to([address], TcpSinkSettings::default()).expect("the settings are the default ones");
        let sink = director.register("sink", sink);
        director.connect(made, sink);
        let flow = director.build().expect("the flow is right");
        let began = Instant::now();
        let giving = flow.start().await.expect("the flow starts");
        finished.await.expect("the connection stands");
        // It waits until all that was sent is acknowledged.
        let ledger = giving.stop(Duration::from_secs(60)).await.expect("the flow stops");
        let time = began.elapsed();
        assert_eq!((ledger.failed, ledger.dropped), (0, 0), "{ledger}");
        taking.stop(Duration::from_secs(60)).await.expect("the flow stops");
        time
    })
}
