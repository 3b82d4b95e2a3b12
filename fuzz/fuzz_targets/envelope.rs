//! Opens whatever came as an envelope. What can be opened is the same event when it was put into another one and opened
//! again.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use playhouse_engine::{Envelope, EnvelopeLimits, Event};

fuzz_target!(|input: &[u8]| {
    let limits = EnvelopeLimits::default();
    if let Ok(envelope) = Envelope::from_bytes(Bytes::copy_from_slice(input), &limits) {
        open_twice(envelope, &limits);
    }
    // The same as the map of a head that is right up to there: most of what can be wrong lies in it.
    if let Some((map, payload)) = input.split_first().and_then(|(at, rest)| rest.split_at_checked(usize::from(*at))) {
        let mut head = b"\xc1PHE\x01".to_vec();
        head.extend([7; 16]);
        head.extend((map.len() as u32).to_be_bytes());
        head.extend_from_slice(map);
        open_twice(Envelope::from_parts(head.into(), Bytes::copy_from_slice(payload)), &limits);
    }
});

fn open_twice(envelope: Envelope, limits: &EnvelopeLimits) {
    assert!(Envelope::is_head(envelope.head()));
    let id = Envelope::id_of(envelope.head());
    let Ok(event) = envelope.open(limits) else { return };
    assert_eq!(id, Some(event.id()));
    let envelope = Envelope::of(&event);
    let again = envelope.clone().open(limits).expect("what this version wrote it reads");
    assert_eq!(shown(&again), shown(&event));
    if event.deadline().is_none() {
        // With one, the time that is left differs.
        let second = Envelope::of(&again);
        assert_eq!((second.head(), second.payload()), (envelope.head(), envelope.payload()));
    }
}

/// Everything that an event says, as text.
fn shown(event: &Event) -> String {
    let error = event.error().map(|error| (error.kind(), error.to_string(), error.actor().map(str::to_owned), error.wait()));
    let correlation = event.correlation_id();
    format!("{} {correlation} {:?} {:?} {:?} {error:?}", event.id(), event.created(), event.payload(), event.attributes())
}
