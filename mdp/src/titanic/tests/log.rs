//! The log alone: what is found after a start, what damage does, what compaction keeps.

use bytes::Bytes;
use playhouse_engine::Kind;

use super::super::log::{Log, Sizes};
use super::super::order::{Content, Record};
use super::super::recovery::{Recovered, RecoveredState};
use super::super::segment;
use super::disk::Disk;
use crate::protocol::{Service, Ticket};

pub(super) const SIZES: Sizes = Sizes { segment: 512, disk: 1 << 20 };

pub(super) fn open(disk: &Disk) -> (Log<Disk>, Recovered) {
    Log::open(disk.clone(), SIZES, 1_000_000).unwrap()
}

pub(super) fn ticket(number: u128) -> Ticket {
    Ticket::from_u128(number)
}

pub(super) fn request(number: u128) -> Record {
    let body = vec![Bytes::from(format!("body of {number}")), Bytes::new()];
    let content = Content::Request { service: Service::new("echo").unwrap(), body };
    Record { ticket: ticket(number), content }
}

pub(super) fn reply(number: u128) -> Record {
    Record { ticket: ticket(number), content: Content::Reply(vec![Bytes::from(format!("reply of {number}"))]) }
}

pub(super) fn close(number: u128) -> Record {
    Record { ticket: ticket(number), content: Content::Close }
}

/// Makes a log of one segment: requests 0 to 5, of which 1 is closed, 2 has a reply and 3 has failed.
fn small() -> (Disk, Vec<u8>) {
    let disk = Disk::default();
    let (mut log, _) = open(&disk);
    let failed = Record { ticket: ticket(3), content: Content::Failed(Bytes::from_static(b"no")) };
    for record in [request(0), request(1), close(1), request(2), reply(2), request(3), failed, request(4), request(5)] {
        log.append(&[record], 1000).unwrap();
    }
    let bytes = disk.bytes(&segment::name(1));
    (disk, bytes)
}

/// Says what of [`small`] is there, and that nothing there is wrong.
#[track_caller]
fn found(log: &Log<Disk>) -> Vec<(u128, Content)> {
    let contents = (0..6).filter_map(|number| match log.load(ticket(number)) {
        Ok(content) => Some((number, content)),
        Err(error) => {
            assert!(matches!(error.kind(), Kind::NotFound | Kind::Internal), "{error}");
            None
        }
    });
    let contents: Vec<_> = contents.collect();
    for (number, content) in &contents {
        let failed = Content::Failed(Bytes::from_static(b"no"));
        let possible = [request(*number).content, reply(*number).content, failed];
        assert!(possible.contains(content), "{number}: {content:?}");
    }
    contents
}

#[test]
fn a_log_is_found_as_it_was_left() {
    let (disk, _) = small();
    let (log, recovered) = open(&disk);
    let states: Vec<_> = recovered.requests.iter().map(|request| (request.ticket, request.state)).collect();
    let waiting = RecoveredState::Waiting(0);
    let expected =
        [(0, waiting), (2, RecoveredState::Replied), (3, RecoveredState::Failed), (4, waiting), (5, waiting)];
    assert_eq!(states, expected.map(|(number, state)| (ticket(number), state)));
    assert_eq!(recovered.damages(), 0);
    let failed = Content::Failed(Bytes::from_static(b"no"));
    let expected = [request(0).content, reply(2).content, failed, request(4).content, request(5).content];
    let contents: Vec<_> = found(&log).into_iter().map(|(_, content)| content).collect();
    assert_eq!(contents, expected);
}

#[test]
fn records_of_one_batch_keep_their_order() {
    let disk = Disk::default();
    let (mut log, _) = open(&disk);
    let numbers = [5, 3, 9, 1];
    log.append(&numbers.map(request), 1000).unwrap();
    log.append(&[request(0)], 900).unwrap();
    let (_, recovered) = open(&disk);
    let found: Vec<_> = recovered.requests.iter().map(|request| request.ticket.as_u128()).collect();
    assert_eq!(found, [5, 3, 9, 1, 0]);
}

#[test]
fn a_log_that_ends_anywhere_keeps_every_whole_record_before_and_goes_on() {
    let (_, bytes) = small();
    let mut most = 0;
    for end in 0..=bytes.len() {
        let disk = Disk::default();
        disk.put(&segment::name(1), bytes[..end].to_vec());
        let (mut log, recovered) = open(&disk);
        assert_eq!(recovered.damages(), 0, "cut at {end}");
        assert_eq!(disk.used() as u64, log.disk_size(), "cut at {end}");
        let count = found(&log).len();
        // A close takes one away again.
        assert!(count + 1 >= most, "cut at {end}");
        most = most.max(count);
        log.append(&[request(7)], 2000).unwrap();
        // Until it is no longer the last segment, whose end may be anything.
        for number in 10..20 {
            log.append(&[request(number)], 2000).unwrap();
        }
        drop(log);
        let (log, recovered) = open(&disk);
        assert_eq!(recovered.damages(), 0, "cut at {end}");
        assert_eq!(found(&log).len(), count, "cut at {end}");
        assert_eq!(log.load(ticket(7)).unwrap(), request(7).content, "cut at {end}");
    }
    assert_eq!(most, 5);
}

#[test]
fn a_flipped_bit_costs_one_record_at_most_where_the_length_is_spared() {
    let (_, bytes) = small();
    let mut random = fastrand::Rng::with_seed(7);
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let disk = Disk::default();
        disk.put(&segment::name(1), flipped);
        let Ok((log, _)) = Log::open(disk.clone(), SIZES, 1_000_000) else {
            assert!((8 * 8..12 * 8).contains(&bit), "bit {bit} is not of the version");
            continue;
        };
        found(&log);
    }
    // The body of the first request: only that one is gone.
    let mut flipped = bytes;
    flipped[segment::HEADER as usize + 45] ^= 1 << random.u8(..8);
    let disk = Disk::default();
    disk.put(&segment::name(1), flipped);
    let (log, recovered) = open(&disk);
    assert_eq!(recovered.damages(), 1);
    assert_eq!(found(&log).iter().map(|(number, _)| *number).collect::<Vec<_>>(), [2, 3, 4, 5]);
}

#[test]
fn random_damage_never_panics_and_never_gives_a_wrong_body() {
    let (_, bytes) = small();
    let mut random = fastrand::Rng::with_seed(11);
    for _ in 0..5000 {
        let mut damaged = bytes.clone();
        for _ in 0..random.usize(1..20) {
            let at = random.usize(..damaged.len());
            match random.u8(..3) {
                0 => damaged[at] = random.u8(..),
                1 => damaged[at..].fill(0),
                _ => damaged.truncate(at.max(1)),
            }
        }
        let disk = Disk::default();
        disk.put(&segment::name(1), damaged);
        // Only a header that speaks of a later version may keep the log closed.
        if let Ok((mut log, _)) = Log::open(disk.clone(), SIZES, 1_000_000) {
            found(&log);
            log.append(&[request(7)], 2000).unwrap();
            assert_eq!(log.load(ticket(7)).unwrap(), request(7).content);
        }
    }
}

#[test]
fn a_body_that_looks_like_a_record_does_not_become_one() {
    let disk = Disk::default();
    let (mut log, _) = open(&disk);
    log.append(&[request(0)], 1000).unwrap();
    let record = disk.bytes(&segment::name(1))[segment::HEADER as usize..].to_vec();
    let body = vec![Bytes::from(record.repeat(5))];
    let content = Content::Request { service: Service::new("echo").unwrap(), body };
    log.append(&[close(0), Record { ticket: ticket(1), content }], 1000).unwrap();
    let bytes = disk.bytes(&segment::name(1));
    for end in 0..bytes.len() {
        let disk = Disk::default();
        disk.put(&segment::name(1), bytes[bytes.len() - end..].to_vec());
        assert_eq!(found(&open(&disk).0), []);
    }
}

#[test]
fn a_damaged_segment_does_not_keep_the_others_from_being_read_and_is_put_aside() {
    let disk = Disk::default();
    let (mut log, _) = open(&disk);
    for number in 0..30 {
        log.append(&[request(number)], 1000).unwrap();
    }
    drop(log);
    let mut bytes = disk.bytes(&segment::name(1));
    bytes[3] ^= 1;
    disk.put(&segment::name(1), bytes);
    let (mut log, recovered) = open(&disk);
    assert_eq!(recovered.damages(), 1);
    assert!((15..30).contains(&recovered.requests()), "{}", recovered.requests());
    while log.wants_step() {
        log.step().unwrap();
    }
    let names = super::super::files::Files::names(&disk).unwrap();
    assert!(names.contains(&segment::damaged_name(1)) && !names.contains(&segment::name(1)), "{names:?}");
    assert_eq!(open(&disk).1.damages(), 0);
}

#[test]
fn a_log_of_a_later_version_is_refused() {
    let (disk, mut bytes) = small();
    bytes[8] = 2;
    let crc = crc32fast::hash(&bytes[..16]).to_le_bytes();
    bytes[16..20].copy_from_slice(&crc);
    disk.put(&segment::name(1), bytes);
    let error = Log::open(disk, SIZES, 0).unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    assert_eq!(error.message(), "`disk/titanic-0000000001.log`: expected version 1 of the log's format, found 2");
}

#[test]
fn compaction_keeps_what_lives_and_gives_back_the_rest() {
    let disk = Disk::default();
    let (mut log, _) = open(&disk);
    for number in 0..1000 {
        log.append(&[request(number), reply(number)], 1000).unwrap();
        if number % 10 != 0 {
            log.append(&[close(number)], 1000).unwrap();
        }
        while log.wants_step() {
            log.step().unwrap();
        }
    }
    for log in [log, open(&disk).0] {
        for number in 0..1000 {
            match log.load(ticket(number)) {
                Ok(content) => assert!(number % 10 == 0 && content == reply(number).content),
                Err(error) => assert!(number % 10 != 0 && error.kind() == Kind::NotFound),
            }
        }
    }
    // 100 replies live, so as much again may be dead, and a segment.
    let live = 100 * (33 + 4 + 12);
    assert!(disk.used() < 2 * live + 2048, "{}", disk.used());
}

#[test]
fn a_log_without_requests_takes_no_more_than_its_last_segments() {
    let disk = Disk::default();
    let (mut log, _) = open(&disk);
    for number in 0..1000 {
        log.append(&[request(number)], 1000).unwrap();
        log.append(&[close(number)], 1000).unwrap();
        while log.wants_step() {
            log.step().unwrap();
        }
    }
    assert!(disk.used() < 3 * 512, "{}", disk.used());
    assert_eq!(open(&disk).1.requests(), 0);
}

#[test]
fn a_close_never_goes_before_what_it_closes() {
    let mut random = fastrand::Rng::with_seed(13);
    let disk = Disk::default();
    let (mut log, _) = open(&disk);
    let all = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
    log.append(&all.map(request), 1000).unwrap();
    log.append(&all.map(close), 1000).unwrap();
    log.append(&all.map(close), 1000).unwrap();
    log.append(&[request(10)], 1000).unwrap();
    // Two segments go, and none is made meanwhile.
    for _ in 0..2 {
        assert!(log.wants_step());
        log.step().unwrap();
        for _ in 0..20 {
            assert_eq!(open(&disk.after_power_failure(&mut random)).1.requests(), 1);
        }
    }
    assert!(!log.wants_step());
}

#[test]
fn a_full_disk_refuses_and_takes_again_what_fits() {
    let disk = Disk::default();
    let (mut log, _) = open(&disk);
    log.append(&[request(0)], 1000).unwrap();
    disk.limit(Some(disk.used() + 10));
    let error = log.append(&[request(1)], 1000).unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().starts_with("`disk/titanic-0000000001.log`: cannot write to the file: "), "{error}");
    assert_eq!(log.load(ticket(1)).unwrap_err().kind(), Kind::NotFound);
    disk.limit(None);
    log.append(&[request(2)], 1000).unwrap();
    for log in [log, open(&disk).0] {
        let contents: Vec<_> = found(&log).into_iter().map(|(number, _)| number).collect();
        assert_eq!(contents, [0, 2]);
    }
}

#[test]
fn a_sync_that_fails_keeps_nothing_of_its_batch_and_leaves_its_segment() {
    let disk = Disk::default();
    let (mut log, _) = open(&disk);
    log.append(&[request(0)], 1000).unwrap();
    disk.fail_syncs(1);
    assert!(log.append(&[request(1)], 1000).is_err());
    log.append(&[request(2)], 1000).unwrap();
    assert!(!disk.bytes(&segment::name(2)).is_empty());
    let (log, recovered) = open(&disk);
    assert_eq!((recovered.requests(), recovered.damages()), (2, 0));
    assert_eq!(found(&log).len(), 2);
}
