//! Reads whatever frames came as an error in the place of a reply. What can be read says the same when it was written again.

#![no_main]

mod input;

use bytes::Bytes;
use input::Input;
use libfuzzer_sys::fuzz_target;
use playhouse_mdp::protocol::{failure_body, read_failure};

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input::new(bytes);
    check(&input.frames());
    let rest: Vec<Bytes> = std::iter::from_fn(|| (!input.is_empty()).then(|| input.frame())).take(4).collect();
    let mut marked = vec![Bytes::from_static(b"\xc1PHF1")];
    marked.extend(rest);
    check(&marked);
});

fn check(body: &Vec<Bytes>) {
    let Some((error, echo)) = read_failure(body) else { return };
    let (again, repeated) = read_failure(&failure_body(&error, &vec![echo.clone()])).expect("what was written is read");
    assert_eq!((again.kind(), again.message(), again.wait()), (error.kind(), error.message(), error.wait()));
    assert_eq!(repeated, echo);
}
