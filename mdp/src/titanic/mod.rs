//! Durable requests (RFC 9, Titanic), inside the broker: a client hands a request in, gets a ticket, and fetches the
//! reply when it likes, also after the broker was killed in between.
//!
//! A client asks three services, in either version of the protocol:
//!
//! | service | body | answer |
//! |---|---|---|
//! | `titanic.request` | service, body... | `200`, ticket, once the request is on the disk |
//! | `titanic.reply` | ticket | `200`, body... when it is done; `300` while it is not; `400` where the ticket is unknown |
//! | `titanic.close` | ticket | `200`: request and reply are removed, whether they were there or not |
//!
//! Anything else that is asked is answered with `400` and a reason, also a request for a service `titanic.` or `mmi.`,
//! which the broker answers at once and which cannot run later. `500` and a reason mean that a limit was reached or the
//! disk failed: nothing was changed, try again. A client that never got its answer to `titanic.request`, because the
//! broker was killed, cannot know whether it was stored; one that asks again may have it run twice.
//!
//! A request runs at least once. It is given to the broker as soon as its service has workers, at most
//! [`ahead`](TitanicSettings::ahead) for each, and again when an attempt failed with a transient error, after pauses
//! that double. When [`attempts`](TitanicSettings::attempts) are used up, or the error is not transient, it has failed
//! for good: `titanic.reply` answers `500` and the error until it is closed. Attempts are counted anew after a restart.
//! What nobody closes expires after [`keep`](TitanicSettings::keep).
//!
//! [`Titanic`] is the state machine, without I/O; [`Store`] is the thread with the log, the format of which is
//! specified in the module `segment`. Whoever runs the broker carries [`TitanicOutput`]s and [`Report`]s between them:
//!
//! ```
//! # use std::time::Instant;
//! # use playhouse_engine::Result;
//! # use playhouse_mdp::protocol::{Address, Requester, Service, Version};
//! use playhouse_mdp::titanic::{Store, Titanic, TitanicOutput, TitanicSettings};
//!
//! # async fn run(folder: &std::path::Path) -> Result<()> {
//! let settings = TitanicSettings::default();
//! let (mut store, recovered) = Store::open(folder, &settings)?;
//! let mut titanic = Titanic::new(settings, recovered, Instant::now());
//!
//! let client = Requester { address: Address::new("client"), version: Version::V2 };
//! let mut outputs = Vec::new();
//! let asked = Service::new("titanic.request")?;
//! titanic.request(client, &asked, vec!["echo".into(), "hello".into()], Instant::now(), &mut outputs);
//! let [TitanicOutput::Store(order)] = &outputs[..] else { panic!("expected an order") };
//! store.send(order.clone())?;
//!
//! outputs.clear();
//! let report = store.report().await.expect("the store lives");
//! titanic.stored(report, Instant::now(), &mut outputs);
//! let [TitanicOutput::Answer { body, .. }] = &outputs[..] else { panic!("expected an answer") };
//! assert_eq!(body[0], "200");
//!
//! outputs.clear();
//! titanic.dispatch(|_service| 1, Instant::now(), &mut outputs);
//! assert!(matches!(outputs[..], [TitanicOutput::Store(_)]), "the body is read, then it is submitted");
//! # Ok(())
//! # }
//! # let folder = tempfile::tempdir().unwrap();
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(run(folder.path())).unwrap();
//! ```

mod compaction;
mod entry;
mod files;
mod log;
mod machine;
mod order;
mod queues;
mod record;
mod recovery;
mod report;
mod request;
mod segment;
mod settings;
mod statistics;
mod store;
mod sweep;
#[cfg(test)]
mod tests;

pub use machine::{Titanic, TitanicOutput};
pub use order::{Content, Order, Record, Report};
pub use recovery::Recovered;
pub use settings::TitanicSettings;
pub use statistics::TitanicStatistics;
pub use store::Store;
