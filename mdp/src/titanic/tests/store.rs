//! The thread of the store, on a disk in memory.

use std::time::Duration;

use playhouse_engine::Kind;

use super::super::order::{Order, Report};
use super::super::{Store, TitanicSettings};
use super::disk::Disk;
use super::log::{close, reply, request, ticket};
use super::world::settings;

fn store(disk: &Disk) -> Store {
    Store::with(disk.clone(), &settings()).unwrap().0
}

async fn next(store: &mut Store) -> Report {
    let report = tokio::time::timeout(Duration::from_secs(60), store.report()).await;
    report.expect("the store reports in time").expect("the thread lives")
}

#[tokio::test]
async fn what_the_disk_refuses_is_reported_and_what_comes_next_is_stored() {
    let disk = Disk::default();
    let mut store = store(&disk);
    disk.fail_syncs(1);
    store.send(Order::Append(request(1))).unwrap();
    let Report::Refused { records: 1, error } = next(&mut store).await else { panic!("expected a refusal") };
    assert_eq!(error.kind(), Kind::Unavailable);
    store.send(Order::Append(request(2))).unwrap();
    assert!(matches!(next(&mut store).await, Report::Committed { records: 1, disk_size } if disk_size > 0));
    store.send(Order::Load(ticket(1))).unwrap();
    let Report::Loaded(loaded) = next(&mut store).await else { panic!("expected what was read") };
    assert_eq!(loaded[0].1.as_ref().unwrap_err().kind(), Kind::NotFound);
    store.send(Order::Load(ticket(2))).unwrap();
    let Report::Loaded(loaded) = next(&mut store).await else { panic!("expected what was read") };
    assert_eq!(loaded[0].1.as_ref().unwrap(), &request(2).content);
}

#[tokio::test]
async fn compaction_goes_on_while_nothing_is_ordered() {
    let disk = Disk::default();
    let mut store = store(&disk);
    let mut smallest = u64::MAX;
    for number in 0..200 {
        for record in [request(number), reply(number), close(number)] {
            store.send(Order::Append(record)).unwrap();
        }
        let mut committed = 0;
        while committed < 3 {
            match next(&mut store).await {
                Report::Committed { records, .. } => committed += records,
                Report::Shrunk { disk_size } => smallest = disk_size,
                other => panic!("{other:?}"),
            }
        }
    }
    while smallest > 3 * 2048 {
        match next(&mut store).await {
            Report::Shrunk { disk_size } => smallest = disk_size,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_store_whose_disk_hangs_refuses_orders_and_never_blocks() {
    let disk = Disk::default();
    let (store, _) = Store::with(disk.clone(), &settings()).unwrap();
    let hangs = disk.block();
    // What the thread has taken already, and what has room.
    let most = (4 << 20) / 33 + settings().orders() + 1;
    let error = (0..=most).find_map(|number| store.send(Order::Append(close(number as u128))).err());
    let error = error.expect("the queue is bounded");
    assert_eq!((error.kind(), error.message()), (Kind::Overloaded, "the store takes no more orders"));
    drop(hangs);
    let reports = store.close().unwrap();
    assert!(!reports.is_empty());
}

#[test]
fn a_store_closes_though_nobody_takes_its_reports() {
    let settings = TitanicSettings { unsynced: 1, submitted: 1, ..settings() };
    let (store, _) = Store::with(Disk::default(), &settings).unwrap();
    for _ in 0..100 {
        store.send(Order::Append(request(1))).unwrap();
    }
    store.close().unwrap();
}
