//! Actors of ours beside what one would write by hand.

pub mod join;
