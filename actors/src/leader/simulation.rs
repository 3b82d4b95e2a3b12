//! Elections on a network that is made up: messages are lost, late, doubled and overtaken, links are cut, processes stand still,
//! are killed and start anew, and no two clocks go alike. At no true time may two have a lease.

mod world;

use std::time::Duration;

use proptest::prelude::*;

use super::datagram::{Message, What};
use world::{Event, INTERVAL, LEASE, WALL, Weather, World};

fn weather() -> impl Strategy<Value = Weather> {
    let time = 1000..3 * LEASE;
    let event = prop_oneof![
        3 => any::<u8>().prop_map(Event::Cut),
        2 => Just(Event::Heal),
        3 => (0..5_usize, time.clone()).prop_map(|(number, time)| Event::Kill(number, time)),
        3 => (0..5_usize, time.clone()).prop_map(|(number, time)| Event::Pause(number, time)),
        1 => (0..5_usize, time).prop_map(|(number, time)| Event::Leave(number, time)),
    ];
    let events = prop::collection::vec((1..2 * LEASE, event), 0..14).prop_map(|events| {
        let mut at = 2 * LEASE;
        let spaced = events.into_iter().map(|(gap, event)| {
            at += gap;
            (at, event)
        });
        spaced.collect()
    });
    let latest = prop_oneof![Just(1000), 1000..100_000_u64, 1000..3 * LEASE];
    (any::<u64>(), 3..=5_usize, 0..40_u64, 0..30_u64, latest, events).prop_map(
        |(seed, members, lost, doubled, latest, events)| Weather { seed, members, lost, doubled, latest, events },
    )
}

/// More by `PROPTEST_CASES`.
fn cases(least: u32) -> ProptestConfig {
    let config = ProptestConfig::default();
    ProptestConfig { cases: config.cases.max(least), ..config }
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn with_a_majority_there_are_never_two_leases_and_one_at_last(weather in weather()) {
        let mut world = World::new(&weather, Some(u32::try_from(weather.members).unwrap()));
        world.live_through(&weather);
        world.clear_up();
        world.run_until(world.at + 10 * LEASE);
        let leading = world.leading();
        prop_assert_eq!(leading.len(), 1, "nobody leads at last");
        world.run_until(world.at + 3 * LEASE);
        prop_assert_eq!(world.leading()[0].0, leading[0].0, "it does not last");
    }
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn without_a_majority_one_leads_at_last(weather in weather()) {
        let mut world = World::new(&weather, None);
        world.live_through(&weather);
        world.clear_up();
        world.run_until(world.at + 10 * LEASE);
        let leading = world.leading();
        prop_assert_eq!(leading.len(), 1);
        world.run_until(world.at + 3 * LEASE);
        prop_assert_eq!(world.leading()[0].0, leading[0].0, "it does not last");
    }
}

fn fair(members: usize, events: Vec<(u64, Event)>) -> Weather {
    Weather { seed: 7, members, lost: 0, doubled: 0, latest: 1000, events }
}

#[test]
fn on_a_whole_network_without_known_members_there_are_never_two_leases() {
    for seed in 0..200 {
        let events =
            vec![(5 * LEASE, Event::Kill(0, LEASE)), (9 * LEASE, Event::Kill(1, LEASE)), (15 * LEASE, Event::Heal)];
        let weather = Weather { seed, ..fair(3, events) };
        let mut world = World::new(&weather, None);
        for at in 0..1800 {
            world.run_until(at * LEASE / 100);
            if let Some((_, event)) = weather.events.iter().find(|(when, _)| *when == at * LEASE / 100) {
                world.happen(event);
            }
            assert!(world.leading().len() <= 1, "seed {seed} at {}", world.at);
        }
        assert_eq!(world.leading().len(), 1);
    }
}

#[test]
fn a_leader_that_goes_is_followed_at_once_and_one_that_dies_within_a_lease_and_an_interval() {
    let (mut slowest_after_leave, mut slowest_after_kill) = (0, 0);
    for seed in 0..200 {
        let mut world = World::new(&Weather { seed, ..fair(3, vec![]) }, Some(3));
        world.run_until(4 * LEASE);
        for (leaves, slowest) in [(true, &mut slowest_after_leave), (false, &mut slowest_after_kill)] {
            let (leader, _) = world.leading()[0];
            let event = if leaves { Event::Leave(leader, 2 * LEASE) } else { Event::Kill(leader, 2 * LEASE) };
            world.happen(&event);
            let began = world.at;
            while world.leading().is_empty() {
                world.run_until(world.at + 1000);
            }
            *slowest = (*slowest).max(world.at - began);
            world.run_until(world.at + 6 * LEASE);
        }
    }
    assert!(slowest_after_leave < 3 * INTERVAL, "{slowest_after_leave}");
    assert!(slowest_after_kill < LEASE + 3 * INTERVAL, "{slowest_after_kill}");
}

#[test]
fn a_leader_keeps_leading_while_others_are_killed_one_after_the_other() {
    let mut world = World::new(&fair(3, vec![]), Some(3));
    world.run_until(4 * LEASE);
    let (leader, lease) = world.leading()[0];
    for number in 1..=8 {
        world.happen(&Event::Kill(leader + 1 + number % 2, LEASE / 2));
        for _ in 0..300 {
            world.run_until(world.at + LEASE / 100);
            assert_eq!(world.leading().first().map(|(leading, _)| *leading), Some(leader), "at {}", world.at);
        }
    }
    // Those who started anew made it take a higher term.
    assert!(world.leading()[0].1.term > lease.term);
}

#[test]
fn a_minority_never_leads() {
    let mut world = World::new(&fair(3, vec![]), Some(3));
    world.run_until(4 * LEASE);
    let (leader, _) = world.leading()[0];
    world.happen(&Event::Cut(1 << leader));
    world.run_until(world.at + LEASE);
    for _ in 0..500 {
        world.run_until(world.at + LEASE / 100);
        assert!(world.processes[leader].lease(world.at).is_none());
    }
    assert_eq!(world.leading().len(), 1);
}

#[test]
fn more_members_than_there_may_be_elect_nobody() {
    let mut world = World::new(&fair(5, vec![]), Some(3));
    world.run_until(10 * LEASE);
    assert!(world.leading().is_empty());
    assert!(world.processes.iter().all(|process| process.machine.is_crowded(process.time(world.at))));
}

#[test]
fn a_term_from_far_in_the_future_is_not_believed() {
    let mut world = World::new(&fair(3, vec![]), Some(3));
    world.run_until(4 * LEASE);
    let what = What::Here;
    let message = Message { from: 1, sequence: 1, wall: WALL, term: u64::MAX, joins: true, leads: false, what };
    let process = &mut world.processes[0];
    let now = process.now(world.at);
    assert!(!process.machine.receive(&message, now, &mut Vec::new()));
    assert!(process.machine.receive(&Message { term: 5, ..message }, now, &mut Vec::new()));
    assert!(!process.machine.receive(&Message { term: 5, ..message }, now, &mut Vec::new()), "the same once more");
}

#[test]
fn what_was_said_long_ago_by_members_that_are_no_more_is_not_believed() {
    let hour = 60 * 60 * 1000;
    for (wall, believed) in [(WALL - 2 * hour, false), (WALL + 2 * hour, false), (WALL - hour / 2, true)] {
        let mut world = World::new(&fair(3, vec![]), Some(3));
        for round in 1..400_u64 {
            world.run_until(round * LEASE / 40);
            for number in 0..3 {
                let process = &mut world.processes[number];
                let now = process.now(world.at);
                for from in 1..=80 {
                    let message =
                        Message { from, sequence: round, wall, term: 5, joins: false, leads: false, what: What::Here };
                    process.machine.receive(&message, now, &mut Vec::new());
                }
            }
        }
        assert_eq!(world.leading().is_empty(), believed, "{wall}");
    }
}

#[test]
fn a_network_that_is_slow_beside_the_interval_elects_and_keeps_a_leader() {
    for members in [Some(3), None] {
        let mut world = World::new(&fair(3, vec![]), members);
        (world.soonest, world.latest) = (50_000, 51_000);
        world.rules.interval = Duration::from_millis(5);
        (0..3).for_each(|number| world.happen(&Event::Kill(number, 1)));
        world.run_until(10 * LEASE);
        let leading = world.leading();
        assert_eq!(leading.len(), 1, "of {members:?}");
        world.run_until(world.at + 5 * LEASE);
        assert_eq!(world.leading()[0].0, leading[0].0, "it does not last");
    }
}

#[test]
fn a_leader_that_is_cut_off_ends_before_another_begins_however_slow_its_clock_is() {
    for seed in 0..600 {
        let latest = [200, 150_000, 400_000][seed as usize % 3];
        let mut world = World::new(&Weather { seed, latest, ..fair(3, vec![]) }, Some(3));
        world.run_until(4 * LEASE);
        let Some(&(leader, _)) = world.leading().first() else { continue };
        for (number, process) in world.processes.iter_mut().enumerate() {
            // What the clock showed until now stays.
            let rate = if number == leader { 990_000 } else { 1_010_000 };
            let shown = u64::try_from(process.time(world.at).as_micros()).unwrap();
            (process.rate, process.origin) = (rate, (shown + LEASE * 10) - world.at * rate / 1_000_000);
        }
        // The clocks have made a leap, so all begin anew with them.
        for number in 0..3 {
            world.happen(&Event::Kill(number, 1));
        }
        world.run_until(8 * LEASE + seed * 1000);
        let Some(&(now_leads, _)) = world.leading().first() else { continue };
        if now_leads == leader {
            world.happen(&Event::Cut(1 << leader));
        }
        world.run_until(world.at + 3 * LEASE);
    }
}

#[test]
fn terms_grow_although_a_voter_forgot_and_the_next_leader_has_a_clock_that_is_late() {
    for seed in 0..50 {
        let mut world = World::new(&Weather { seed, ..fair(3, vec![]) }, Some(3));
        world.processes[2].skew = -20_000;
        world.happen(&Event::Cut(0b100));
        world.run_until(4 * LEASE);
        let (leader, before) = world.leading()[0];
        // Now nobody but the leader itself knows of its term.
        world.happen(&Event::Kill(1 - leader, 1000));
        world.happen(&Event::Cut(1 << leader));
        world.run_until(world.at + 5 * LEASE);
        let (next, after) = world.leading()[0];
        assert!(next != leader && after.term > before.term, "{before:?}, {after:?}");
    }
}
