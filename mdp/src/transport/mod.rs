//! The sockets: the only part that knows a ZeroMQ library.
