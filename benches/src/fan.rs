//! A source that sends each event to several sinks. Each entrant returns the time from the first send to the last
//! arrival.

pub mod flume;
pub mod playhouse;

/// How many events each queue holds.
pub const CAPACITY: usize = 1024;

/// Makes what is sent: the payload of `T`, as bytes that can be shared.
fn maker<T: crate::Item + Into<bytes::Bytes>>() -> impl FnMut() -> bytes::Bytes + Send + 'static {
    let mut make = T::maker();
    move || make().into()
}
