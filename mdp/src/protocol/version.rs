//! Which of the two versions of the protocol a peer speaks.

/// A version of the Majordomo protocol. The two do not understand each other; the broker serves both on one socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Version {
    /// MDP 0.1, <https://rfc.zeromq.org/spec/7/>: a request has one reply.
    V1,
    /// MDP 0.2, <https://rfc.zeromq.org/spec/18/>: a request has any number of partial replies, then a final one.
    #[default]
    V2,
}
