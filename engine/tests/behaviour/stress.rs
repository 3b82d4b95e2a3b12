//! Many of everything at once, on several threads: accounts balance, nothing is left in flight, receipts settle once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use playhouse_engine::{
    Actor, Error, Event, Kind, Outbox, Overflow, Policy, Receipt, Result, Retry, Settings, map, sink, source,
};

use crate::common::{Entry, SOON, both, director, tap};

/// How the receipts of a run have settled.
#[derive(Clone, Default)]
struct Settled {
    made: Arc<AtomicUsize>,
    well: Arc<AtomicUsize>,
    badly: Arc<AtomicUsize>,
}

impl Settled {
    fn event(&self) -> Event {
        self.made.fetch_add(1, Ordering::SeqCst);
        let (well, badly) = (self.well.clone(), self.badly.clone());
        let note = move |outcome: Result<()>| {
            let account = if outcome.is_ok() { &well } else { &badly };
            account.fetch_add(1, Ordering::SeqCst);
        };
        Event::new("event").with_receipt(Receipt::new(note))
    }

    #[track_caller]
    fn assert_all_did(&self) {
        let count = |account: &AtomicUsize| account.load(Ordering::SeqCst);
        assert_eq!(count(&self.made), count(&self.well) + count(&self.badly));
        assert!(count(&self.well) > 0);
    }
}

/// Waits, fails and panics now and then.
struct Moody;

impl Actor for Moody {
    async fn handle(&self, event: &Event, out: &mut Outbox) -> Result<()> {
        out.push(event);
        match fastrand::u8(..) {
            0..20 => tokio::task::yield_now().await,
            20..25 => return Err(Error::unavailable("a hiccup")),
            25..28 => return Err(Error::conflict("no")),
            28 => panic!("on purpose"),
            29..32 => tokio::time::sleep(Duration::from_micros(50)).await,
            _ => {}
        }
        Ok(())
    }
}

/// Sends in every way there is, and gives up on some sends.
async fn pester(entry: Entry, settled: Settled, until: Arc<std::sync::atomic::AtomicBool>) {
    while !until.load(Ordering::SeqCst) {
        let outcome = match fastrand::u8(..6) {
            0 | 1 => entry.send(settled.event()).await,
            2 => {
                let sending = entry.send(settled.event());
                // Given up at a time that nobody can foresee.
                tokio::select! {
                    biased;
                    () = turns(fastrand::usize(..3)) => Ok(()),
                    outcome = sending => outcome,
                }
            }
            3 => match entry.offer(settled.event()) {
                Err(error) if error.kind() == Kind::Overloaded => {
                    tokio::task::yield_now().await;
                    Ok(())
                }
                outcome => outcome,
            },
            4 => entry.send_all((0..fastrand::usize(..20)).map(|_| settled.event()).collect::<Vec<_>>()).await,
            _ => match entry.permit() {
                Ok(permit) => permit.send_from(0, settled.event()).await,
                Err(error) => Err(error),
            },
        };
        if let Err(error) = outcome {
            assert_eq!(error.kind(), Kind::Cancelled, "{error:?}");
            // It goes on a little: a source may be slow to learn of a stop.
            tokio::task::yield_now().await;
        }
    }
}

async fn turns(count: usize) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}

fn policy(workers: usize, capacity: usize, overflow: Overflow) -> Policy {
    Policy { workers: workers.into(), capacity, overflow, ..Policy::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn accounts_balance_under_everything_at_once() {
    both(async |settings| {
        for round in 0..6 {
            let settled = Settled::default();
            let mut director = director(settings.clone());
            let end = director.register_with("end", sink(|_| Ok(())), policy(2, 3, Overflow::Wait));
            let errors = director.register_with("errors", sink(|_| Ok(())), policy(1, 2, Overflow::Drop));
            let last = director.register("last", sink(|_| Ok(())));
            let retry =
                Retry { attempts: 3, first_wait: Duration::from_micros(20), longest_wait: Duration::from_micros(50) };
            let moody = Policy { retry, ..policy(3, 2, Overflow::Wait) };
            let moody = director.register_with("moody", Moody, moody);
            let shy = director.register_with("shy", Moody, policy(1, 1, Overflow::Shed));
            director.connect(moody, [end, last]);
            director.connect(shy, end);
            director.connect_error(moody, errors);
            let mut entries = Vec::new();
            for number in 0..4 {
                let (tap, entry) = tap();
                let tap = director.register(format!("tap {number}"), tap);
                let light =
                    director.register_with(format!("light {number}"), map(Event::clone), policy(1, 2, Overflow::Wait));
                director.connect(tap, light);
                director.connect(light, [moody, shy]);
                if number % 2 == 0 {
                    director.connect_error(light, errors);
                    // Two receivers, so that offers must have room in both.
                    director.connect(tap, moody);
                }
                entries.push(entry);
            }
            let running = director.build().unwrap().start().await.unwrap();
            let monitor = running.monitor();
            let until = Arc::new(std::sync::atomic::AtomicBool::new(false));
            let pests: Vec<_> = entries
                .into_iter()
                .flat_map(|entry| [entry.clone(), entry])
                .map(|entry| tokio::spawn(pester(entry, settled.clone(), until.clone())))
                .collect();
            while monitor.ledger().delivered < 3000 {
                let ledger = monitor.ledger();
                assert!(ledger.balances(), "{ledger}");
                tokio::task::yield_now().await;
            }
            if round % 3 == 2 {
                drop(running);
            } else {
                let ledger = running.stop(SOON).await.unwrap();
                assert_eq!(ledger.in_flight, 0);
            }
            until.store(true, Ordering::SeqCst);
            for pest in pests {
                tokio::time::timeout(SOON, pest).await.expect("no sender hangs").unwrap();
            }
            let ended = async {
                let count = |account: &AtomicUsize| account.load(Ordering::SeqCst);
                while count(&settled.made) != count(&settled.well) + count(&settled.badly) {
                    tokio::task::yield_now().await;
                }
            };
            if tokio::time::timeout(Duration::from_secs(5), ended).await.is_err() {
                settled.assert_all_did();
            }
            drop(monitor);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn senders_that_go_on_after_a_stop_do_not_disturb_it() {
    for _ in 0..100 {
        let mut director = director(Settings::default());
        let (tap, entry) = tap();
        let tap = director.register("tap", tap);
        let end = director.register("end", sink(|_| Ok(())));
        director.connect(tap, end);
        let running = director.build().unwrap().start().await.unwrap();
        let until = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let senders: Vec<_> = (0..2)
            .map(|_| {
                let (entry, until) = (entry.clone(), until.clone());
                tokio::spawn(async move {
                    while !until.load(Ordering::Relaxed) {
                        let _ = entry.offer(Event::new("one"));
                        let _ = entry.send_all([Event::new("two")]).await;
                    }
                })
            })
            .collect();
        while running.ledger().delivered < 10 {
            tokio::task::yield_now().await;
        }
        running.stop(SOON).await.unwrap();
        until.store(true, Ordering::Relaxed);
        for sender in senders {
            sender.await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn order_holds_for_each_source_while_others_send_to_the_same_actor() {
    both(async |settings| {
        let mut director = director(settings);
        let seen = Arc::new(std::sync::Mutex::new(vec![0_usize; 4]));
        let noted = seen.clone();
        let end = director.register_with(
            "end",
            sink(move |event| {
                let text = event.payload().to_string();
                let (source, number) = text.split_once(' ').unwrap();
                let next = &mut noted.lock().unwrap()[source.parse::<usize>().unwrap()];
                assert_eq!(number.parse::<usize>().unwrap(), *next);
                *next += 1;
                Ok(())
            }),
            policy(1, 4, Overflow::Wait),
        );
        let light = director.register_with("light", map(Event::clone), policy(1, 3, Overflow::Wait));
        director.connect(light, end);
        for number in 0..4 {
            let source = director.register(
                format!("source {number}"),
                source(move |emitter| async move {
                    for event in 0..3000 {
                        emitter.send(Event::new(format!("{number} {event}"))).await?;
                    }
                    Ok(())
                }),
            );
            director.connect(source, light);
        }
        let running = director.build().unwrap().start().await.unwrap();
        let monitor = running.monitor();
        let all = async {
            while monitor.actor("end").unwrap().received < 12_000 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(SOON, all).await.unwrap();
        let ledger = running.stop(SOON).await.unwrap();
        assert_eq!(ledger.failed, 0);
        assert_eq!(*seen.lock().unwrap(), [3000; 4]);
    })
    .await;
}
