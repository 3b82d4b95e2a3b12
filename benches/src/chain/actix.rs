//! Actix actors. Its mailboxes bound only what waits for a reply, so `do_send` runs within a window as large as all the
//! queues of the others together. On two threads, each half of the chain has an arbiter: more moves between threads
//! would only slow it.

use std::time::{Duration, Instant};

use actix::{Actor, Addr, Arbiter, Context, Handler, Message, System};

use crate::chain::{ACTORS, CAPACITY, HOPS};
use crate::finish::Finish;
use crate::window::Window;
use crate::{Flavor, Item};

/// Runs the chain.
///
/// # Panics
/// Where the chain breaks.
#[must_use]
pub fn run<T: Item + Unpin>(flavor: Flavor, events: usize) -> Duration {
    System::new().block_on(async {
        let arbiters = match flavor {
            Flavor::CurrentThread => Vec::new(),
            Flavor::MultiThread => vec![Arbiter::new(), Arbiter::new()],
        };
        let arbiter = |place: usize| match arbiters.get(place * arbiters.len() / (ACTORS + 2)) {
            Some(arbiter) => arbiter.handle(),
            None => Arbiter::current(),
        };
        let mut window = Window::new(CAPACITY * HOPS);
        let (finish, finished) = Finish::after(events);
        let sink = Stage::<T>::Sink(finish, window.clone());
        let mut next = Stage::start_in_arbiter(&arbiter(ACTORS + 1), |_| sink);
        for place in (1..=ACTORS).rev() {
            next = Stage::start_in_arbiter(&arbiter(place), |_| Stage::Pass(next));
        }
        let began = Instant::now();
        arbiter(0).spawn(async move {
            let mut make = T::maker();
            for _ in 0..events {
                window.enter().await;
                next.do_send(Envelope(make()));
            }
        });
        finished.await.expect("the chain stands");
        let time = began.elapsed();
        for arbiter in arbiters {
            arbiter.stop();
            arbiter.join().expect("an arbiter ends well");
        }
        time
    })
}

struct Envelope<T>(T);

impl<T: Item> Message for Envelope<T> {
    type Result = ();
}

enum Stage<T: Item + Unpin> {
    Pass(Addr<Self>),
    Sink(Finish, Window),
}

impl<T: Item + Unpin> Actor for Stage<T> {
    type Context = Context<Self>;
}

impl<T: Item + Unpin> Handler<Envelope<T>> for Stage<T> {
    type Result = ();

    fn handle(&mut self, message: Envelope<T>, _: &mut Context<Self>) {
        match self {
            Self::Pass(next) => next.do_send(message),
            Self::Sink(finish, window) => {
                finish.take(message.0);
                window.leave();
            }
        }
    }
}
