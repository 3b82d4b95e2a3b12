use playhouse_engine::Kind;
use proptest::prelude::*;

use super::*;

const LARGEST: usize = 4096;

/// Reads all that comes in pieces of `piece` bytes, until something is no frame.
fn read(bytes: &[u8], piece: usize) -> (Vec<String>, Option<Error>) {
    let mut input = Input::new(LARGEST);
    let mut shown = Vec::new();
    for piece in bytes.chunks(piece.max(1)) {
        input.room().extend_from_slice(piece);
        loop {
            match input.next() {
                Ok(Some(frame)) => shown.push(format!("{frame:?}")),
                Ok(None) => break,
                Err(error) => return (shown, Some(error)),
            }
        }
    }
    (shown, None)
}

fn greeting() -> Greeting {
    Greeting { side: Side::Sink, heartbeat: Duration::from_secs(5), largest: 77 }
}

#[test]
fn a_greeting_reads_back_also_where_it_comes_in_pieces() {
    let mut input = BytesMut::new();
    for byte in greeting().to_bytes() {
        assert_eq!(Greeting::take(&mut input, Side::Sink).unwrap(), None);
        input.put_u8(byte);
    }
    input.put_u8(9);
    assert_eq!(Greeting::take(&mut input, Side::Sink).unwrap(), Some(greeting()));
    assert_eq!(&input[..], [9]);
}

#[test]
fn who_is_no_peer_is_told_what_was_expected() {
    let mut version = greeting().to_bytes();
    version[4] = 2;
    for (came, kind, message) in [
        (
            &b"GET / HTTP/1.1\r\nHost: a"[..],
            Kind::Malformed,
            "expected the greeting of a playhouse peer, found `GET / HTTP/1.1\\r\\n`",
        ),
        (&b"G"[..], Kind::Malformed, "expected the greeting of a playhouse peer, found `G`"),
        (&version[..5], Kind::Unsupported, "`version` of the peer: expected 1, found 2"),
        (
            &Greeting { side: Side::Source, ..greeting() }.to_bytes(),
            Kind::Malformed,
            "expected the peer to be a sink, found a source",
        ),
    ] {
        let error = Greeting::take(&mut BytesMut::from(came), Side::Sink).unwrap_err();
        assert_eq!((error.kind(), error.message()), (kind, message));
    }
}

#[test]
fn frames_read_back_in_whatever_pieces_they_come() {
    let mut output = BytesMut::new();
    output.event(&Event::new("tea"), LARGEST).unwrap();
    output.delivered(&[(0, 7), (9, 1)]);
    output.failed(8, &Error::conflict("no cup is left").retry_after(Duration::from_secs(2)));
    output.heartbeat();
    output.goodbye(&Error::unavailable("the source stops"));
    let (whole, error) = read(&output, output.len());
    assert!(error.is_none() && whole.len() == 5, "{whole:?}");
    assert_eq!(whole[2], "Failed(8, no cup is left (conflict))");
    assert_eq!(whole[4], "Goodbye(the source stops (unavailable))");
    for piece in 1..40 {
        assert_eq!(read(&output, piece).0, whole);
    }
}

#[test]
fn what_is_too_large_is_not_written_and_not_read() {
    let mut output = BytesMut::from(&b"before"[..]);
    let error = output.event(&Event::new("a".repeat(100)), 50).unwrap_err();
    assert_eq!((error.kind(), &output[..]), (Kind::TooLarge, &b"before"[..]));
    let (_, error) = read(&[0xff, 0xff, 0xff, 0xff], 4);
    assert_eq!(error.unwrap().message(), "expected a frame of 4096 bytes at most, found 4294967295");
}

#[test]
fn the_memory_of_a_frame_is_taken_when_it_comes_and_not_when_it_is_announced() {
    let mut input = Input::new(1 << 30);
    input.room().extend_from_slice(&[0x3f, 0, 0, 0, 1]);
    assert!(input.next().unwrap().is_none());
    assert!(input.room().capacity() <= 2 * READ);
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), piece in 1_usize..50) {
        let _ = read(&bytes, piece);
        let _ = Greeting::take(&mut BytesMut::from(&bytes[..]), Side::Source);
    }

    #[test]
    fn no_frame_of_wrong_content_makes_the_reader_panic(
        frames in prop::collection::vec((0_u8..7, prop::collection::vec(any::<u8>(), 0..60)), 0..5),
        cut in 0_usize..300,
    ) {
        let mut bytes = BytesMut::new();
        for (sort, content) in frames {
            frame(&mut bytes, sort, |body| body.extend_from_slice(&content));
        }
        bytes.truncate(cut);
        let _ = read(&bytes, 7);
    }

    #[test]
    fn what_is_changed_on_the_way_is_an_event_or_an_error(at in 0_usize..60, byte in any::<u8>()) {
        let mut output = BytesMut::new();
        output.event(&Event::new("tea").with_attribute("cups", 2_i64), LARGEST).unwrap();
        let at = at % output.len();
        output[at] = byte;
        let mut input = Input::new(LARGEST);
        input.room().extend_from_slice(&output);
        if let Ok(Some(Frame::Event(body))) = input.next() {
            let limits = EnvelopeLimits::default();
            let _ = Envelope::from_bytes(body, &limits).and_then(|envelope| envelope.open(&limits));
        }
    }
}
