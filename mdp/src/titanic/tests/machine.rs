//! RFC 9, line by line, and what it leaves open.

use std::time::Duration;

use bytes::Bytes;
use playhouse_engine::Error;

use super::super::{TitanicSettings, TitanicStatistics};
use super::world::{World, frames, service, settings};
use crate::protocol::Ticket;

fn world() -> World {
    World::new(settings())
}

/// A world in which no service has workers.
fn idle() -> World {
    let mut world = world();
    world.workers = 0;
    world
}

#[test]
fn a_request_is_acknowledged_only_after_it_was_synced() {
    let mut world = idle();
    world.ask("titanic.request", frames(&["echo", "a", "b"]));
    world.dispatch();
    assert!(world.answers.is_empty());
    world.store(1);
    let answer = world.texts(0);
    assert_eq!(answer[0], "200");
    assert!(answer[1].len() == 32 && answer[1].bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
    assert_eq!(world.answers[0].1, service("titanic.request"));
}

#[test]
fn what_is_no_request_is_answered_with_400() {
    let mut world = idle();
    let long = "x".repeat(5000);
    let cases: [(&[&str], &str); 6] = [
        (&[], "expected a service and a body of at least 1 frame, found 0 frames"),
        (&["echo"], "expected a service and a body of at least 1 frame, found 1 frames"),
        (&["", "a"], "expected a service name of 1 to 255 bytes, found 0"),
        (&["ec\nho", "a"], "expected a service name of printable characters, found `ec\\nho`"),
        (&["echo", &long], "expected a request of at most 4096 bytes, found 5004"),
        (
            &["titanic.request", "a"],
            "expected a service that workers offer, found `titanic.request`, which the broker answers",
        ),
    ];
    for (body, reason) in cases {
        assert_eq!(world.call("titanic.request", body), ["400", reason]);
    }
    assert_eq!(world.call("titanic.request", &["mmi.service", "echo"])[0], "400");
    let reason = "expected `titanic.request`, `titanic.reply` or `titanic.close`, found `titanic.other`";
    assert_eq!(world.call("titanic.other", &["a"]), ["400", reason]);
    assert_eq!(world.titanic.statistics(), TitanicStatistics { invalid: 8, ..TitanicStatistics::default() });
}

#[test]
fn names_that_only_resemble_those_of_the_broker_are_ordinary() {
    let mut world = idle();
    for name in ["titanic", "mmi", "xmmi.service", "xtitanic.request"] {
        world.request(&[name, "a"]);
    }
}

#[test]
fn a_reply_is_pending_then_there_and_stays_there() {
    let mut world = world();
    let ticket = world.request(&["echo", "a", ""]);
    assert_eq!(world.call("titanic.reply", &[&ticket]), ["300"]);
    assert_eq!(world.submitted[0].1, service("echo"));
    assert_eq!(world.submitted[0].2, frames(&["a", ""]));
    world.work(Ok(frames(&["b", "", "c"])));
    for _ in 0..3 {
        assert_eq!(world.call("titanic.reply", &[&ticket]), ["200", "b", "", "c"]);
    }
    assert_eq!(world.call("titanic.reply", &[&ticket.to_uppercase()])[0], "200");
}

#[test]
fn a_reply_is_pending_until_it_was_synced() {
    let mut world = world();
    let ticket = world.request(&["echo", "a"]);
    let (number, ..) = world.submitted[0];
    world.end(number, Ok(frames(&["b"])));
    world.ask("titanic.reply", frames(&[&ticket]));
    assert_eq!(world.texts(1), ["300"]);
}

#[test]
fn a_ticket_that_is_none_is_answered_with_400() {
    let mut world = idle();
    let known = world.request(&["echo", "a"]);
    let long = format!("{known}0");
    let dashes = format!("{}-{}", &known[..16], &known[17..]);
    for wrong in ["", "../", "../../../../../../../etc/passwd0", &known[1..], &long, &dashes, &"g".repeat(32)] {
        assert_eq!(world.call("titanic.reply", &[wrong]), ["400"], "{wrong}");
        assert_eq!(world.call("titanic.close", &[wrong]), ["400"], "{wrong}");
    }
    for body in [&[][..], &[&known, "more"]] {
        assert_eq!(world.call("titanic.reply", body), ["400"]);
        assert_eq!(world.call("titanic.close", body), ["400"]);
    }
    assert_eq!(world.call("titanic.reply", &[&"0".repeat(32)]), ["400"]);
}

#[test]
fn a_close_removes_request_and_reply_and_may_be_repeated() {
    let mut world = world();
    let ticket = world.request(&["echo", "a"]);
    world.work(Ok(frames(&["b"])));
    for _ in 0..2 {
        assert_eq!(world.call("titanic.close", &[&ticket]), ["200"]);
        assert_eq!(world.call("titanic.reply", &[&ticket]), ["400"]);
    }
    assert_eq!(world.call("titanic.close", &[&"0".repeat(32)]), ["200"]);
    let statistics = world.titanic.statistics();
    assert_eq!((statistics.closed, statistics.requests), (1, 0));
    let mut world = world.after_kill();
    assert_eq!(world.call("titanic.reply", &[&ticket]), ["400"]);
}

#[test]
fn a_pending_request_that_is_closed_never_runs() {
    let mut world = idle();
    let first = world.request(&["echo", "first"]);
    world.request(&["echo", "second"]);
    assert_eq!(world.call("titanic.close", &[&first]), ["200"]);
    world.workers = 1;
    world.advance(Duration::from_secs(1));
    world.settle();
    assert_eq!(world.submitted.len(), 1);
    assert_eq!(world.submitted[0].2, frames(&["second"]));
}

#[test]
fn the_late_answer_to_a_closed_request_is_dropped() {
    let mut world = world();
    let ticket = world.request(&["echo", "a"]);
    assert_eq!(world.titanic.statistics().running, 1);
    assert_eq!(world.call("titanic.close", &[&ticket]), ["200"]);
    assert_eq!(world.call("titanic.reply", &[&ticket]), ["400"]);
    assert_eq!(world.titanic.statistics().running, 1);
    world.work(Ok(frames(&["late"])));
    let statistics = world.titanic.statistics();
    assert_eq!((statistics.late, statistics.running, statistics.requests), (1, 0, 0));
    assert_eq!(world.call("titanic.reply", &[&ticket]), ["400"]);
}

#[test]
fn an_answer_that_comes_while_the_close_is_written_does_not_undo_it() {
    let mut world = world();
    let ticket = world.request(&["echo", "a"]);
    world.ask("titanic.close", frames(&[&ticket]));
    world.work(Ok(frames(&["late"])));
    assert_eq!(world.call("titanic.reply", &[&ticket]), ["400"]);
    assert_eq!(world.titanic.statistics().running, 0);
    assert_eq!(world.call("titanic.reply", &[&ticket]), ["400"]);
    let mut world = world.after_kill();
    assert_eq!(world.call("titanic.reply", &[&ticket]), ["400"]);
}

#[test]
fn a_request_waits_for_its_service_to_have_workers() {
    let mut world = idle();
    world.request(&["echo", "a"]);
    world.advance(Duration::from_secs(3600));
    world.settle();
    assert!(world.submitted.is_empty());
    world.workers = 1;
    assert!(world.titanic.next_tick().unwrap() <= world.now + Duration::from_millis(250));
    world.titanic.workers_came(&service("echo"));
    world.settle();
    assert_eq!(world.submitted.len(), 1);
}

#[test]
fn no_more_is_submitted_than_workers_can_take_and_in_the_order_of_arrival() {
    let mut world = World::new(TitanicSettings { ahead: 2, ..settings() });
    for number in 0..10 {
        world.request(&["echo", &number.to_string()]);
    }
    assert_eq!(world.submitted.len(), 2);
    for number in 0..10 {
        assert_eq!(world.submitted[0].2, frames(&[&number.to_string()]));
        world.work(Ok(frames(&["done"])));
    }
    assert_eq!(world.titanic.statistics().replied, 10);
}

#[test]
fn services_take_turns_where_not_all_can_be_submitted() {
    let mut world = World::new(TitanicSettings { submitted: 2, ..settings() });
    world.workers = 0;
    for number in 0..4 {
        world.request(&["busy", &number.to_string()]);
    }
    world.request(&["other", "0"]);
    world.workers = 1;
    world.advance(Duration::from_secs(1));
    world.settle();
    let services: Vec<_> = world.submitted.iter().map(|(_, service, _)| service.as_str().to_owned()).collect();
    assert_eq!(services, ["busy", "other"]);
}

#[test]
fn a_request_that_fails_is_tried_again_after_growing_pauses_and_then_kept_as_failed() {
    let mut world = World::new(TitanicSettings { attempts: 3, ..settings() });
    let ticket = world.request(&["echo", "a"]);
    for pause in [1, 2] {
        world.work(Err(Error::unavailable("3 workers died of it")));
        assert_eq!(world.titanic.next_tick(), Some(world.now + Duration::from_secs(pause)));
        world.advance(Duration::from_secs(pause) - Duration::from_millis(1));
        world.settle();
        assert!(world.submitted.is_empty());
        assert_eq!(world.call("titanic.reply", &[&ticket]), ["300"]);
        world.advance(Duration::from_millis(1));
        world.settle();
        assert_eq!(world.submitted.len(), 1);
    }
    world.work(Err(Error::unavailable("3 workers died of it")));
    assert_eq!(world.call("titanic.reply", &[&ticket]), ["500", "3 workers died of it"]);
    let mut world = world.after_kill();
    assert_eq!(world.call("titanic.reply", &[&ticket]), ["500", "3 workers died of it"]);
    assert!(world.submitted.is_empty());
    assert_eq!(world.call("titanic.close", &[&ticket]), ["200"]);
    assert_eq!(world.call("titanic.reply", &[&ticket]), ["400"]);
}

#[test]
fn an_error_that_no_other_attempt_can_mend_is_final_at_once() {
    let mut world = world();
    let ticket = world.request(&["echo", "a"]);
    world.work(Err(Error::malformed("no JSON")));
    assert_eq!(world.call("titanic.reply", &[&ticket]), ["500", "no JSON"]);
}

#[test]
fn attempts_that_say_nothing_about_the_request_do_not_count() {
    let mut world = World::new(TitanicSettings { attempts: 1, ..settings() });
    let ticket = world.request(&["echo", "a"]);
    for error in [Error::timeout("no worker came"), Error::overloaded("full"), Error::cancelled("stopped")] {
        world.work(Err(error));
        world.advance(Duration::from_secs(1));
        world.settle();
        assert_eq!(world.submitted.len(), 1);
    }
    world.work(Ok(frames(&["b"])));
    assert_eq!(world.call("titanic.reply", &[&ticket]), ["200", "b"]);
}

#[test]
fn a_reply_that_is_too_large_is_a_failure() {
    let mut world = world();
    let ticket = world.request(&["echo", "a"]);
    world.work(Ok(vec![Bytes::from(vec![0; 4097])]));
    let reason = "expected a reply of at most 4096 bytes, found 4097";
    assert_eq!(world.call("titanic.reply", &[&ticket]), ["500", reason]);
}

#[test]
fn what_was_pending_or_running_at_a_kill_runs_again_and_what_was_done_does_not() {
    let mut world = World::new(TitanicSettings { ahead: 2, ..settings() });
    let tickets: Vec<_> = ["a", "b", "c"].map(|body| world.request(&["echo", body])).into();
    world.work(Ok(frames(&["done"])));
    let mut world = world.after_kill();
    world.settle();
    let bodies: Vec<_> = world.submitted.iter().map(|(_, _, body)| body.clone()).collect();
    assert_eq!(bodies, [frames(&["b"]), frames(&["c"])]);
    assert_eq!(world.call("titanic.reply", &[&tickets[0]]), ["200", "done"]);
    assert_eq!(world.call("titanic.reply", &[&tickets[1]]), ["300"]);
}

#[test]
fn a_disk_that_fails_refuses_requests_with_500_and_the_next_one_goes_through() {
    let mut world = idle();
    world.disk.fail_syncs(1);
    assert_eq!(world.call("titanic.request", &["echo", "a"]), ["500", "the disk does not take it"]);
    world.request(&["echo", "a"]);
    let statistics = world.titanic.statistics();
    assert_eq!((statistics.refused, statistics.stored, statistics.requests), (1, 1, 1));
}

#[test]
fn a_close_that_the_disk_refuses_changes_nothing() {
    let mut world = world();
    let ticket = world.request(&["echo", "a"]);
    world.disk.fail_syncs(1);
    assert_eq!(world.call("titanic.close", &[&ticket]), ["500", "the disk does not take it"]);
    assert_eq!(world.call("titanic.reply", &[&ticket]), ["300"]);
    world.work(Ok(frames(&["b"])));
    assert_eq!(world.call("titanic.reply", &[&ticket]), ["200", "b"]);
}

#[test]
fn a_request_whose_answer_came_during_a_close_that_the_disk_refused_runs_again() {
    let mut world = world();
    let ticket = world.request(&["echo", "a"]);
    world.disk.fail_syncs(1);
    world.ask("titanic.close", frames(&[&ticket]));
    world.work(Ok(frames(&["b"])));
    assert_eq!(world.submitted.len(), 1);
    world.work(Ok(frames(&["b"])));
    assert_eq!(world.call("titanic.reply", &[&ticket]), ["200", "b"]);
}

#[test]
fn a_reply_that_the_disk_refuses_is_written_later_without_running_again() {
    let mut world = world();
    let ticket = world.request(&["echo", "a"]);
    world.disk.limit(Some(world.disk.used()));
    world.work(Ok(frames(&["b"])));
    for _ in 0..3 {
        assert_eq!(world.call("titanic.reply", &[&ticket]), ["300"]);
        assert_eq!(world.titanic.statistics().running, 1);
        world.advance(Duration::from_secs(1));
        world.settle();
    }
    world.disk.limit(None);
    world.advance(Duration::from_secs(1));
    world.settle();
    assert_eq!(world.call("titanic.reply", &[&ticket]), ["200", "b"]);
    assert_eq!(world.titanic.statistics().submitted, 1);
}

#[test]
fn a_reply_that_is_written_later_does_not_undo_a_close() {
    let mut world = world();
    let ticket = world.request(&["echo", "a"]);
    world.disk.fail_syncs(1);
    world.work(Ok(frames(&["b"])));
    world.ask("titanic.close", frames(&[&ticket]));
    world.advance(Duration::from_secs(1));
    world.dispatch();
    world.settle();
    assert_eq!(world.texts(1), ["200"]);
    world.advance(Duration::from_secs(1));
    world.settle();
    assert_eq!(world.titanic.statistics().running, 0);
    let mut world = world.after_kill();
    assert_eq!(world.call("titanic.reply", &[&ticket]), ["400"]);
}

#[test]
fn a_reply_that_is_written_later_does_not_undo_the_second_close_where_the_first_failed() {
    let mut world = world();
    let ticket = world.request(&["echo", "a"]);
    world.disk.fail_syncs(2);
    world.work(Ok(frames(&["b"])));
    world.ask("titanic.close", frames(&[&ticket]));
    world.ask("titanic.close", frames(&[&ticket]));
    // The first one alone is refused, while the second waits.
    world.store(1);
    world.advance(Duration::from_secs(1));
    world.settle();
    let mut codes: Vec<_> = (1..world.answers.len()).map(|answer| world.texts(answer)[0].clone()).collect();
    codes.sort();
    assert_eq!(codes, ["200", "500"]);
    let mut world = world.after_kill();
    assert_eq!(world.call("titanic.reply", &[&ticket]), ["400"]);
}

#[test]
fn limits_refuse_with_500_and_drop_nothing() {
    let mut world = World::new(TitanicSettings { requests: 2, ..settings() });
    let first = world.request(&["echo", "a"]);
    world.request(&["echo", "a"]);
    assert_eq!(world.call("titanic.request", &["echo", "a"]), ["500", "too many requests are stored"]);
    world.work(Ok(frames(&["b"])));
    assert_eq!(world.call("titanic.close", &[&first]), ["200"]);
    world.request(&["echo", "a"]);

    let mut world = World::new(TitanicSettings { services: 1, ..settings() });
    world.request(&["echo", "a"]);
    assert_eq!(world.call("titanic.request", &["b", "a"]), ["500", "requests wait for too many services"]);
    world.request(&["echo", "a"]);
    world.work(Ok(frames(&["b"])));
    world.work(Ok(frames(&["b"])));
    world.request(&["b", "a"]);

    let mut world = World::new(TitanicSettings { unsynced: 1, ..settings() });
    world.ask("titanic.request", frames(&["echo", "a"]));
    world.ask("titanic.request", frames(&["echo", "a"]));
    assert_eq!(world.texts(0), ["500", "too much waits for the disk"]);
    world.settle();
    assert_eq!(world.texts(1)[0], "200");
}

#[test]
fn no_more_replies_are_read_at_once_than_memory_allows() {
    let mut world = world();
    let ticket = world.request(&["echo", "a"]);
    world.work(Ok(frames(&["b"])));
    let before = world.answers.len();
    for _ in 0..1025 {
        world.ask("titanic.reply", frames(&[&ticket]));
    }
    assert_eq!(world.texts(before), ["500", "too many replies are being read"]);
    world.settle();
    assert_eq!(world.answers.len(), before + 1025);
    assert_eq!(world.texts(before + 1024), ["200", "b"]);
    assert_eq!(world.call("titanic.reply", &[&ticket]), ["200", "b"]);
}

#[test]
fn a_request_that_cannot_be_read_is_tried_again_unless_it_is_damaged() {
    let mut world = world();
    let ticket = world.request(&["echo", "a"]);
    world.work(Err(Error::unavailable("no worker lives")));
    world.advance(Duration::from_secs(1));
    world.disk.fail_reads(1);
    world.settle();
    assert!(world.submitted.is_empty());
    world.advance(Duration::from_secs(2));
    world.settle();
    assert_eq!(world.submitted.len(), 1);
    world.work(Err(Error::unavailable("no worker lives")));
    world.disk.flip("titanic-0000000001.log", 60);
    world.advance(Duration::from_secs(4));
    world.settle();
    assert_eq!(world.call("titanic.reply", &[&ticket]), ["500", "the stored request cannot be read"]);
}

#[test]
fn a_reply_that_cannot_be_read_is_answered_with_500() {
    let mut world = world();
    let ticket = world.request(&["echo", "a"]);
    world.work(Ok(frames(&["b"])));
    world.disk.fail_reads(1);
    assert_eq!(world.call("titanic.reply", &[&ticket]), ["500", "the reply cannot be read"]);
    assert_eq!(world.call("titanic.reply", &[&ticket]), ["200", "b"]);
}

#[test]
fn a_full_store_refuses_requests_but_takes_replies_until_closes_make_room() {
    let mut world = World::new(TitanicSettings { disk_size: 64 << 10, ..settings() });
    let body = "x".repeat(1000);
    let mut tickets = Vec::new();
    loop {
        let answer = world.call("titanic.request", &["echo", &body]);
        if answer[0] == "500" {
            assert_eq!(answer[1], "the store is full");
            break;
        }
        tickets.push(answer[1].clone());
    }
    assert!((40..50).contains(&tickets.len()), "{}", tickets.len());
    for ticket in &tickets {
        world.work(Ok(frames(&["done"])));
        assert_eq!(world.call("titanic.reply", &[ticket]), ["200", "done"]);
        assert_eq!(world.call("titanic.close", &[ticket]), ["200"]);
    }
    for _ in 0..tickets.len() {
        world.store(0);
    }
    world.request(&["echo", &body]);
}

#[test]
fn what_nobody_closes_expires() {
    let keep = Duration::from_secs(100);
    let mut world = World::new(TitanicSettings { keep, ..settings() });
    let done = world.request(&["echo", "a"]);
    world.work(Ok(frames(&["b"])));
    world.workers = 0;
    let pending = world.request(&["echo", "a"]);
    world.advance(keep / 2);
    let mut world = world.after_kill();
    world.advance(keep / 2 - Duration::from_secs(1));
    world.settle();
    assert_eq!(world.call("titanic.reply", &[&done])[0], "200");
    assert_eq!(world.call("titanic.reply", &[&pending])[0], "300");
    world.advance(Duration::from_secs(10));
    world.settle();
    assert_eq!(world.call("titanic.reply", &[&done]), ["400"]);
    assert_eq!(world.call("titanic.reply", &[&pending]), ["400"]);
    assert_eq!(world.titanic.statistics().expired, 2);
    let mut world = world.after_kill();
    assert_eq!(world.call("titanic.reply", &[&done]), ["400"]);
}

#[test]
fn a_reply_is_kept_from_when_it_came() {
    let keep = Duration::from_secs(100);
    let mut world = World::new(TitanicSettings { keep, ..settings() });
    let ticket = world.request(&["echo", "a"]);
    world.advance(Duration::from_secs(90));
    world.work(Ok(frames(&["b"])));
    world.advance(Duration::from_secs(90));
    world.settle();
    assert_eq!(world.call("titanic.reply", &[&ticket]), ["200", "b"]);
}

#[test]
fn many_requests_expire_though_only_some_can_be_written_at_once() {
    let keep = Duration::from_secs(100);
    let mut world = World::new(TitanicSettings { keep, unsynced: 64, ..settings() });
    world.workers = 0;
    for _ in 0..1000 {
        world.request(&["echo", "a"]);
    }
    world.advance(keep + Duration::from_secs(3));
    while let Some(tick) = world.titanic.next_tick().filter(|_| world.titanic.statistics().requests > 0) {
        world.advance(tick.saturating_duration_since(world.now));
        world.settle();
    }
    assert_eq!(world.titanic.statistics().expired, 1000);
}

#[test]
fn an_end_that_the_broker_tells_of_an_unknown_ticket_is_counted() {
    let mut world = idle();
    world.end(Ticket::unique(), Ok(frames(&["b"])));
    assert_eq!(world.titanic.statistics().late, 1);
}

#[test]
fn closed_requests_of_a_service_without_workers_leave_nothing_in_its_queue() {
    let mut world = idle();
    for _ in 0..2000 {
        let ticket = world.request(&["echo", "a"]);
        assert_eq!(world.call("titanic.close", &[&ticket]), ["200"]);
    }
    assert_eq!(world.titanic.statistics().pending, 0);
    assert_eq!(world.titanic.next_tick().map(|tick| tick > world.now + Duration::from_secs(1)), None);
    assert_eq!(world.titanic.queues.len(), 0);
}
