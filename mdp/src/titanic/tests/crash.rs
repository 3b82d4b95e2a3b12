//! The log over a crash at every operation of the disk.

use std::collections::BTreeMap;

use playhouse_engine::Kind;

use super::super::order::{Content, Record};
use super::disk::Disk;
use super::log::{close, open, reply, request};
use crate::protocol::Ticket;

/// What a log must hold: what was acknowledged last, and what was under way after it.
#[derive(Default)]
struct Promised {
    kept: BTreeMap<Ticket, Option<Content>>,
    in_doubt: Vec<Record>,
}

/// Batches that fill segments, move what lives long, and leave segments behind.
fn batches() -> Vec<Vec<Record>> {
    let mut batches = vec![vec![request(1000), request(1001), reply(1001)]];
    for number in 0..40 {
        batches.push(vec![request(number), request(number + 100)]);
        batches.push(vec![reply(number)]);
        batches.push(vec![close(number)]);
        if number > 3 {
            batches.push(vec![reply(number + 96), close(number + 96)]);
        }
    }
    batches
}

/// Runs the batches and compacts in between until the disk dies.
fn run(disk: &Disk, promised: &mut Promised) {
    let Ok((mut log, _)) = super::super::log::Log::open(disk.clone(), super::log::SIZES, 1000) else { return };
    for batch in batches() {
        if log.append(&batch, 1000).is_err() {
            promised.in_doubt = batch;
            return;
        }
        for Record { ticket, content } in batch {
            promised.kept.insert(ticket, (content != Content::Close).then_some(content));
        }
        if log.wants_step() && log.step().is_err() {
            return;
        }
    }
}

#[track_caller]
fn check(disk: &Disk, promised: &Promised, when: &str) {
    let (log, recovered) = open(disk);
    for (ticket, kept) in &promised.kept {
        let doubts = promised.in_doubt.iter().filter(|record| record.ticket == *ticket).map(|record| &record.content);
        let mut possible: Vec<_> =
            doubts.cloned().map(|content| (content != Content::Close).then_some(content)).collect();
        possible.push(kept.clone());
        let found = match log.load(*ticket) {
            Ok(content) => Some(content),
            Err(error) if error.kind() == Kind::NotFound => None,
            Err(error) => panic!("{when}: {ticket}: {error}"),
        };
        assert!(possible.contains(&found), "{when}: {ticket}: expected one of {possible:?}, found {found:?}");
    }
    let most = promised.kept.values().flatten().count() + promised.in_doubt.len();
    assert!(recovered.requests() <= most, "{when}: {} requests", recovered.requests());
}

#[test]
fn a_crash_at_any_operation_loses_nothing_that_was_acknowledged_and_brings_nothing_back() {
    let disk = Disk::default();
    run(&disk, &mut Promised::default());
    let operations = disk.operations();
    assert!(operations > 300, "{operations}");
    let mut random = fastrand::Rng::with_seed(3);
    for operation in 0..=operations {
        let disk = Disk::default();
        disk.die_at(operation);
        let mut promised = Promised::default();
        run(&disk, &mut promised);
        check(&disk.after_kill(), &promised, &format!("killed at operation {operation}"));
        for _ in 0..3 {
            let after = disk.after_power_failure(&mut random);
            check(&after, &promised, &format!("power failed at operation {operation}"));
            // The second start finds what the first one mended.
            check(&after.after_power_failure(&mut random), &promised, &format!("power failed again at {operation}"));
        }
    }
}

#[test]
fn a_crash_while_a_log_is_opened_loses_nothing() {
    let disk = Disk::default();
    let mut promised = Promised::default();
    // In the middle of a write.
    disk.die_at(301);
    run(&disk, &mut promised);
    assert!(!promised.kept.is_empty());
    let mut random = fastrand::Rng::with_seed(5);
    for operation in 0..20 {
        let after = disk.after_power_failure(&mut random);
        after.die_at(operation);
        let _ = super::super::log::Log::open(after.clone(), super::log::SIZES, 1000);
        check(&after.after_kill(), &promised, &format!("killed at operation {operation} of opening"));
        check(&after.after_power_failure(&mut random), &promised, &format!("power failed at {operation} of opening"));
    }
}
